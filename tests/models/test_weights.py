"""The checkpoint that comes with mgsv: loadable, small, for the default encoders, and described."""

from __future__ import annotations

from pathlib import Path

import pytest

from composed import write_corpus
from mgsv.encoders.registry import encoder_pair
from mgsv.methods.registry import open_method
from mgsv.methods.survey import RECORD, Survey
from mgsv.models import checkpoint
from mgsv.models.weights import shipped, shipped_checkpoint
from mgsv.synthesis.composed import ComposeInputs, ComposeOptions, compose
from mgsv.training import fit


def test_it_is_small_and_says_what_it_is() -> None:
    loaded = checkpoint.load(shipped_checkpoint())
    assert shipped().stat().st_size <= 1e6 and shipped_checkpoint().stat().st_size <= 1e6
    assert loaded.name == "made" and loaded.licence
    assert loaded.record["rows"] > 0 and Survey.of(loaded.record) is not None
    card = shipped().with_suffix(".md").read_text(encoding="utf-8")
    assert loaded.fingerprint in card and f"{loaded.record['train']['seed']}" in card


def test_it_is_the_default_for_the_default_encoders() -> None:
    default, pair = open_method(), encoder_pair()
    assert default.name == "made"
    default.require(pair.video, pair.music)
    encoders = checkpoint.load(shipped_checkpoint()).encoders
    assert encoders.video.fingerprint == pair.video.fingerprint
    assert encoders.music.fingerprint == pair.music.fingerprint


@pytest.mark.slow
def test_a_training_may_start_from_it(tmp_path: Path) -> None:
    """On features of one's own files; what was fitted beside the network stays with it."""
    corpus = write_corpus(tmp_path / "corpus")
    data = tmp_path / "data"
    options = ComposeOptions(train=16, val=4, test=0)
    compose(data, ComposeInputs(corpus / "music", corpus / "pictures"), options=options)
    settings = ("train.epochs=1", "train.batch_size=8", "train.val_rows=0")
    result = fit.train(data=data, output=tmp_path / "run", set=settings, init="default")
    start, end = (
        checkpoint.load(path) for path in (shipped_checkpoint(), result.checkpoints["last"])
    )
    assert end.settings == start.settings and end.fingerprint != start.fingerprint
    assert end.record[RECORD] == start.record[RECORD]
    assert start.licence in end.licence
    assert Survey.of(end.record) == Survey.of(start.record)
