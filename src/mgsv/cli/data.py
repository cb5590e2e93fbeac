"""`mgsv data`: the data of research, from the hub or planted, checked and packed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import click

from mgsv.cli import options, show
from mgsv.errors import ConfigError, shown


@click.group()
def data() -> None:
    """Get, make, check and pack annotations and features."""


@data.command()
@click.argument("output", type=options.FILE)
@click.option(
    "--features/--no-features",
    default=True,
    show_default=True,
    help="Fetch the features too, or the annotations only.",
)
@click.option("--revision", default="main", show_default=True, help="Of the hub's data set.")
@click.option("--endpoint", metavar="URL", help="Another hub.  [default: $HF_ENDPOINT]")
@options.progress
def download(
    output: Path, features: bool, revision: str, endpoint: str | None, progress: str
) -> None:
    """Fetch MGSV-EC's annotations and features into the data folder OUTPUT.

    They are CC BY-NC 4.0: for research and education. An interrupted run resumes where it stopped.
    """
    from mgsv.data import download as hub

    with (
        show.resumable("run the same command again to go on"),
        show.progress(progress, "download") as listen,
    ):
        hub.download(
            output,
            features=features,
            revision=revision,
            endpoint=endpoint,
            progress=listen,
        )
    show.note(f"data: {shown(output)}")


class _FromRecipe(click.Command):
    """A command with one option per field of a config, which only itself needs to import."""

    def __init__(self, *args: Any, recipe: Callable[[], tuple[type, ...]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._kinds = recipe

    @cached_property
    def recipe(self) -> list[click.Parameter]:
        from mgsv.config import describe

        kind, *parents = self._kinds()
        plain = kind()
        late = {name for parent in parents for name, _, _ in describe(parent)}
        fields = sorted(describe(kind), key=lambda field: field[0] in late)
        return [
            click.Option(
                [f"--{name.replace('_', '-')}"],
                default=getattr(plain, name),
                show_default=True,
                help=sentence,
                is_flag=isinstance(getattr(plain, name), bool),
            )
            for name, _, sentence in fields
        ]

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        own = super().get_params(ctx)
        return [*own[:-1], *self.recipe, own[-1]]  # --help stays the last


def _plant_options() -> tuple[type, ...]:
    """Those of the songs come last."""
    from mgsv.synthesis.planted import PlantOptions
    from mgsv.synthesis.planted.songs import SongOptions

    return PlantOptions, SongOptions


def _compose_options() -> tuple[type, ...]:
    from mgsv.synthesis.composed import ComposeOptions

    return (ComposeOptions,)


@data.command(cls=_FromRecipe, recipe=_plant_options)
@click.argument("output", type=options.FILE)
@click.option("--files", is_flag=True, help="Write the published feature files too; for tests.")
@options.progress
@click.pass_context
def plant(
    context: click.Context, /, output: Path, files: bool, progress: str, **recipe: Any
) -> None:
    """Make the planted benchmark in the new folder OUTPUT, laid out like MGSV-EC.

    By default it is as large as MGSV-EC, several GB. With --world small all systems learn to the
    end on two cores; --train, --val, --test, --tracks, --latent-dim, --noise, --style and
    --grain then have other defaults.
    """
    from click.core import ParameterSource

    from mgsv.synthesis import planted

    given = {
        name: value
        for name, value in recipe.items()
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT
    }
    world = given.pop("world", "full")
    with show.progress(progress, "plant") as listen:
        planted.plant(output, planted.PlantOptions.of(world, **given), files=files, progress=listen)
    show.note(f"data: {shown(output)}")


@data.command(cls=_FromRecipe, recipe=_compose_options)
@click.argument("output", type=options.FILE)
@click.option("--music", type=options.FILE, required=True, metavar="DIR", help="Tracks.")
@click.option("--pictures", type=options.FILE, required=True, metavar="DIR", help="Stills.")
@click.option("--clips", type=options.FILE, metavar="DIR", help="Moving pictures.")
@click.option(
    "--manifest",
    type=options.FILE,
    metavar="FILE",
    help="Of a corpus: its splits, groups and excerpts.  [default: split at random]",
)
@click.option(
    "--cache",
    type=options.FILE,
    metavar="DIR",
    help="Where analyses are kept.  [default: OUTPUT-cache]",
)
@click.option("--jobs", default=1, show_default=True, help="Processes.")
@click.option(
    "--licence",
    default="not stated",
    show_default=True,
    metavar="TEXT",
    help="Of the files; models trained on the data carry it.",
)
@options.progress
def compose(
    output: Path,
    music: Path,
    pictures: Path,
    clips: Path | None,
    manifest: Path | None,
    cache: Path | None,
    jobs: int,
    licence: str,
    progress: str,
    **recipe: Any,
) -> None:
    """Cut real pictures to real music, for training, into the new data folder OUTPUT.

    No track and no picture stands in two splits. Files that cannot be used are listed and left out.
    """
    from mgsv.synthesis import composed

    with (
        show.resumable("run the same command again; analyses made so far are kept"),
        show.progress(progress, "compose") as listen,
        composed.worker_processes(jobs) as workers,
    ):
        report = composed.compose(
            output,
            composed.ComposeInputs(music, pictures, clips, manifest),
            options=composed.ComposeOptions(**recipe),
            cache=cache,
            executor=workers,
            licence=licence,
            progress=listen,
        )
    for path, problem in report.skipped:
        show.note(f"left out: {shown(path)}: {shown(problem)}")
    used = ", ".join(f"{count} {kind}" for kind, count in report.used.items())
    show.note(f"data: {shown(output)}: {report.rows} videos of {used}")


@data.command()
@click.argument("annotations", type=options.FILE)
@click.argument("output", type=options.FILE)
@click.option(
    "--features",
    type=options.FILE,
    required=True,
    metavar="DIR",
    help="The data folder with their features, as `mgsv extract` writes it.",
)
@click.option(
    "--licence", required=True, metavar="ID", help="Of the data set, as hubs name it: cc-by-4.0."
)
@click.option("--title", default="", metavar="TEXT", help="Of its card.  [default: OUTPUT's name]")
@click.option(
    "--shares",
    default="0.8,0.1,0.1",
    show_default=True,
    metavar="N,N,N",
    help="Of the rows in train, val and test, about: tracks that are alike stay together.",
)
@click.option("--seed", default=0, show_default=True, help="Of the splits and the new ids.")
@options.progress
def export(
    annotations: Path,
    output: Path,
    features: Path,
    licence: str,
    title: str,
    shares: str,
    seed: int,
    progress: str,
) -> None:
    """Make a data set to give away, the new folder OUTPUT, of ANNOTATIONS and features.

    ANNOTATIONS is what `mgsv annotate` wrote. OUTPUT has MGSV-EC's layout, with a data card; ids
    become numbers, and what they stand for is in OUTPUT.key.csv beside it, which stays yours.
    """
    from mgsv.data.export import export_data

    with show.progress(progress, "export") as listen:
        report = export_data(
            annotations,
            output,
            features=features,
            licence=licence,
            title=title,
            shares=_shares(shares),
            seed=seed,
            progress=listen,
        )
    for video, problem in report.left:
        show.note(f"left out: {shown(video)}: {shown(problem)}")
    rows = ", ".join(f"{count} {name}" for name, count in report.rows.items())
    show.note(f"data: {shown(output)}: {rows}; {report.tracks} tracks")
    show.note(f"ids: {shown(report.key)}: keep it to yourself")


def _shares(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"`shares` {shown(text)!r} are no numbers", "as in 0.8,0.1,0.1") from None


_folder = click.argument("folder", type=options.FILE)


@data.command()
@_folder
@options.as_json
@options.progress
def check(folder: Path, as_json: bool, progress: str) -> int:
    """Read all annotations, feature files and packed stores in FOLDER and name what is wrong.

    The exit status is 1 if anything is.
    """
    from mgsv.data.check import check_folder

    with show.progress(progress, "check") as listen:
        report = check_folder(folder, progress=listen)
    if as_json:
        problems = [{"path": str(path), "problem": text} for path, text in report.problems]
        show.document({"schema": "mgsv.data-check/1", **asdict(report), "problems": problems})
    else:
        for path, text in report.problems:
            show.line(f"{shown(path)}: {shown(text)}")
        show.note(
            f"{report.rows} rows, features of {report.files} ids and {report.stores} packed stores "
            f"checked, {len(report.problems)} problems"
        )
    return 1 if report.problems else 0


@data.command()
@_folder
@click.option(
    "--output",
    "-o",
    type=options.FILE,
    metavar="DIR",
    help="Where the packed stores go.  [default: FOLDER/packed]",
)
@options.stride
@options.progress
def pack(folder: Path, output: Path | None, stride: float, progress: str) -> None:
    """Pack the feature files of FOLDER into memory-mapped stores, which training reads.

    A store that is there already is kept, so an interrupted run resumes with the next one.
    """
    from mgsv.data.pack import pack

    with (
        show.resumable("run the same command again to go on"),
        show.progress(progress, "pack") as listen,
    ):
        stores = pack(folder, output, stride=stride, progress=listen)
    for store in stores:
        show.note(f"packed: {shown(store)}")


@data.command()
@click.argument("csvs", type=options.FILE, nargs=-1, required=True, metavar="DIR|CSV...")
@click.option(
    "--plots", type=options.FILE, metavar="DIR", help="Also draw the distributions there, as PNG."
)
@options.as_json
def stats(csvs: tuple[Path, ...], plots: Path | None, as_json: bool) -> None:
    """Print what the annotations hold, one row per split, as on the data set's card."""
    from mgsv.data.stats import stats

    found = stats(csvs[0] if len(csvs) == 1 else csvs, plots)
    rows = [asdict(split) for split in found.splits]
    if as_json:
        show.document({"schema": "mgsv.data-stats/1", "splits": rows})
    else:
        show.table(
            [name.replace("_", " ") for name in rows[0]],
            [[_figure(name, value) for name, value in row.items()] for row in rows],
        )
    for path in found.plots:
        show.note(f"plot: {shown(path)}")


SHARES = ("from_start", "as_long_as_video")


def _figure(name: str, value: str | float) -> str:
    if name in SHARES:
        return f"{100 * float(value):.1f} %"
    return f"{value:.1f}" if isinstance(value, float) else str(value)
