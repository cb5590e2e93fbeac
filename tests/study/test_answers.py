"""Answer files: what is written stays, and what is damaged or was not asked is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from study_listeners import paper_study

from mgsv.errors import ConfigError, DataError
from mgsv.study.answers import Answer, AnswerBook
from mgsv.study.design import Side, trials_of

HEARD = (Side.A, Side.B, Side.A)


@pytest.fixture
def book(tmp_path: Path) -> AnswerBook:
    return AnswerBook(paper_study(clips=2, systems=2, trials=2, checks=1, folder=tmp_path))


def answer(book: AnswerBook, listener: int, number: int, preference: int = 1) -> Answer:
    return Answer(trials_of(book.study, listener)[number], preference, HEARD, (4.0, 3.0), 9.5)


def test_a_session_is_gone_on_with_by_its_token(book: AnswerBook) -> None:
    started = book.start()
    assert (started.listener, started.next) == (0, started.trials[0])
    book.add(started.token, answer(book, 0, 0))
    again = AnswerBook(book.study).session(started.token)
    assert again.next == again.trials[1]
    assert again.answers[0] == answer(book, 0, 0)
    assert book.start().listener == 1


def test_the_last_answer_to_a_question_counts(book: AnswerBook) -> None:
    token = book.start().token
    for preference in (2, -1):
        session = book.add(token, answer(book, 0, 0, preference))
    assert session.answers[0].preference == -1
    lines = (book.study.folder / "answers" / f"{token}.jsonl").read_text().splitlines()
    assert [json.loads(line).get("preference") for line in lines] == [None, 2, -1]


def test_nothing_in_the_file_says_who_or_when(book: AnswerBook) -> None:
    token = book.start().token
    book.add(token, answer(book, 0, 0))
    head, line = (book.study.folder / "answers" / f"{token}.jsonl").read_text().splitlines()
    assert set(json.loads(head)) == {"schema", "study", "listener"}
    fields = "trial question clip a b preference heard listened seconds"
    assert set(json.loads(line)) == set(fields.split())


def test_a_line_that_was_cut_short_costs_that_line_alone(book: AnswerBook) -> None:
    token = book.start().token
    path = book.study.folder / "answers" / f"{token}.jsonl"
    book.add(token, answer(book, 0, 0))
    with path.open("ab") as file:
        file.write(b'{"trial": 1, "prefer')
    session = book.add(token, answer(book, 0, 2))
    assert set(session.answers) == {0, 2}
    assert session.next == session.trials[1]
    (damage,) = session.damaged
    assert damage.startswith(f"{path}: line 3: ") and damage.endswith("mend or remove it")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"trial": 99}, "trial 99 was not asked"),
        ({"preference": 3}, "the preference 3 is no step"),
        ({"preference": True}, "the preference True is no step"),
        ({"heard": ["a"]}, "both sides have to be heard"),
        ({"heard": "ab"}, "what was heard is no list"),
        ({"listened": [9, 0.5]}, "both sides have to be heard"),
        ({"listened": [9, "x"]}, "no numbers"),
        ({"seconds": -1}, "no numbers"),
        ({"a": "another"}, "the a is not what was asked"),
    ],
)
def test_what_was_not_asked_is_no_answer(
    book: AnswerBook, change: dict[str, object], problem: str
) -> None:
    token = book.start().token
    path = book.study.folder / "answers" / f"{token}.jsonl"
    book.add(token, answer(book, 0, 0))
    head, line = path.read_text().splitlines()
    path.write_text("\n".join([head, json.dumps({**json.loads(line), **change}), ""]))
    session = book.session(token)
    assert not session.answers
    assert problem in session.damaged[0] and "line 2" in session.damaged[0]


def test_answers_are_checked_before_they_are_written(book: AnswerBook) -> None:
    token = book.start().token
    path = book.study.folder / "answers" / f"{token}.jsonl"
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="listen to each for at least 2 s"):
        book.add(token, replace(answer(book, 0, 0), listened=(0.1, 5.0)))
    assert path.read_bytes() == before


@pytest.mark.parametrize("token", ["", "../key", "x" * 22, "a/b", "x" * 5000])
def test_tokens_that_are_none(book: AnswerBook, token: str) -> None:
    with pytest.raises(ConfigError, match="there is no such session: begin a new one"):
        book.session(token)


def test_files_that_are_no_sessions_are_named(book: AnswerBook, tmp_path: Path) -> None:
    good = book.start().token
    other = AnswerBook(paper_study(clips=2, systems=2, folder=tmp_path / "other", id="other"))
    token = other.start().token
    for name, content in (
        ("b" * 22, b"\xff\xfe"),
        (token, (tmp_path / "other" / "answers" / f"{token}.jsonl").read_bytes()),
    ):
        (book.study.folder / "answers" / f"{name}.jsonl").write_bytes(content)
    found = list(book.sessions())
    assert [one.token for one in found if not isinstance(one, DataError)] == [good]
    errors = sorted(str(one) for one in found if isinstance(one, DataError))
    assert len(errors) == 2 and all("line 1: " in one for one in errors)
    assert any("the session is of another study" in one for one in errors)
