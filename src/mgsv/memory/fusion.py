"""Memory and model as one: their evidence for a start, added as log-odds.

The memory predicts where a video starts on this track without the video's content. The model's
answer is evidence on top: given the true start, how likely is an answer there? It is right with a
probability whose log-odds rise with the model's confidence, and then Laplace-distributed around the
truth; else it lies at the start, where the memory's mass is, or anywhere, in learned shares. By
Bayes' rule

    log p(start | answer) = memory_weight log p(start) + log p(answer | start) + constant,

so a confident model overrules a thin memory, and a thick memory a doubtful model. The weight is one
for tracks that were used before and another for those that were not, where the memory is but a
habit of all tracks; at 0 the model's answer stands. The parameters come from a validation split
whose videos neither of the two has learned from.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mgsv.errors import ConfigError, shown
from mgsv.files import write_file
from mgsv.memory.density import GRID, NEAR, Density, LikelyStart
from mgsv.moment import Moment

Floats = npt.NDArray[np.float64]

SCHEMA = "mgsv.fusion/1"
ROUNDS = 60
LEAST_ROWS = 10
SHARPEST = GRID / 2
"""Seconds: the least scale of a right answer's error, as fine as the memory's grid of starts."""
SHORTEST_ROOM = 5.0
"""Seconds: where hardly any start is possible, a wrong answer is not taken for a certain one."""
MOST_SPREADS = 3.0
"""Deviations from the average at which a confidence is cut off: few of those that the fit saw lie
further out."""
OTHER_WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.5)
LARGEST_FILE = 100_000


@dataclass(frozen=True)
class Fusion:
    """How far to trust a model. The defaults, before any fit, give it even odds."""

    log_odds: float = 0.0
    """That a model of average confidence is right."""
    slope: float = 0.0
    """What a confidence one deviation above the average adds."""
    centre: float = 0.0
    """The average confidence."""
    spread: float = 1.0
    """The deviation of confidences."""
    scale: float = 1.0
    """Seconds: mean distance of a right answer from the truth."""
    at_start: float = 0.0
    """Share of the wrong answers that lie at the track's start."""
    at_memory: float = 0.0
    """Share of them that lie where the memory has its mass, as a model's does that learned from
    the same uses. The others lie anywhere."""
    memory_weight: float = 1.0
    """Exponent of the memory's density; below 1 where the model learned from the same uses, 0 where
    the model always wins."""
    unused_weight: float = 1.0
    """The same on tracks without a past use."""
    rows: int = 0
    """Of the validation split it was fitted on; 0 = not fitted."""

    def right(self, confidence: float) -> float:
        """Log-odds that a model so confident is right; without a confidence, the average's."""
        if not math.isfinite(confidence):
            return self.log_odds
        apart = min(max((confidence - self.centre) / self.spread, -MOST_SPREADS), MOST_SPREADS)
        return self.log_odds + self.slope * apart

    def likelihood(self, answer: float, confidence: float, density: Density) -> Floats:
        """[A] p(model answers `answer` | the truth is each of the density's places), per second."""
        right = _sigmoid(self.right(confidence))
        close = np.exp(-np.abs(density.places - answer) / self.scale) / (2 * self.scale)
        shares = np.array([self.at_start, self.at_memory])
        wrong = _wrong(density, answer) @ np.array([*shares, 1 - shares.sum()])
        return np.asarray(right * close + (1 - right) * wrong)

    def weight(self, density: Density) -> float:
        """The memory's exponent on the density's track."""
        return self.memory_weight if density.uses else self.unused_weight

    def posterior(self, density: Density, answer: float, confidence: float) -> Density:
        """Where the clip starts, by the memory's `density` and the model's `answer` in seconds."""
        tempered = np.zeros_like(density.masses)
        held = density.masses > 0
        tempered[held] = density.masses[held] ** (self.weight(density) - 1)
        return density.weighted(tempered * self.likelihood(answer, confidence, density))

    def fuse(self, density: Density, answer: float, confidence: float) -> Fused:
        """The best start by both, `answer` being the model's, in seconds."""
        answer = min(max(answer, 0.0), density.latest)
        both = self.posterior(density, answer, confidence)
        best = both.candidates(1, also=[answer])[0]
        past_start = np.isclose(density.starts, best.moment.start, atol=1e-6).any()
        nearest = abs(best.moment.start - answer) < GRID and not past_start
        if nearest or self.weight(density) == 0:
            # The best start near it is only the grid's nearest place; the answer is finer.
            moment = Moment(answer, answer + both.width)
            value = float(both.expected_iou(np.array([answer]))[0])
            best = LikelyStart(moment, both.near(answer), value)
        remembered = density.candidates(1)[0]
        return Fused(best, both, remembered, answer, self.right(confidence))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a JSON file that `load` reads, in place of an earlier one."""
        text = json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1)
        write_file(path, text + "\n", overwrite=True)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Fusion:
        """From its fields by name; ValueError or TypeError where they are not those of a fit."""
        if {*values} != {f.name for f in fields(cls)}:
            raise ValueError("other fields")
        known = {name: float(value) for name, value in values.items()}
        if not all(map(math.isfinite, known.values())):
            raise ValueError("not finite")
        weights = known["memory_weight"], known["unused_weight"]
        if min(known["scale"], known["spread"]) <= 0 or min(weights) < 0:
            raise ValueError("out of range")
        rows = int(known.pop("rows"))
        return cls(**known, rows=rows)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Fusion:
        """Read what `save` wrote; ConfigError where it is something else."""
        try:
            with Path(path).open(encoding="utf-8") as file:
                values = json.loads(file.read(LARGEST_FILE))
            if values.pop("schema") != SCHEMA:
                raise ValueError("another schema")
            return cls.of(values)
        except OSError as error:
            raise ConfigError(f"`fusion` {shown(path)}: {error.strerror}") from error
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            raise ConfigError(
                f"`fusion` {shown(path)}: not a fitted fusion",
                "give a file that `mgsv evaluate --fusion` wrote",
            ) from error


@dataclass(frozen=True, eq=False)
class Fused:
    """The result of memory and model together, and of each alone."""

    best: LikelyStart
    density: Density
    remembered: LikelyStart
    """The memory's own best."""
    answer: float
    """The model's start in seconds, moved to where the clip fits."""
    model_log_odds: float
    """That the model is right, without the memory."""

    @property
    def keeps_answer(self) -> bool:
        """Whether the model's own start is the best."""
        return abs(self.best.moment.start - self.answer) < 1e-6

    @property
    def memory_log_odds(self) -> float:
        """Of the memory's best place against the model's, by both together; above 0 it wins."""
        there, here = (
            max(self.density.near(start), 1e-9)
            for start in (self.remembered.moment.start, self.answer)
        )
        return math.log(there / here)


def fit(
    densities: Sequence[Density], answers: Floats, confidences: Floats, truths: Floats
) -> Fusion:
    """The fusion that fits a validation split best.

    Of V rows: the memory's densities, the model's starts [V] with its confidences [V] (not a number
    where it has none), and the true starts [V]; seconds. First how the model errs, by
    expectation-maximisation; then the memory's weights, by the IoU they reach on tracks with and
    without past uses. ConfigError for fewer than 10 rows.
    """
    if len(densities) < LEAST_ROWS:
        raise ConfigError(
            f"a fusion is fitted on at least {LEAST_ROWS} rows, there are {len(densities)}",
            "give a larger validation split",
        )
    known = np.isfinite(confidences)
    centre = float(confidences[known].mean()) if known.any() else 0.0
    spread = float(confidences[known].std()) if known.any() else 1.0
    if spread < 1e-9:
        spread = 1.0
    z = np.where(known, (confidences - centre) / spread, 0.0)
    answers = np.clip(answers, 0, [density.latest for density in densities])
    rows = answers, confidences, truths
    apart = np.abs(answers - truths)
    kinds = np.stack([_wrong(*pair) for pair in zip(densities, answers, strict=True)])
    shares = np.full(3, 1 / 3)
    log_odds, slope, scale = 0.0, 0.0, 1.0
    for _ in range(ROUNDS):
        right = _sigmoid(log_odds + slope * z)
        close = right * np.exp(-apart / scale) / (2 * scale)
        wrong = (1 - right)[:, None] * kinds * shares
        share = close / (close + wrong.sum(axis=1))
        # One right answer's worth of "1 s off" keeps the scale finite where none is right.
        scale = max(SHARPEST, float((share @ apart + 1.0) / (share.sum() + 1.0)))
        log_odds, slope = _logistic(z, share, log_odds, slope)
        of_kind = (wrong / (close + wrong.sum(axis=1))[:, None]).sum(axis=0) + 1 / 3
        shares = of_kind / of_kind.sum()
    fitted = Fusion(
        log_odds, slope, centre, spread, scale,
        at_start=float(shares[0]), at_memory=float(shares[1]), rows=len(densities),
    )  # fmt: skip
    chosen = []
    for used in (True, False):
        at = [n for n, density in enumerate(densities) if (density.uses > 0) is used]
        chosen.append(_best_weight(fitted, [densities[n] for n in at], *(v[at] for v in rows)))
    return replace(fitted, memory_weight=chosen[0], unused_weight=chosen[1])


def _best_weight(
    fusion: Fusion,
    densities: Sequence[Density],
    answers: Floats,
    confidences: Floats,
    truths: Floats,
) -> float:
    """The memory's weight that places these rows best; 1, Bayes' own, unless another is clearly
    better: by more than the standard error of the difference.
    """
    if len(densities) < LEAST_ROWS:
        return 1.0

    def reached(weight: float) -> Floats:
        weighted = replace(fusion, memory_weight=weight, unused_weight=weight)
        rows = zip(densities, answers, confidences, truths, strict=True)
        return np.array([_iou(weighted, *row) for row in rows])

    best, most, plain = 1.0, 0.0, reached(1.0)
    for weight in OTHER_WEIGHTS:
        gain = reached(weight) - plain
        if gain.mean() > max(most, gain.std() / math.sqrt(len(gain))):
            best, most = weight, float(gain.mean())
    return best


def _iou(fusion: Fusion, density: Density, answer: float, confidence: float, truth: float) -> float:
    """IoU of the fused moment with one as long that starts at `truth`."""
    width = max(density.width, 1e-6)
    apart = abs(fusion.fuse(density, answer, confidence).best.moment.start - truth)
    return max(width - apart, 0.0) / (width + apart)


def _wrong(density: Density, answer: float) -> Floats:
    """[3] how likely a wrong answer lies at `answer`, per second: if it is one at the start, one
    where the memory has its mass, or one anywhere."""
    anywhere = 1 / max(density.latest, SHORTEST_ROOM)
    at_start = 1 / GRID if answer <= GRID else 0.0
    return np.array([at_start, density.near(answer) / (2 * NEAR), anywhere])


def _logistic(z: Floats, share: Floats, log_odds: float, slope: float) -> tuple[float, float]:
    """A few Newton steps of logistic regression of `share` on `z`, held gently towards 0."""
    ridge = np.array([0.01, 1.0])
    design = np.stack([np.ones_like(z), z], axis=1)
    theta = np.array([log_odds, slope])
    for _ in range(4):
        p = _sigmoid(design @ theta)
        gradient = design.T @ (share - p) - ridge * theta
        curvature = (design * (p * (1 - p))[:, None]).T @ design + np.diag(ridge)
        theta = theta + np.clip(np.linalg.solve(curvature, gradient), -2, 2)
    return float(theta[0]), float(theta[1])


def _sigmoid(x: npt.ArrayLike) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -30, 30))))
