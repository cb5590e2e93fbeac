"""What a study found: who is preferred, how surely, and whose answers do not count."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from mgsv.errors import DataError
from mgsv.files import StrPath
from mgsv.study.agreement import krippendorff_alpha
from mgsv.study.answers import Answer, AnswerBook, ListenerSession
from mgsv.study.design import STEPS, Question, Side
from mgsv.study.exclusion import why_excluded
from mgsv.study.intervals import RESAMPLES, cluster_weights, percentiles, wilson
from mgsv.study.strengths import fit_strengths
from mgsv.study.study import StudyKey, open_study, read_key

SCHEMA = "mgsv.study-report/1"
Interval = tuple[float, float]
Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Judgement:
    """One answer that counts, unblinded. preference: −2 to 2, less than 0 where `one`, the system
    that stands first in the study's list, is better. second, side_b: whether `other` was heard
    second, and stood on side B.
    """

    listener: int
    question: Question
    clip: str
    one: str
    other: str
    preference: int
    second: bool
    side_b: bool
    seconds: float


@dataclass(frozen=True)
class PairResult:
    """How often `one` was preferred to `other`, a tie being half: `rate`.

    interval: Wilson's, as if every answer were another listener's. clustered: by resampling
    listeners and clips. steps: how many answers on each step, much better `one` first.
    """

    one: str
    other: str
    steps: tuple[int, ...]
    rate: float
    interval: Interval
    clustered: Interval

    @property
    def count(self) -> int:
        return sum(self.steps)


@dataclass(frozen=True)
class Strength:
    """A system's place on the Bradley–Terry scale; rate: how often it was preferred, all in all."""

    system: str
    strength: float
    interval: Interval
    rate: float
    rate_interval: Interval


@dataclass(frozen=True)
class OrderEffect:
    """How often what was heard second was preferred, and what stood on side B; a tie is half."""

    second: float
    second_interval: Interval
    side_b: float
    side_b_interval: Interval


@dataclass(frozen=True)
class QuestionResult:
    """The answers to one question. agreement: Krippendorff's alpha, NaN where nothing compares."""

    question: Question
    answers: int
    pairs: tuple[PairResult, ...]
    strengths: tuple[Strength, ...]
    order: OrderEffect
    agreement: float


@dataclass(frozen=True)
class StudyReport:
    """What `report_study` found.

    systems: in the study's order. excluded: (token, reason) of sessions that do not count.
    damaged: lines and files that could not be read. same: on how many clips two systems gave the
    same answer, which was not asked about, as (one, other, clips).
    """

    systems: tuple[str, ...]
    clips: int
    sessions: int
    complete: int
    excluded: tuple[tuple[str, str], ...]
    damaged: tuple[str, ...]
    same: tuple[tuple[str, str, int], ...]
    questions: tuple[QuestionResult, ...]
    judgements: tuple[Judgement, ...]

    def as_dict(self) -> dict[str, Any]:
        """The JSON document: plain values, the tokens but not the single answers."""
        values = {name: value for name, value in asdict(self).items() if name != "judgements"}
        return {"schema": SCHEMA, **json.loads(json.dumps(_plain(values)))}


def report_study(folder: StrPath, *, resamples: int = RESAMPLES, seed: int = 0) -> StudyReport:
    """Read the answers of the study in `folder`, and say what they say.

    Damaged lines and files are named and left out. Raises `ConfigError` where there is no study,
    and `DataError` for a damaged study or key, and where no answer counts.
    """
    study, key = open_study(folder), read_key(folder)
    sessions: list[ListenerSession] = []
    damaged: list[str] = []
    for found in AnswerBook(study).sessions():
        if isinstance(found, DataError):
            damaged.append(str(found))
        else:
            damaged += found.damaged
            sessions.append(found)
    report = report_sessions(sessions, key, damaged, resamples=resamples, seed=seed)
    if not report.judgements:
        first = next((f" ({reason})" for _, reason in report.excluded), "")
        what = f"none of {report.sessions} sessions counts" if first else "nobody has answered yet"
        raise DataError(folder, what + first, "run it with `mgsv studio --study`")
    return report


def report_sessions(
    sessions: Iterable[ListenerSession],
    key: StudyKey,
    damaged: Sequence[str] = (),
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> StudyReport:
    """What sessions that were read say; see `report_study`."""
    begun = [one for one in sessions if one.answers]
    reasons = {one.token: why_excluded(one) for one in begun}
    counted = [one for one in begun if not reasons[one.token]]
    judgements = tuple(j for one in counted for j in judgements_of(one, key))
    rng = np.random.default_rng(seed)
    return StudyReport(
        systems=key.systems,
        clips=len(key.clips),
        sessions=len(begun),
        complete=sum(one.next is None for one in counted),
        excluded=tuple((token, reason) for token, reason in reasons.items() if reason),
        damaged=tuple(damaged),
        same=_same(key),
        questions=tuple(
            question_result(question, judgements, key.systems, resamples, rng)
            for question in Question
            if any(one.question is question for one in judgements)
        ),
        judgements=judgements,
    )


def judgements_of(session: ListenerSession, key: StudyKey) -> Iterable[Judgement]:
    """A session's answers with the systems' names, checks left out.

    Where several systems gave one answer, what is said of it is said of each of them.
    """
    for answer in session.answers.values():
        if answer.trial.is_check:
            continue
        variants = key.clips[answer.trial.clip].variants
        for a in variants[answer.trial.a].systems:
            for b in variants[answer.trial.b].systems:
                yield _judgement(session.listener, answer, a, b, key.systems)


def _judgement(listener: int, answer: Answer, a: str, b: str, systems: Sequence[str]) -> Judgement:
    turned = systems.index(a) > systems.index(b)
    other = Side.A if turned else Side.B
    return Judgement(
        listener,
        answer.trial.question,
        answer.trial.clip,
        b if turned else a,
        a if turned else b,
        -answer.preference if turned else answer.preference,
        answer.second is other,
        other is Side.B,
        answer.seconds,
    )


def question_result(
    question: Question,
    judgements: Sequence[Judgement],
    systems: Sequence[str],
    resamples: int,
    rng: np.random.Generator,
) -> QuestionResult:
    """What the judgements on `question` say."""
    own = [one for one in judgements if one.question is question]
    at = {system: n for n, system in enumerate(systems)}
    one = np.array([at[j.one] for j in own])
    other = np.array([at[j.other] for j in own])
    preference = np.array([j.preference for j in own])
    listeners, clips = _codes([j.listener for j in own]), _codes([j.clip for j in own])
    weights = cluster_weights(listeners, clips, resamples, rng)
    wins, ties = _counts(one, other, preference, len(systems), np.ones((1, len(own))))
    drawn_wins, drawn_ties = _counts(one, other, preference, len(systems), weights)
    strengths, _ = fit_strengths(wins[0], ties[0])
    drawn, _ = fit_strengths(drawn_wins, drawn_ties)
    half = ties / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        rates = (drawn_wins + drawn_ties / 2) / _both(drawn_wins, drawn_ties)
    pairs = []
    for a, b in combinations(range(len(systems)), 2):
        mine = preference[(one == a) & (other == b)]
        if len(mine):
            won = float(wins[0, a, b] + half[0, a, b])
            steps = tuple(int((mine == step).sum()) for step in STEPS)
            pairs.append(
                PairResult(
                    systems[a],
                    systems[b],
                    steps,
                    won / len(mine),
                    wilson(won, len(mine)),
                    percentiles(rates[:, a, b]),
                )
            )
    scale = []
    for n, system in enumerate(systems):
        won, count = float((wins + half)[0, n].sum()), float(_both(wins, ties)[0, n].sum())
        if count:
            scale.append(
                Strength(
                    system,
                    float(strengths[n]),
                    percentiles(drawn[:, n]),
                    won / count,
                    wilson(won, count),
                )
            )
    return QuestionResult(
        question,
        len(own),
        tuple(pairs),
        tuple(scale),
        _order(own, preference),
        krippendorff_alpha(_table(own, listeners)),
    )


def _counts(
    one: Indices, other: Indices, preference: Indices, systems: int, weights: Floats
) -> tuple[Floats, Floats]:
    """Wins and ties [R, S, S] of answers that count `weights` [R, N] times."""
    shape = (len(weights), systems * systems)
    wins, ties = np.zeros(shape), np.zeros(shape)
    better, worse = np.where(preference < 0, one, other), np.where(preference < 0, other, one)
    tie = preference == 0
    for place in range(systems * systems):
        row, column = divmod(place, systems)
        won = ~tie & (better == row) & (worse == column)
        wins[:, place] = weights[:, won].sum(axis=1)
        same = tie & (((one == row) & (other == column)) | ((one == column) & (other == row)))
        ties[:, place] = weights[:, same].sum(axis=1)
    whole = (len(weights), systems, systems)
    return wins.reshape(whole), ties.reshape(whole)


def _both(wins: Floats, ties: Floats) -> Floats:
    """How often each two were compared."""
    return wins + wins.transpose(0, 2, 1) + ties


def _order(own: Sequence[Judgement], preference: Indices) -> OrderEffect:
    second = np.array([one.second for one in own])
    side = np.array([one.side_b for one in own])

    def share(late: npt.NDArray[np.bool_]) -> tuple[float, Interval]:
        liked = np.where(late, preference, -preference)
        won = float((liked > 0).sum() + (liked == 0).sum() / 2)
        return won / len(own), wilson(won, len(own))

    return OrderEffect(*share(second), *share(side))


def _table(own: Sequence[Judgement], listeners: Indices) -> Floats:
    """[listeners, items] of preferences; an item is a clip and two systems."""
    items = _codes([f"{one.clip}\0{one.one}\0{one.other}" for one in own])
    table = np.full((int(listeners.max()) + 1, int(items.max()) + 1), math.nan)
    table[listeners, items] = [one.preference for one in own]
    return table


def _codes(names: Sequence[Any]) -> Indices:
    _, codes = np.unique(np.array(names), return_inverse=True)
    return codes.astype(np.int64)


def _same(key: StudyKey) -> tuple[tuple[str, str, int], ...]:
    counts = []
    for one, other in combinations(key.systems, 2):
        clips = sum(
            any({one, other} <= {*variant.systems} for variant in clip.variants.values())
            for clip in key.clips.values()
        )
        if clips:
            counts.append((one, other, clips))
    return tuple(counts)


def _plain(value: Any) -> Any:
    """Numbers that are not finite, which no JSON holds, as None."""
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value
