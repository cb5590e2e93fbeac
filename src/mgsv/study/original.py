"""The clips' own soundtracks, found on their tracks where the music has them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mgsv.annotate import AnnotateOptions, Match, annotate
from mgsv.files import StrPath
from mgsv.jobs import Listener
from mgsv.moment import Moment

SAME_SPEED = 1e-3
"""Share by which the track may play faster or slower, and still be heard as it is."""
COVERED = 0.8
"""Share of the clip over which the track has to be heard."""
SHORTEST = 1.0
"""Seconds of a clip that is listened to."""


@dataclass(frozen=True)
class Original:
    """The moment of `track` that a clip's own soundtrack plays."""

    track: Path
    moment: Moment


def find_originals(
    clips: Sequence[StrPath],
    music: Sequence[StrPath],
    *,
    folder: StrPath | None = None,
    longest: float = 600.0,
    progress: Listener | None = None,
) -> tuple[dict[Path, Original], tuple[str, ...]]:
    """What the clips play of the tracks in `music`, by clip; and notes.

    A clip that plays no track, or over less than `COVERED` of its length, or at another speed, is
    not among them. Raises as `annotate` does.
    """
    with tempfile.TemporaryDirectory(prefix="mgsv-") as scratch:
        report = annotate(
            clips,
            music,
            Path(scratch) / "uses.csv",
            folder=folder,
            options=AnnotateOptions(min_video=SHORTEST, max_video=longest, min_moment=SHORTEST),
            progress=progress,
        )
    best: dict[Path, tuple[float, Original]] = {}
    for one in report.found:
        seconds = one.row.video_total_duration or 0.0
        covered = one.match.video.duration / seconds if seconds else 0.0
        if covered < COVERED or abs(one.match.speed - 1) > SAME_SPEED:
            continue
        if covered > best.get(one.path, (0.0,))[0]:
            best[one.path] = covered, _whole(one.match, seconds)
    return {path: found for path, (_, found) in best.items()}, report.notes


def _whole(match: Match, seconds: float) -> Original:
    """The moment under the whole clip, as far as the track reaches."""
    start = max(0.0, match.music.start - match.video.start)
    return Original(match.track.path, Moment(start, start + seconds))
