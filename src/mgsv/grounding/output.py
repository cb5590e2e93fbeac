"""A moment in, a file out: the finished video, or an editor timeline."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack

from mgsv.files import check_output, write_file
from mgsv.grounding.result import RankedMoment
from mgsv.library import Track
from mgsv.library.credits import NO_CREDITS
from mgsv.media import isolated
from mgsv.media.arrange import Ending
from mgsv.media.colour import Alpha
from mgsv.media.render import RenderReport
from mgsv.media.soundtrack import SoundFields, SoundOptions
from mgsv.media.timeline import TimelineReport
from mgsv.media.timeline.model import MarkerKind
from mgsv.media.video import VideoInfo
from mgsv.methods.base import Fit

PathLike = str | os.PathLike[str]
CREDITS_FORMATS = (".txt",)


def default_output(video: PathLike) -> Path:
    """`clip.mp4` → `clip.mgsv.mp4`, beside the clip."""
    path = Path(video)
    return path.with_name(f"{path.stem}.mgsv.mp4")


def arrange(
    moment: RankedMoment, seconds: float, *, fit: Fit = "exact", end: Ending = "fade"
) -> RankedMoment:
    """`moment`, with an arrangement of its music of `seconds` where `fit` or `end` wants one.

    `render` and `write_timeline` then play that. Raises as `mgsv.media.arrange.arrange`.
    """
    fit = "exact" if fit == "free" else fit
    if fit == "exact" and end == "fade":
        return moment
    made = isolated.arrange(moment.track.path, moment.moment, seconds, fit=fit, end=end)
    return replace(moment, arrangement=made)


def render(
    video: PathLike,
    moment: RankedMoment,
    output: PathLike | None = None,
    *,
    alpha: Alpha = "black",
    strip_metadata: bool = False,
    overwrite: bool = False,
    **sound: Unpack[SoundFields],
) -> RenderReport:
    """Write `video` with the music of `moment`; see `mgsv.media.render.render`.

    `output` defaults to `clip.mgsv.mp4` beside the clip. sound: the fields of `SoundOptions`, as in
    `keep_audio=True`; music_at: see `GroundOptions.music_at`.
    """
    target = default_output(video) if output is None else output
    return isolated.render(
        video,
        moment.track.path,
        moment.music,
        target,
        sound=SoundOptions(comment=comment_of(moment.track), **sound),
        alpha=alpha,
        strip_metadata=strip_metadata,
        overwrite=overwrite,
    )


def comment_of(track: Track) -> str:
    """What a video with the music of `track` says of it; nothing where nothing is known."""
    known = track.credits != NO_CREDITS
    return f"Music: {track.credits.line(track.path.name)}" if known else ""


def write_credits(lines: Iterable[str], output: PathLike, *, overwrite: bool = False) -> Path:
    """Write a text file of credits as in `RankedMoment.credits`, each different line once.

    output: ends in .txt. Raises `OutputError` where it exists or cannot be written.
    """
    path = check_output(output, CREDITS_FORMATS, overwrite=overwrite, inputs=())
    write_file(path, "".join(f"{line}\n" for line in dict.fromkeys(lines)), overwrite=overwrite)
    return path


def write_timeline(
    video: PathLike,
    moment: RankedMoment,
    output: PathLike,
    *,
    markers: Sequence[MarkerKind] = (),
    overwrite: bool = False,
    video_info: VideoInfo | None = None,
    **sound: Unpack[SoundFields],
) -> TimelineReport:
    """Write an editor timeline with `video` and the music of `moment`; see `media.timeline`.

    `video_info` is what grounding found of the clip, `Grounding.video`; without it the clip is
    decoded once more. markers: see `media.timeline`. sound: see `render`.
    """
    from mgsv.media import timeline

    write = isolated.isolate(timeline.write_timeline, ("video", "track"), "output")
    return write(
        video,
        moment.track.path,
        moment.music,
        output,
        sound=SoundOptions(**sound),
        overwrite=overwrite,
        markers=tuple(markers),
        known=timeline.Known(video_info, moment.track.duration),
    )
