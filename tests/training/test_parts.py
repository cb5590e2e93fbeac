"""Schedule, stopping rule and logs, each against its definition.

Tolerances: `approx` alone, a millionth, as factors are products of few terms in float64.
"""

from __future__ import annotations

import csv
import math
from itertools import pairwise
from pathlib import Path

import pytest

from mgsv.training.logs import CsvLog, TensorBoardLog
from mgsv.training.optimizer import rate_factor
from mgsv.training.state import Best


def test_the_rate_warms_up_linearly_and_ends_at_nothing():
    factors = [rate_factor(step, 1000, 0.02) for step in range(1000)]
    assert factors[:20] == pytest.approx([(i + 1) / 20 for i in range(20)])
    assert factors[20] == 1.0
    assert factors[20 + 490] == pytest.approx(0.5)
    assert 0 < factors[-1] < 1e-5
    assert all(a >= b for a, b in pairwise(factors[19:]))


def test_the_rate_of_a_run_too_short_to_warm_up():
    assert rate_factor(0, 1, 0.02) == 1.0
    assert rate_factor(0, 0, 0.02) == 1.0


def test_a_run_stops_when_nothing_watched_improves():
    best = Best()
    for epoch in range(1, 101):
        # mIoU is best in epoch 45, R5 in epoch 50; R100 improves for ever but is not watched.
        figures = {"mIoU": -abs(epoch - 45), "R5": -abs(epoch - 50), "R100": epoch}
        best.update(epoch, figures)
        if best.exhausted(epoch, min_epochs=60, patience=20):
            break
    assert epoch == 70
    assert best.epoch == {"mIoU": 45, "R5": 50}


def test_a_run_never_stops_before_its_least_epochs():
    best = Best()
    best.update(1, {"mIoU": 0.5})
    stopped = [e for e in range(1, 70) if best.exhausted(e, min_epochs=60, patience=20)]
    assert stopped[0] == 60


def test_only_a_strictly_better_figure_improves():
    best = Best()
    assert best.update(1, {"mIoU": 0.5, "R1": 1.0}) == ("R1", "mIoU")
    assert best.update(2, {"mIoU": 0.5, "R1": 2.0}) == ("R1",)
    assert best.update(3, {"mIoU": math.nan}) == ()


def test_a_resumed_table_drops_what_the_state_does_not_know(tmp_path: Path):
    path = tmp_path / "log.csv"
    log = CsvLog(path)
    for epoch in (1, 2, 3):
        log.write(epoch, 10 * epoch, {"loss": epoch / 7})
    resumed = CsvLog(path, epoch=2)
    resumed.write(3, 30, {"loss": 5.0, "val mIoU": 0.5})
    with path.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [row["loss"] for row in rows] == ["0.142857", "0.285714", "5"]
    assert [row["val mIoU"] for row in rows] == ["", "", "0.5"]


def test_curves_are_written_under_their_group(tmp_path: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = TensorBoardLog(tmp_path)
    log.write(1, 10, {"train loss": 2.0, "val mIoU": 0.25})
    log.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [(e.step, e.value) for e in events.Scalars("val/mIoU")] == [(10, 0.25)]
    assert "train/loss" in events.Tags()["scalars"]


def test_curves_go_on_after_the_step_that_a_run_is_resumed_at(tmp_path: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for steps, loss in (((10, 20), 1.0), ((20, 30), 2.0)):
        log = TensorBoardLog(tmp_path, step=steps[0] - 10)
        for step in steps:
            log.write(step // 10, step, {"train loss": loss})
        log.close()
    points = EventAccumulator(str(tmp_path)).Reload().Scalars("train/loss")
    assert [(point.step, point.value) for point in points] == [(10, 1.0), (20, 2.0), (30, 2.0)]
