"""Does the answer stay the same when a clip is made small and compressed hard?

    .venv/bin/python benchmarks/reencoding.py LIST MATERIAL

Each whole edit and window of `benchmarks/real_edits.py` (which see, for LIST and MATERIAL) is
grounded as it is, and again at 256 pixels and CRF 36, in the library of all their tracks and the
demo's. Printed is how often the first track changes, and where it stays by how much the start does.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from real_edits import ffmpeg, gathered, opened

from mgsv.demo import demo_music
from mgsv.grounding import read_query
from mgsv.library import TrackFeatures
from mgsv.methods.base import Method, Placement
from mgsv.methods.registry import open_method

PIXELS, CRF = 256, 36
MOVED = 0.2
"""Seconds from which on a start has moved."""


@dataclass(frozen=True)
class Answer:
    """The first track's id, how far its score is above the second's, and its start in seconds."""

    track: str
    margin: float
    start: float


@dataclass(frozen=True)
class Pair:
    """The answers for one clip before and after."""

    clip: Path
    whole: bool
    before: Answer
    after: Answer

    @property
    def same(self) -> bool:
        return self.before.track == self.after.track


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("list", type=Path)
    parser.add_argument("material", type=Path)
    parser.add_argument("--method", nargs="+", default=["made", "sync"])
    options = parser.parse_args()
    edits = gathered(options.list, options.material)
    with opened(edits, demo_music(), options.material / "library") as library:
        tracks = [library.features(track) for track in library.tracks()]
        clips = {edit.clip: edit.whole for edit in edits}
        for name in options.method:
            show(name, [*pairs(clips, tracks, open_method(name))], len(tracks))


def pairs(
    clips: dict[Path, bool], tracks: Sequence[TrackFeatures], method: Method
) -> Iterator[Pair]:
    for clip, whole in clips.items():
        small = clip.with_name(f"{clip.stem}-small.mp4")
        if not small.exists():
            scale = f"scale='if(gt(iw,ih),{PIXELS},-2)':'if(gt(iw,ih),-2,{PIXELS})'"
            ffmpeg("-i", clip, "-vf", scale, "-an", "-c:v", "libx264", "-crf", str(CRF), small)
        yield Pair(clip, whole, answer(clip, tracks, method), answer(small, tracks, method))


def answer(clip: Path, tracks: Sequence[TrackFeatures], method: Method) -> Answer:
    query = read_query(clip, method)
    ranked = method.ranker.rerank(query, tracks, Placement())
    scores = np.array([one.score for one in ranked])
    first, second = np.argsort(-scores, kind="stable")[:2]
    found = method.detect(query, [tracks[first]], Placement())[0]
    margin = float(scores[first] - scores[second])
    return Answer(tracks[first].track.id, margin, found.moment.start)


def show(name: str, found: Sequence[Pair], count: int) -> None:
    print(f"\n{name}, {count} tracks, at {PIXELS} pixels and CRF {CRF}")
    for kind, whole in (("whole edits", True), ("windows", False)):
        chosen = [pair for pair in found if pair.whole is whole]
        changed = [pair for pair in chosen if not pair.same]
        moved = [
            pair for pair in chosen
            if pair.same and abs(pair.before.start - pair.after.start) > MOVED
        ]  # fmt: skip
        print(
            f"  {kind}: the first track changed in {len(changed)} of {len(chosen)}; else the start "
            f"moved by more than {MOVED} s in {len(moved)} of {len(chosen) - len(changed)}"
        )
        for title, part in (("changed", changed), ("same", [p for p in chosen if p.same])):
            if part:
                margin = float(np.median([pair.before.margin for pair in part]))
                print(f"    {title}: median margin before {margin:.3f}")


if __name__ == "__main__":
    main()
