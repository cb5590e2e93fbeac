"""`mgsv studio`: the page."""

from __future__ import annotations

from pathlib import Path

import click

from mgsv.cli import options, show
from mgsv.errors import ConfigError


@click.command()
@click.option(
    "--music",
    "-m",
    type=options.FILE,
    multiple=True,
    metavar="DIR|TRACK",
    help="A music folder or a track; may be given several times.  [default: the whole library]",
)
@click.option(
    "--clips",
    type=options.FILE,
    multiple=True,
    metavar="DIR",
    help="A folder whose clips may be picked on the page; may be given several times.",
)
@click.option(
    "--study",
    type=options.FILE,
    metavar="DIR",
    help="Run this listening test instead, which `mgsv study create` made, and nothing else.",
)
@options.library
@click.option(
    "--queue",
    type=options.FILE,
    metavar="DIR",
    help="Where the queue is kept.  [default: $MGSV_STUDIO, or the user's data folder]",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8421, show_default=True, help="0: any that is free.")
@click.option(
    "--name",
    multiple=True,
    metavar="HOST",
    help="Another name by which browsers reach it, as through a proxy.",
)
@click.option(
    "--token",
    default="",
    metavar="TEXT",
    help="What requests must bring.  [default: none on this machine, else made up and printed]",
)
@click.option(
    "--workers", default=2, show_default=True, help="Jobs that are done at the same time."
)
@click.option("--largest-clip", default=4.0, show_default=True, help="GB of a clip.")
@click.option("--most-stored", default=20.0, show_default=True, help="GB of clips and results.")
@click.option("--browser/--no-browser", default=True, help="Whether to open the page.")
def studio(
    music: tuple[Path, ...],
    clips: tuple[Path, ...],
    study: Path | None,
    folder: Path | None,
    queue: Path | None,
    host: str,
    port: int,
    name: tuple[str, ...],
    token: str,
    workers: int,
    largest_clip: float,
    most_stored: float,
    browser: bool,
) -> None:
    """Find, hear, move and render the music for clips on a page in the browser.

    Only this machine can reach it, unless --host or --name says otherwise; then every browser
    needs the token that is printed.
    """
    import secrets

    from mgsv.studio.options import StudioOptions
    from mgsv.studio.serve import serve_studio, serve_study

    if study is not None and (music or clips):
        raise ConfigError(
            "`study` with `music` or `clips`: listeners get the study alone", "leave them out"
        )
    outside = bool(name) or host not in ("127.0.0.1", "::1", "localhost")
    chosen = StudioOptions(
        music=music,
        clips=clips,
        library=folder,
        queue=queue,
        host=host,
        port=port,
        names=name,
        token=token or (secrets.token_urlsafe(24) if outside else ""),
        workers=workers,
        largest_clip=round(largest_clip * 1e9),
        most_stored=round(most_stored * 1e9),
    )

    def ready(at: str) -> None:
        show.note(f"studio: {at} (Ctrl-C ends it)")

    if study is not None:
        serve_study(study, chosen, ready=ready, browser=browser)
    else:
        serve_studio(chosen, ready=ready, browser=browser)


@click.command()
@click.option(
    "--music",
    "-m",
    type=options.FILE,
    multiple=True,
    metavar="DIR|TRACK",
    help="A music folder or a track; may be given several times.  [default: the whole library]",
)
@click.option(
    "--clips",
    type=options.FILE,
    multiple=True,
    metavar="DIR",
    help="A folder whose clips agents may read; may be given several times.",
)
@options.library
@click.option("--allow-render", is_flag=True, help="Let agents write files, into --output.")
@click.option("--output", "-o", type=options.FILE, metavar="DIR", help="Where they go.")
def mcp(
    music: tuple[Path, ...],
    clips: tuple[Path, ...],
    folder: Path | None,
    allow_render: bool,
    output: Path | None,
) -> None:
    """Offer clips and music to agents as tools, by the Model Context Protocol on stdin and stdout.

    They only read, unless --allow-render is given.
    """
    if allow_render != (output is not None):
        raise ConfigError("`allow_render` and `output` go together", "give both or neither")
    from mgsv.studio.agents import AgentOptions, create_agent_server

    create_agent_server(AgentOptions(music, clips, folder, output)).run("stdio")
