"""Simulated listeners: their preferences are known, so that a report can be held against them.

Nobody has heard anything here. A listener's score of a pair is what the better system is worth to
everybody, what it is worth on this clip and to this listener, something for what was heard second,
and noise; five steps are cut from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mgsv.study.answers import Answer, ListenerSession
from mgsv.study.design import Side, Trial, trials_of
from mgsv.study.study import ClipKey, Study, StudyClip, StudyKey, Variant, VariantKey

TIE, MUCH = 0.4, 1.6
"""Scores between which there is no difference, and from which on it is much."""


@dataclass(frozen=True)
class Crowd:
    """Listeners of one kind. worth: of each system. second: of what is heard second. clip_spread,
    listener_spread: standard deviations of a system's worth over clips, and over listeners. lapses:
    share of checks that are answered as if there were a difference. random: clicks at random.
    """

    worth: Sequence[float]
    second: float = 0.0
    clip_spread: float = 0.5
    listener_spread: float = 0.5
    lapses: float = 0.05
    random: bool = False


def simulated(
    study: Study, crowd: Crowd, listeners: Sequence[int], seed: int
) -> list[ListenerSession]:
    """Whole sessions of listeners of these numbers. `clip.variants[s]` is the answer of system s.

    What a system is worth on a clip is drawn from the seed alone: all crowds hear the same clips.
    """
    systems = len(crowd.worth)
    shared = np.random.default_rng(seed)
    on_clip = {clip.id: shared.normal(0, crowd.clip_spread, systems) for clip in study.clips}
    places = {
        variant.id: (clip.id, s) for clip in study.clips for s, variant in enumerate(clip.variants)
    }
    sessions = []
    for listener in listeners:
        rng = np.random.default_rng([seed, 1, listener])
        own = rng.normal(0, crowd.listener_spread, systems)

        def value(variant: str, own: np.ndarray = own) -> float:
            clip, s = places[variant]
            return float(crowd.worth[s] + on_clip[clip][s] + own[s])

        answers = {}
        trials = trials_of(study, listener)
        for trial in trials:
            answers[trial.number] = _answer(trial, crowd, value(trial.b) - value(trial.a), rng)
        token = f"simulated{listener:013d}"
        sessions.append(ListenerSession(token, listener, trials, answers))
    return sessions


def _answer(trial: Trial, crowd: Crowd, difference: float, rng: np.random.Generator) -> Answer:
    """difference: how much better B is."""
    score = difference + (crowd.second if trial.first is Side.A else -crowd.second)
    score += rng.logistic()
    step = 0 if abs(score) < TIE else (1 if abs(score) < MUCH else 2) * int(np.sign(score))
    if trial.is_check:
        step = int(rng.choice([-1, 1])) if rng.random() < crowd.lapses else 0
    if crowd.random:
        step = int(rng.integers(-2, 3))
    heard = (trial.first, trial.first.other)
    return Answer(trial, step, heard, (6.0, 6.0), 15.0)


def true_rate(worth: Sequence[float], one: int, other: int, crowd: Crowd) -> float:
    """How often `one` is preferred to `other`, a tie being half, over all listeners and clips: the
    mean of a logistic tail over what differs, by quadrature."""
    spread = np.sqrt(2 * (crowd.clip_spread**2 + crowd.listener_spread**2))
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    better = worth[one] - worth[other] + spread * nodes
    wins, losses = 1 / (1 + np.exp(TIE - better)), 1 / (1 + np.exp(TIE + better))
    rates = wins + (1 - wins - losses) / 2
    return float(rates @ weights / weights.sum())


def paper_study(
    *,
    clips: int,
    systems: int,
    trials: int = 20,
    checks: int = 3,
    seed: int = 0,
    folder: Path = Path(),
    id: str = "study",
) -> Study:
    """A study without its media: enough for all but hearing it.

    `c0s1` is the answer of system 1 to clip 0.
    """
    folder.mkdir(exist_ok=True, parents=True)
    return Study(
        folder,
        id,
        seed,
        trials,
        checks,
        tuple(
            StudyClip(
                f"c{c}",
                f"c{c}.mp4",
                10.0,
                tuple(Variant(f"c{c}s{s}", f"c{c}s{s}.m4a") for s in range(systems)),
            )
            for c in range(clips)
        ),
    )


def paper_key(study: Study) -> StudyKey:
    """The key to a `paper_study`, whose systems are called `system0`, `system1`, …"""
    names = tuple(f"system{s}" for s in range(len(study.clips[0].variants)))
    clips = {
        clip.id: ClipKey(
            f"{clip.id}.mp4",
            clip.id,
            clip.picture,
            clip.seconds,
            {
                variant.id: VariantKey((names[s],), "track.mp3", 0.0, 10.0, False, -23.0, -3.0)
                for s, variant in enumerate(clip.variants)
            },
            {variant.id: variant.sound for variant in clip.variants},
        )
        for clip in study.clips
    }
    return StudyKey(study.id, names, {}, clips)
