"""The command line: parse, call one public function, print.

Nothing heavy is imported here, so that `mgsv --help` answers at once; each command imports what it
calls when it is called.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from mgsv.cli.annotate import annotate
from mgsv.cli.batch import watch
from mgsv.cli.completion import completion
from mgsv.cli.data import data
from mgsv.cli.doctor import doctor
from mgsv.cli.evaluate import evaluate
from mgsv.cli.explain import explain
from mgsv.cli.extract import extract
from mgsv.cli.fields import command_at, with_flags
from mgsv.cli.ground import ground
from mgsv.cli.library import library
from mgsv.cli.models import export_checkpoint, import_checkpoint, models
from mgsv.cli.render import render
from mgsv.cli.streams import readable_streams
from mgsv.cli.studio import mcp, studio
from mgsv.cli.study import showcase, study
from mgsv.cli.train import reproduce, train
from mgsv.cli.uses import accept
from mgsv.errors import MgsvError, needs_extra

INTERRUPTED = 130
"""128 + SIGINT, what a shell reports for a program stopped by Ctrl-C."""


class _InOrder(click.Group):
    """Lists commands by use, as they were added, not by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self.commands)


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from mgsv.version import __version__  # reads the metadata of what is installed

        click.echo(f"mgsv, version {__version__}")
        context.exit()


@click.group(
    cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option(
    *("--version", "version"),
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
@click.option("--debug", is_flag=True, help="Show tracebacks; may stand anywhere on the line.")
def app(debug: bool) -> None:
    """Which song, and which seconds of it, fit this video?"""


for command in (
    *(ground, watch, render, explain, accept, studio, mcp, library, annotate, doctor),
    *(data, extract, models, train, evaluate, reproduce, import_checkpoint, export_checkpoint),
    *(study, showcase, completion),
):
    app.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. Problems become one line on stderr.

    `--debug` anywhere on the line lets the traceback through instead.
    """
    with readable_streams():
        return _run(arguments)


def _run(arguments: Sequence[str] | None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = given[: given.index("--")] if "--" in given else given
    if debug := "--debug" in options:
        given.remove("--debug")
    try:
        status = app.main(given, prog_name="mgsv", standalone_mode=False)
        return status if isinstance(status, int) else 0
    except MgsvError as error:
        return _failed(with_flags(str(error), command_at(app, given)), 1, debug)
    except ModuleNotFoundError as error:
        return _failed(str(needs_extra("this command", error)), 1, debug)
    except click.ClickException as error:
        error.show(sys.stderr)  # else click writes UTF-8 where the locale says ASCII
        return error.exit_code
    except (KeyboardInterrupt, click.Abort) as stopped:
        # click wraps the interrupt, whose text says how to go on (see show.resumable)
        what_next = str(stopped.__cause__ or stopped) or "nothing was left half-written"
        return _failed(f"interrupted; {what_next}", INTERRUPTED, debug=False)
    except BrokenPipeError:
        # The reader of our output has gone (`mgsv … | head`): nothing is left to say to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        text = f"{type(error).__name__}: {error}".replace("\n", " ")
        return _failed(f"unexpected problem: {text} (--debug shows where)", 1, debug)


def _failed(text: str, status: int, debug: bool) -> int:
    if debug:
        raise
    print(f"mgsv: {text}", file=sys.stderr)
    return status
