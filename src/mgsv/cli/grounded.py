"""How to ground: the options and the call that `mgsv ground` and `mgsv explain` share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

import click

from mgsv.cli import options, show
from mgsv.errors import ConfigError

if TYPE_CHECKING:
    from mgsv.grounding import Grounding, GroundOptions, Session
    from mgsv.jobs import Listener
    from mgsv.methods.base import Fit, PlacementWeights, StartOn
    from mgsv.methods.memory import MemoryUse
    from mgsv.models.system import Rerank

F = TypeVar("F", bound=Callable[..., Any])


_MUSIC = re.compile(r"--music(=|$)|-m")


class How(TypedDict):
    """What `options` gives a command, by the names of the fields in Python, which errors name."""

    fit: Fit
    start_on: StartOn
    weights: PlacementWeights | None
    method: str
    checkpoint: Path | None
    matcher: Path | None
    detector: Path | None
    first_stage: Path | None
    rerank: Rerank | None
    memory: MemoryUse
    popularity: bool
    music_at: float
    fusion: Path | None
    like: str
    without: str
    tempo: str
    instrumental: bool
    licence: str
    genre: str
    folder: Path | None
    encoders: str
    encoders_dir: Path | None
    progress: str


def _count_or_all(text: str | int) -> Rerank:
    return "all" if text == "all" else int(text)


def _weights(text: str) -> PlacementWeights:
    from mgsv.config import override
    from mgsv.methods.base import PlacementWeights

    return override(PlacementWeights(), text.split(","), "`weights`")


_OPTIONS = (
    click.option(
        "--fit",
        type=click.Choice(["exact", "natural", "loop", "free"]),
        default="exact",
        show_default=True,
        help="Music as long as the clip: cut there, shortened or lengthened to a good end, or only"
        " lengthened; or as long as the method likes.",
    ),
    click.option(
        "--start-on",
        type=click.Choice(["border", "downbeat", "beat", "any"]),
        default="any",
        show_default=True,
        help="Where a moment may start.",
    ),
    click.option(
        "--weights",
        type=_weights,
        metavar="NAME=N,...",
        help="What counts in placing a learned method's moment, as in cuts=0.5,border=0.2.",
    ),
    click.option(
        "--music-at",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="Where in VIDEO the music begins.  [default: with its first picture]",
    ),
    click.option("--method", default="made", show_default=True, help="How to ground."),
    click.option(
        "--model",
        "checkpoint",
        type=options.FILE,
        metavar="FILE",
        help="A learned method's checkpoint.  [default for made: the one that comes with mgsv]",
    ),
    options.matcher,
    options.detector,
    options.first_stage,
    click.option(
        "--rerank",
        type=_count_or_all,
        metavar="N|all",
        default=None,
        show_default="50, or 100 for a model without a survey",
        help="How many candidates a learned method scores with all it knows, or all.",
    ),
    click.option(
        "--memory",
        type=click.Choice(["on", "off", "only"]),
        default="on",
        show_default=True,
        help="Let past uses of a track help to place the moment, not at all, or alone.",
    ),
    click.option("--popularity", is_flag=True, help="Let often used tracks rank higher."),
    click.option(
        "--fusion",
        type=options.FILE,
        metavar="FILE",
        help="How far to trust the method beside past uses: what `mgsv evaluate --fusion` wrote.",
    ),
    options.words,
    options.library,
    options.encoders,
    options.encoders_dir,
    options.device,
    options.progress,
)


music = click.option(
    "--music",
    "-m",
    type=options.FILE,
    multiple=True,
    metavar="DIR|TRACK...",
    help="A music folder, or a track whose best part is wanted; several may follow.",
)


def clips_and_music(command: F) -> F:
    """The clips of a `ClipsCommand`, and the music as `--music` takes it: one place or several."""
    videos = click.argument(
        "videos", type=options.FILE, nargs=-1, required=True, metavar="VIDEO..."
    )
    return videos(music(command))


def how_to_ground(command: F) -> F:
    """The options of `How`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def prepare() -> None:
    """Start what the clip is decoded in, while other imports go on here."""
    from mgsv.media import decoder

    decoder.start_ahead()


def require_music(places: Sequence[Path]) -> None:
    """ConfigError where no music is named."""
    if not places:
        raise ConfigError("--music is missing", "name a music folder or a track")


def checked(video: Path, music: Sequence[Path], more: Sequence[Path]) -> list[Path]:
    """The places of the music; raises where there are none, or `video` is no video."""
    from mgsv.media.isolated import probe_video

    require_music(music)
    probe_video(video)
    return [*music, *more]


class ClipsCommand(click.Command):
    """A command whose clips stand before `--music`, and more music after it.

    Where no clip stands before it, those after it are the clips.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        options = args[: args.index("--")] if "--" in args else args
        first = next((n for n, word in enumerate(options) if _MUSIC.match(word)), None)
        if first is not None:
            with suppress(click.UsageError):  # which parsing all of it raises again
                before, _, _ = self.make_parser(ctx).parse_args(args[:first])
                given = before.get("videos")
                ctx.meta["mgsv.clips"] = len(given) if isinstance(given, tuple) else 0
        return super().parse_args(ctx, args)


def clips_and_more(videos: tuple[Path, ...]) -> tuple[list[Path], list[Path]]:
    """(the clips, more music) of what a `ClipsCommand` was given."""
    count = click.get_current_context().meta.get("mgsv.clips") or len(videos)
    return list(videos[:count]), list(videos[count:])


@contextmanager
def grounded(
    video: Path, places: Sequence[Path], top: int, how: How
) -> Iterator[tuple[Grounding, Session]]:
    """The `top` moments of the music in `places` for `video`, and the session while it is open.

    The index's report goes to stderr.
    """
    with open_session(places, top, how) as (session, options, _):
        yield session.ground(video, options), session


@contextmanager
def open_session(
    places: Sequence[Path], top: int, how: How
) -> Iterator[tuple[Session, GroundOptions, Listener | None]]:
    """A session on the music in `places`, how to ground with it, and what shows progress."""
    from mgsv.grounding import GroundOptions, Session, check_weights
    from mgsv.methods.registry import open_method
    from mgsv.models.system import System

    system = System(
        how["method"],
        checkpoint=how["checkpoint"],
        matcher=how["matcher"],
        detector=how["detector"],
        first_stage=how["first_stage"],
        rerank=how["rerank"],
    )
    # What would stop the run is checked at its beginning, before any indexing.
    method = open_method(system)
    check_weights(method, how["weights"])
    options = GroundOptions(
        top=top,
        fit=how["fit"],
        start_on=how["start_on"],
        weights=how["weights"],
        memory=how["memory"],
        popularity=how["popularity"],
        music_at=how["music_at"],
        like=how["like"],
        without=how["without"],
        tempo=how["tempo"],
        instrumental=how["instrumental"],
        licence=how["licence"],
        genre=how["genre"],
    )
    with (
        show.indexing(how["progress"]) as listen,
        Session.open(
            places,
            folder=how["folder"],
            method=method,
            encoders=how["encoders"],
            encoders_dir=how["encoders_dir"],
            fusion=how["fusion"],
            progress=listen,
        ) as session,
    ):
        show.index_report(session.library.report)
        yield session, options, listen
