"""What each listener is asked: pairs of one clip's variants, their sides and their order.

All of it follows from the study's seed and the listener's number, so that an answer file and this
module say what was heard. Over the listeners, in their order, each pair is asked equally often (to
one), and within each run of four uses of a pair each of its variants stands twice on the left and
begins twice.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from mgsv.study.study import Study, StudyClip


class Question(enum.StrEnum):
    """What a pass asks; each listener gets both, half of them in the other order."""

    FIT = "fit"
    """Which music fits the picture better?"""
    MUSIC = "music"
    """Which is the better music?"""


class Side(enum.StrEnum):
    A = "a"
    B = "b"

    @property
    def other(self) -> Side:
        return Side.B if self is Side.A else Side.A


STEPS = (-2, -1, 0, 1, 2)
"""Much better A, better A, no difference, better B, much better B."""


@dataclass(frozen=True)
class Pair:
    """Two variants of one clip by their ids; the same one twice is a check."""

    clip: str
    one: str
    other: str

    @property
    def is_check(self) -> bool:
        return self.one == self.other


@dataclass(frozen=True)
class Trial:
    """One question to one listener.

    number: its place among the listener's, from 0. a, b: ids of the variants on the two sides.
    first: the side that begins.
    """

    number: int
    question: Question
    clip: str
    a: str
    b: str
    first: Side

    @property
    def is_check(self) -> bool:
        return self.a == self.b

    def variant(self, side: Side) -> str:
        return self.a if side is Side.A else self.b


def all_pairs(study: Study) -> list[Pair]:
    """Every pair of different variants, clip by clip."""
    return [
        Pair(clip.id, one.id, other.id)
        for clip in study.clips
        for one, other in combinations(clip.variants, 2)
    ]


def trials_of(study: Study, listener: int) -> tuple[Trial, ...]:
    """All that the listener of this number, from 0, is asked, in order.

    `study.trials` pairs, or all where there are fewer, and `study.checks` checks in each pass.
    """
    rng = np.random.default_rng([study.seed, 1 + listener])
    pairs, questions = all_pairs(study), list(Question)
    if listener % 2:
        questions.reverse()
    trials: list[Trial] = []
    for question in questions:
        asked = _dealt(study, pairs, listener, question)
        rng.shuffle(asked)
        for check in _checks(study.clips, study.checks, rng):
            # Not the first: what is asked is learned there.
            at = int(rng.integers(1, len(asked) + 1))
            asked.insert(at, check)
        for pair, turn in asked:
            a, b = (pair.one, pair.other) if turn & 1 else (pair.other, pair.one)
            first = Side.A if turn & 2 else Side.B
            trials.append(Trial(len(trials), question, pair.clip, a, b, first))
    return tuple(trials)


def _dealt(
    study: Study, pairs: Sequence[Pair], listener: int, question: Question
) -> list[tuple[Pair, int]]:
    """The listener's pairs, each with its turn, 0 to 3: bit 0 is the side, bit 1 who begins.

    The pairs lie in a ring, in an order that is drawn once; listeners take theirs one after the
    other, as many as each gets.
    """
    rng = np.random.default_rng([study.seed, 0, list(Question).index(question)])
    order, offsets = rng.permutation(len(pairs)), rng.integers(4, size=len(pairs))
    count = min(study.trials, len(pairs))
    dealt = []
    for place in range(listener * count, (listener + 1) * count):
        at = int(order[place % len(pairs)])
        uses = place // len(pairs)
        dealt.append((pairs[at], int(uses + offsets[at]) % 4))
    return dealt


def _checks(
    clips: Sequence[StudyClip], count: int, rng: np.random.Generator
) -> list[tuple[Pair, int]]:
    checks = []
    for _ in range(count):
        clip = clips[int(rng.integers(len(clips)))]
        variant = clip.variants[int(rng.integers(len(clip.variants)))].id
        checks.append((Pair(clip.id, variant, variant), int(rng.integers(4))))
    return checks
