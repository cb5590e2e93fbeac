"""The authors' MaDe: its names, its config read off its weights, its outputs by our modules."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mgsv.config import override
from mgsv.data.batch import Batch
from mgsv.errors import ConfigError
from mgsv.models import checkpoint
from mgsv.models.authors.shared import loss_terms, read_weights, sum_of
from mgsv.models.configs import Embedding, MadeConfig, Matching, MomentQuery, SequenceFusion
from mgsv.models.made import MaDe
from mgsv.models.registry import build
from mgsv.runtime.model import Encoder, Encoders

_MADE_NAMES: tuple[tuple[str, str], ...] = (
    # ours ← the authors', by prefix; a name is renamed by every line that fits, in turn
    (r"^vit_proj\.", "video.projection."),
    (r"^ast_proj\.", "music.projection."),
    (r"^video_transformer\.", "video.block."),
    (r"^audio_transformer\.", "music.block."),
    (r"^(video|music)\.block\.layers\.0\.0\.", r"\1.block.norm1."),
    (r"^(video|music)\.block\.layers\.0\.1\.", r"\1.block.attention."),
    (r"^(video|music)\.block\.layers\.0\.2\.", r"\1.block.norm2."),
    (r"^(video|music)\.block\.layers\.0\.3\.", r"\1.block.feed_forward."),
    (r"^(video|music)\.block\.final_linear\.", r"\1.block.final."),
    (r"^Video_encoder_projection\.net\.", "video.block."),
    (r"^Music_encoder_projection\.net\.", "music.block."),
    (r"^video_guided_to_music_pooling_cross_transformer\.", "xpool."),
    (r"^xpool\.cross_attn\.([qkv]|out)_proj\.", r"xpool.\1."),
    (r"^xpool\.q\.", "xpool.query."),
    (r"^xpool\.k\.", "xpool.key."),
    (r"^xpool\.v\.", "xpool.value."),
    (r"^xpool\.linear_proj\.", "xpool.linear."),
    (r"^xpool\.layer_norm", "xpool.norm"),
    (r"^logit_scale$", "log_temperature"),
    (r"^video_music_fusion_cross_transformer\.", "fusion."),
    (r"^fusion\.attention_query_layer_norms\.0\.", "fusion.query_norm."),
    (r"^fusion\.attention_context_layer_norms\.0\.", "fusion.context_norm."),
    (r"^fusion\.ff_layer_norms\.0\.", "fusion.norm."),
    (r"^fusion\.layers\.0\.0\.to_q\.", "fusion.query."),
    (r"^fusion\.layers\.0\.0\.to_kv\.", "fusion.key_value."),
    (r"^fusion\.layers\.0\.0\.to_out\.0\.", "fusion.out."),
    (r"^fusion\.layers\.0\.1\.net\.", "fusion.feed_forward."),
    (r"^fusion\.final_linear\.", "fusion.final."),
    (r"^detr_transformer\.", "detector."),
    (r"^(detector\.encoder\.layers\.\d+)\.self_attn\.", r"\1.attention."),
    (r"^(detector\.decoder\.layers\.\d+)\.self_attn\.", r"\1.self_attention."),
    (r"^(detector\.decoder\.layers\.\d+)\.multihead_attn\.", r"\1.cross_attention."),
    (r"^(detector\.(?:en|de)coder\.layers\.\d+)\.linear1\.", r"\1.feed_forward.0."),
    (r"^(detector\.(?:en|de)coder\.layers\.\d+)\.linear2\.", r"\1.feed_forward.3."),
    (r"^decoder_query_embed\.weight$", "detector.query_positions"),
    (r"^span_embed\.layers\.0\.", "detector.span_head.0."),
    (r"^span_embed\.layers\.1\.", "detector.span_head.2."),
    (r"^span_embed\.layers\.2\.", "detector.span_head.4."),
    (r"^class_embed\.", "detector.class_head."),
    (r"^contrastive_align_projection_query\.", "detector.align_queries."),
    (r"^contrastive_align_projection_vid\.", "detector.align_frames."),
)

_LOSSES = {
    "dual": Matching.DUAL,
    "single": Matching.POOLED,
    "dual_single_sim_fuse": Matching.SUM,
    "dual_single_feature_fuse": Matching.FUSED,
}
_QUERIES = {
    "video": MomentQuery.VIDEO,
    "zero": MomentQuery.ZERO,
    "music": MomentQuery.MUSIC,
    "xpool": MomentQuery.POOLED_BATCH,
}


def our_made_name(name: str) -> str:
    """The project's name of a parameter of the authors' MaDe."""
    for pattern, ours in _MADE_NAMES:
        name = re.sub(pattern, ours, name)
    return name


def made_config(weights: Mapping[str, Tensor], switches: Mapping[str, Any]) -> MadeConfig:
    """The config of the authors' MaDe that `weights`, under their names, belong to.

    Sizes and layers are read off the weights. What leaves no trace there comes from `switches`:
    the authors' options `vmr_loss` and `moment_query_type`, `nheads`, `max_music_duration`,
    `frames` and `segments`.
    """
    try:
        hidden, frame_dim = weights["vit_proj.weight"].shape
        segment_dim = weights["ast_proj.weight"].shape[1]
        queries = weights["decoder_query_embed.weight"].shape[0]
        feed_forward = weights["detr_transformer.decoder.layers.0.linear1.weight"].shape[0]
        width = weights["span_embed.layers.2.bias"].shape[0] == 2
    except KeyError as missing:
        raise ConfigError(f"these are not weights of MaDe: {missing} is missing") from None
    names = "\n".join(weights)
    embedding = "self-attention" if "video_transformer.layers" in names else "none"
    embedding = "mlp" if "Video_encoder_projection" in names else embedding
    matching = _LOSSES.get(switches.get("vmr_loss", ""), Matching.DUAL_AND_POOLED)
    if "video_guided_to_music_pooling" not in names:
        matching = Matching.DUAL

    def layers(stack: str) -> int:
        return len(set(re.findall(rf"detr_transformer\.{stack}\.layers\.(\d+)\.", names)))

    return MadeConfig(
        frame_dim=frame_dim,
        segment_dim=segment_dim,
        max_frames=switches.get("frames", 50),
        max_segments=switches.get("segments", 96),
        canvas_seconds=float(switches.get("max_music_duration", 240.0)),
        hidden_dim=hidden,
        heads=switches.get("nheads", 8),
        feed_forward=feed_forward,
        encoder_layers=layers("encoder"),
        decoder_layers=layers("decoder"),
        queries=queries,
        embedding=Embedding(embedding),
        matching=matching,
        fusion=SequenceFusion.CROSS_ATTENTION
        if "video_music_fusion" in names
        else SequenceFusion.CONCATENATION,
        moment_query=_QUERIES[switches.get("moment_query_type", "video")],
        predict_width=width,
    )


def load_made(config: MadeConfig, weights: Mapping[str, Tensor]) -> MaDe:
    """MaDe in evaluation mode with the authors' `weights`; every name must find its place."""
    model = build("made", config)
    assert isinstance(model, MaDe)
    ours = {our_made_name(name): tensor for name, tensor in weights.items()}
    checkpoint.require_weights(model, ours)
    model.load_state_dict(ours, strict=False)
    return model.eval()


def replay_made(model: MaDe, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`replay` of a MaDe that is loaded already; keeps the gradients of both losses."""
    spans = inputs.get("spans_target")
    batch = Batch(
        inputs["frame_feats"],
        inputs["frame_masks"],
        inputs["segment_feats"],
        inputs["segment_masks"],
        video_seconds=inputs["v_duration"],
        track_seconds=torch.full_like(inputs["v_duration"], model.config.canvas_seconds),
        video_ids=tuple(str(i) for i in range(len(inputs["frame_feats"]))),
        track_ids=tuple(str(i) for i in range(len(inputs["frame_feats"]))),
        spans=None if spans is None else spans[:, 0],
    )
    videos, tracks = model.embed_videos(batch), model.embed_tracks(batch)
    found = model.detection(batch, videos, tracks)
    out = {
        "frame_feats": torch.where(videos.mask[..., None], videos.tokens, model.video.padding),
        "segment_feats": torch.where(tracks.mask[..., None], tracks.tokens, model.music.padding),
        "video_feats": videos.pooled,
        "music_feats": tracks.pooled,
        "sim_dual": model.score_all(videos, tracks),
        "pred_spans": found.spans[-1],
        "pred_logits": found.logits[-1],
    }
    if model.xpool is not None:
        out["music_feats_pooled"] = model.xpool(videos.pooled, tracks.tokens, tracks.mask)
        pairs = model.xpool.pairs(videos.pooled, tracks, fused=False, summaries=False)
        out["sim_xpool"] = pairs.scores
    if batch.spans is not None:
        terms = model.loss(batch)
        detection = set(model.criterion.terms)
        out["localization_loss"] = sum_of(terms[name] for name in detection)
        out["retrieval_loss"] = sum_of(v for k, v in terms.items() if k not in detection)
        out |= loss_terms(model.criterion, found, batch.spans)
    return out


def import_checkpoint(
    source: str | os.PathLike[str], target: str | os.PathLike[str], *, set: Iterable[str] = ()
) -> Path:
    """Turn a checkpoint of the authors' MaDe into one of the project's at `target`.

    `set` are `name=value` assignments to the config for what weights cannot tell: `heads`,
    `matching` (all losses but `dual` have the same weights) and `moment_query`.
    """
    source, target = Path(source), Path(target)
    weights = read_weights(source)
    config = override(made_config(weights, _fixed_lengths(weights)), set)
    model = load_made(config, weights)
    encoders = Encoders(  # by the names that data folders give their features
        video=Encoder("clip-vit-b32", config.frame_dim),
        music=Encoder("ast-audioset", config.segment_dim),
    )
    return checkpoint.save(
        target,
        "made",
        model,
        encoders,
        record={"imported_from": source.name},
        licence="CC BY-NC-ND 4.0",
    )


def _fixed_lengths(weights: Mapping[str, Tensor]) -> dict[str, int]:
    """Lengths of the ablation whose batch norms count time slots; no other weights know them."""
    norms = {
        "frames": "Video_encoder_projection.net.1.weight",
        "segments": "Music_encoder_projection.net.1.weight",
    }
    return {name: len(weights[norm]) for name, norm in norms.items() if norm in weights}
