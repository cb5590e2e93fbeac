"""A method whose small random network has a survey beside it."""

from __future__ import annotations

from typing import Any

import torch

from mgsv.methods.base import Method
from mgsv.methods.learned import learned
from mgsv.methods.survey import SurveyWeights
from mgsv.models.adapter import grounding_model
from mgsv.models.checkpoint import Checkpoint
from mgsv.models.registry import build
from mgsv.runtime.model import Encoder, Encoders

WEIGHTS = SurveyWeights(
    grid=2.0, motion=4.0, beats=0.5, moving=0.8, phrase=1.0, downbeat=2.0, beat=1.0
)
"""The beats of `synthetic.song` are alike, so that only the motion tells one bar from another."""

SIZES = {"frame_dim": 4, "segment_dim": 12, "hidden_dim": 8, "heads": 2, "feed_forward": 8}
SIZES |= {"embedding_feed_forward": 8, "encoder_layers": 1, "decoder_layers": 1}


def method_with(record: dict[str, Any]) -> Method:
    """For clips whose features are [F, 4]. record: of the checkpoint."""
    encoders = Encoders(Encoder("eyes", 4), Encoder("ears", 12))
    torch.manual_seed(0)
    model = build("made", SIZES)
    return learned(grounding_model(Checkpoint("made", model.eval(), encoders, record, "")))
