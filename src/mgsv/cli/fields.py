"""What errors call a field, and the command line a flag."""

from __future__ import annotations

import re
from collections.abc import Iterable

import click

_FIELD = re.compile(r"`([a-z][a-z0-9_]*)(=False)?`")


def command_at(group: click.Command, words: Iterable[str]) -> click.Command:
    """The command that `words` of a command line name below `group`, as far as they name one."""
    for word in words:
        if isinstance(group, click.Group):
            group = group.commands.get(word, group)
    return group


def with_flags(text: str, command: click.Command) -> str:
    """`text` with the flags of `command` in the place of fields in backticks.

    A field is an option's parameter name, and what is none of this command's stays. `field=False`
    becomes the flag that turns the option off.
    """
    parameters = command.get_params(click.Context(command))
    options = {p.name: p for p in parameters if isinstance(p, click.Option)}

    def flag(field: re.Match[str]) -> str:
        option = options.get(field[1])
        if option is None:
            return field[0]
        flags = option.secondary_opts if field[2] else option.opts
        return max(flags, key=len, default=field[0])

    return _FIELD.sub(flag, text)


def here(text: str) -> str:
    """`text` with the flags of the command that is running."""
    return with_flags(text, click.get_current_context().command)
