"""Errors as problem details (RFC 9457): the line that the command line prints, and its remedy."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from mgsv.errors import LibraryError, MgsvError, NoDecoder, OutputError, shown

MEDIA_TYPE = "application/problem+json"
_log = logging.getLogger("mgsv.studio")


@dataclass(frozen=True)
class ProblemDocument:
    """What went wrong with a request or a job."""

    title: str
    status: int
    detail: str
    """One line: what is wrong."""
    remedy: str = ""
    """What to do about it."""
    type: str = "about:blank"
    errors: list[dict[str, str]] = field(default_factory=list)
    """For each field of a request that cannot be: its `field`, and the `detail`."""


class Refusal(HTTPException):
    """Ends a request with `document`."""

    def __init__(
        self,
        status: int,
        detail: str,
        remedy: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.document = ProblemDocument(HTTPStatus(status).phrase, status, detail, remedy)
        super().__init__(status, detail, headers)


class Naming:
    """Takes this machine's folders out of what is said to people elsewhere."""

    def __init__(self, folders: Sequence[Path], stored: Path) -> None:
        """stored: its folders hold one clip or result each, under names that say nothing."""
        plain = [re.escape(shown(folder)) + r"[/\\]" for folder in folders]
        inside = re.escape(shown(stored)) + r"[/\\][^/\\]+[/\\][^/\\]+[/\\]"
        self._folders = re.compile("|".join([inside, *sorted(plain, key=len, reverse=True)]))

    def __call__(self, text: str) -> str:
        return self._folders.sub("", text)

    def problem(self, error: Exception) -> ProblemDocument:
        """What is said of `error`; nothing of what is no `MgsvError`."""
        if isinstance(error, Refusal):
            return error.document
        if not isinstance(error, MgsvError):
            _log.error("unexpected problem", exc_info=error)
            return _document(500, "unexpected problem: the log of `mgsv studio` has more of it")
        return _document(_status(error), self(error.problem), self(error.remedy))


def handle_problems(app: FastAPI, naming: Naming) -> None:
    """Have every error of `app` answered by a problem document."""

    async def known(_: Request, error: Exception) -> JSONResponse:
        headers = error.headers if isinstance(error, Refusal) else None
        return respond(naming.problem(error), headers)

    async def plain(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return respond(_document(error.status_code, str(error.detail)), error.headers)

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        errors = [
            {"field": ".".join(map(str, one["loc"][1:])), "detail": str(one["msg"])}
            for one in error.errors()[:20]
        ]
        first = errors[0]
        detail = f"`{first['field']}`: {first['detail']}" if first["field"] else first["detail"]
        return respond(_document(422, detail, "see /api/v1/openapi.json", errors))

    app.add_exception_handler(Refusal, known)
    app.add_exception_handler(MgsvError, known)
    app.add_exception_handler(Exception, known)
    app.add_exception_handler(HTTPException, plain)
    app.add_exception_handler(RequestValidationError, invalid)


def respond(document: ProblemDocument, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse(problem_values(document), document.status, headers, MEDIA_TYPE)


def problem_values(document: ProblemDocument) -> dict[str, Any]:
    """Without what is empty."""
    return {name: value for name, value in vars(document).items() if value or name == "detail"}


def _status(error: MgsvError) -> int:
    match error:
        case NoDecoder():
            return 503
        case LibraryError() | OutputError():
            return 409
    return 422


def _document(
    status: int, detail: str, remedy: str = "", errors: list[dict[str, str]] | None = None
) -> ProblemDocument:
    return ProblemDocument(
        HTTPStatus(status).phrase, status, detail.replace("\n", " "), remedy, errors=errors or []
    )
