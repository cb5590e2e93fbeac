"""`mgsv render`: a clip with a moment that a person has chosen."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mgsv.cli import fields, fitting, options, show
from mgsv.errors import ConfigError, shown

if TYPE_CHECKING:
    from mgsv.media.arrange import Length
    from mgsv.media.colour import Alpha
    from mgsv.media.timeline.model import MarkerKind
    from mgsv.media.voices import Duck


@click.command()
@click.argument("video", type=options.FILE)
@click.argument("track", type=options.FILE)
@click.option("--start", type=float, required=True, metavar="SECONDS", help="On TRACK.")
@fitting.end_or_natural
@fitting.fit
@click.option(
    "--output",
    "-o",
    type=options.FILE,
    metavar="FILE",
    help="The finished video: .mp4, .mov or .mkv.  [default: CLIP.mgsv.mp4]",
)
@click.option("--overwrite", is_flag=True, help="Replace result files of an earlier run.")
@click.option(
    "--timeline",
    type=options.FILE,
    metavar="FILE",
    help="Also write an editor timeline: .otio, .edl, or .xml of Final Cut Pro 7.",
)
@click.option("--keep-audio/--replace-audio", default=False, help="Keep the clip's own sound.")
@fitting.markers
@fitting.duck
@click.option(
    "--own-gain",
    type=float,
    default=0.0,
    metavar="DB",
    help="How much louder than usual the clip's own sound is, where it is kept.",
)
@click.option("--music-at", type=float, default=0.0, metavar="SECONDS", help="Where it begins.")
@click.option("--alpha", type=click.Choice(["black", "white"]), default="black", show_default=True)
@click.option("--strip-metadata", is_flag=True, help="Leave out who took the clip, when and where.")
def render(
    video: Path,
    track: Path,
    start: float,
    end: float | str | None,
    fit: Length,
    output: Path | None,
    overwrite: bool,
    timeline: Path | None,
    keep_audio: bool,
    markers: tuple[MarkerKind, ...],
    duck: Duck | None,
    own_gain: float,
    music_at: float,
    alpha: Alpha,
    strip_metadata: bool,
) -> None:
    """Write VIDEO with the music of TRACK from --start on, a moment of your own choice."""
    from mgsv.files import check_output
    from mgsv.grounding import default_output
    from mgsv.media import isolated
    from mgsv.media import timeline as timelines
    from mgsv.media.copying import CONTAINERS
    from mgsv.media.soundtrack import SoundOptions
    from mgsv.moment import Moment

    info = isolated.probe_video(video)
    stop = end if isinstance(end, float) else start + info.duration
    if not 0 <= start < math.inf:
        raise ConfigError(f"`start` {start:g}: no place on a track", "give seconds from its start")
    if not start < stop:
        raise ConfigError(f"`start` {start:g}, `end` {stop:g}: no moment", "end after the start")
    sound = SoundOptions(keep_audio, duck, own_gain, music_at=music_at)
    seconds = info.duration - music_at
    music = fitting.arranged_track(track, Moment(start, stop), seconds, fit=fit, end=end)
    target = check_output(
        output or default_output(video), CONTAINERS, overwrite=overwrite, inputs=[video, track]
    )
    if timeline:
        check_output(timeline, timelines.ENDINGS, overwrite=overwrite, inputs=[video, track])
        write = isolated.isolate(timelines.write_timeline, ("video", "track"), "output")
        written = write(
            video, track, music, timeline, sound=sound, overwrite=overwrite, markers=markers
        )
        for line in written.notes:
            show.note(f"note: {line}")
        show.note(f"timeline: {shown(written.path)}")
    report = isolated.render(
        video,
        track,
        music,
        target,
        sound=sound,
        alpha=alpha,
        strip_metadata=strip_metadata,
        overwrite=overwrite,
    )
    for line in report.notes:
        show.note(f"note: {fields.here(line)}")
    show.note(f"video: {shown(report.path)}")
