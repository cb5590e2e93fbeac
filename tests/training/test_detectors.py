"""A system that only detects is trained, resumed and measured by the commands MaDe has."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mgsv.evaluation.evaluate import evaluate
from mgsv.models import checkpoint
from mgsv.models.qd_detr import QDDETR
from mgsv.training.config import PRESETS, configure
from mgsv.training.fit import train
from planted_small import planted
from subprocesses import mgsv_here

SMALL = {
    "model.hidden_dim": "8",
    "model.heads": "2",
    "model.feed_forward": "8",
    "model.encoder_layers": "1",
    "train.batch_size": "16",
    "train.epochs": "2",
    "train.val_rows": "0",
    "train.rows": "0",
    "train.accelerator": "cpu",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted(tmp_path_factory.mktemp("data") / "planted")


@pytest.mark.slow
def test_a_detector_is_trained_resumed_and_measured(data: Path, tmp_path: Path):
    """And `--resume` of the finished run answers with the same figures."""
    words = [part for item in SMALL.items() for part in ("--set", "=".join(item))]
    out = tmp_path / "run"
    told = mgsv_here(
        "train", "qd_detr_plus", "--data", data, "-o", out, *words, "--json", "--progress", "none"
    )
    assert told.returncode == 0, told.stderr
    document = json.loads(told.stdout)
    assert {*document["best"]} == {"mIoU"} and {*document["checkpoints"]} == {"mIoU", "last"}
    again = train(
        "qd_detr_plus",
        data=data,
        output=out,
        set=["=".join(item) for item in SMALL.items()],
        resume=True,
    )
    assert again.best == document["best"]
    best = out / "best-mIoU.safetensors"
    model = checkpoint.load(best).model
    assert isinstance(model, QDDETR) and model.cross is None
    found = evaluate(best, data, "val", report=tmp_path / "report")
    assert found["measures"]["mIoU"] == pytest.approx(document["best"]["mIoU"])
    assert "R1" not in found["measures"] and "mIoU" in found["shuffled"]
    assert (tmp_path / "report" / "index.html").stat().st_size > 1000
    shown = mgsv_here("evaluate", best, "--data", data, "--split", "val")
    assert shown.returncode == 0 and "mIoU" in shown.stdout


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_change_what_a_detector_has(preset: str):
    model, config = configure("tr_detr_plus", preset)
    made, its_config = configure("made", preset)
    # MaDe's own lines of a preset are not a detector's.
    assert config == replace(its_config, embedding_rate=1.0, lr=config.lr, epochs=config.epochs)
    assert model.hidden_dim == made.hidden_dim
    assert model.decoder_layers == 2 and not getattr(model, "cross", True)
