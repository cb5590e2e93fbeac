"""Checkpoints and outputs of the systems' authors, by the project's own modules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mgsv.errors import ConfigError
from mgsv.models.authors.conquer import load_conquer, replay_conquer
from mgsv.models.authors.detectors import FAMILIES, load_detector, replay_detector
from mgsv.models.authors.made import (
    import_checkpoint,
    load_made,
    made_config,
    our_made_name,
    replay_made,
)
from mgsv.models.authors.shared import read_weights

__all__ = [
    "import_checkpoint",
    "load_conquer",
    "load_detector",
    "load_made",
    "made_config",
    "our_made_name",
    "read_weights",
    "replay",
    "replay_conquer",
    "replay_detector",
    "replay_made",
]


def replay(
    model: str,
    config: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    inputs: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """What the authors' `model` computes from `inputs` in evaluation mode, by our own modules.

    `config`, `weights` and `inputs` carry the authors' names. Gives at least `pred_spans` and
    `pred_logits`; for MaDe also the embeddings and similarities; and, where `inputs` have the true
    spans, the losses, each term unweighted (`loss.loss_span` of the last decoder layer,
    `loss.loss_span_0` of the first). What the authors' code gets wrong is put right here;
    `authors_mask` in `config` has their cross-modal mask instead. CONQUER, which scores segments,
    gives `begin`, `end` and `video_score` instead of spans.
    """
    if model == "made":
        switches = {**config, **config.get("overrides", {})}
        return replay_made(load_made(made_config(weights, switches), weights), inputs)
    if model in FAMILIES:
        return replay_detector(load_detector(model, config, weights), model, inputs)
    if model == "conquer":
        frames, segments = inputs["query_feat"].shape[1], inputs["visual_feat"].shape[2]
        return replay_conquer(load_conquer(config, weights, frames, segments), inputs)
    choices = ", ".join(["made", *FAMILIES, "conquer"])
    raise ConfigError(f"there is no replay of model {model!r}", f"choose from {choices}")
