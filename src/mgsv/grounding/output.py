"""A moment in, a file out: the finished video, or an editor timeline."""

from __future__ import annotations

import os
from pathlib import Path

from mgsv.grounding.result import RankedMoment
from mgsv.media import isolated
from mgsv.media.colour import Alpha
from mgsv.media.render import RenderReport
from mgsv.media.soundtrack import SoundOptions
from mgsv.media.timeline import TimelineReport
from mgsv.media.video import VideoInfo

PathLike = str | os.PathLike[str]


def default_output(video: PathLike) -> Path:
    """`clip.mp4` → `clip.mgsv.mp4`, beside the clip."""
    path = Path(video)
    return path.with_name(f"{path.stem}.mgsv.mp4")


def render(
    video: PathLike,
    moment: RankedMoment,
    output: PathLike | None = None,
    *,
    keep_audio: bool = False,
    music_at: float = 0.0,
    alpha: Alpha = "black",
    strip_metadata: bool = False,
    overwrite: bool = False,
) -> RenderReport:
    """Write `video` with the music of `moment`; see `mgsv.media.render.render`.

    `output` defaults to `clip.mgsv.mp4` beside the clip. music_at: see `GroundOptions.music_at`.
    """
    target = default_output(video) if output is None else output
    return isolated.render(
        video,
        moment.track.path,
        moment.moment,
        target,
        sound=SoundOptions(keep_audio=keep_audio, music_at=music_at),
        alpha=alpha,
        strip_metadata=strip_metadata,
        overwrite=overwrite,
    )


def write_timeline(
    video: PathLike,
    moment: RankedMoment,
    output: PathLike,
    *,
    keep_audio: bool = False,
    music_at: float = 0.0,
    overwrite: bool = False,
    video_info: VideoInfo | None = None,
) -> TimelineReport:
    """Write an editor timeline with `video` and the music of `moment`; see `media.timeline`.

    `video_info` is what grounding found of the clip, `Grounding.video`; without it the clip is
    decoded once more. music_at: see `GroundOptions.music_at`.
    """
    from mgsv.media import timeline

    write = isolated.isolate(timeline.write_timeline, ("video", "track"), "output")
    return write(
        video,
        moment.track.path,
        moment.moment,
        output,
        sound=SoundOptions(keep_audio=keep_audio, music_at=music_at),
        overwrite=overwrite,
        video_info=video_info,
        track_seconds=moment.track.duration,
    )
