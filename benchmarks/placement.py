"""How well moments are placed: cuts on beats, error in seconds, motion with the music.

    .venv/bin/python benchmarks/placement.py                        # made-up clips, bundled tracks
    .venv/bin/python benchmarks/placement.py --music DIR            # ... on other tracks
    .venv/bin/python benchmarks/placement.py --composed DIR --music DIR
    .venv/bin/python benchmarks/placement.py --clips DIR --music DIR
    .venv/bin/python benchmarks/placement.py --results report/results.jsonl

Without composed videos, clips are made up as curves: cuts on a track's beats, the more the louder
it is and in half of the clips mostly on first ones, some wrong, all rounded to frames and off by a
constant time in half of the clips; motion that follows the energy more or less. Beats and bars are
those that placing looks at itself, so these figures say how well it finds its way back, not how
right the beats are.

`--composed DIR` is a folder that `mgsv data compose --videos N` made of the files under --music;
what is placed is read from the rendered files. Their cuts are late by the plan's `offset`, so that
start - offset puts them right. With `--method made` the shipped model searches the whole track, as
in `mgsv ground`; so too with `--clips DIR`, of videos that were not cut to this music.

The model's moment is the truth with an error of up to 2.5 s, evenly spread: a trained model's
errors within 2.5 s are (`--results`, what `mgsv evaluate` wrote, measures them).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from mgsv.config import override
from mgsv.data.annotations import read_annotations
from mgsv.data.folder import CSV_FOLDER
from mgsv.demo import demo_music
from mgsv.evaluation.results import Results
from mgsv.grounding import read_query
from mgsv.library import Library, TrackFeatures
from mgsv.media.curves import at_rate
from mgsv.media.rhythm import ONSET_DELAY, ONSET_RATE
from mgsv.media.video import CURVE_RATE, VideoCurves, VideoInfo
from mgsv.methods.base import Method, Placement, PlacementWeights, Query
from mgsv.methods.placement import REACH, Music, _starts, cuts_on_beat, place, terms_at, weighted
from mgsv.methods.registry import open_method
from mgsv.methods.synchrony import agree, pattern_of
from mgsv.moment import Moment
from mgsv.synthesis.composed import PLANS, VIDEOS
from mgsv.synthesis.composed.plan import read_plans

FRAMES = 25
"""Frames a second of made-up clips, to which their cuts are rounded."""
RANDOM_STARTS = 40
ENCODER_NOTE = "the library at --library is kept; without it, one is made in a temporary folder"


@dataclass(frozen=True)
class Case:
    """A clip, the track it was cut to, and where it belongs there."""

    name: str
    query: Query
    features: TrackFeatures
    music: Music
    start: float
    """Where the edit starts."""
    offset: float
    """How late its cuts are."""

    @property
    def right(self) -> float:
        """The start that puts the cuts on their beats."""
        return self.start - self.offset

    @property
    def latest(self) -> float:
        return max(0.0, self.features.track.duration - self.query.seconds)


def main() -> None:
    options = parse()
    if options.results:
        model_error(options.results)
        return
    with tempfile.TemporaryDirectory(prefix="mgsv-bench-") as scratch:
        folder = options.library or Path(scratch)
        with Library.open(options.music or demo_music(), folder=folder) as library:
            tracks = [library.features(track) for track in library.tracks()]
    rng = np.random.default_rng(options.seed)
    changes = filter(None, options.weights.split(","))
    how = Placement(weights=override(PlacementWeights(), changes, "`weights`"))
    grounder = open_method(options.method) if options.method else None
    if options.clips:
        real_clips(options.clips, tracks, how, rng, grounder)
        return
    if options.composed:
        cases = list(composed(options.composed, tracks))
    else:
        cases = list(made_up(tracks, options.count, rng))
    print(f"{len(cases)} clips, {len(tracks)} tracks, seed {options.seed}\n")
    if options.tune:
        tune(cases, rng)
        return
    groups = {
        "all": cases,
        "cuts on the beat": [case for case in cases if abs(case.offset) < 0.02],
        "all cuts off the beat": [case for case in cases if abs(case.offset) >= 0.02],
    }
    for name, group in groups.items():
        if group:
            report(name, group, how, np.random.default_rng(options.seed), grounder)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog=ENCODER_NOTE)
    parser.add_argument("--music", type=Path, nargs="+")
    parser.add_argument("--library", type=Path)
    parser.add_argument("--composed", type=Path)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--method", help="search whole tracks by it, with composed videos or clips")
    parser.add_argument("--results", type=Path)
    parser.add_argument("--count", type=int, default=8, help="made-up clips per track")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", default="", help="as for `mgsv ground`")
    parser.add_argument("--tune", action="store_true", help="search for better weights")
    return parser.parse_args()


def report(
    name: str,
    cases: Sequence[Case],
    how: Placement,
    rng: np.random.Generator,
    grounder: Method | None,
) -> None:
    """Figures of placing from the truth with an error of up to 2.5 s, or by a method."""
    print(f"{name}: {len(cases)} clips")
    errors, edits, before, taken = [], [], [], 0.0
    rates: dict[str, list[float]] = {"placed": [], "model": [], "random": [], "right": []}
    percentiles = []
    for case in cases:
        moment = model_moment(case, rng)
        begun = time.perf_counter()
        found = start_by(grounder, case, moment, how)
        taken += time.perf_counter() - begun
        errors.append(abs(found - case.right))
        edits.append(abs(found - case.start))
        before.append(abs(moment.start - case.right))
        somewhere = rng.uniform(0, case.latest, RANDOM_STARTS)
        rates["placed"].append(on_beat(case, found))
        rates["model"].append(on_beat(case, moment.start))
        rates["right"].append(on_beat(case, case.right))
        rates["random"].append(float(np.mean([on_beat(case, at) for at in somewhere])))
        percentiles.append(percentile(case.query, case.music, found, somewhere))
    spread = [f"{np.quantile(errors, q):.3f}" for q in (0.25, 0.5, 0.75)]
    near = np.mean(np.array(errors) <= 0.15)
    print(f"  error, s: quartiles {', '.join(spread)}; {near:.0%} within 0.15 s")
    print(f"  error of the model's moment, s: median {np.median(before):.3f}")
    print(f"  error to the edit's own start, cuts late as they are, s: {np.median(edits):.3f}")
    shares = {name: float(np.mean(values)) for name, values in rates.items()}
    told = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    print(f"  cuts within 70 ms of a beat: {told}")
    print(f"  times the rate of a random start: {shares['placed'] / shares['random']:.2f}")
    print(f"  motion with energy: percentile {np.mean(percentiles):.0f} of random moments")
    print(f"  {1000 * taken / len(cases):.1f} ms per moment\n", flush=True)


def start_by(grounder: Method | None, case: Case, moment: Moment, how: Placement) -> float:
    """Where a method starts the clip; without one, where placing does from `moment`."""
    if grounder is None:
        return place(case.query, case.features, moment, how).moment.start
    return grounder.detect(case.query, [case.features], how)[0].moment.start


def model_moment(case: Case, rng: np.random.Generator) -> Moment:
    start = float(np.clip(case.right + rng.uniform(-REACH, REACH), 0, case.latest))
    return Moment(start, start + case.query.seconds)


def on_beat(case: Case, start: float) -> float:
    cuts = case.query.curves.cuts
    return cuts_on_beat(cuts + start, case.features.beats) / max(1, len(cuts))


def percentile(query: Query, music: Music, start: float, somewhere: np.ndarray) -> float:
    """Of the moment's energy-motion correlation among those `somewhere` on its track."""
    result = agree(pattern_of(query), music.pattern)
    here, there = (result.term_at("motion", np.atleast_1d(at)) for at in (start, somewhere))
    return 100 * float(np.mean(there < here[0]))


# Made-up clips


def made_up(
    tracks: Sequence[TrackFeatures], count: int, rng: np.random.Generator
) -> Iterator[Case]:
    """`count` clips for each track that has beats and room."""
    for features in tracks:
        music = Music.of(features)
        if len(features.beats) < 24 or features.track.duration < 20:
            continue
        for number in range(count):
            offset = float(rng.uniform(-0.3, 0.3)) if number % 2 else 0.0
            yield made_up_case(features, music, offset, rng)


def made_up_case(
    features: TrackFeatures, music: Music, offset: float, rng: np.random.Generator
) -> Case:
    seconds = float(rng.uniform(8, min(20, features.track.duration - 8)))
    latest = features.track.duration - seconds
    kinds = (music.structure.phrases, music.structure.downbeats, features.beats)
    starts = kinds[rng.choice(3, p=(0.4, 0.3, 0.3))]
    starts = starts[(starts > 0.4) & (starts < latest - 0.4)]
    start = float(rng.choice(starts)) if len(starts) else float(rng.uniform(0.4, latest - 0.4))
    at = start + np.arange(round(seconds * CURVE_RATE)) / CURVE_RATE
    energy = at_rate(features.energy, ONSET_RATE, CURVE_RATE)
    level = np.interp(at - offset - ONSET_DELAY, np.arange(len(energy)) / CURVE_RATE, energy)
    curves = VideoCurves(
        duration=seconds,
        motion=motion_of(level, rng),
        light=np.full(len(at), 0.5, np.float32),
        cuts=cuts_of(features, music, start, seconds, offset, rng),
    )
    info = VideoInfo(Path("made-up.mp4"), seconds, 1280, 720, 0, float(FRAMES), "h264", False)
    name = f"{features.track.path.stem} {start:.1f}"
    return Case(name, Query(info, curves), features, music, start, offset)


def cuts_of(
    features: TrackFeatures,
    music: Music,
    start: float,
    seconds: float,
    offset: float,
    rng: np.random.Generator,
) -> np.ndarray:
    beats = features.beats[(features.beats > start - 1) & (features.beats < start + seconds + 1)]
    energy = features.energy.astype(np.float32)
    loud = energy[np.minimum((beats * ONSET_RATE).astype(int) + 8, len(energy) - 1)]
    share = 0.2 + 0.4 * np.array([(energy < level).mean() for level in loud])
    if rng.random() < 0.5:
        share *= np.where(np.isin(beats, music.structure.downbeats), 1.5, 0.75)
    chosen = beats[rng.random(len(beats)) < share]
    cuts = chosen - start + offset + rng.normal(0, 0.015, len(chosen))
    wrong = rng.random(len(cuts)) < 0.1
    cuts = np.where(wrong, rng.uniform(0, seconds, len(cuts)), cuts)
    cuts = np.unique(np.round(cuts * FRAMES) / FRAMES)
    cuts = cuts[(cuts > 0.3) & (cuts < seconds - 0.3)]
    kept = cuts[np.diff(cuts, prepend=-1.0) > 0.25]
    return kept.astype(np.float32)


def motion_of(level: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Motion that follows the energy: not at all in one clip of six, else more or less."""
    follow = 0.0 if rng.random() < 1 / 6 else rng.uniform(0.2, 0.8)
    noise = np.convolve(rng.normal(size=len(level) + 12), np.hanning(13), mode="valid")[
        : len(level)
    ]
    parts = [(part - part.mean()) / max(part.std(), 1e-6) for part in (level, noise)]
    mixed = follow * parts[0] + np.sqrt(1 - follow**2) * parts[1]
    return np.asarray(0.05 * np.exp(0.6 * mixed), np.float32)


# Videos


def composed(folder: Path, tracks: Sequence[TrackFeatures]) -> Iterator[Case]:
    """The rendered videos of a composed folder."""
    by_name = {features.track.path.stem: features for features in tracks}
    files = (folder / CSV_FOLDER).glob("*_data.csv")
    stems = {row.video_id: Path(row.music_path).stem for f in files for row in read_annotations(f)}
    for plan in read_plans(folder / PLANS):
        path, stem = folder / VIDEOS / f"{plan.video_id}.mp4", stems[plan.video_id]
        if stem in by_name and path.exists():
            features = by_name[stem]
            yield Case(
                plan.video_id,
                read_query(path),
                features,
                Music.of(features),
                plan.music_start,
                plan.offset,
            )


def real_clips(
    folder: Path,
    tracks: Sequence[TrackFeatures],
    how: Placement,
    rng: np.random.Generator,
    grounder: Method | None,
) -> None:
    """Real clips on every track: what is left to the placing where nothing was cut to the music."""
    clips = [read_query(path) for path in sorted(folder.iterdir()) if path.is_file()]
    print(f"{len(clips)} clips on {len(tracks)} tracks\n")
    known = [Music.of(features) for features in tracks]
    for query in clips:
        rows = []
        for features, music in zip(tracks, known, strict=True):
            latest = features.track.duration - query.seconds
            if latest < 2 * REACH:
                continue
            start = float(rng.uniform(0, latest))
            case = Case(query.info.path.stem, query, features, music, start, 0.0)
            found = start_by(grounder, case, Moment(start, start + query.seconds), how)
            somewhere = rng.uniform(0, latest, RANDOM_STARTS)
            rates = on_beat(case, found), np.mean([on_beat(case, at) for at in somewhere])
            rows.append((*rates, percentile(query, music, found, somewhere)))
        if not rows:
            print(f"{query.info.path.name:40} is too long for these tracks")
            continue
        placed, random, motion = np.mean(rows, axis=0)
        print(
            f"{query.info.path.name:40} {len(query.curves.cuts)} cuts: {placed:.0%} on a beat, "
            f"{random:.0%} at random; motion with energy: percentile {motion:.0f}"
        )


# The weights, and the model's error


def tune(cases: Sequence[Case], rng: np.random.Generator) -> None:
    """Change one weight at a time while that brings more moments near the truth."""
    rows = []
    for case in cases:
        moment = model_moment(case, rng)
        clip = pattern_of(case.query)
        result = agree(clip, case.music.pattern)
        starts = _starts(case.music, result, moment, "any", REACH)
        terms = terms_at(clip, case.music, result, starts, moment.start)
        rows.append((terms, np.abs(starts - case.right)))

    def score(weights: PlacementWeights) -> float:
        errors = [distance[weighted(terms, weights).argmax()] for terms, distance in rows]
        return float(np.mean(np.exp(-np.array(errors) / 0.3)))

    best = PlacementWeights()
    top = score(best)
    print(f"{top:.4f}  {best}")
    for round_ in range(3):
        for entry in fields(best):
            value = getattr(best, entry.name)
            for other in (0.0, 0.05, 0.5 * value, 0.75 * value, 1.33 * value, 2 * value):
                tried = replace(best, **{entry.name: round(other, 3)})
                if (reached := score(tried)) > top + 1e-4:
                    best, top = tried, reached
        print(f"{top:.4f}  round {round_}: {best}", flush=True)
    for entry in fields(best):
        without = score(replace(best, **{entry.name: 0.0}))
        print(f"  without {entry.name:9} {without:.4f}")


def model_error(path: Path) -> None:
    """How far a model's moments start from the truth, where within 2.5 s, in `mgsv evaluate`."""
    results = Results.load(path)
    starts = results.predicted.mean(axis=1) - results.video_seconds / 2
    latest = np.maximum(results.track_seconds - results.video_seconds, 0)
    errors = np.clip(starts, 0, latest) - results.true[:, 0]
    inside = (results.true[:, 0] > REACH) & (results.true[:, 0] < latest - REACH)
    near = np.abs(errors) <= REACH
    for name, rows in (("all", near), (f"starts {REACH:g} s or more from the ends", near & inside)):
        told = errors[rows]
        spread = ", ".join(f"{np.quantile(np.abs(told), q):.2f}" for q in (0.25, 0.5, 0.75))
        print(f"{name}: {len(told)} moments, deviation {told.std():.2f} s, quartiles {spread} s")


if __name__ == "__main__":
    main()
