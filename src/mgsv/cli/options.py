"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

FILE = click.Path(path_type=Path)

library = click.option(
    "--library",
    "folder",
    type=FILE,
    metavar="DIR",
    help="Where features are kept.  [default: $MGSV_LIBRARY, or the user's data folder]",
)
encoders = click.option(
    "--encoders",
    type=click.Choice(["default", "paper"]),
    default="default",
    show_default=True,
    help="Features of the bundled encoders', or CLIP's and AST's (a library holds one).",
)
encoders_dir = click.option(
    "--encoders-dir",
    type=FILE,
    metavar="DIR",
    help="Where the paper's encoders find their weights.  [default: the hub's cache]",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
progress = click.option(
    "--progress",
    type=click.Choice(["auto", "none", "machine"]),
    default="auto",
    show_default=True,
    help="How the work is reported on stderr: a bar, nothing, or a JSON line per step.",
)
