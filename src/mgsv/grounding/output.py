"""A moment in, a file out: the finished video, or an editor timeline."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Unpack

from mgsv.grounding.result import RankedMoment
from mgsv.media import isolated
from mgsv.media.arrange import Ending, Length
from mgsv.media.colour import Alpha
from mgsv.media.pieces import Arrangement
from mgsv.media.render import RenderReport
from mgsv.media.soundtrack import SoundFields, SoundOptions
from mgsv.media.timeline import TimelineReport
from mgsv.media.video import VideoInfo

PathLike = str | os.PathLike[str]


def default_output(video: PathLike) -> Path:
    """`clip.mp4` → `clip.mgsv.mp4`, beside the clip."""
    path = Path(video)
    return path.with_name(f"{path.stem}.mgsv.mp4")


def arrange(
    moment: RankedMoment, seconds: float, *, fit: Length = "exact", end: Ending = "fade"
) -> Arrangement:
    """The music of `moment` made to last `seconds`; see `mgsv.media.arrange.arrange`."""
    return isolated.arrange(moment.track.path, moment.moment, seconds, fit=fit, end=end)


def render(
    video: PathLike,
    moment: RankedMoment,
    output: PathLike | None = None,
    *,
    arrangement: Arrangement | None = None,
    alpha: Alpha = "black",
    strip_metadata: bool = False,
    overwrite: bool = False,
    **sound: Unpack[SoundFields],
) -> RenderReport:
    """Write `video` with the music of `moment`; see `mgsv.media.render.render`.

    `output` defaults to `clip.mgsv.mp4` beside the clip. arrangement: what `arrange` made of the
    moment. sound: the fields of `SoundOptions`, as in `keep_audio=True`; music_at: see
    `GroundOptions.music_at`.
    """
    target = default_output(video) if output is None else output
    return isolated.render(
        video,
        moment.track.path,
        arrangement or moment.moment,
        target,
        sound=SoundOptions(**sound),
        alpha=alpha,
        strip_metadata=strip_metadata,
        overwrite=overwrite,
    )


def write_timeline(
    video: PathLike,
    moment: RankedMoment,
    output: PathLike,
    *,
    arrangement: Arrangement | None = None,
    overwrite: bool = False,
    video_info: VideoInfo | None = None,
    **sound: Unpack[SoundFields],
) -> TimelineReport:
    """Write an editor timeline with `video` and the music of `moment`; see `media.timeline`.

    `video_info` is what grounding found of the clip, `Grounding.video`; without it the clip is
    decoded once more. arrangement, sound: see `render`.
    """
    from mgsv.media import timeline

    write = isolated.isolate(timeline.write_timeline, ("video", "track"), "output")
    return write(
        video,
        moment.track.path,
        arrangement or moment.moment,
        output,
        sound=SoundOptions(**sound),
        overwrite=overwrite,
        video_info=video_info,
        track_seconds=moment.track.duration,
    )
