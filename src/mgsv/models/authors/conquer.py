"""CONQUER's weights under its authors' names, replayed by the project's own modules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mgsv.data.batch import Batch
from mgsv.errors import ConfigError
from mgsv.models import checkpoint
from mgsv.models.authors.shared import refuse_others
from mgsv.models.configs import ConquerConfig, Similarity
from mgsv.models.conquer import CONQUER, shared_losses
from mgsv.models.matching import Embedded
from mgsv.models.registry import build

_NAMES: tuple[tuple[str, str], ...] = (
    # ours ← the authors'; a name is renamed by every line that fits, in turn
    (r"^encoder\.queryEncoder\.", "video."),
    (r"^encoder\.videoEncoder\.", "music."),
    (r"^(video|music)\.linear\.", r"\1.project."),
    (r"\.transformer\.embeddings\.position_embeddings\.", ".positions."),
    (r"\.transformer\.embeddings\.token_type_embeddings\.", ".kinds."),
    (r"\.transformer\.embeddings\.LayerNorm\.", ".norm."),
    (r"^query_aware_feature_learning_layer\.similarity_weight\.", "similarity."),
    (r"^contextual_QAL_feature_learning\.", "context."),
    (r"^moment_localization_head\.(begin|end)_feature_modeling\.", r"\1.context."),
    (
        r"^moment_localization_head\.(begin|end)_score_modeling\.clip_score_predictor\.",
        r"\1.score.",
    ),
    (r"^video_scoring_head\.video_feature_modeling\.", "ranking.context."),
    (r"^video_scoring_head\.video_score_predictor\.", "ranking.score."),
    (r"\.trans_linear\.", ".project."),
    (r"\.project\.LayerNorm\.", ".project.norm."),
    (r"\.project\.net\.1\.", ".project.linear."),
    (r"\.(?:transformer\.)?encoder\.layer\.(\d+)\.", r".layers.\1."),
    (r"\.attention\.output\.dense\.", ".attention.out_proj."),
    (r"\.attention\.output\.LayerNorm\.", ".norm1."),
    (r"\.intermediate\.dense\.", ".feed_forward.0."),
    (r"\.output\.dense\.", ".feed_forward.3."),
    (r"\.output\.LayerNorm\.", ".norm2."),
)
_PACKED = re.compile(r"\.attention\.self\.(query|key|value)\.(weight|bias)$")


def our_conquer_name(name: str) -> str:
    """The project's name of a parameter; three of the authors' may share one, packed in order."""
    for pattern, ours in (*_NAMES, (_PACKED.pattern, r".attention.in_proj_\2")):
        name = re.sub(pattern, ours, name)
    return name


def our_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`weights` under the project's names; queries, keys and values are packed."""
    ours: dict[str, list[Tensor]] = {}
    order = ("query", "key", "value")
    packed = {name: match.group(1) for name in weights if (match := _PACKED.search(name))}
    for name in sorted(weights, key=lambda n: order.index(packed[n]) if n in packed else 0):
        ours.setdefault(our_conquer_name(name), []).append(weights[name])
    return {name: torch.cat(parts) for name, parts in ours.items()}


_FIXED: Mapping[str, Any] = {"ctx_mode": "visual", "layer_norm_eps": 1e-5}
"""The authors' options that have one value here: tracks are one modality, and norms PyTorch's."""


def _settings(config: Mapping[str, Any], frames: int, segments: int) -> ConquerConfig:
    """Our settings of the authors' `config`; ConfigError where there are none."""
    refuse_others("CONQUER", config, _FIXED)
    try:
        return ConquerConfig(
            # `layers` are the video encoder's, which reads the tracks here, and every context
            # module's; `qlayers` the query encoder's alone.
            backbone_layers=config["layers"],
            context_layers=config["layers"],
            frame_layers=config["qlayers"],
            frame_dim=config["q"],
            segment_dim=config["v"],
            max_frames=frames,
            max_segments=segments,
            hidden_dim=config["hidden"],
            heads=config["heads"],
            feed_forward=config["inter"],
            project_music=True,
            similarity=(
                Similarity.EXCLUSIVE
                if config["similarity_measure"] == "exclusive"
                else Similarity.DISJOINT
            ),
            score_dim=config["conv"],
            kernel=config["k"],
            normalise_segments=False,  # the authors do so where they read files
            moment_weight=config["lw_st_ed"],
            ranking_weight=config["lw_video_ce"],
        )
    except KeyError as missing:
        raise ConfigError(f"the authors' config of CONQUER: {missing} is missing") from None


def load_conquer(
    config: Mapping[str, Any], weights: Mapping[str, Tensor], frames: int, segments: int
) -> CONQUER:
    """CONQUER in evaluation mode with the authors' `weights`, for sequences of these lengths.

    The authors pad to the longest of a batch, and padding counts: the positions beyond are left
    out, so that no place exists which their batch did not have.
    """
    settings = _settings(config.get("config", config), frames, segments)
    model = build("conquer", settings)
    assert isinstance(model, CONQUER)
    ours = our_weights(weights)
    for side, length in (("video", frames), ("music", segments)):
        ours[f"{side}.positions.weight"] = ours[f"{side}.positions.weight"][:length]
    checkpoint.require_weights(model, ours)
    model.load_state_dict(ours)
    return model.eval()


def replay_conquer(model: CONQUER, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`replay` of a CONQUER that is loaded already; keeps the gradients of the loss.

    `begin` and `end` [B, C, S] and `video_score` [B, C] of each query's C tracks, the true one
    first; with `st_ed_indices` also the losses `loss.moment_ce`, `loss.video_ce`, `loss.total`.
    """
    rows, count = inputs["visual_mask"].shape[:2]
    nothing, names = torch.zeros(rows * count), ("",) * (rows * count)
    batch = Batch(
        inputs["query_feat"],
        inputs["query_mask"],
        inputs["visual_feat"].flatten(0, 1),
        inputs["visual_mask"].flatten(0, 1),
        video_seconds=nothing[:rows],
        track_seconds=nothing,
        video_ids=names,
        track_ids=names,
    )
    again = torch.arange(rows).repeat_interleave(count)
    videos: Embedded = model.embed_videos(batch)[again]
    begin, end, ranking = model.pairs(videos, model.embed_tracks(batch))
    out = {"begin": begin.view(rows, count, -1), "end": end.view(rows, count, -1)}
    if ranking is not None:
        out["video_score"] = ranking.view(rows, count)
    if (true := inputs.get("st_ed_indices")) is not None:
        drawn = torch.ones(rows, count, dtype=torch.bool)
        moment, *ranked = shared_losses(begin, end, ranking, drawn, true[:, 0], true[:, 1]) / rows
        out["loss.moment_ce"] = out["loss.total"] = moment * model.config.moment_weight
        if ranked:
            out["loss.video_ce"] = ranked[0] * model.config.ranking_weight
            out["loss.total"] = out["loss.moment_ce"] + out["loss.video_ce"]
    return out
