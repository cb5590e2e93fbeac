"""The default encoders' files: whose weights they are, and their size."""

from __future__ import annotations

import hashlib

import pytest

from mgsv.encoders.networks.efficientnet import efficientnet_path
from mgsv.encoders.networks.musicnn import WEIGHTS
from mgsv.encoders.registry import encoder_pair
from mgsv.encoders.weights import EFFICIENTNET, MUSICNN, Weights
from mgsv.runtime.messages import metadata


@pytest.mark.parametrize(
    ("weights", "published"), [(EFFICIENTNET, efficientnet_path()), (MUSICNN, WEIGHTS)]
)
def test_each_names_the_weights_it_was_made_from(weights: Weights, published) -> None:
    described = metadata(memoryview(weights.path.read_bytes()))
    assert described["weights"] == weights.published
    assert hashlib.sha256(published.read_bytes()).hexdigest() == weights.published
    assert "opyright" in weights.path.with_suffix(".LICENSE").read_text()


def test_features_of_libraries_that_pytorch_indexed_are_still_good() -> None:
    """Those of the weights that mgsv ran with PyTorch before: the same but for rounding."""
    pair = encoder_pair()
    assert pair.video.fingerprint == "efficientnet-lite0+motion:bade332ab459"
    assert pair.music.fingerprint == "musicnn+rhythm:614a573cd3f3"


def test_all_that_comes_with_mgsv_stays_below_20_mb() -> None:
    assert EFFICIENTNET.path.stat().st_size + MUSICNN.path.stat().st_size <= 18.5e6
