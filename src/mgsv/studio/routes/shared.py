"""What the routes of every noun need."""

from __future__ import annotations

from typing import Annotated, Any, cast

from fastapi import Depends, Request
from fastapi.responses import FileResponse, JSONResponse

from mgsv.studio.documents import JobDocument, job_document
from mgsv.studio.jobs import StudioJob
from mgsv.studio.studio import OpenStudio

API = "/api/v1"
MEDIA_TYPES = {
    **dict.fromkeys(("mp4", "m4v", "mov", "3gp"), "video/mp4"),
    "webm": "video/webm",
    "mkv": "video/x-matroska",
    "gif": "image/gif",
    "png": "image/png",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "m4a": "audio/mp4",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "svg": "image/svg+xml",
    "xml": "application/xml",
    "otio": "application/json",
    "edl": "text/plain",
}
"""By ending; other files are bytes that no browser tries to understand."""
FILE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}},
    206: {"description": "The range that was asked for"},
    416: {"description": "No such range"},
}


def _studio(request: Request) -> OpenStudio:
    return cast(OpenStudio, request.app.state.studio)


def _workspace(request: Request) -> str:
    return cast(str, request.state.workspace)


InStudio = Annotated[OpenStudio, Depends(_studio)]
Workspace = Annotated[str, Depends(_workspace)]


def started(job: StudioJob) -> JSONResponse:
    """202 with the place of the job."""
    from dataclasses import asdict

    return JSONResponse(asdict(job_document(job)), 202, {"Location": f"{API}/jobs/{job.id}"})


STARTED: dict[int | str, dict[str, Any]] = {
    202: {
        "model": JobDocument,
        "headers": {"Location": {"schema": {"type": "string"}, "description": "The job"}},
    }
}


def file_response(path: Any, name: str, *, download: bool = False) -> FileResponse:
    """A file, or the ranges of it that are asked for."""
    kind = MEDIA_TYPES.get(name.rpartition(".")[2].lower(), "application/octet-stream")
    return FileResponse(
        path,
        media_type=kind,
        filename=name,
        content_disposition_type="attachment" if download else "inline",
        headers={"Cache-Control": "private, no-cache"},
    )
