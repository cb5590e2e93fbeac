"""What a grounding answers: ranked moments, what they rest on, and the document of `--json`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, overload

from mgsv.grounding.reasons import runner_up, why
from mgsv.library.track import Track
from mgsv.media.pieces import Arrangement, Piece
from mgsv.media.video import VideoCurves, VideoInfo
from mgsv.moment import Moment

SCHEMA = "mgsv.grounding/1"
"""Of the documents that `mgsv ground --json` prints."""


@dataclass(frozen=True)
class RankedMoment:
    """One answer: this part of this track, with the reasons."""

    rank: int
    track: Track
    start: float
    end: float
    score: float
    evidence: dict[str, float]
    also_as: tuple[Path, ...] = ()
    """Other files with the same recording: copies, and tracks that sound the same."""
    arrangement: Arrangement | None = None
    """What is played instead of the moment as it is; see `mgsv.arrange`."""

    @property
    def music(self) -> Moment | Arrangement:
        """What is played."""
        return self.arrangement or self.moment

    @property
    def moment(self) -> Moment:
        return Moment(self.start, self.end)

    @property
    def credits(self) -> str:
        """Whose music it is and under which licence, in a line; "unknown" for what is not known."""
        return self.track.credits.line(self.track.path.name)

    @property
    def why(self) -> str:
        """The evidence in words, as in "7 of 9 cuts on a beat, starts on a section border"."""
        return why(self.evidence)

    @property
    def runner_up(self) -> tuple[float, str] | None:
        """The likeliest other start on this track, in seconds, and why it is one: "from its start",
        "where cuts fit" or "the model's choice". None where the method knows of none."""
        return runner_up(self.evidence)

    def as_dict(self) -> dict[str, Any]:
        """The entry of the `--json` document; seconds."""
        return {
            "rank": self.rank,
            "track": os.fspath(self.track.path),
            "also_as": [os.fspath(path) for path in self.also_as],
            "start": round(self.start, 4),
            "end": round(self.end, 4),
            "pieces": self.arrangement and [_piece(one) for one in self.arrangement.pieces],
            "score": round(self.score, 6),
            "why": self.why,
            "credits": {"line": self.credits, **self.track.credits.as_dict()},
            "runner_up": _place(self.runner_up),
            "evidence": {
                **{name: round(value, 6) for name, value in self.evidence.items()},
                "tempo": round(self.track.tempo, 2),
                "tags": list(self.track.tags),
            },
        }


@dataclass(frozen=True)
class Grounding(Sequence[RankedMoment]):
    """The ranked moments of one clip, best first, and what they rest on."""

    video: VideoInfo
    curves: VideoCurves
    """What the clip's picture does over time."""
    moments: tuple[RankedMoment, ...]
    method: str
    method_fingerprint: str
    score_meaning: str
    library_fingerprint: str
    chance: float | None
    """The score that luck alone reaches in this library; None where the method does not know it."""
    notes: tuple[str, ...]
    """What a person should know about this result, one line per note."""
    clip_feats: tuple[bytes, str] = (b"", "")
    """The clip's pooled features and the encoder that made them, where the method wanted them: what
    `accept` remembers of the clip."""
    music_at: float = 0.0
    """Seconds of the clip from which on the music plays; `curves` begin there."""

    @overload
    def __getitem__(self, index: int) -> RankedMoment: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[RankedMoment, ...]: ...
    def __getitem__(self, index: int | slice) -> RankedMoment | tuple[RankedMoment, ...]:
        return self.moments[index]

    def __len__(self) -> int:
        return len(self.moments)

    def __iter__(self) -> Iterator[RankedMoment]:
        return iter(self.moments)

    @property
    def better_than_chance(self) -> bool:
        return self.chance is not None and bool(self) and self.moments[0].score > self.chance

    def as_dict(self) -> dict[str, Any]:
        """The `--json` document: plain values only, times in seconds."""
        return {
            "schema": SCHEMA,
            "video": {
                "path": os.fspath(self.video.path),
                "duration": round(self.video.duration, 4),
                "width": self.video.width,
                "height": self.video.height,
                "cuts": [round(float(time), 3) for time in self.curves.cuts],
            },
            "music_at": round(self.music_at, 4),
            "moments": [moment.as_dict() for moment in self.moments],
            "score_meaning": self.score_meaning,
            "chance": None if self.chance is None else round(self.chance, 6),
            "better_than_chance": self.better_than_chance,
            "model": {"method": self.method, "fingerprint": self.method_fingerprint},
            "library": {"fingerprint": self.library_fingerprint},
            "notes": list(self.notes),
        }


def _piece(piece: Piece) -> dict[str, float]:
    return {name: round(value, 4) for name, value in asdict(piece).items()}


def _place(other: tuple[float, str] | None) -> dict[str, Any] | None:
    return other and {"start": round(other[0], 4), "why": other[1]}
