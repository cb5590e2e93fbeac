"""What requests bring and responses give, as dataclasses; all times in seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from mgsv.grounding import GroundOptions, RankedMoment
from mgsv.grounding.reasons import reasons
from mgsv.library import Track
from mgsv.memory.use import Use
from mgsv.studio.clips import Choice, QueuedClip
from mgsv.studio.jobs import Kind, State, StudioJob
from mgsv.studio.problems import ProblemDocument

Seconds = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Identifier = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9_-]+$")]
Tempo = Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]
Gain = Annotated[float, Field(ge=-40, le=12, allow_inf_nan=False)]


@dataclass(frozen=True)
class TrackDocument:
    """A track of the library."""

    id: str
    name: str
    duration: float
    tempo: float
    """Beats per minute, 0 where no beat was found."""
    tags: list[str]
    licence: str = ""
    """Empty where none is known."""
    credits: str = ""
    """Whose music it is, in a line to write below a video."""

    @classmethod
    def of(cls, track: Track) -> TrackDocument:
        name, known = clean(track.path.name), track.credits
        return cls(
            track.id,
            name,
            track.duration,
            round(track.tempo, 2),
            list(track.tags),
            clean(known.licence),
            clean(known.line(name)),
        )


@dataclass(frozen=True)
class OtherPlace:
    """Where else on the track a moment may start."""

    start: float
    why: str


@dataclass(frozen=True)
class MomentDocument:
    """A moment of a track that fits a clip."""

    rank: int
    track: TrackDocument
    start: float
    end: float
    score: float
    why: str
    """The evidence in a line."""
    reasons: list[str]
    """The evidence in sentences."""
    runner_up: OtherPlace | None
    also_as: list[str]
    """Names of other files with the same recording."""

    @classmethod
    def of(cls, found: RankedMoment) -> MomentDocument:
        other = found.runner_up
        return cls(
            found.rank,
            TrackDocument.of(found.track),
            round(found.start, 4),
            round(found.end, 4),
            round(found.score, 6),
            found.why,
            reasons(found.evidence),
            other and OtherPlace(round(other[0], 4), other[1]),
            [clean(path.name) for path in found.also_as],
        )


@dataclass(frozen=True)
class GroundingDocument:
    """What a grounding found, best moment first."""

    moments: list[MomentDocument]
    score_meaning: str
    chance: float | None
    better_than_chance: bool
    music_at: float
    notes: list[str]


@dataclass(frozen=True)
class ClipDocument:
    """A clip of the queue."""

    id: str
    name: str
    size: int
    duration: float
    width: int
    height: int
    has_audio: bool
    choice: Choice | None
    track: TrackDocument | None
    """The track of the choice."""
    found: bool
    """Whether there are candidates."""
    needs_look: str
    """Why a person should look at it before it is rendered; empty where nothing speaks for that."""
    accepted: bool
    rendered: str
    """The job that wrote the choice as a video; empty where none did."""


def clip_document(clip: QueuedClip, track: Track | None) -> ClipDocument:
    return ClipDocument(
        clip.id,
        clean(clip.name),
        clip.size,
        clip.duration,
        clip.width,
        clip.height,
        clip.has_audio,
        clip.choice,
        TrackDocument.of(track) if track else None,
        clip.found is not None,
        needs_look(clip),
        clip.accepted,
        clip.rendered,
    )


def needs_look(clip: QueuedClip) -> str:
    if clip.found is None:
        return clip.failed or "no music was looked for yet"
    if clip.accepted:
        return ""
    if clip.found["chance"] is None:
        return "too few tracks to tell the best from chance"
    if not clip.found["better_than_chance"]:
        return "no track fits better than chance"
    return ""


@dataclass(frozen=True)
class PickRequest:
    """A clip under a folder that was named at the start."""

    path: Annotated[str, Field(min_length=1, max_length=2000)]
    """Below the folder, with slashes."""
    folder: Annotated[int, Field(ge=0, le=1000)] = 0


@dataclass(frozen=True)
class GroundRequest:
    """How to look for music; every field may be left out."""

    options: GroundOptions = field(default_factory=lambda: GroundOptions(top=10))
    track: Identifier | None = None
    """Look on this track only."""
    near: Seconds | None = None
    """With `track`: where on it the moment should start, within 2.5 s."""
    like: Identifier | None = None
    """Look among the tracks that sound most like this one."""
    words: Annotated[str, Field(max_length=200)] = ""
    """Look among the tracks that have these tags, as in "piano, instrumental"."""
    tempo_from: Tempo = 0
    tempo_to: Tempo = 1000


@dataclass(frozen=True)
class RenderRequest:
    """How to write a clip with the music that was chosen for it."""

    container: Literal["mp4", "mov", "mkv"] = "mp4"
    strip_metadata: bool = False


@dataclass(frozen=True)
class TimelineRequest:
    """Which editor's timeline to write of a clip with the music that was chosen for it."""

    format: Literal["otio", "xml", "edl"] = "otio"


@dataclass(frozen=True)
class ExplainRequest:
    """In which form to draw why the choice fits."""

    format: Literal["png", "svg"] = "png"


@dataclass(frozen=True)
class ChoiceRequest:
    """The moment to use for a clip."""

    track: Identifier
    start: Seconds
    end: Seconds
    keep_audio: bool = False
    own_gain: Gain = 0.0
    """dB by which the clip's own sound is louder than usual, where it is kept."""


@dataclass(frozen=True)
class StepDocument:
    """How far a job is."""

    what: str
    done: int
    total: int | None
    note: str


@dataclass(frozen=True)
class JobDocument:
    """A job. Its result depends on its kind; a file it wrote is at `file`."""

    id: str
    kind: Kind
    clip: str
    state: State
    step: StepDocument | None
    seconds_left: float | None
    problem: ProblemDocument | None
    notes: list[str]
    file: str
    """The address of the file that was written, if any."""
    moment: MomentDocument | None
    """The best one that was found."""
    event: int
    """The number of its last event: rises over all jobs."""


def job_document(job: StudioJob) -> JobDocument:
    step, result = job.step, job.result or {}
    left = job.seconds_left
    return JobDocument(
        job.id,
        job.kind,
        job.clip,
        job.state,
        StepDocument(step.what, step.done, step.total, clean(step.note)) if step else None,
        None if left is None else round(left, 1),
        ProblemDocument(**job.problem) if job.problem else None,
        [clean(note) for note in result.get("notes", [])],
        f"/api/v1/jobs/{job.id}/file" if "file" in result else "",
        _moment.validate_python(result.get("moment")),
        job.event,
    )


@dataclass(frozen=True)
class LibraryDocument:
    """The music to choose from."""

    ready: bool
    """Whether it was read; groundings wait until then."""
    index: JobDocument | None
    """The job that reads it."""
    tracks: int
    tags: list[str]
    """That any track has, the most frequent first."""
    tempo_from: float
    tempo_to: float
    folders: list[str]
    """Names of the folders whose clips may be picked."""
    largest_clip: int
    """Bytes of a clip that may be sent."""


@dataclass(frozen=True)
class PeaksDocument:
    """How loud a track is over time."""

    track: str
    per_second: float
    peaks: list[int]
    """0 to 100, the loudest of each step."""


@dataclass(frozen=True)
class StructureDocument:
    """Where the parts of a track begin."""

    track: str
    beats: list[float]
    downbeats: list[float]
    """First beats of bars."""
    sections: list[float]
    phrases: list[float]


@dataclass(frozen=True)
class PictureDocument:
    """What a clip's picture does over time."""

    duration: float
    cuts: list[float]
    motion: list[float]
    motion_rate: float
    """Values of `motion` a second."""


@dataclass(frozen=True)
class UseRequest:
    """Which clip's choice to remember as a use."""

    clip: Identifier
    category: Annotated[str, Field(max_length=200)] = ""


@dataclass(frozen=True)
class UseDocument:
    """A moment that is remembered as used."""

    id: int
    track: str
    name: str
    start: float
    end: float
    video: str
    category: str

    @classmethod
    def of(cls, id: int, use: Use, name: str) -> UseDocument:
        return cls(id, use.track, clean(name), use.start, use.end, clean(use.video), use.category)


def clean(text: str) -> str:
    """`text` without the lone surrogates of a name that is not UTF-8, which no JSON holds."""
    return text.encode("utf-8", "replace").decode()


_moment: TypeAdapter[MomentDocument | None] = TypeAdapter(MomentDocument | None)
