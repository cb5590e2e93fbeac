"""A listening test as an application: its page and its routes, and nothing else of the studio.

What it sends tells nothing of systems or tracks: the key to the study is never opened here, and
pictures and sounds have the addresses of the trial they are for.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from dataclasses import dataclass
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Depends, FastAPI, Path, Request, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from pydantic import Field
from starlette.types import ASGIApp

from mgsv.errors import ConfigError
from mgsv.studio.app import STATIC
from mgsv.studio.options import StudioOptions
from mgsv.studio.problems import Naming, Refusal, handle_problems
from mgsv.studio.routes.shared import API, FILE, MEDIA_TYPES
from mgsv.studio.security import Guard
from mgsv.study.answers import (
    MOST_SWITCHES,
    TOKEN,
    Answer,
    AnswerBook,
    ListenerSession,
    least_heard,
)
from mgsv.study.design import Question, Side, Trial
from mgsv.study.study import Study

PAGE = STATIC / "study.html"
LONGEST_TRIAL = 1e5
"""Seconds that one trial may have taken, as far as is believed."""

router = APIRouter(prefix="/study", tags=["study"])


@dataclass(frozen=True)
class TrialDocument:
    """Two sounds to compare over one picture.

    number: from 0, of so many. part: of the two. least: seconds for which each side has to be
    heard. first: the side that begins. picture, a, b: where these are.
    """

    number: int
    of: int
    part: int
    question: Question
    seconds: float
    least: float
    first: Side
    picture: str
    a: str
    b: str


@dataclass(frozen=True)
class SessionDocument:
    """How far a listener is. next: None at the end."""

    token: str
    answered: int
    of: int
    next: TrialDocument | None


@dataclass(frozen=True)
class AnswerRequest:
    """preference: from -2, A is much better, to 2, B is much better. heard: the sides in the order
    in which they were heard. listened: seconds of A and B. seconds: for which the trial was open.
    """

    preference: Annotated[int, Field(ge=-2, le=2, strict=True)]
    heard: Annotated[list[Literal["a", "b"]], Field(min_length=2, max_length=MOST_SWITCHES)]
    listened: Annotated[
        list[Annotated[float, Field(ge=0, le=LONGEST_TRIAL)]], Field(min_length=2, max_length=2)
    ]
    seconds: Annotated[float, Field(ge=0, le=LONGEST_TRIAL)]


def _book(request: Request) -> AnswerBook:
    return cast(AnswerBook, request.app.state.book)


InStudy = Annotated[AnswerBook, Depends(_book)]
Token = Annotated[str, Path(pattern=f"^{TOKEN.pattern}$")]
Number = Annotated[int, Path(ge=0, le=100_000)]


@router.post("/sessions", status_code=201)
def begin_session(book: InStudy, response: Response) -> SessionDocument:
    """Begin to listen; the token is all that is known of who does."""
    session = book.start()
    response.headers["Location"] = f"{API}/study/sessions/{session.token}"
    return _session_document(book.study, session)


@router.get("/sessions/{token}")
def get_session(book: InStudy, token: Token) -> SessionDocument:
    """Go on where a listener has stopped."""
    return _session_document(book.study, _session(book, token))


@router.get("/sessions/{token}/trials/{number}")
def get_trial(book: InStudy, token: Token, number: Number) -> TrialDocument:
    """One of the listener's trials, as to listen to it again."""
    session = _session(book, token)
    return _trial_document(book.study, session, _trial(session, number))


@router.post("/sessions/{token}/trials/{number}/answer")
def answer_trial(
    book: InStudy, token: Token, number: Number, request: AnswerRequest
) -> SessionDocument:
    """Say which is better; of several answers to one trial, the last counts."""
    trial = _trial(_session(book, token), number)
    a, b = request.listened
    sides = tuple(Side(one) for one in request.heard)
    answer = Answer(trial, request.preference, sides, (a, b), request.seconds)
    return _session_document(book.study, book.add(token, answer))


@router.get("/sessions/{token}/trials/{number}/{what}", responses=FILE, response_class=FileResponse)
def get_media(
    book: InStudy, token: Token, number: Number, what: Literal["picture", "a", "b"]
) -> FileResponse:
    """The picture, or a sound."""
    trial = _trial(_session(book, token), number)
    clip = book.study.clip(trial.clip)
    if what == "picture":
        name = clip.picture
    else:
        variant = trial.variant(Side(what))
        name = next(one.sound for one in clip.variants if one.id == variant)
    # Neither its name nor its age nor its mark says that two sounds are the same.
    mark = hashlib.sha256(f"{token}/{number}/{what}".encode()).hexdigest()[:16]
    return FileResponse(
        book.study.media(name),
        media_type=MEDIA_TYPES[name.rpartition(".")[2]],
        headers={
            "Cache-Control": "private, max-age=3600",
            "ETag": f'"{mark}"',
            "Last-Modified": "Thu, 01 Jan 1970 00:00:00 GMT",
        },
    )


def create_listening_app(study: Study, options: StudioOptions) -> ASGIApp:
    """The application, behind its guard."""
    app = FastAPI(
        title="mgsv listening test",
        version=importlib.metadata.version("mgsv"),
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{API}/openapi.json",
    )
    app.state.book = AnswerBook(study)
    folder = study.folder.absolute()
    handle_problems(app, Naming([folder], folder))
    app.include_router(router, prefix=API)

    async def page() -> FileResponse:
        return FileResponse(PAGE, media_type="text/html", headers={"Cache-Control": "no-cache"})

    app.add_api_route("/", page, include_in_schema=False, response_class=FileResponse)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return Guard(app, options, uploads="", workspaces=False)


def _session(book: AnswerBook, token: str) -> ListenerSession:
    try:
        return book.session(token)
    except ConfigError as error:
        raise Refusal(404, error.problem, error.remedy) from error


def _trial(session: ListenerSession, number: int) -> Trial:
    if number >= len(session.trials):
        raise Refusal(404, "there is no such trial", f"give 0 to {len(session.trials) - 1}")
    return session.trials[number]


def _session_document(study: Study, session: ListenerSession) -> SessionDocument:
    trial = session.next
    following = None if trial is None else _trial_document(study, session, trial)
    return SessionDocument(session.token, len(session.answers), len(session.trials), following)


def _trial_document(study: Study, session: ListenerSession, trial: Trial) -> TrialDocument:
    seconds = study.clip(trial.clip).seconds
    place = f"{API}/study/sessions/{session.token}/trials/{trial.number}"
    part = 1 if trial.question is session.trials[0].question else 2
    return TrialDocument(
        trial.number,
        len(session.trials),
        part,
        trial.question,
        seconds,
        least_heard(seconds),
        trial.first,
        f"{place}/picture",
        f"{place}/a",
        f"{place}/b",
    )
