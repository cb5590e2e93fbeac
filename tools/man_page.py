"""The manual of the commands, made of what `--help` says.

    python tools/man_page.py > mgsv.1       # read it with: man ./mgsv.1

A build puts it into the wheel, see build_hooks.py. Nothing but click is needed.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

ENVIRONMENT = {
    "MGSV_LIBRARY": "The folder of the music library, or the address of a shared one.",
    "MGSV_DEVICE": "What models run on, as --device.",
}
STATUS = {
    "0": "Everything that was wanted is done.",
    "1": "It is not, and a line on the standard error says why.",
    "2": "The command line makes no sense.",
    "130": "It was interrupted; nothing was left half-written.",
}


def man_page(version: str) -> str:
    """All commands as one page of section 1, in the language of man(7)."""
    from mgsv.cli import app

    lines = [
        f'.TH MGSV 1 "" "mgsv {escaped(version)}" "mgsv"',
        ".SH NAME",
        f"mgsv \\- {escaped((app.help or '').strip().lower().rstrip('?'))}",
        ".SH SYNOPSIS",
        ".B mgsv",
        ".RI [ options ]",
        ".I command",
        ".RI [ arguments ]",
        ".SH OPTIONS",
        *options_of(app, "mgsv"),
        ".SH COMMANDS",
    ]
    for name, command in commands(app, "mgsv"):
        lines += section(name, command)
    for title, entries in (("ENVIRONMENT", ENVIRONMENT), ("EXIT STATUS", STATUS)):
        lines.append(f".SH {title}")
        for name, sentence in entries.items():
            lines += [".TP", f".B {name}", escaped(sentence)]
    return "\n".join(lines) + "\n"


def commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    """Every command below `group` that does something, with the words that call it."""
    for word, command in group.commands.items():
        if isinstance(command, click.Group) and not command.invoke_without_command:
            yield from commands(command, f"{name} {word}")
        elif not command.hidden:
            yield f"{name} {word}", command


def section(name: str, command: click.Command) -> list[str]:
    context = click.Context(command, info_name=name)
    usage = [piece for parameter in command.params for piece in parameter.get_usage_pieces(context)]
    lines = [f".SS {name} [OPTIONS] {escaped(' '.join(usage))}"]
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        lines += [".PP", *map(escaped, paragraph.splitlines())]
    if type(command).get_params is not click.Command.get_params:
        lines += [".PP", f".B {name} \\-\\-help", "lists more options, those of what it makes."]
    return lines + options_of(command, name)


def options_of(command: click.Command, name: str) -> list[str]:
    """The options that are written where the command is; `get_params` may import what a build
    does not have.
    """
    context = click.Context(command, info_name=name)
    lines = []
    for parameter in command.params:
        if isinstance(parameter, click.Option) and (record := parameter.get_help_record(context)):
            lines += [".TP", f".B {escaped(record[0])}", escaped(" ".join(record[1].split()))]
    return lines


def escaped(text: str) -> str:
    """`text` as roff prints it: no escapes, real hyphens, and no request at the line's start."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text


if __name__ == "__main__":
    from mgsv.version import __version__

    print(man_page(__version__), end="")
