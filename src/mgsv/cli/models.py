"""`mgsv models`: the systems there are; `mgsv import` and `export`: other forms of files."""

from __future__ import annotations

from pathlib import Path

import click

from mgsv.cli import options, show
from mgsv.errors import shown

_ABILITIES = {"match": "match", "rerank": "re-rank", "detect": "detect"}


@click.command()
@options.as_json
def models(as_json: bool) -> None:
    """List the learned systems: size, what each can do, what it is made of, whose it is.

    Sizes are millions of parameters, ours by default and as the MGSV paper counts them. To match is
    to rank all tracks, to re-rank to order another's candidates, to detect to find the moment.
    """
    from mgsv.models.registry import COMPOSITE, about, count_parameters, list_models, systems
    from mgsv.plugins import PluginError

    known = {name: (about(name), count_parameters(name)) for name in systems()}
    for name in list_models():
        if name not in known:
            try:
                known[name] = about(name), count_parameters(name)
            except PluginError as error:
                show.note(str(error))
    abilities = {
        name: [word for ability, word in _ABILITIES.items() if ability in what.abilities]
        for name, (what, _) in known.items()
    }
    if as_json:
        entries = [
            {
                "name": name,
                "title": what.title,
                "parameters": count,
                "paper_parameters": what.parameters * 1e6 or None,
                "abilities": abilities[name],
                "enhancement": what.enhancement,
                "fusion": what.fusion,
                "content": what.content,
                "decoder": what.decoder,
                "paper": what.paper,
            }
            for name, (what, count) in known.items()
        ]
        show.document({"schema": "mgsv.models/1", "models": entries})
        return
    show.table(
        ["name", "M", "paper", "can", "by"],
        [
            [
                name,
                f"{count / 1e6:.1f}",
                f"{what.parameters:.1f}" if what.parameters else "-",
                ", ".join(abilities[name]),
                what.title if name == COMPOSITE else what.paper,
            ]
            for name, (what, count) in known.items()
        ],
        words=("can", "by"),
    )
    show.table(
        ["name", "enhancement", "fusion", "content", "decoder"],
        [
            [name, what.enhancement, what.fusion, what.content, what.decoder]
            for name, (what, _) in known.items()
        ],
        words=("enhancement", "fusion", "content", "decoder"),
    )


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


@click.command("export")
@click.argument("checkpoint", type=options.FILE, required=False)
@click.option(
    "--output",
    "-o",
    type=options.FILE,
    required=True,
    metavar="OUT.onnx",
    help="The file to write.",
)
@options.matcher
@options.detector
@options.first_stage
@click.option("--overwrite", is_flag=True, help="Replace a file that is there.")
def export_checkpoint(
    checkpoint: Path | None,
    output: Path,
    matcher: Path | None,
    detector: Path | None,
    first_stage: Path | None,
    overwrite: bool,
) -> None:
    """Make one ONNX file of a CHECKPOINT, or of a composite's parts, which grounds without PyTorch.

    `mgsv ground --model OUT.onnx --method NAME` uses it. What it computes is compared with the
    checkpoint before it is written. CONQUER cannot be exported.
    """
    from mgsv.models.export import export
    from mgsv.models.system import System

    system = System(
        checkpoint=checkpoint, matcher=matcher, detector=detector, first_stage=first_stage
    )
    show.note(f"model: {shown(export(system, output, overwrite=overwrite))}")
