"""`mgsv doctor`: what this installation is made of and whether it works."""

from __future__ import annotations

from typing import Annotated

import typer

from mgsv.cli import show


def command(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Print versions, encoders with their fingerprints, the device, and whether codecs work."""
    from mgsv.doctor import examine

    found = examine()
    if as_json:
        show.document(found)
        return 1 if found["problems"] else 0
    for name in ("python", "system", "device", "library"):
        typer.echo(f"{name:10} {found[name]}")
    for name in ("packages", "optional", "ffmpeg"):
        typer.echo(f"{name:10} " + ", ".join(f"{k} {v}" for k, v in found[name].items()))
    for role, encoder in found["encoders"].items():
        typer.echo(f"{role:10} {encoder['name']}, {encoder['dim']}-d, {encoder['fingerprint']}")
    working = [name for name, state in found["codecs"].items() if state == "works"]
    typer.echo(f"{'codecs':10} {len(working)} of {len(found['codecs'])} work")
    for problem in found["problems"]:
        show.note(f"problem: {problem}")
    if not found["problems"]:
        typer.echo("everything works")
    return 1 if found["problems"] else 0
