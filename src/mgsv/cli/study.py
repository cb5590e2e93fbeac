"""`mgsv study`: a listening test, from clips and music to what people prefer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mgsv.cli import fields, options, show
from mgsv.clock import clock
from mgsv.errors import ConfigError, shown

if TYPE_CHECKING:
    from mgsv.models.system import System
    from mgsv.study.create import Created

COMPOSITE = "composite"
GO_ON = "run the same command again to go on"

_systems = click.option(
    "--systems",
    default="original,made",
    show_default=True,
    metavar="NAME,...",
    help="`original` (the clips' own soundtracks), and methods as of `mgsv ground`.",
)
_models = click.option(
    "--model",
    "checkpoint",
    multiple=True,
    metavar="NAME=FILE",
    help="The checkpoint of one of --systems; may be repeated.",
)


@click.group()
def study() -> None:
    """Find out by a blind listening test whose music people prefer.

    `create` makes it, `mgsv studio --study` runs it in the browser, `report` says what came out.
    """


@study.command()
@click.option(
    "--clips",
    type=options.FILE,
    multiple=True,
    metavar="DIR|CLIP",
    help="The clips; may be repeated.",
)
@click.option(
    "--music",
    "-m",
    type=options.FILE,
    multiple=True,
    metavar="DIR|TRACK",
    help="The music that systems choose from; may be repeated.",
)
@_systems
@click.option("--output", "-o", type=options.FILE, required=True, metavar="DIR", help="The study.")
@click.option("--trials", default=20, show_default=True, help="Pairs per listener and question.")
@click.option("--checks", default=3, show_default=True, help="Identical pairs among these.")
@click.option("--longest", default=60.0, show_default=True, help="Seconds of a clip, at most.")
@click.option("--most-clips", default=200, show_default=True, help="Clips, at most.")
@click.option("--seed", default=0, show_default=True, help="Of what is drawn at random.")
@_models
@options.matcher
@options.detector
@options.first_stage
@options.library
@options.encoders
@options.progress
def create(
    clips: tuple[Path, ...],
    music: tuple[Path, ...],
    systems: str,
    output: Path,
    trials: int,
    checks: int,
    longest: float,
    most_clips: int,
    seed: int,
    checkpoint: tuple[str, ...],
    matcher: Path | None,
    detector: Path | None,
    first_stage: Path | None,
    folder: Path | None,
    encoders: str,
    progress: str,
) -> int:
    """Let each system choose music for each clip, and render it so that nothing else differs.

    The pictures are the same, the sounds equally loud (-23 LUFS), their names drawn; which is which
    stands in key.json, which listeners never get. The exit status is 1 where a clip is left out.
    """
    for name, given in (("--clips", clips), ("--music", music)):
        if not given:
            raise ConfigError(f"{name} is missing", "name a folder")
    from mgsv.study.create import create_study
    from mgsv.study.options import StudyOptions

    chosen = StudyOptions(
        systems=_names(systems),
        files=_files(checkpoint, matcher, detector, first_stage),
        trials=trials,
        checks=checks,
        longest=longest,
        most_clips=most_clips,
        seed=seed,
        encoders=encoders,
    )
    with show.resumable(GO_ON), show.progress(progress, "study") as listen:
        made = create_study(clips, music, output, chosen, library=folder, progress=listen)
    _print(made)
    show.note(f"study: {shown(made.folder)}, {len(made.key.clips)} clips")
    return 1 if made.failed else 0


def _names(systems: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in systems.split(",") if name.strip())


def _files(
    models: tuple[str, ...], matcher: Path | None, detector: Path | None, first_stage: Path | None
) -> dict[str, System]:
    """Which checkpoints which system has."""
    from mgsv.models.system import System

    files: dict[str, System] = {}
    for text in models:
        name, equals, path = text.partition("=")
        if not (equals and name and path):
            raise ConfigError(f"--model {text}: no name and file", "write --model NAME=FILE")
        files[name] = System(name, checkpoint=Path(path))
    if matcher or detector or first_stage:
        files[COMPOSITE] = System(
            COMPOSITE, matcher=matcher, detector=detector, first_stage=first_stage
        )
    return files


def _print(made: Created) -> None:
    for path, reason in made.failed:
        show.note(f"left out: {shown(path)}: {fields.here(reason)}")
    for note in made.notes:
        show.note(f"note: {note}")
    for clip in sorted(made.key.clips.values(), key=lambda one: one.path):
        for variant in clip.variants.values():
            who, name = ", ".join(variant.systems), shown(Path(variant.track).name)
            what = f"{name} {clock(variant.start)}–{clock(variant.end)}"
            if variant.own:
                what = "its own sound as it is, which is on no track of the music"
            show.line(f"{shown(Path(clip.path).name)}  {who}: {what}")
            for note in variant.notes:
                show.note(f"note: {shown(clip.path)}, {who}: {note}")


@study.command()
@click.argument("folder", type=options.FILE, metavar="STUDY")
@click.option(
    "--output",
    "-o",
    type=options.FILE,
    metavar="DIR",
    help="Also write the report there: text, JSON, CSV, and the picture of bars.",
)
@click.option(
    "--resamples", default=2000, show_default=True, help="Drawn for the intervals of rates."
)
@options.as_json
def report(folder: Path, output: Path | None, resamples: int, as_json: bool) -> int:
    """Say what the listeners of STUDY preferred, and how sure that is.

    The exit status is 1 where answers are damaged; they are named and left out.
    """
    if resamples < 100:
        raise ConfigError(f"`resamples` {resamples}: needs at least 100")
    from mgsv.files import refuse_existing
    from mgsv.study.report import report_study
    from mgsv.study.report_files import report_text, write_study_report

    if output is not None:
        refuse_existing(output)
    found = report_study(folder, resamples=resamples)
    if as_json:
        show.document(found.as_dict())
    else:
        show.line(report_text(found).rstrip())
    for line in found.damaged:
        show.note(f"left out: {line}")
    if output is not None:
        show.note(f"report: {shown(write_study_report(found, output))}")
    return 1 if found.damaged else 0


@click.command()
@click.argument("clips", type=options.FILE, nargs=-1, required=True)
@click.option(
    "--music",
    "-m",
    type=options.FILE,
    multiple=True,
    metavar="DIR|TRACK",
    help="The music that systems choose from; may be repeated.",
)
@_systems
@click.option("--output", "-o", type=options.FILE, required=True, metavar="DIR", help="The page.")
@click.option("--title", default="Music for clips", show_default=True, help="Of the page.")
@click.option("--longest", default=60.0, show_default=True, help="Seconds of a clip, at most.")
@click.option("--most-clips", default=200, show_default=True, help="Clips, at most.")
@_models
@options.matcher
@options.detector
@options.first_stage
@options.library
@options.encoders
@options.progress
def showcase(
    clips: tuple[Path, ...],
    music: tuple[Path, ...],
    systems: str,
    output: Path,
    title: str,
    longest: float,
    most_clips: int,
    checkpoint: tuple[str, ...],
    matcher: Path | None,
    detector: Path | None,
    first_stage: Path | None,
    folder: Path | None,
    encoders: str,
    progress: str,
) -> int:
    """Write a static page of CLIPS with the music of several systems side by side.

    The new folder can be opened as it is, or put on any web space; nothing is loaded from
    elsewhere. The exit status is 1 where a clip is left out.
    """
    if not music:
        raise ConfigError("--music is missing", "name a folder")
    from mgsv.files import refuse_existing
    from mgsv.study.options import StudyOptions
    from mgsv.study.showcase import write_showcase

    refuse_existing(output)
    chosen = StudyOptions(
        systems=_names(systems),
        files=_files(checkpoint, matcher, detector, first_stage),
        longest=longest,
        most_clips=most_clips,
        encoders=encoders,
    )
    with show.progress(progress, "showcase") as listen:
        made = write_showcase(
            clips, music, output, chosen, title=title, library=folder, progress=listen
        )
    _print(made)
    show.note(f"page: {shown(output / 'index.html')}")
    return 1 if made.failed else 0
