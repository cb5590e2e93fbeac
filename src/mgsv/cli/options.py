"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from mgsv.jobs import Executor

F = TypeVar("F", bound=Callable[..., Any])


class _NamedPath(click.Path):
    """A path that is not empty: an unset variable must not stand for the folder one is in."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("names nothing: give a path", param, ctx)
        return super().convert(value, param, ctx)


FILE = _NamedPath(path_type=Path)

library = click.option(
    "--library",
    "folder",
    type=FILE,
    metavar="DIR|ADDRESS",
    help="Where features are kept.  [default: $MGSV_LIBRARY, or the user's data folder]",
)
encoders = click.option(
    "--encoders",
    default="default",
    metavar="default|paper|NAME",
    show_default=True,
    help="Features of the bundled encoders', of CLIP and AST, or a plug-in's (a library may hold "
    "several).",
)
encoders_dir = click.option(
    "--encoders-dir",
    type=FILE,
    metavar="DIR",
    help="Where the paper's encoders find their weights.  [default: the hub's cache]",
)
matcher = click.option(
    "--matcher", type=FILE, metavar="FILE", help="Composite: the checkpoint that ranks."
)
detector = click.option(
    "--detector",
    type=FILE,
    metavar="FILE",
    help="Composite: the checkpoint that finds the moment.",
)
first_stage = click.option(
    "--first-stage",
    type=FILE,
    metavar="FILE",
    help="A matching checkpoint, whose best tracks a model ranks that cannot rank all.",
)


def _choose_device(_: click.Context, __: click.Parameter, name: str | None) -> None:
    if name is not None:
        from mgsv.runtime.onnx import choose

        choose(name)


device = click.option(
    "--device",
    type=click.Choice(["cpu", "cuda", "coreml", "directml"], case_sensitive=False),
    callback=_choose_device,
    expose_value=False,
    help="What models run on, of what `mgsv doctor` lists.  [default: $MGSV_DEVICE, or cpu]",
)


def _said(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """What is wanted; an empty text, as of an unset variable, would leave nothing out unnoticed."""
    given = ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE
    if given and not value.strip():
        raise click.BadParameter("names nothing: give a word, or leave it out", ctx, param)
    return value


_WORDS = (
    click.option("--like", default="", metavar="WORDS", callback=_said, help='As in "calm piano".'),
    click.option(
        "--not",
        "without",
        default="",
        metavar="WORDS",
        callback=_said,
        help="Unlike these, as in vocals.",
    ),
    click.option(
        "--tempo",
        default="",
        metavar="FROM-TO",
        callback=_said,
        help="Beats per minute, as in 90-110 or 120-.",
    ),
    click.option("--instrumental", is_flag=True, help="Leave out music with vocals."),
    click.option(
        "--licence",
        default="",
        metavar="NAME,...",
        callback=_said,
        help="Leave out what is not under one of these, as in cc-by,cc0.",
    ),
    click.option(
        "--genre", default="", metavar="NAME,...", callback=_said, help="Leave out other genres."
    ),
)


def words(command: F) -> F:
    """What narrows music by words."""
    for option in reversed(_WORDS):
        command = option(command)
    return command


on = click.option(
    "--on",
    metavar="ray[:ADDRESS]",
    help="Work on a Ray cluster, as in ray:HOST:PORT; without an address, on this machine's cores.",
)


@contextmanager
def workers(on: str | None) -> Iterator[Executor | None]:
    """The executor that `--on` names, while it is open; None without the option."""
    if on is None:
        yield None
        return
    from mgsv.cluster import open_executor
    from mgsv.runtime.worker import prepare_worker

    with open_executor(on, start=prepare_worker) as executor:
        yield executor


as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
progress = click.option(
    "--progress",
    type=click.Choice(["auto", "none", "machine"]),
    default="auto",
    show_default=True,
    help="How the work is reported on stderr: a bar, nothing, or a JSON line per step.",
)
stride = click.option(
    "--stride",
    default=2.5,
    show_default=True,
    help="Seconds between the music's segments: 2.5, 5, 7.5 or 10.",
)
data_folder = click.option(
    "--data", type=FILE, required=True, metavar="DIR", help="The data folder, packed."
)


def output_folder(sentence: str) -> Callable[[F], F]:
    """`--output`, where it must be named."""
    return click.option("--output", "-o", type=FILE, required=True, metavar="DIR", help=sentence)


def changes(
    example: str, fields: str = "setting (`mgsv train --settings` lists them)"
) -> Callable[[F], F]:
    """`--set`, for a config's fields."""
    return click.option(
        "--set",
        multiple=True,
        metavar="NAME=VALUE",
        help=f"Change one {fields}, as in {example}; may be repeated.",
    )
