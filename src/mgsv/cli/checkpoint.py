"""`mgsv import`: checkpoints of others."""

from __future__ import annotations

from pathlib import Path

import click

from mgsv.cli import options, show
from mgsv.errors import shown


@click.command("import")
@click.argument("source", type=options.FILE, metavar="AUTHORS.bin")
@click.argument("target", type=options.FILE, metavar="OUT.safetensors")
@options.changes("heads=8", "setting of the model that weights do not show")
def import_checkpoint(source: Path, target: Path, set: tuple[str, ...]) -> None:
    """Make a checkpoint of this program from one of MaDe's authors.

    Sizes and layers are read off the weights. No code in the file is ever run.
    """
    from mgsv.models.authors import import_checkpoint

    written = import_checkpoint(source, target, set=set)
    show.note(f"checkpoint: {shown(written)}")
