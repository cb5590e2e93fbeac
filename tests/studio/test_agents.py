"""`mgsv mcp`, as an agent's program uses it."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

import real_media
from mgsv.media.isolated import probe_video

pytest.importorskip("mcp", reason="agents need the extra mgsv[mcp]")

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

CALLS = ("list_clips", "list_tracks", "find_music")


def told(result: Any) -> Any:
    """What a tool gave back."""
    texts = [one.text for one in result.content]
    try:
        return [json.loads(text) for text in texts]
    except json.JSONDecodeError:
        return texts


async def talk(arguments: list[str], library: Path, calls: list[tuple[str, dict[str, Any]]]) -> Any:
    """(names of the tools, the result of each call)."""
    command = ["-m", "mgsv", "mcp", *arguments]
    server = StdioServerParameters(
        command=sys.executable,
        args=command,
        env={"MGSV_LIBRARY": str(library), "PYTHONPATH": ":".join(filter(None, sys.path))},
    )
    async with stdio_client(server) as (reader, writer), ClientSession(reader, writer) as session:
        await session.initialize()
        tools = (await session.list_tools()).tools
        return {tool.name: tool for tool in tools}, [
            await session.call_tool(name, given) for name, given in calls
        ]


@pytest.mark.slow
def test_agents_read_and_write_only_where_they_may(bundled_folder: Path, tmp_path: Path) -> None:
    clips = real_media.bikes().parent
    calls = [
        ("list_clips", {}),
        ("list_tracks", {"words": "acoustic"}),
        ("find_music", {"clip": "bikes.mp4", "top": 3}),
        ("find_music", {"clip": "../../../../etc/passwd"}),
    ]
    tools, results = asyncio.run(talk(["--clips", str(clips)], bundled_folder, calls))
    assert set(tools) == set(CALLS)
    assert all(tool.annotations.read_only_hint for tool in tools.values())
    names, tracks, found, refused = results
    assert "bikes.mp4" in str(told(names))
    assert "acoustic" in str(told(tracks))
    moments = json.loads(found.content[0].text)["moments"]
    assert [one["rank"] for one in moments] == [1, 2, 3]
    assert refused.is_error and "no such clip" in str(refused.content)

    track = moments[0]["track"]["id"]
    more = ["--clips", str(clips), "--allow-render", "--output", str(tmp_path)]
    calls = [
        ("render_clip", {"clip": "bikes.mp4", "track": track, "start": 1.5}),
        (
            "write_clip_timeline",
            {"clip": "bikes.mp4", "track": track, "start": 1.5, "format": "edl"},
        ),
    ]
    tools, results = asyncio.run(talk(more, bundled_folder, calls))
    assert set(tools) == {*CALLS, "render_clip", "write_clip_timeline"}
    assert not any(result.is_error for result in results), results
    assert probe_video(tmp_path / "bikes.mgsv.mp4").has_audio
    assert (tmp_path / "bikes.edl").exists()


def test_rendering_needs_a_place(mgsv: Any) -> None:
    done = mgsv("mcp", "--allow-render")
    assert done.stderr == ("mgsv: --allow-render and --output go together: give both or neither\n")
