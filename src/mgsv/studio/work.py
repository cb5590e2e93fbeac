"""What the jobs do, each by one public function of `mgsv`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from mgsv.explanation.explain import explain
from mgsv.grounding import Grounding, GroundOptions, RankedMoment, Session
from mgsv.grounding.acceptance import SeenOfClip, accept_moment
from mgsv.grounding.output import comment_of
from mgsv.jobs import Cancelled
from mgsv.library import Track
from mgsv.media import isolated, timeline
from mgsv.media.soundtrack import SoundOptions
from mgsv.memory.use import Use, pooled
from mgsv.methods.base import Query
from mgsv.moment import Moment
from mgsv.studio.clips import Choice, QueuedClip
from mgsv.studio.documents import (
    GroundingDocument,
    GroundRequest,
    MomentDocument,
)
from mgsv.studio.jobs import Kind, StudioJob, Work
from mgsv.studio.problems import Refusal
from mgsv.studio.studio import OpenStudio

LIKE = 20
"""Tracks that "more like this" looks among."""
_ground_request = TypeAdapter(GroundRequest)


def works(studio: OpenStudio) -> dict[Kind, Work]:
    """What to do for each kind of job."""

    def of(work: Callable[[OpenStudio, StudioJob, QueuedClip], dict[str, Any]]) -> Work:
        return lambda job: work(studio, job, studio.clips.get(job.clip, job.workspace))

    return {
        "index": studio.do_index,
        "ground": of(_try_to_ground),
        "render": of(_render),
        "timeline": of(_write_timeline),
        "explain": of(_draw),
    }


def _try_to_ground(studio: OpenStudio, job: StudioJob, clip: QueuedClip) -> dict[str, Any]:
    """Find moments for the clip, or remember why there are none."""
    try:
        return _ground(studio, job, clip)
    except Cancelled:
        raise
    except Exception as error:
        studio.clips.update(clip.id, failed=studio.naming.problem(error).detail)
        raise


def _ground(studio: OpenStudio, job: StudioJob, clip: QueuedClip) -> dict[str, Any]:
    """Find moments for the clip; the best one is its choice from then on."""
    request = _ground_request.validate_python(job.request)
    session = studio.wait_for_session(job)
    query = studio.query(clip, job)
    changes: dict[str, Any] = {"accepted": False, "rendered": "", "failed": ""}
    if request.track is not None and request.near is not None:
        track = studio.track(request.track)
        best, notes = session.place(query, track, request.near, request.options), []
    else:
        within = narrowed(studio, request)
        found = session.ground(query, options_of(request), within=within)
        best, document = found[0], asdict(_document(studio, found))
        notes = document["notes"]
        if request.track is None or clip.found is None:
            changes["found"] = document  # else the other candidates stay
    sound = clip.choice or Choice("", 0, 0)
    changes["choice"] = replace(sound, track=best.track.id, start=best.start, end=best.end)
    studio.clips.update(clip.id, **changes)
    return {"notes": notes, "moment": asdict(MomentDocument.of(best))}


def _render(studio: OpenStudio, job: StudioJob, clip: QueuedClip) -> dict[str, Any]:
    """Write the clip with its choice."""
    choice, track = _chosen(studio, job)
    studio.clips.check_disk(clip.size)
    output = studio.folder_of(job) / f"{Path(clip.name).stem}.mgsv.{job.request['container']}"
    report = isolated.render(
        studio.clips.file(clip),
        track.path,
        Moment(choice.start, choice.end),
        output,
        sound=replace(sound_of(choice), comment=comment_of(track)),
        strip_metadata=job.request["strip_metadata"],
        overwrite=True,
    )
    now = studio.clips.get(clip.id, clip.workspace)
    if now.choice == choice:
        studio.clips.update(clip.id, rendered=job.id)
    return {"file": str(output), "notes": [studio.naming(note) for note in report.notes]}


def _write_timeline(studio: OpenStudio, job: StudioJob, clip: QueuedClip) -> dict[str, Any]:
    """Write the clip with its choice as a timeline."""
    choice, track = _chosen(studio, job)
    output = studio.folder_of(job) / f"{Path(clip.name).stem}.{job.request['format']}"
    write = isolated.isolate(timeline.write_timeline, ("video", "track"), "output")
    report = write(
        studio.clips.file(clip),
        track.path,
        Moment(choice.start, choice.end),
        output,
        sound=sound_of(choice),
        overwrite=True,
        known=timeline.Known(track_seconds=track.duration),
    )
    return {"file": str(output), "notes": [studio.naming(note) for note in report.notes]}


def _draw(studio: OpenStudio, job: StudioJob, clip: QueuedClip) -> dict[str, Any]:
    """Draw why the choice fits."""
    choice, track = _chosen(studio, job)
    session, query = studio.wait_for_session(job), studio.query(clip, job)
    music_at = clip.found["music_at"] if clip.found else 0.0
    options = GroundOptions(top=1, music_at=music_at)
    moment = placed(session, query, track, choice, options)
    scored = clip.found["moments"] if clip.found else []
    same = [one for one in scored if one["track"]["id"] == track.id]
    moment = replace(moment, score=same[0]["score"] if same else 0.0)
    chance = clip.found["chance"] if clip.found else None
    one = session.ground(query, options, within=[track.id])
    found = replace(one, moments=(moment,), chance=chance)
    (picture,) = explain(
        found, session.library, studio.folder_of(job), format=job.request["format"], overwrite=True
    )
    return {"file": str(picture.path), "notes": list(picture.reasons)}


def remember(studio: OpenStudio, clip: QueuedClip, category: str) -> tuple[int, Use]:
    """Remember the clip's choice as a use; the use, by its number. Raises `Refusal` without a
    choice."""
    if clip.choice is None:
        raise Refusal(409, f"{clip.name}: no music was chosen yet", "find some, or choose a moment")
    track, choice = studio.track(clip.choice.track), clip.choice
    session, query = studio.session, studio.query(clip)
    feats = b"" if query.frame_feats is None else pooled(query.frame_feats)
    encoder = session.encoders.video.fingerprint if feats else ""
    used, _ = accept_moment(
        session.library,
        os.fsencode(track.path),
        Moment(choice.start, choice.end),
        video=clip.path,
        video_seconds=clip.duration,
        category=category,
        seen=SeenOfClip(feats, encoder, tuple(query.curves.cuts.tolist())),
    )
    studio.clips.update(clip.id, accepted=True)
    known = session.library.uses.all()
    return max((one for one in known if one[1].video == used.video), key=lambda one: one[0])


def placed(
    session: Session, query: Query, track: Track, choice: Choice, options: GroundOptions
) -> RankedMoment:
    """The choice with what speaks for it."""
    moment = session.place(query, track, choice.start, options, reach=0)
    return replace(moment, end=min(choice.end, track.duration))


def sound_of(choice: Choice) -> SoundOptions:
    gain = choice.own_gain if choice.keep_audio else 0.0
    return SoundOptions(keep_audio=choice.keep_audio, own_gain=gain)


def narrowed(studio: OpenStudio, request: GroundRequest) -> list[str] | None:
    """The ids of the tracks to look at; None for all."""
    if request.track is not None:
        return [studio.track(request.track).id]
    tracks = list(studio.tracks().values())
    if request.like is not None:
        library = studio.session.library
        mean = library.features(studio.track(request.like)).segments.mean(axis=0)
        near = library.nearest(mean, LIKE + 1)
        tracks = [track for track, _ in near if track.id != request.like]
    return None if len(tracks) == len(studio.tracks()) else [track.id for track in tracks]


def options_of(request: GroundRequest) -> GroundOptions:
    """The options of a request, with its words and tempo among them."""
    options = request.options
    if request.words:
        options = replace(options, like=f"{options.like} {request.words}".strip())
    if (request.tempo_from, request.tempo_to) != (0, 1000):
        options = replace(options, tempo=f"{request.tempo_from:g}-{request.tempo_to:g}")
    return options


def _document(studio: OpenStudio, found: Grounding) -> GroundingDocument:
    return GroundingDocument(
        [MomentDocument.of(moment) for moment in found],
        found.score_meaning,
        found.chance,
        found.better_than_chance,
        found.music_at,
        [studio.naming(note) for note in found.notes],
    )


def _chosen(studio: OpenStudio, job: StudioJob) -> tuple[Choice, Track]:
    studio.wait_for_session(job)
    choice = Choice(**job.request["choice"])
    return choice, studio.track(choice.track)
