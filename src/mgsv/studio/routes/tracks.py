"""The library: its tracks, what is to be seen and heard of each, and past uses."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query, Response
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse, JSONResponse

from mgsv.media import isolated
from mgsv.media.rhythm import ONSET_RATE, peaks
from mgsv.media.structure import analyse_structure
from mgsv.moment import Moment
from mgsv.studio.documents import (
    Identifier,
    LibraryDocument,
    PeaksDocument,
    Seconds,
    StructureDocument,
    TrackDocument,
    UseDocument,
    UseRequest,
    job_document,
)
from mgsv.studio.problems import Refusal
from mgsv.studio.routes.shared import FILE, STARTED, InStudio, Workspace, file_response, started
from mgsv.studio.sounds import WAV, wav
from mgsv.studio.studio import OpenStudio
from mgsv.studio.work import remember

router = APIRouter(tags=["library"])


@router.get("/library")
async def get_library(studio: InStudio) -> LibraryDocument:
    """How much music there is, and what it can be narrowed by."""
    index = studio.index_job
    tracks = list(studio.tracks().values()) if studio.ready else []
    tags = Counter(tag for track in tracks for tag in track.tags)
    tempi = [track.tempo for track in tracks if track.tempo]
    return LibraryDocument(
        studio.ready,
        job_document(index) if index else None,
        len(tracks),
        [tag for tag, _ in tags.most_common()],
        round(min(tempi, default=0.0), 1),
        round(max(tempi, default=0.0), 1),
        studio.folders.names(),
        studio.options.largest_clip,
    )


@router.post("/library/index", status_code=202, responses=STARTED)
async def index(studio: InStudio) -> JSONResponse:
    """Look for new and changed music in the folders that were named at the start."""
    return started(studio.index())


@router.get("/tracks")
async def list_tracks(
    studio: InStudio,
    first: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    count: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[TrackDocument]:
    """The tracks in order of their paths, `count` of them from `first` on."""
    tracks = list(studio.tracks().values())[first : first + count]
    return [TrackDocument.of(track) for track in tracks]


@router.get("/tracks/{track}")
async def get_track(studio: InStudio, track: Identifier) -> TrackDocument:
    return TrackDocument.of(studio.track(track))


@router.head("/tracks/{track}/media", include_in_schema=False)
@router.get("/tracks/{track}/media", responses=FILE, response_class=FileResponse)
async def get_media(studio: InStudio, track: Identifier) -> FileResponse:
    """The track's file, whole or in ranges."""
    path = studio.track(track).path
    if not path.is_file():
        raise Refusal(410, f"{path.name}: the file is gone", "read the music again")
    return file_response(path, path.name)


@router.get("/tracks/{track}/peaks")
async def get_peaks(
    studio: InStudio,
    track: Identifier,
    per_second: Annotated[float, Query(gt=0, le=ONSET_RATE, allow_inf_nan=False)] = ONSET_RATE,
) -> PeaksDocument:
    """How loud the track is over time, as it was measured when it was indexed."""
    known, library = studio.track(track), studio.session.library

    def read() -> list[int]:
        levels = peaks(library.curves(known).energy, per_second)
        return [round(100 * float(level)) for level in levels]

    return PeaksDocument(track, per_second, await to_thread.run_sync(read))


@router.get("/tracks/{track}/structure")
async def get_structure(studio: InStudio, track: Identifier) -> StructureDocument:
    """Beats, bars, sections and phrases."""
    known, library = studio.track(track), studio.session.library

    def read() -> StructureDocument:
        of = library.features(known)
        form = analyse_structure(of.beats, of.onset, of.energy, of.segments, downbeats=of.downbeats)
        found = (of.beats, form.downbeats, form.borders, form.phrases)
        return StructureDocument(track, *([round(float(t), 4) for t in one] for one in found))

    return await to_thread.run_sync(read)


@router.get("/tracks/{track}/sound", responses=WAV, response_class=Response)
async def get_sound(studio: InStudio, track: Identifier, start: Seconds, end: Seconds) -> Response:
    """A part of the track as it is; WAV."""
    known = studio.track(track)
    if not start < end:
        raise Refusal(422, "the moment is empty", "give an end after its start")

    def make() -> bytes:
        with studio.sound_lock:
            return wav(isolated.preview_track(known.path, Moment(start, end)))

    key = f"track {track} {start} {end}"
    sound = await to_thread.run_sync(studio.previews.get, key, make)
    return Response(sound, media_type="audio/wav", headers={"Cache-Control": "private"})


@router.get("/uses", tags=["uses"])
def list_uses(studio: InStudio) -> list[UseDocument]:
    """The moments that are remembered as used."""
    found = studio.session.library.uses.all()
    return [UseDocument.of(id, use, _name(studio, use.track)) for id, use in found]


@router.post("/uses", status_code=201, tags=["uses"])
def accept_choice(
    studio: InStudio, workspace: Workspace, request: UseRequest, response: Response
) -> UseDocument:
    """Remember a clip's choice as a use: later groundings take it into account."""
    id, use = remember(studio, studio.clips.get(request.clip, workspace), request.category)
    response.headers["Location"] = f"/api/v1/uses/{id}"
    return UseDocument.of(id, use, _name(studio, use.track))


@router.delete("/uses/{use}", status_code=204, tags=["uses"])
def forget(studio: InStudio, use: Annotated[int, PathParameter(ge=0, le=1 << 60)]) -> None:
    """Forget a use for good."""
    uses = studio.session.library.uses
    if use not in {id for id, _ in uses.all()}:
        raise Refusal(404, "there is no such use", "see GET /uses")
    uses.forget([use])


def _name(studio: OpenStudio, track: str) -> str:
    known = studio.known_track(track)
    return known.path.name if known else ""
