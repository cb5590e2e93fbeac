"""The same few calls as tools for agents, by the Model Context Protocol; needs `mgsv[mcp]`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

from mgsv.errors import ConfigError, MgsvError
from mgsv.grounding import GroundOptions, Session, render, write_timeline
from mgsv.library import Library
from mgsv.library.words import Wanted, narrow
from mgsv.studio.documents import MomentDocument, TrackDocument
from mgsv.studio.folders import Folders
from mgsv.studio.problems import Refusal

READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
WRITES = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)


@dataclass(frozen=True)
class AgentOptions:
    """What agents may do."""

    music: tuple[Path, ...]
    """Folders and tracks to choose from; none: all that the library holds."""
    clips: tuple[Path, ...]
    """The folders whose clips may be read."""
    library: Path | None = None
    output: Path | None = None
    """Where rendered clips and timelines go; None: nothing is written."""


def create_agent_server(options: AgentOptions) -> MCPServer:
    """A server of tools that read, and with `options.output` of two that write.

    Raises `ConfigError` where there are no folders of clips, `LibraryError` for music that cannot
    be read.
    """
    if not options.clips:
        raise ConfigError("`clips` is missing", "name a folder whose clips may be read")
    if options.output is not None and not options.output.is_dir():
        raise ConfigError(f"`output` {options.output}: no such folder", "make it first")
    folders = Folders(options.clips)
    session = _session(options)
    server = MCPServer(
        "mgsv", instructions="Find the music for a video clip, and the moment of it."
    )

    def clip_at(name: str) -> Path:
        for number in range(len(folders.roots)):
            with contextlib.suppress(Refusal):
                return folders.clip(number, name)
        raise ToolError(f"{name}: there is no such clip: choose one that list_clips names")

    @server.tool(annotations=READS)
    def list_clips() -> list[str]:
        """The names of the clips that may be used."""
        return [
            entry.path
            for number in range(len(folders.roots))
            for entry in folders.list(number)
            if not entry.folder
        ]

    @server.tool(annotations=READS)
    def list_tracks(words: str = "") -> list[dict[str, Any]]:
        """At most 100 tracks of the library, those that fit the words best, as in "calm piano"."""
        with _told():
            tracks = narrow(session.library, session.library.tracks(), Wanted(like=words)).tracks
        return [asdict(TrackDocument.of(track)) for track in tracks[:100]]

    @server.tool(annotations=READS)
    def find_music(clip: str, top: int = 5) -> dict[str, Any]:
        """The moments of tracks that fit a clip best, with reasons; seconds on the track."""
        with _told():
            found = session.ground(clip_at(clip), GroundOptions(top=top))
        return {
            "moments": [asdict(MomentDocument.of(moment)) for moment in found],
            "better_than_chance": found.better_than_chance,
            "notes": list(found.notes),
        }

    if options.output is not None:
        _add_writers(server, session, clip_at, options.output)
    return server


def _add_writers(server: MCPServer, session: Session, clip_at: Any, output: Path) -> None:
    def moment_of(path: Path, track: str, start: float) -> Any:
        known = next((one for one in session.library.tracks() if one.id == track), None)
        if known is None:
            raise ToolError(f"{track}: there is no such track: choose one of list_tracks")
        return replace(session.place(path, known, start, reach=0), rank=1)

    @server.tool(annotations=WRITES)
    def render_clip(clip: str, track: str, start: float, keep_audio: bool = False) -> str:
        """Write the clip with the music of a track (its id) from `start` on; the file's name."""
        path = clip_at(clip)
        target = output / f"{path.stem}.mgsv.mp4"
        with _told():
            render(path, moment_of(path, track, start), target, keep_audio=keep_audio)
        return target.name

    @server.tool(annotations=WRITES)
    def write_clip_timeline(clip: str, track: str, start: float, format: str = "otio") -> str:
        """Write an editor's timeline (otio, xml or edl) of the same; the file's name."""
        path = clip_at(clip)
        target = output / f"{path.stem}.{format}"
        with _told():
            write_timeline(path, moment_of(path, track, start), target)
        return target.name


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Has the agent read what went wrong, which else only the log would say."""
    try:
        yield
    except MgsvError as error:
        raise ToolError(str(error)) from error


def _session(options: AgentOptions) -> Session:
    if options.music:
        return Session.open(options.music, folder=options.library)
    return Session(Library.open(folder=options.library))
