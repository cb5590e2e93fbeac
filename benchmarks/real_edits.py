"""How well moments and tracks are found for videos that people made.

    .venv/bin/python benchmarks/real_edits.py LIST MATERIAL              # fetch, then measure
    .venv/bin/python benchmarks/real_edits.py LIST MATERIAL --music DIR  # beside other tracks
    .venv/bin/python benchmarks/real_edits.py LIST MATERIAL --model FILE # another checkpoint

LIST is a CSV file of published videos: id, repository, commit and path on GitHub, and of some the
track that they use (kind A), with the place of the music on it. The files come into MATERIAL by git
and stay there; they are for measuring only and are not free to pass on.

*Whole edits* are videos with the track file that they use. *Windows* are parts of 8 to 20 seconds,
at most half of the video, cut out at random; their track is the video's own sound, whose same time
is the right answer. Neither has any sound when it is grounded. Tracks of a video's own repository
do not compete with the right one. A window does not begin where an edit begins, so only a random
start is a fair comparison for it.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import subprocess
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mgsv.demo import demo_music
from mgsv.errors import MgsvError
from mgsv.grounding import read_query
from mgsv.library import Library, TrackFeatures
from mgsv.memory.density import NEAR
from mgsv.methods.base import Method, Placement, Query
from mgsv.methods.registry import open_method
from mgsv.models.system import System

Floats = npt.NDArray[np.float64]
Pairs = list[tuple[float, bool]]
"""Probabilities that were said, and whether the place is right."""

WINDOWS = 4
"""Of each video."""
SHORTEST, LONGEST = 8.0, 20.0
LONGER = 1.3
"""Of whole edits, those whose track is longer than the clip by this factor are shown apart."""
MANY_CUTS = 3
RESAMPLES = 1000
"""Of the sources, for the intervals."""


@dataclass(frozen=True)
class Edit:
    """A clip, the track file that it was cut to, and where.

    source: the repository, whose other tracks do not compete.
    """

    clip: Path
    track: Path
    start: float
    source: str
    whole: bool


@dataclass(frozen=True)
class Seen:
    """An edit as a method sees it, with its right track."""

    edit: Edit
    query: Query
    features: TrackFeatures

    @property
    def right(self) -> float:
        return min(self.edit.start, self.latest)

    @property
    def latest(self) -> float:
        return max(0.0, self.features.track.duration - self.query.seconds)

    def iou(self, starts: Floats | float) -> Floats:
        """Of moments as long as the clip (or the track) with the right one."""
        width = min(self.query.seconds, self.features.track.duration)
        apart = np.abs(np.asarray(starts) - self.right)
        return np.asarray(np.maximum(width - apart, 0) / (width + apart))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("list", type=Path)
    parser.add_argument("material", type=Path)
    parser.add_argument("--music", type=Path, help="other tracks; default: those of the demo")
    parser.add_argument("--model", type=Path, nargs="*", default=[], help="checkpoints of `made`")
    parser.add_argument("--figures", type=Path, help="write what `made` says of places there, JSON")
    options = parser.parse_args()
    edits = gathered(options.list, options.material)
    others = sorted(options.music.iterdir()) if options.music else demo_music()
    methods = {"made": open_method(), "sync": open_method("sync")}
    methods |= {path.stem: open_method(System("made", path)) for path in options.model}
    said: dict[str, Pairs] = {}
    with opened(edits, others, options.material / "library") as library:
        seen = [*read(edits, library, methods["made"])]
        for kind, whole in (("whole edits", True), ("windows", False)):
            found = places(kind, [one for one in seen if one.edit.whole is whole], methods)
            for name, pairs in found.items():
                said[name] = [*said.get(name, []), *pairs]
        for kind, whole in (("whole edits", True), ("windows", False)):
            rankings(kind, [one for one in seen if one.edit.whole is whole], library, methods)
    probabilities(said)
    if options.figures:
        options.figures.write_text(
            json.dumps({"pairs": said.get("made", [])}) + "\n", encoding="utf-8"
        )


# --- material -------------------------------------------------------------------------------------


def gathered(table: Path, material: Path) -> list[Edit]:
    """The edits of `table`, whose files are now in `material`."""
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    edits = []
    for row in rows:
        folder = material / row["id"]
        video = fetched(material, row["repository"], row["commit"], row["video"], folder / "video")
        if row["kind"] == "A":
            commit = row["track_commit"]
            track = fetched(material, row["repository"], commit, row["track"], folder / "track")
            edits.append(Edit(silent(video), track, float(row["start"]), row["repository"], True))
            continue
        sound = folder / "own-sound.flac"
        if not sound.exists():
            ffmpeg("-i", video, "-vn", "-map", "0:a:0", sound)
        rng = np.random.default_rng(zlib.crc32(row["id"].encode()))
        seconds = float(row["track_seconds"])
        for n in range(WINDOWS):
            length = min(rng.uniform(SHORTEST, LONGEST), seconds / 2)
            start = rng.uniform(0, seconds - length)
            clip = folder / f"window-{n}.mp4"
            if not clip.exists():
                part = ("-ss", f"{start:.3f}", "-i", video, "-t", f"{length:.3f}")
                ffmpeg(*part, "-an", "-c:v", "libx264", "-crf", "16", clip)
            edits.append(Edit(clip, sound, start, row["repository"], False))
    return edits


def fetched(material: Path, repository: str, commit: str, path: str, target: Path) -> Path:
    """`path` of a repository on GitHub at `commit`, as `target` with the path's suffix."""
    target = target.with_suffix(Path(path).suffix)
    if target.exists():
        return target
    copy = material / "repositories" / repository.replace("/", "+")
    if not copy.exists():
        copy.parent.mkdir(parents=True, exist_ok=True)
        url = f"https://github.com/{repository}.git"
        run("git", "clone", "--quiet", "--bare", "--filter=blob:none", url, copy)
    found = run("git", "-C", copy, "show", f"{commit}:{path}")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(found)
    return target


def silent(video: Path) -> Path:
    """A copy of `video` without its sound."""
    copy = video.with_name("silent.mp4")
    if not copy.exists():
        ffmpeg("-i", video, "-an", "-c:v", "copy", copy)
    return copy


def ffmpeg(*arguments: str | Path) -> None:
    run("ffmpeg", "-v", "error", "-y", *arguments)


def run(*command: str | Path) -> bytes:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def opened(edits: Sequence[Edit], others: Sequence[Path], folder: Path) -> Library:
    tracks = dict.fromkeys([*(edit.track for edit in edits), *others])
    return Library.open([*tracks], folder=folder, progress=None)


def read(edits: Sequence[Edit], library: Library, method: Method) -> Iterator[Seen]:
    # Two edits may have copies of one track, which a library holds once.
    features = {digest(track.path): library.features(track) for track in library.tracks()}
    for edit in edits:
        try:
            query = read_query(edit.clip, method)
        except MgsvError as error:
            print(f"left out: {error}")
            continue
        yield Seen(edit, query, features[digest(edit.track)])


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- figures --------------------------------------------------------------------------------------


def places(kind: str, seen: Sequence[Seen], methods: Mapping[str, Method]) -> dict[str, Pairs]:
    """mIoU where the track is known, with intervals over the sources. Returns what each method says
    of its places, where it says anything."""
    found = {"start 0": np.array([one.iou(0.0) for one in seen])}
    found["random start"] = np.array(
        [one.iou(np.linspace(0, one.latest, 201)).mean() for one in seen]
    )
    said: dict[str, Pairs] = {}
    for name, method in methods.items():
        answers = [method.detect(one.query, [one.features], Placement())[0] for one in seen]
        pairs = [*zip(seen, answers, strict=True)]
        found[name] = np.array([one.iou(answer.moment.start) for one, answer in pairs])
        said[name] = [
            (
                answer.evidence["survey_probability"],
                abs(answer.moment.start - one.right) <= NEAR,
            )
            for one, answer in pairs
            if "survey_probability" in answer.evidence
        ]
    longer = [one.features.track.duration >= LONGER * one.query.seconds for one in seen]
    groups = {kind: np.ones(len(seen), bool)}
    if not all(longer):
        groups[f"{kind}, track >= {LONGER} x clip"] = np.array(longer)
    sources = np.array([one.edit.source for one in seen])
    for title, chosen in groups.items():
        print(f"\n{title}: {chosen.sum()} clips of {len({*sources[chosen]})} sources, mIoU")
        for name, values in found.items():
            low, high = interval(values[chosen], sources[chosen])
            print(f"  {name:14} {values[chosen].mean():.3f}  [{low:.2f}, {high:.2f}]")
    return {name: pairs for name, pairs in said.items() if pairs}


def probabilities(said: Mapping[str, Pairs]) -> None:
    """Of places that are said to be right with a probability: how often they are."""
    for name, pairs in said.items():
        probability, right = np.array(pairs, np.float64).T
        print(
            f"\n{name}: {len(pairs)} moments away from the start, said {probability.mean():.2f}"
            f", right {right.mean():.2f}; Brier score {((probability - right) ** 2).mean():.3f}, "
            f"of the base rate {right.var():.3f}"
        )


def rankings(
    kind: str, seen: Sequence[Seen], library: Library, methods: Mapping[str, Method]
) -> None:
    """Does a track get a higher score from its own clip than from those of other sources?"""
    tracks = [library.features(track) for track in library.tracks()]
    sources = {one.features.track.id: one.edit.source for one in seen}
    print(f"\n{kind}, {len(tracks)} tracks")
    for name, method in methods.items():
        scores = np.array(
            [[r.score for r in method.ranker.rerank(s.query, tracks, Placement())] for s in seen]
        )
        areas, many, ranks = [], [], []
        for n, one in enumerate(seen):
            place = next(m for m, t in enumerate(tracks) if t.track.id == one.features.track.id)
            others = [m for m, s in enumerate(seen) if s.edit.source != one.edit.source]
            area = auc(scores[n, place], scores[others, place])
            areas.append(area)
            if len(one.query.curves.cuts) >= MANY_CUTS:
                many.append(area)
            rivals = [
                m
                for m, t in enumerate(tracks)
                if m == place or sources.get(t.track.id) != one.edit.source
            ]
            ranks.append(1 + int((scores[n, rivals] > scores[n, place]).sum()))
        by = np.array([one.edit.source for one in seen])
        low, high = interval(np.array(areas), by)
        r10 = float((np.array(ranks) <= 10).mean())
        cut = f"{np.mean(many):.2f} of {len(many)} with {MANY_CUTS} cuts" if many else ""
        five = np.argsort(-scores, axis=1, kind="stable")[:, :5].ravel()
        share = np.bincount(five, minlength=len(tracks)).max() / (5 * len(seen) / len(tracks))
        length = spearman(scores, [t.track.duration for t in tracks])
        print(
            f"  {name:14} AUC {np.mean(areas):.2f} [{low:.2f}, {high:.2f}], {cut}; "
            f"R10 {r10:.0%}; score against length {length:+.2f}; "
            f"one track {share:.1f} times its share of the best five"
        )


def auc(own: float, others: Floats) -> float:
    return float((own > others).mean() + (own == others).mean() / 2)


def spearman(scores: Floats, lengths: Sequence[float]) -> float:
    """Mean over the clips of the rank correlation of a track's score with its length."""
    by_length = ranked(np.array(lengths))
    return float(np.mean([np.corrcoef(ranked(row), by_length)[0, 1] for row in scores]))


def ranked(values: Floats) -> Floats:
    return np.argsort(np.argsort(values)).astype(np.float64)


def interval(values: Floats, sources: npt.NDArray[np.str_]) -> tuple[float, float]:
    """95 % bootstrap over sources."""
    rng = np.random.default_rng(0)
    names = [*{*sources}]
    groups = [values[sources == name] for name in sorted(names)]
    means = []
    for _ in range(RESAMPLES):
        drawn = rng.integers(0, len(groups), len(groups))
        means.append(np.concatenate([groups[n] for n in drawn]).mean())
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
