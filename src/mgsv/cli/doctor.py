"""`mgsv doctor`: what this installation is made of and whether it works."""

from __future__ import annotations

import click

from mgsv.cli import options, show


@click.command()
@options.as_json
def doctor(as_json: bool) -> int:
    """Print versions, encoders with their fingerprints, the device, and whether codecs work."""
    from mgsv.doctor import examine

    found = examine()
    if as_json:
        show.document(found)
        return 1 if found["problems"] else 0
    for name in ("python", "system", "device", "library"):
        show.line(f"{name:10} {found[name]}")
    for name in ("packages", "optional", "ffmpeg"):
        show.line(f"{name:10} " + ", ".join(f"{k} {v}" for k, v in found[name].items()))
    for part in found["plugins"]:
        show.line(f"{'plug-in':10} {part['kind']} {part['name']}, of {part['distribution']}")
    for role, encoder in found["encoders"].items():
        show.line(f"{role:10} {encoder['name']}, {encoder['dim']}-d, {encoder['fingerprint']}")
    working = [name for name, state in found["codecs"].items() if state == "works"]
    show.line(f"{'codecs':10} {len(working)} of {len(found['codecs'])} work")
    for problem in found["problems"]:
        show.note(f"problem: {problem}")
    if not found["problems"]:
        show.line("everything works")
    return 1 if found["problems"] else 0
