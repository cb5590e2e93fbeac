"""`mgsv train` and `mgsv reproduce`: fitting models, one or the paper's lists of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mgsv.cli import options, show
from mgsv.errors import ConfigError, shown

_preset = (
    "Where the settings come from: paper, authors, cpu-small, overnight, cpu-ablation, "
    "small-world, tiny; + an ablation."
)


@click.command()
@click.argument("model", default="made")
@click.option("--data", type=options.FILE, metavar="DIR", help="The data folder, packed.")
@click.option("--output", "-o", type=options.FILE, metavar="DIR", help="Where the run is kept.")
@click.option("--preset", default="cpu-small", show_default=True, help=_preset)
@options.changes("model.hidden_dim=128")
@click.option(
    "--init",
    type=options.FILE,
    metavar="FILE",
    help="Start from this checkpoint's network and weights; default: the shipped one.",
)
@click.option("--resume", is_flag=True, help="Go on with the run in --output where it stands.")
@click.option("--settings", is_flag=True, help="Only list the settings: value, name, meaning.")
@options.as_json
@options.progress
def train(
    model: str,
    data: Path | None,
    output: Path | None,
    preset: str,
    set: tuple[str, ...],
    init: Path | None,
    resume: bool,
    settings: bool,
    as_json: bool,
    progress: str,
) -> None:
    """Fit MODEL to a data folder.

    The best checkpoints, logs and the state of the run are kept in --output. Kill it at any time:
    --resume continues it, with the result of an unbroken run.
    """
    if settings:
        _list_settings(model, preset, set)
        return
    if data is None or output is None:
        missing = "--data" if data is None else "--output"
        raise ConfigError(f"{missing} is missing", f"name a folder after {missing}")
    from mgsv.training.fit import train

    with (
        show.resumable("give the same command with --resume to go on"),
        show.progress(progress, "train") as listen,
    ):
        result = train(
            model,
            data=data,
            output=output,
            preset=preset,
            set=set,
            init=init,
            resume=resume,
            progress=listen,
        )
    if not _first_process():
        return
    for note in result.notes:
        show.note(f"note: {note}")
    checkpoints = {name: str(path) for name, path in result.checkpoints.items()}
    if as_json:
        show.document(
            {
                "schema": "mgsv.training/1",
                "epochs": result.epochs,
                "steps": result.steps,
                "seconds": round(result.seconds, 3),
                "best": dict(result.best),
                "checkpoints": checkpoints,
            }
        )
        return
    show.line(f"{result.epochs} epochs, {result.steps} steps, {result.seconds:.0f} s")
    show.table(
        ["best on val by", "value", "checkpoint"],
        [
            [name, show.measure(name, value), shown(checkpoints.get(name, ""))]
            for name, value in result.best.items()
        ],
    )


def _list_settings(model: str, preset: str, changes: tuple[str, ...]) -> None:
    """What --set may change, as the preset and the changes so far have it."""
    from mgsv.config import describe
    from mgsv.training.config import configure

    architecture: Any
    architecture, config = configure(model, preset, changes)
    for settings in (describe(architecture, "model."), describe(config, "train.")):
        for field, value, sentence in settings:
            show.line(f"{f'{field}={value}':42} {sentence}")


def _first_process() -> bool:
    """Whether this is the process that prints, where several train together."""
    import torch.distributed as dist

    return not (dist.is_available() and dist.is_initialized() and dist.get_rank() > 0)


@click.group()
def reproduce() -> None:
    """Make the paper's tables and curves again."""


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


_preset_of_runs = click.option("--preset", default="cpu-ablation", show_default=True, help=_preset)
_AGAIN = "run the same command again to go on; what is done is kept"


def _tell(table: Path, document: dict[str, Any], as_json: bool) -> None:
    """The document of a list of runs, or the text that the list wrote beside its page."""
    if as_json:
        show.document(document)
    else:
        show.line(table.with_suffix(".txt").read_text(encoding="utf-8").removesuffix("\n"))
        show.note(f"page: {shown(table.with_suffix('.html'))}")


@reproduce.command()
@options.data_folder
@options.output_folder("Where the runs and the table are kept.")
@_preset_of_runs
@click.option(
    "--rows",
    multiple=True,
    metavar="NAME",
    help="A row of the table by its name; may be repeated.  [default: all 14]",
)
@options.changes("train.epochs=2")
@options.as_json
@options.progress
def ablations(
    data: Path,
    output: Path,
    preset: str,
    rows: tuple[str, ...],
    set: tuple[str, ...],
    as_json: bool,
    progress: str,
) -> None:
    """Train and measure the rows of the ablation table.

    The paper's figures stand beside; the table is also written to --output, as JSON, text and page.
    """
    from mgsv.models.configs import ABLATIONS
    from mgsv.training.reproduce import reproduce_ablations

    with show.resumable(_AGAIN), show.progress(progress, "ablations") as listen:
        made = reproduce_ablations(
            data=data,
            output=output,
            preset=preset,
            rows=rows or tuple(ABLATIONS),
            set=set,
            progress=listen,
        )
    _tell(output / "ablations", {"schema": "mgsv.ablations/1", "rows": made}, as_json)


@reproduce.command()
@options.data_folder
@options.output_folder("Where the runs and the table are kept.")
@_preset_of_runs
@click.option(
    "--models",
    type=_names,
    default="",
    metavar="A,B,...",
    help="Systems by their names (`mgsv models`).  [default: all 13]",
)
@options.changes("train.epochs=2, or of one system, as in conquer.train.epochs=2")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only say what would be trained, what it takes here, and what is missing.",
)
@options.as_json
@options.progress
def table(
    data: Path,
    output: Path,
    preset: str,
    models: tuple[str, ...],
    set: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
    progress: str,
) -> int:
    """Train and measure all systems that the paper compares.

    The paper's figures stand beside; the table is also written to --output, as JSON, text and page.
    A row that fails is reported while the others go on, and the exit status is then 1.
    """
    from mgsv.training.table import PAPER, plan_table, reproduce_table

    if dry_run:
        plan = plan_table(
            data=data, output=output, preset=preset, models=models or tuple(PAPER), set=set
        )
        if as_json:
            show.document(plan.document())
        else:
            show.line(plan.text())
        return 1 if plan.problems else 0
    with show.resumable(_AGAIN), show.progress(progress, "table") as listen:
        document = reproduce_table(
            data=data,
            output=output,
            preset=preset,
            models=models or tuple(PAPER),
            set=set,
            progress=listen,
        )
    _tell(output / "table", document, as_json)
    return 1 if any(row["failed"] for row in document["rows"]) else 0


@reproduce.command()
@options.data_folder
@options.output_folder("Where the runs and the curve are kept.")
@_preset_of_runs
@click.option(
    "--shares",
    type=float,
    multiple=True,
    default=(0.05, 0.1, 0.25, 0.5, 1.0),
    show_default=True,
    metavar="SHARE",
    help="A share of the training rows; may be repeated.",
)
@options.changes("train.epochs=2")
@options.as_json
@options.progress
def data_size(
    data: Path,
    output: Path,
    preset: str,
    shares: tuple[float, ...],
    set: tuple[str, ...],
    as_json: bool,
    progress: str,
) -> None:
    """Draw mIoU against the number of training rows."""
    from mgsv.training.reproduce import reproduce_data_size

    with show.resumable(_AGAIN), show.progress(progress, "data-size") as listen:
        made: list[dict[str, Any]] = reproduce_data_size(
            data=data,
            output=output,
            preset=preset,
            shares=shares,
            set=set,
            progress=listen,
        )
    if as_json:
        show.document({"schema": "mgsv.data-size/1", "rows": made})
    else:
        cells = [[show.measure(name, value) for name, value in row.items()] for row in made]
        show.table(list(made[0]), cells)
        show.note(f"page: {shown(output / 'data-size.html')}")
