"""Clips: the queue, what is to be seen and heard of each, and the moment chosen for it."""

from __future__ import annotations

from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import TypeAdapter

from mgsv.media import isolated
from mgsv.moment import Moment
from mgsv.studio.clips import Choice, QueuedClip
from mgsv.studio.documents import (
    ChoiceRequest,
    ClipDocument,
    Gain,
    GroundingDocument,
    Identifier,
    PickRequest,
    PictureDocument,
    Seconds,
    clip_document,
)
from mgsv.studio.folders import Entry
from mgsv.studio.problems import Refusal
from mgsv.studio.routes.shared import API, FILE, InStudio, Workspace, file_response
from mgsv.studio.security import drain
from mgsv.studio.sounds import WAV, wav
from mgsv.studio.studio import OpenStudio
from mgsv.studio.work import sound_of

router = APIRouter(tags=["clips"])
UPLOADS = f"{API}/clips/upload"
_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_grounding = TypeAdapter(GroundingDocument)
_JPEG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {"schema": {"type": "string"}}}}
}


@router.get("/clips")
async def list_clips(studio: InStudio, workspace: Workspace) -> list[ClipDocument]:
    """The queue, in the order in which its clips came."""
    return [_document(studio, clip) for clip in studio.clips.of(workspace)]


@router.post("/clips", status_code=201)
def pick_clip(
    studio: InStudio, workspace: Workspace, request: PickRequest, response: Response
) -> ClipDocument:
    """Add a clip that lies under a folder that was named at the start."""
    clip = studio.clips.pick(workspace, request.folder, request.path)
    response.headers["Location"] = f"{API}/clips/{clip.id}"
    return _document(studio, clip)


@router.post(
    "/clips/upload",
    status_code=201,
    openapi_extra={"requestBody": {"required": True, "content": _BYTES}},
)
async def upload_clip(
    studio: InStudio,
    workspace: Workspace,
    request: Request,
    response: Response,
    name: Annotated[str, Query(min_length=1, max_length=500, description="Of the file")],
) -> ClipDocument:
    """Add a clip whose bytes are the body of the request."""
    length = request.headers.get("content-length")
    size = int(length) if length is not None and length.isdecimal() else None
    try:
        clip = await studio.clips.receive(workspace, name, size, request.stream())
    except Refusal:
        await drain(request.receive)
        raise
    response.headers["Location"] = f"{API}/clips/{clip.id}"
    return _document(studio, clip)


@router.get("/clips/{clip}")
async def get_clip(studio: InStudio, workspace: Workspace, clip: Identifier) -> ClipDocument:
    return _document(studio, studio.clips.get(clip, workspace))


@router.delete("/clips/{clip}", status_code=204)
def remove_clip(studio: InStudio, workspace: Workspace, clip: Identifier) -> None:
    """Take a clip out of the queue, with its jobs and results; a picked file stays where it is."""
    studio.remove(studio.clips.get(clip, workspace))


@router.get("/clips/{clip}/candidates")
async def get_candidates(
    studio: InStudio, workspace: Workspace, clip: Identifier
) -> GroundingDocument:
    """The moments that the last grounding found, best first."""
    found = studio.clips.get(clip, workspace).found
    if found is None:
        raise Refusal(404, "no music was looked for yet", "POST to /clips/{clip}/groundings")
    return _grounding.validate_python(found)


@router.put("/clips/{clip}/choice")
async def choose(
    studio: InStudio, workspace: Workspace, clip: Identifier, request: ChoiceRequest
) -> ClipDocument:
    """Choose the moment that is rendered, exactly as it is given."""
    known = studio.clips.get(clip, workspace)
    track = studio.track(request.track)
    if not request.start < min(request.end, track.duration):
        raise Refusal(
            422,
            f"`start` {request.start:g}, `end` {request.end:g}: the track lasts "
            f"{track.duration:.2f} s",
            "choose a moment on the track",
        )
    end = min(request.end, track.duration)
    choice = Choice(track.id, request.start, end, request.keep_audio, request.own_gain)
    if choice != known.choice:
        known = studio.clips.update(clip, choice=choice, accepted=False, rendered="") or known
    return _document(studio, known)


@router.get("/clips/{clip}/picture")
def get_picture(studio: InStudio, workspace: Workspace, clip: Identifier) -> PictureDocument:
    """Cuts and motion; the clip is read for it where no grounding has done so."""
    return PictureDocument(**studio.picture(studio.clips.get(clip, workspace)))


@router.get("/clips/{clip}/filmstrip", responses=_JPEG, response_class=Response)
def get_film_strip(studio: InStudio, workspace: Workspace, clip: Identifier) -> Response:
    """24 pictures of the clip side by side, as JPEG."""
    known = studio.clips.get(clip, workspace)
    path = studio.clips.file(known)
    strip = studio.previews.get(f"strip {clip}", lambda: isolated.film_strip(path).tobytes())
    return Response(strip, media_type="image/jpeg", headers={"Cache-Control": "private"})


@router.head("/clips/{clip}/media", include_in_schema=False)
@router.get("/clips/{clip}/media", responses=FILE, response_class=FileResponse)
async def get_media(studio: InStudio, workspace: Workspace, clip: Identifier) -> FileResponse:
    """The clip's file, whole or in ranges."""
    known = studio.clips.get(clip, workspace)
    return file_response(studio.clips.file(known), known.name)


@router.get("/clips/{clip}/sound", responses=WAV, response_class=Response)
async def get_sound(
    studio: InStudio,
    workspace: Workspace,
    clip: Identifier,
    track: Identifier,
    start: Seconds,
    end: Seconds,
    keep_audio: bool = False,
    own_gain: Gain = 0.0,
) -> Response:
    """What the clip sounds like with a moment, as it will when it is rendered; WAV."""
    known, music = studio.clips.get(clip, workspace), studio.track(track)
    choice = Choice(track, start, end, keep_audio, own_gain)
    path = studio.clips.file(known)

    def make() -> bytes:
        with studio.sound_lock:
            if not start < end:
                raise Refusal(422, "the moment is empty", "give an end after its start")
            moment = Moment(start, end)
            return wav(isolated.preview_sound(path, music.path, moment, sound_of(choice)))

    key = f"sound {clip} {choice}"
    sound = await to_thread.run_sync(studio.previews.get, key, make)
    return Response(sound, media_type="audio/wav", headers={"Cache-Control": "private"})


@router.get("/folders/{folder}", tags=["folders"])
def list_folder(
    studio: InStudio,
    folder: int,
    path: Annotated[str, Query(max_length=2000, description="Below it, with slashes")] = "",
) -> list[Entry]:
    """The folders and clips in a folder that was named at the start."""
    return studio.folders.list(folder, path)


def _document(studio: OpenStudio, clip: QueuedClip) -> ClipDocument:
    track = studio.known_track(clip.choice.track) if clip.choice else None
    return clip_document(clip, track)
