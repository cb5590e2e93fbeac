"""How fast `mgsv` learns a person's habits: mIoU against the number of their uses that are known.

    .venv/bin/python benchmarks/habits.py CORPUS CACHE [--figure FILE.png]   # learning curves
    .venv/bin/python benchmarks/habits.py CORPUS CACHE --fit                 # what a usual is worth

CORPUS is the folder that `recipes/corpus.py` made, CACHE the analyses that composing keeps. Each
editor of `habit_editors` makes videos of composed pictures by one habit. Half of the split's tracks
have the past uses, the other half the clips whose moments are sought, so that nothing can be known
of a clip's own track. Everything is placed by the default method, on a known track; the memory
beside it leaves tracks that were never used to the habits.

Curves are of the split `test`, by editors that had no part in `--fit`, which tries every value of
`memory.habits.PSEUDO_USES` on other editors and the tracks of `val`. Intervals are of 95 %, from
1,000 resamples of the tracks.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from habit_editors import FITTED_ON, SHOWN, Editor

from composed_cases import Corpus
from mgsv.drawing import BLUE, GREY, INK, ORANGE, encoded, styled
from mgsv.library import TrackFeatures
from mgsv.media.video import VideoInfo
from mgsv.memory import habits as habit_counts
from mgsv.memory.habits import Habits
from mgsv.memory.use import Use, packed_cuts
from mgsv.methods import survey
from mgsv.methods.base import Candidate, Method, Placement, Query, Ranked
from mgsv.methods.habits import observe
from mgsv.methods.placement import FinePlacer, Music
from mgsv.methods.registry import open_method
from mgsv.models.system import System
from mgsv.moment import Moment
from mgsv.synthesis.composed.editors import LOOSE_EDITOR, LOOSE_UNSYNCED
from mgsv.synthesis.composed.features import video_curves, video_features
from mgsv.synthesis.composed.music import AnalysedTrack
from mgsv.synthesis.composed.plan import FRAME_RATE, HEIGHT, WIDTH, Plan
from mgsv.synthesis.composed.studio import Studio, plan_video, scale_of

Floats = npt.NDArray[np.float64]

COUNTS = (0, 10, 30, 100)
"""Uses that are known."""
RESAMPLES = 1000
CHOICES = (1.0, 2.0, 4.0, 8.0)


# What they make


@dataclass(frozen=True)
class Size:
    """per_track: clips whose moments are sought, of each track. histories: times that other uses
    are known."""

    per_track: int = 2
    histories: int = 2
    counts: Sequence[int] = COUNTS


@dataclass(frozen=True)
class Clip:
    query: Query
    features: TrackFeatures
    right: float


class Workshop:
    """The tracks and pictures of one split."""

    def __init__(self, corpus: Corpus, split: str) -> None:
        self._corpus = corpus
        items = [item for item in corpus.items.values() if item.split == split]
        self.tracks = [corpus.analysed(i.id) for i in items if i.kind == "music"]
        footage = [corpus.footage(i.id) for i in items if i.kind != "music"]
        looks = [one.looks.astype(np.float64) for one in footage]
        moods = [mood for track in self.tracks for mood in track.moods]
        self._split = split
        self._studio = Studio(self.tracks, footage, scale_of(moods), scale_of(looks))
        self.features = cache(self._corpus.track)
        self.music = cache(lambda name: Music.of(self.features(name)))

    def plan(self, editor: Editor, track: AnalysedTrack, seed: Sequence[int]) -> Plan:
        return plan_video(
            editor.rules or LOOSE_EDITOR,
            self._studio,
            track,
            np.random.default_rng(seed),
            video_id="-".join(map(str, seed)),
            split=self._split,
            plain=0.0 if editor.rules else LOOSE_UNSYNCED,
        )

    def clip(self, plan: Plan) -> Clip:
        curves = video_curves(plan, self._studio.bank)
        path = Path(f"{plan.video_id}.mp4")
        info = VideoInfo(path, plan.seconds, WIDTH, HEIGHT, 0, FRAME_RATE, "h264", False)
        query = Query(info, curves, video_features(plan, self._studio.bank))
        return Clip(query, self.features(plan.track), plan.music_start)

    def use(self, plan: Plan) -> Use:
        hard = [shot.start for shot in plan.shots[1:] if not shot.soft]
        return Use(
            track=plan.track,
            start=plan.music_start,
            end=plan.music_start + plan.seconds,
            track_seconds=self.features(plan.track).track.duration,
            video=plan.video_id,
            video_start=0.0,
            video_end=plan.seconds,
            cuts=packed_cuts(hard, plan.seconds),
        )

    def habits(self, uses: Sequence[Use]) -> Habits:
        seen = []
        for use in uses:
            music = self.music(use.track)
            seen.append(observe(use, music, survey.origin_of(music.pattern)))
        return Habits.of(seen, [()] * len(self.tracks))

    def made_by(
        self, editor: Editor, number: int, size: Size
    ) -> tuple[list[Clip], list[list[Use]]]:
        """The clips sought, track by track, and as often as wanted the most uses."""
        order = np.random.default_rng(number).permutation(len(self.tracks))
        half = len(order) // 2
        sought, used = ([self.tracks[n] for n in part] for part in (order[:half], order[half:]))
        clips = [
            self.clip(self.plan(editor, track, (number, 0, n, turn)))
            for n, track in enumerate(sought)
            for turn in range(size.per_track)
        ]
        uses = [
            [
                self.use(self.plan(editor, used[(n + history) % len(used)], (number, history, n)))
                for n in range(max(size.counts))
            ]
            for history in range(1, size.histories + 1)
        ]
        return clips, uses


# How well their moments are found


def reached(method: Method, clips: Sequence[Clip]) -> Floats:
    """[C] the IoU of each clip's moment, on its own track."""
    found = []
    for clip in clips:
        candidate = Candidate(clip.features, Ranked(0.0))
        [placed] = method.place(clip.query, [candidate], Placement())
        found.append(placed.moment.iou(Moment(clip.right, clip.right + clip.query.seconds)))
    return np.array(found)


def curve(
    method: Method,
    shop: Workshop,
    clips: Sequence[Clip],
    histories: Sequence[Sequence[Use]],
    counts: Sequence[int],
) -> dict[int, Floats]:
    """[C] the IoU of each clip by how many uses are known, mean over the histories."""
    by_count = {}
    for count in counts:
        runs = [
            reached(method.with_habits(shop.habits(uses[:count])), clips)
            for uses in (histories if count else histories[:1])
        ]
        by_count[count] = np.mean(runs, axis=0)
    return by_count


def interval(values: Floats, per_track: int, seed: int = 0) -> tuple[float, float, float]:
    """Mean, and the bounds of its 95 % interval over tracks, whose clips stand side by side."""
    tracks = values.reshape(-1, per_track).mean(axis=1)
    rng = np.random.default_rng(seed)
    means = tracks[rng.integers(len(tracks), size=(RESAMPLES, len(tracks)))].mean(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(tracks.mean()), float(low), float(high)


def show(method: Method, shop: Workshop, size: Size, only: str, figure: Path | None) -> None:
    print(f"{'editor':32}" + "".join(f"{count:>22}" for count in COUNTS) + f"{'30 - 0':>26}")
    curves: dict[str, list[tuple[float, float, float]]] = {}
    for number, editor in enumerate(SHOWN):
        if only not in editor.name:
            continue
        clips, histories = shop.made_by(editor, number, size)
        found = curve(method, shop, clips, histories, COUNTS)
        curves[editor.name] = [interval(found[count], size.per_track) for count in COUNTS]
        gain = interval(found[30] - found[0], size.per_track)
        cells = [f"{m:.3f} ({a:.3f}-{b:.3f})" for m, a, b in curves[editor.name]]
        last = f"{gain[0]:+.3f} ({gain[1]:+.3f} to {gain[2]:+.3f})"
        print(f"{editor.name:32}" + "".join(f"{c:>22}" for c in cells) + f"{last:>26}", flush=True)
        print(f"{'':32}{words(shop.habits(histories[0][:30]))}", flush=True)
    if figure:
        draw(curves, figure)


def words(habits: Habits) -> str:
    starts = ", ".join(f"{kind} {n:g}" for kind, n in habits.starts.items())
    return f"of 30: {starts}; cut to beats {habits.cut_to_beats:.1f} of {habits.cut_uses:g}"


def draw(curves: Mapping[str, Sequence[tuple[float, float, float]]], path: Path) -> None:
    """The curves with their intervals, in a new file."""
    with styled():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7.5, 3.6), layout="constrained")
        axes = figure.add_subplot()
        marks = zip((BLUE, ORANGE, INK, "#3f8f5f", GREY), "osD^v", strict=True)
        for shift, (name, points) in enumerate(curves.items()):
            colour, mark = next(marks)
            means, low, high = np.array(points).T
            at = np.arange(len(COUNTS)) + 0.04 * (shift - 2)
            axes.errorbar(
                at, means, [means - low, high - means], color=colour, marker=mark, label=name
            )
        axes.set_xticks(np.arange(len(COUNTS)), [str(count) for count in COUNTS])
        axes.set_xlabel("uses that are known")
        axes.set_ylabel("mIoU, track known")
        axes.set_ylim(0, 1.03)
        figure.legend(loc="outside right upper")
        data = encoded(figure, "svg" if path.suffix == ".svg" else "png")
    with path.open("xb") as file:
        file.write(data)


def fit(method: Method, shop: Workshop) -> None:
    """Tries the values of `PSEUDO_USES`, one after the other."""
    remember(method)
    size = Size(per_track=1, histories=1, counts=(10, 30))
    made = [shop.made_by(editor, 100 + n, size) for n, editor in enumerate(FITTED_ON)]
    without = [reached(method, clips).mean() for clips, _ in made]
    counts: dict[str, float] = dict(habit_counts.PSEUDO_USES)

    def score(tried: Mapping[str, float]) -> float:
        habit_counts.PSEUDO_USES = tried
        runs = [curve(method, shop, *one, size.counts) for one in made]
        # Half of it is how much is gained, half that the worst editor does not lose.
        gains = [
            [run[n].mean() - start for n in size.counts]
            for run, start in zip(runs, without, strict=True)
        ]
        return float(np.mean(gains) + np.min(gains))

    for name in ("starts", "places", "beats"):
        reached_by = {value: score({**counts, name: value}) for value in CHOICES}
        counts[name] = max(reached_by, key=reached_by.__getitem__)
        shown = ", ".join(f"{value:g}: {gain:+.4f}" for value, gain in reached_by.items())
        print(f"{name:8}{shown}", flush=True)
    habit_counts.PSEUDO_USES = counts
    for editor, one, start in zip(FITTED_ON, made, without, strict=True):
        run = curve(method, shop, *one, size.counts)
        means = ", ".join(f"{n}: {found.mean():.3f}" for n, found in run.items())
        print(f"{editor.name:32}0: {start:.3f}, {means}", flush=True)
    print(counts)


def remember(method: Method) -> None:
    """Compute what no habit changes only once, and leave out the last step, which moves no moment
    by more than a quarter of a second."""
    placed: dict[int, Any] = {}
    network = method.placer._placer._placer  # type: ignore[attr-defined]
    place = network.place

    def remembered_place(query: Query, candidates: Any, placement: Placement) -> Any:
        if id(query) not in placed:
            placed[id(query)] = place(query, candidates, placement)
        return placed[id(query)]

    network.place = remembered_place
    plain, terms = survey.survey_terms, {}

    def remembered(edit: Any, music: Music) -> Any:
        clip, track = edit.clip, music.pattern.features.track
        key = clip.seconds, clip.cuts.tobytes(), clip.motion.tobytes(), track
        if key not in terms:
            terms[key] = plain(edit, music)
        return terms[key]

    survey.survey_terms = remembered
    Music.of = cache_by_id(Music.of)  # type: ignore[method-assign]
    FinePlacer.improved = lambda _self, _query, _features, placed, _placement: placed  # type: ignore


def cache_by_id(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    known: dict[int, Any] = {}

    def made(features: Any) -> Any:
        if id(features) not in known:
            known[id(features)] = make(features)
        return known[id(features)]

    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--model", type=Path, help="another checkpoint than the shipped one")
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--per-track", type=int, default=2, help="clips per track")
    parser.add_argument("--histories", type=int, default=2)
    parser.add_argument("--only", default="", help="only editors in whose name this stands")
    parser.add_argument("--figure", type=Path, help="draw the curves into a new .png or .svg")
    given = parser.parse_args()
    method = open_method(System("made", given.model) if given.model else "made")
    shop = Workshop(Corpus(given.corpus, given.cache), "val" if given.fit else "test")
    if given.fit:
        fit(method, shop)
    else:
        size = Size(given.per_track, given.histories)
        show(method, shop, size, given.only, given.figure)


if __name__ == "__main__":
    main()
