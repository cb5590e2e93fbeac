"""A split measured block by block, by work that travels as a pickle."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from measured_small import random_made
from mgsv.errors import ClusterError
from mgsv.evaluation import remote
from mgsv.evaluation.evaluate import EvaluateOptions, evaluate
from mgsv.jobs import Outcomes, Progress, Threads
from mgsv.models.system import System

T = TypeVar("T")
R = TypeVar("R")


class Elsewhere:
    """An executor whose workers get the work as a process of another machine would."""

    def __init__(self, arrive: Callable[[], None] = lambda: None) -> None:
        self.sent = 0
        self._arrive = arrive

    def map(self, work: Callable[[T], R], items: Sequence[T]) -> Outcomes[T, R]:
        data = pickle.dumps(work)
        self.sent += len(data) + len(pickle.dumps(items))
        self._arrive()
        return Threads(1).map(pickle.loads(data), items[::-1])


@pytest.fixture
def made(planted: Path, tmp_path: Path) -> Path:
    return random_made(tmp_path / "made.safetensors", planted)


@pytest.mark.slow
@pytest.mark.parametrize("music_set", [True, False])
def test_blocks_that_others_answer_make_the_same_document(
    planted: Path, made: Path, monkeypatch: pytest.MonkeyPatch, music_set: bool
) -> None:
    executor = Elsewhere()
    options = EvaluateOptions(music_set, batch_size=5)
    others = EvaluateOptions(music_set, batch_size=5, executor=executor)
    steps: list[Progress] = []
    monkeypatch.chdir(made.parent)
    there = evaluate(made.name, planted, options=others, progress=steps.append)
    here = evaluate(made, planted, options=options)
    assert there["queries"] == 40 and steps[-1].done == steps[-1].total == 80
    assert executor.sent < 10_000, "paths and row numbers alone"
    for name in ("measures", "shuffled", "intervals", "breakdown"):
        assert there[name] == here[name]


def test_another_checkpoint_under_the_same_name_is_refused(planted: Path, made: Path) -> None:
    what = remote.Measured(System(checkpoint=made), planted, "test", True, 5, 100, "cpu")
    elsewhere = Elsewhere(lambda: random_made(made, planted, seed=1) and None)
    with pytest.raises(ClusterError, match=r"made.safetensors: .* has other files there: have"):
        remote.run_remote(what, elsewhere)


@pytest.mark.slow
def test_answers_come_back_in_any_order(planted: Path, made: Path) -> None:
    what = remote.Measured(System(checkpoint=made), planted, "test", True, 5, 100, "cpu")
    (one, _), (many, _) = (
        remote.run_remote(what, Elsewhere(), queries_at_once=size) for size in (100, 3)
    )
    assert one.rank is not None and many.rank is not None
    np.testing.assert_allclose(one.predicted, many.predicted, atol=1e-3)
    assert (one.rank == many.rank).mean() > 0.9, "near ties alone may change places"
