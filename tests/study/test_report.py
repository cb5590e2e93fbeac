"""A report on simulated listeners, who are declared as such: what was put in comes back out."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from study_listeners import Crowd, paper_key, paper_study, simulated, true_rate

from mgsv.errors import DataError, OutputError
from mgsv.study.answers import AnswerBook
from mgsv.study.design import Question
from mgsv.study.exclusion import why_excluded
from mgsv.study.report import StudyReport, report_sessions, report_study
from mgsv.study.report_files import report_text, write_study_report

WORTH = (1.2, 0.0, -0.6)
STUDY = paper_study(clips=20, systems=3)
KEY = paper_key(STUDY)


@pytest.fixture(scope="module")
def report() -> StudyReport:
    """Of 40 listeners, of whom six click at random."""
    attentive = simulated(STUDY, Crowd(WORTH), range(34), seed=3)
    careless = simulated(STUDY, Crowd(WORTH, random=True), range(34, 40), seed=3)
    return report_sessions([*attentive, *careless], KEY, resamples=400)


@pytest.mark.parametrize("question", [0, 1])
def test_known_preferences_come_back(report: StudyReport, question: int) -> None:
    result = report.questions[question]
    ranked = sorted(result.strengths, key=lambda one: -one.strength)
    assert [one.system for one in ranked] == ["system0", "system1", "system2"]
    for pair in result.pairs:
        one, other = KEY.systems.index(pair.one), KEY.systems.index(pair.other)
        low, high = pair.clustered
        # Of 20 clips: nearly three times the 95 % interval's half is four standard errors.
        assert low - 0.1 < true_rate(WORTH, one, other, Crowd(WORTH)) < high + 0.1
        assert low < pair.rate < high
    assert all(one.interval[0] < one.strength < one.interval[1] for one in ranked)
    assert result.agreement > 0.1


def test_random_clickers_are_excluded_with_the_reason(report: StudyReport) -> None:
    tokens = {token for token, _ in report.excluded}
    assert {f"simulated{n:013d}" for n in range(34, 40)} <= tokens
    assert len(tokens) <= 8 and report.sessions == 40
    assert all("identical pairs" in reason for _, reason in report.excluded)


def test_the_order_effect_that_is_put_in_is_found() -> None:
    for second, found in ((0.0, False), (0.7, True)):
        crowd = Crowd((0.0, 0.0), second=second, clip_spread=0, listener_spread=0)
        study = paper_study(clips=20, systems=2)
        sessions = simulated(study, crowd, range(30), seed=4)
        for result in report_sessions(sessions, paper_key(study), resamples=50).questions:
            assert (result.order.second_interval[0] > 0.5) is found
            assert result.order.side_b_interval[0] < 0.5 < result.order.side_b_interval[1]
            # Sides and beginnings are balanced, so that nobody gains by it.
            (pair,) = result.pairs
            assert pair.clustered[0] < 0.5 < pair.clustered[1]


def test_who_answers_too_little_or_always_the_same_is_excluded() -> None:
    (whole,) = simulated(STUDY, Crowd(WORTH, lapses=0), [0], seed=1)
    few = dict(list(whole.answers.items())[:3])
    same = {n: type(a)(a.trial, 0, a.heard, a.listened, 9.0) for n, a in whole.answers.items()}
    reasons = [
        why_excluded(type(whole)(whole.token, 0, whole.trials, answers))
        for answers in (whole.answers, few, same)
    ]
    assert reasons[0] == ""
    assert reasons[1].startswith("too few answers: ")
    assert reasons[2] == "the same answer to all 40 pairs"


def test_win_rates_are_sums(report: StudyReport) -> None:
    """Counted again from the single answers, as plainly as can be."""
    result = report.questions[0]
    for pair in result.pairs:
        mine = [
            one.preference
            for one in report.judgements
            if (one.question, one.one, one.other) == (result.question, pair.one, pair.other)
        ]
        assert pair.steps == tuple(mine.count(step) for step in (-2, -1, 0, 1, 2))
        won = sum(p < 0 for p in mine) + sum(p == 0 for p in mine) / 2
        assert pair.rate == pytest.approx(won / len(mine))
    assert {one.question for one in report.judgements} == {*Question}


@pytest.mark.slow
def test_the_files(report: StudyReport, tmp_path: Path) -> None:
    folder = write_study_report(report, tmp_path / "report")
    document = json.loads((folder / "report.json").read_text())
    assert document["schema"] == "mgsv.study-report/1"
    rates = list(csv.DictReader(io.StringIO((folder / "win_rates.csv").read_text())))
    assert len(rates) == 6
    for row, pair in zip(rates, document["questions"][0]["pairs"], strict=False):
        assert float(row["rate"]) == pytest.approx(pair["rate"])
        assert int(row["no_difference"]) == pair["steps"][2]
    answers = list(csv.DictReader(io.StringIO((folder / "answers.csv").read_text())))
    assert len(answers) == len(report.judgements)
    assert (folder / "bars.png").read_bytes().startswith(b"\x89PNG")
    ElementTree.fromstring((folder / "bars.svg").read_text())
    text = (folder / "report.txt").read_text()
    assert text == report_text(report)
    assert "fits the picture" in text and "heard a difference in" in text
    with pytest.raises(OutputError, match="it exists already"):
        write_study_report(report, tmp_path / "report")


def test_answers_on_the_disk_become_a_report(own_study: Path) -> None:
    """Of the small real study: a damaged line is named, and the rest counts."""
    with pytest.raises(DataError, match="nobody has answered yet: run it with"):
        report_study(own_study)
    from mgsv.study.study import open_study

    study = open_study(own_study)
    book = AnswerBook(study)
    systems = max(len(clip.variants) for clip in study.clips)
    for n in range(4):
        session = book.start()
        (listener,) = simulated(study, Crowd((0.0,) * systems, lapses=0), [n], seed=2)
        for answer in listener.answers.values():
            book.add(session.token, answer)
    path = own_study / "answers" / f"{session.token}.jsonl"
    with path.open("ab") as file:
        file.write(b"not JSON\n")
    report = report_study(own_study, resamples=50)
    assert report.sessions == report.complete == 4
    (damage,) = report.damaged
    assert damage.startswith(str(path)) and "line " in damage
    assert report.systems == ("original", "sync", "made")
    assert "damaged: " in report_text(report)
