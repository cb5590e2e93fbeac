"""Jobs: what is done with a clip, how far it is, and the files that come of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Query
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse

from mgsv.studio.documents import (
    ExplainRequest,
    GroundRequest,
    Identifier,
    JobDocument,
    RenderRequest,
    TimelineRequest,
    job_document,
)
from mgsv.studio.jobs import Kind, StudioJob
from mgsv.studio.problems import Refusal
from mgsv.studio.routes.shared import FILE, STARTED, InStudio, Workspace, file_response, started
from mgsv.studio.studio import OpenStudio

router = APIRouter(tags=["jobs"])
MOST_WATCHERS = 200
"""Streams of events at the same time."""
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}
}
LastEvent = Annotated[str, Header(alias="Last-Event-ID", max_length=20)]


@router.post("/clips/{clip}/groundings", status_code=202, responses=STARTED, tags=["clips"])
async def ground(
    studio: InStudio,
    workspace: Workspace,
    clip: Identifier,
    request: Annotated[
        GroundRequest,
        Body(
            openapi_examples={
                "all": {"summary": "Among all tracks", "value": {"options": {"top": 10}}},
                "narrow": {
                    "summary": "Among calm ones",
                    "value": {"words": "piano, ambient", "tempo_to": 90},
                },
            }
        ),
    ] = GroundRequest(),  # noqa: B008 (frozen)
) -> JSONResponse:
    """Look for the moments that fit a clip; the best one becomes its choice."""
    known = studio.clips.get(clip, workspace)
    return started(studio.board.add(workspace, known.id, "ground", _values(request)))


@router.post("/clips/{clip}/renders", status_code=202, responses=STARTED, tags=["clips"])
async def render(
    studio: InStudio,
    workspace: Workspace,
    clip: Identifier,
    request: RenderRequest = RenderRequest(),  # noqa: B008
) -> JSONResponse:
    """Write a clip with the music that was chosen for it, as it is chosen now."""
    return _with_choice(studio, workspace, clip, "render", request)


@router.post("/clips/{clip}/timelines", status_code=202, responses=STARTED, tags=["clips"])
async def write_timeline(
    studio: InStudio,
    workspace: Workspace,
    clip: Identifier,
    request: TimelineRequest = TimelineRequest(),  # noqa: B008
) -> JSONResponse:
    """Write an editor's timeline of a clip and its choice."""
    return _with_choice(studio, workspace, clip, "timeline", request)


@router.post("/clips/{clip}/explanations", status_code=202, responses=STARTED, tags=["clips"])
async def explain(
    studio: InStudio,
    workspace: Workspace,
    clip: Identifier,
    request: ExplainRequest = ExplainRequest(),  # noqa: B008
) -> JSONResponse:
    """Draw why the choice fits the clip."""
    return _with_choice(studio, workspace, clip, "explain", request)


@router.get("/jobs")
async def list_jobs(studio: InStudio, workspace: Workspace) -> list[JobDocument]:
    """Those that run or wait, and the latest that have ended."""
    return [job_document(job) for job in studio.board.of(workspace)]


@router.get("/jobs/{job}")
async def get_job(studio: InStudio, workspace: Workspace, job: Identifier) -> JobDocument:
    return job_document(studio.board.get(job, workspace))


@router.delete("/jobs/{job}", status_code=204)
async def cancel_job(studio: InStudio, workspace: Workspace, job: Identifier) -> None:
    """End a job: nothing of what it was writing stays. One that has ended stays as it is."""
    studio.board.cancel(studio.board.get(job, workspace))


@router.get("/jobs/{job}/events", responses=EVENTS, response_class=StreamingResponse)
async def watch_job(
    studio: InStudio, workspace: Workspace, job: Identifier, last: LastEvent = ""
) -> StreamingResponse:
    """The job at each step, as server-sent events; ends when it has ended."""
    return _stream(studio, workspace, last, studio.board.get(job, workspace))


@router.get("/events", responses=EVENTS, response_class=StreamingResponse)
async def watch_jobs(
    studio: InStudio,
    workspace: Workspace,
    after: Annotated[int, Query(ge=0, le=1 << 60)] = 0,
    last: LastEvent = "",
) -> StreamingResponse:
    """All jobs at each step after the event `after`, as server-sent events, without end."""
    return _stream(studio, workspace, last or str(after), None)


@router.head("/jobs/{job}/file", include_in_schema=False)
@router.get("/jobs/{job}/file", responses=FILE, response_class=FileResponse)
async def get_file(
    studio: InStudio, workspace: Workspace, job: Identifier, download: bool = False
) -> FileResponse:
    """What the job wrote, whole or in ranges."""
    known = studio.board.get(job, workspace)
    path = Path((known.result or {}).get("file", ""))
    if known.state != "done" or not path.is_file():
        raise Refusal(404, "the job has written no file", "wait until it is done")
    return file_response(path, path.name, download=download)


def _with_choice(
    studio: OpenStudio, workspace: str, clip: str, kind: Kind, request: Any
) -> JSONResponse:
    known = studio.clips.get(clip, workspace)
    if known.choice is None:
        raise Refusal(
            409, f"{known.name}: no music was chosen yet", "find some, or choose a moment"
        )
    values = {**_values(request), "choice": asdict(known.choice)}
    return started(studio.board.add(workspace, known.id, kind, values))


def _values(request: Any) -> dict[str, Any]:
    return asdict(request)


def _stream(
    studio: OpenStudio, workspace: str, last: str, only: StudioJob | None
) -> StreamingResponse:
    if studio.board.watchers >= MOST_WATCHERS:
        raise Refusal(503, "too many watch the jobs", "try again", {"Retry-After": "5"})
    after = int(last) if last.isdecimal() else 0

    async def events() -> AsyncIterator[str]:
        yield "retry: 1000\n\n"
        async for job in studio.board.events(workspace, after, only):
            if job is None:
                yield ": still here\n\n"
            else:
                data = json.dumps(asdict(job_document(job)))
                yield f"id: {job.event}\nevent: job\ndata: {data}\n\n"

    return StreamingResponse(
        events(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
    )
