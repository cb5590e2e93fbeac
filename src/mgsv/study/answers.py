"""What listeners answered: a file for each, `answers/TOKEN.jsonl`, to which lines are added.

The first line has the study's id and the listener's number, each other one an answer. Nothing in it
says who or where the listener is, nor when. A file is read against the design: what was not asked
is no answer. Where a question is answered again, the last answer counts.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mgsv import portable
from mgsv.errors import ConfigError, DataError
from mgsv.files import unwritable
from mgsv.study.design import STEPS, Side, Trial, trials_of
from mgsv.study.study import ANSWERS, Study

SCHEMA = "mgsv.answers/1"
TOKEN = re.compile(r"[A-Za-z0-9_-]{22}")
LEAST_HEARD = 2.0
"""Seconds for which each side has to be heard, or half of the clip where that is less."""
MOST_SWITCHES = 200
"""Of which the order is kept for an answer."""
MOST_LISTENERS = 10_000
ANSWERS_PER_TRIAL = 20
"""Lines that one listener may add for each question on average, changes of mind included."""
LONGEST_LINE = 4096
"""Bytes."""


@dataclass(frozen=True)
class Answer:
    """preference: one of `STEPS`. heard: the sides in the order in which they were heard, from
    switch to switch. listened: seconds for which A and B were heard. seconds: how long it took.
    """

    trial: Trial
    preference: int
    heard: tuple[Side, ...]
    listened: tuple[float, float]
    seconds: float

    @property
    def second(self) -> Side:
        """The side that was heard second."""
        return self.heard[0].other


@dataclass(frozen=True)
class ListenerSession:
    """One listener's answers, by the number of the trial.

    damaged: what was left out, one line for each line of the file.
    """

    token: str
    listener: int
    trials: tuple[Trial, ...]
    answers: Mapping[int, Answer]
    damaged: tuple[str, ...] = ()

    @property
    def next(self) -> Trial | None:
        """The first that is not answered; None at the end."""
        return next((one for one in self.trials if one.number not in self.answers), None)


class AnswerBook:
    """The answers of a study, read and added to. Safe for threads."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self._folder = study.folder / ANSWERS
        self._lock = threading.Lock()

    def start(self) -> ListenerSession:
        """Begin a session under a new token. Raises `ConfigError` where there are too many, and
        `OutputError` where it cannot be written.
        """
        with self._lock:
            listener = sum(1 for _ in self._files())
            if listener >= MOST_LISTENERS:
                raise ConfigError(f"{MOST_LISTENERS} sessions were begun", "make another study")
            token = secrets.token_urlsafe(16)
            head = {"schema": SCHEMA, "study": self.study.id, "listener": listener}
            path = self._path(token)
            try:
                self._folder.mkdir(exist_ok=True)
                with path.open("xb") as file:
                    file.write(_line(head))
                    file.flush()
                    os.fsync(file.fileno())
                portable.sync_name(path)
            except OSError as error:
                raise unwritable(path, error) from error
        return ListenerSession(token, listener, trials_of(self.study, listener), {})

    def session(self, token: str) -> ListenerSession:
        """Raises `ConfigError` where there is no such session, `DataError` for a damaged head."""
        if not TOKEN.fullmatch(token) or not self._path(token).is_file():
            raise ConfigError("there is no such session", "begin a new one")
        return self._read(self._path(token))

    def sessions(self) -> Iterator[ListenerSession | DataError]:
        """All sessions by their numbers; an error for each file that tells nothing."""
        read: list[ListenerSession] = []
        for path in sorted(self._files()):
            try:
                read.append(self._read(path))
            except DataError as error:
                yield error
        yield from sorted(read, key=lambda one: one.listener)

    def add(self, token: str, answer: Answer) -> ListenerSession:
        """Write an answer to the disk. Raises `ConfigError` for what is none, and `OutputError`."""
        with self._lock:
            session = self.session(token)
            trial = _asked(session.trials, answer.trial.number)
            answer = _checked(self.study, trial, _fields(answer))
            path, line = self._path(token), _line(_fields(answer))
            try:
                if path.stat().st_size > LONGEST_LINE * ANSWERS_PER_TRIAL * len(session.trials):
                    raise ConfigError("this session has too many answers", "begin a new one")
                with path.open("r+b") as file:
                    file.seek(-1, os.SEEK_END)
                    torn = file.read(1) != b"\n"  # a line that a full disk or a crash cut short
                    file.write((b"\n" if torn else b"") + line)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise unwritable(path, error) from error
            return self._read(path)

    def _files(self) -> Iterator[Path]:
        return (one for one in self._folder.glob("*.jsonl") if TOKEN.fullmatch(one.stem))

    def _path(self, token: str) -> Path:
        return self._folder / f"{token}.jsonl"

    def _read(self, path: Path) -> ListenerSession:
        try:
            head, *lines = path.read_bytes().split(b"\n")
        except OSError as error:
            raise DataError(path, f"cannot be read ({error.strerror})") from error
        try:
            first = json.loads(head)
            listener = first["listener"]
            if first["schema"] != SCHEMA or type(listener) is not int or listener < 0:
                raise ValueError("no head of a session")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise _bad_line(path, 1, f"{type(error).__name__}: {error}") from error
        if first.get("study") != self.study.id:
            raise _bad_line(path, 1, "the session is of another study")
        trials = trials_of(self.study, listener)
        answers: dict[int, Answer] = {}
        damaged = []
        for number, line in enumerate(lines, 2):
            if not line.strip():
                continue
            try:
                found = json.loads(line)
                answer = _checked(self.study, _asked(trials, found["trial"]), found)
            except ConfigError as error:
                damaged.append(str(_bad_line(path, number, str(error))))
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                damaged.append(str(_bad_line(path, number, f"{type(error).__name__}: {error}")))
            else:
                answers[answer.trial.number] = answer
        return ListenerSession(path.stem, listener, trials, answers, tuple(damaged))


def least_heard(seconds: float) -> float:
    """Seconds for which each side of a clip of `seconds` has to be heard."""
    return min(LEAST_HEARD, seconds / 2)


def _asked(trials: tuple[Trial, ...], number: Any) -> Trial:
    if type(number) is not int or not 0 <= number < len(trials):
        raise ConfigError(f"trial {number!r} was not asked", f"give 0 to {len(trials) - 1}")
    return trials[number]


def _checked(study: Study, trial: Trial, found: Mapping[str, Any]) -> Answer:
    """The answer to `trial`; ConfigError for values that no listener can give."""
    preference, heard = found["preference"], found["heard"]
    if type(preference) is not int or preference not in STEPS:
        raise ConfigError(f"the preference {preference!r} is no step", "give -2 to 2")
    if not isinstance(heard, list) or len(heard) > MOST_SWITCHES or not set(heard) <= {*Side}:
        raise ConfigError("what was heard is no list of a and b", f"give at most {MOST_SWITCHES}")
    sides = tuple(Side(one) for one in heard)
    listened = found["listened"]
    times = [*listened, found["seconds"]] if isinstance(listened, list) else []
    if len(times) != 3 or not all(type(one) in (int, float) and 0 <= one < 1e6 for one in times):
        raise ConfigError("the times of listening are no numbers", "give seconds")
    least = least_heard(study.clip(trial.clip).seconds)
    if set(sides) != {*Side} or min(listened) < least:
        raise ConfigError("both sides have to be heard", f"listen to each for at least {least:g} s")
    a, b, seconds = (float(one) for one in times)
    for name, value in (("question", trial.question), ("a", trial.a), ("b", trial.b)):
        if found.get(name, value) != value:
            raise ConfigError(f"the {name} is not what was asked")
    return Answer(trial, preference, sides, (a, b), seconds)


def _fields(answer: Answer) -> dict[str, Any]:
    """An answer's line, with all that was asked, so that it can be read without the design."""
    trial = answer.trial
    return {
        "trial": trial.number,
        "question": trial.question,
        "clip": trial.clip,
        "a": trial.a,
        "b": trial.b,
        "preference": answer.preference,
        "heard": [*answer.heard],
        "listened": [round(one, 2) for one in answer.listened],
        "seconds": round(answer.seconds, 2),
    }


def _line(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, allow_nan=False).encode() + b"\n"


def _bad_line(path: Path, number: int, problem: str) -> DataError:
    return DataError(path, f"line {number}: {problem}".replace("\n", " "), "mend or remove it")
