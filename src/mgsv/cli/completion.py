"""`mgsv completion`: the script by which a shell completes the command line."""

from __future__ import annotations

import click

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script with which SHELL completes commands, options and file names of mgsv.

    Bash: mgsv completion bash > ~/.local/share/bash-completion/completions/mgsv
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # click brings all three
    script = kind(context.find_root().command, {}, "mgsv", "_MGSV_COMPLETE")
    # What `source()` does, without asking the bash on the path for its version first.
    click.echo(script.source_template % script.source_vars())
