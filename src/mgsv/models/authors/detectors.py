"""The authors' moment DETRs: one line per renamed part, one entry per family.

A family is the authors' code base; with and without cross-modal layers it is one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mgsv.data.batch import Batch
from mgsv.errors import ConfigError
from mgsv.models.authors.shared import loss_terms, refuse_others
from mgsv.models.checkpoint import require_weights
from mgsv.models.detection import SpanDetector
from mgsv.models.eatr import EaTR
from mgsv.models.events import Events
from mgsv.models.losses import DetectorOutput
from mgsv.models.registry import build
from mgsv.models.tr_detr import TRDETR
from mgsv.models.uvcom import UVCOM

Rule = tuple[str, str | Callable[[re.Match[str]], str]]
"""Pattern in the authors' name, what stands there in ours."""
OwnLosses = Callable[
    [Any, DetectorOutput, Mapping[str, Tensor]], Mapping[str, tuple[Tensor, float]]
]
"""(model, detection, inputs) → the authors' name, unweighted value and weight of each."""
OwnOutputs = Callable[[Any, DetectorOutput, Mapping[str, Tensor]], Mapping[str, Tensor]]
"""(model, detection, inputs) → what else the authors' model gives, by their names."""

_INPUTS: tuple[Rule, ...] = (
    (r"^input_txt_proj\.", "frame_projection."),
    (r"^input_vid_proj\.", "segment_projection."),
    (r"^(\w+_projection)\.(\d)\.LayerNorm\.", lambda m: f"{m[1]}.{4 * int(m[2])}."),
    (r"^(\w+_projection)\.(\d)\.net\.1\.", lambda m: f"{m[1]}.{4 * int(m[2]) + 2}."),
    (r"^txt_position_embed\.position_embeddings\.", "unused.table."),
    (r"^txt_position_embed\.LayerNorm\.", "unused.norm."),
)
_LAYERS: tuple[Rule, ...] = (
    (r"^transformer\.t2v_encoder\.", "cross."),
    (r"^transformer\.(encoder|decoder)\.", r"\1."),
    (r"^((?:encoder|cross\w*)\.layers\.\d+)\.self_attn\.", r"\1.attention."),
    (r"(\.layers\.\d+)\.linear1\.", r"\1.feed_forward.0."),
    (r"(\.layers\.\d+)\.activation\.", r"\1.feed_forward.1."),
    (r"(\.layers\.\d+)\.linear2\.", r"\1.feed_forward.3."),
)
_PLAIN_DECODER: tuple[Rule, ...] = (
    (r"^(decoder\.layers\.\d+)\.self_attn\.", r"\1.self_attention."),
    (r"^(decoder\.layers\.\d+)\.multihead_attn\.", r"\1.cross_attention."),
)
_DAB_DECODER: tuple[Rule, ...] = (
    (r"\.(?:sa_)(q|k|v)(content|pos)?_proj\.", lambda m: f".self_{_part(m[1], m[2])}."),
    (r"\.(?:ca_)(q|k|v)(content|pos|pos_sine)?_proj\.", lambda m: f".cross_{_part(m[1], m[2])}."),
    (r"^(decoder\.layers\.\d+)\.(self|cross)_attn\.out_proj\.", r"\1.\2_out."),
    (r"^decoder\.query_scale\.", "decoder.scale_head."),
    (r"^decoder\.ref_point_head\.", "decoder.position_head."),
    (r"^decoder\.ref_anchor_head\.", "decoder.width_head."),
    (r"^decoder\.bbox_embed\.", "decoder.step_head."),
)
_HEADS: tuple[Rule, ...] = (
    (r"^class_embed\.", "class_head."),
    (r"^span_embed\.", "span_head."),
    (r"_head\.layers\.(\d)\.", lambda m: f"_head.{2 * int(m[1])}."),
)
_SLOTS: tuple[Rule, ...] = (
    (r"^slot_attention\.project_(q|k|v)\.", lambda m: f"slot_attention.{_part(m[1], None)}."),
    (r"\.mlp\.layers\.(\d)\.", lambda m: f".mlp.{2 * int(m[1])}."),
)
PLAIN = (
    *_INPUTS,
    *_LAYERS,
    *_PLAIN_DECODER,
    *_HEADS,
    (r"^query_embed\.weight$", "query_positions"),
)
"""Rules of a Moment-DETR: learned query positions."""
MOVING = (*_INPUTS, *_LAYERS, *_DAB_DECODER, *_HEADS, (r"^query_embed\.weight$", "references"))
"""Rules of those whose queries are references that move."""


def _part(role: str, what: str | None) -> str:
    kinds = {"pos": "_position", "pos_sine": "_sine"}
    return {"q": "query", "k": "key", "v": "value"}[role] + kinds.get(what or "", "")


def _similarity(side: str, layer: str) -> str:
    return f"similarity.of_{side}.{2 * int(layer)}."


@dataclass(frozen=True)
class Family:
    """What turns one code base's weights into ours."""

    names: tuple[Rule, ...]
    dropped: str = r"(?!)"
    """The authors' weights that serve what this task does not have, as a pattern."""
    own_losses: OwnLosses = lambda *_: {}
    own_outputs: OwnOutputs = lambda *_: {}
    own_sizes: Callable[[Mapping[str, Tensor]], dict[str, Any]] = lambda _: {}
    """From weights under our names to those config values that only this family has."""
    own_options: Mapping[str, str] = field(default_factory=dict)
    """Those of the authors' options that only this family has: their name → ours."""

    def our_name(self, name: str) -> str:
        """The project's name of a parameter of the authors'; empty for one that is dropped."""
        if re.match(self.dropped, name):
            return ""
        for pattern, ours in self.names:
            name = re.sub(pattern, ours, name)
        return name


def _tr_losses(
    model: TRDETR, found: DetectorOutput, inputs: Mapping[str, Tensor]
) -> dict[str, tuple[Tensor, float]]:
    inside, mask = inputs["ctc_pos_mask"], inputs["src_vid_mask"] != 0
    rows = tuple(str(row) for row in range(len(mask)))
    c = model.config
    return {
        "vtc": (model.contrast(found, rows), c.contrast_weight),
        "ctc": (model.inside(found, inside, mask), c.inside_weight),
    }


def _eatr_events(model: EaTR, inputs: Mapping[str, Tensor]) -> Events:
    """Pseudo-events relative to a row's valid segments, as the authors have them."""
    mask = inputs["src_vid_mask"] != 0
    spans, counts = model.pseudo_events(inputs["src_vid"], mask)
    return Events(spans / mask.sum(dim=1).clamp_min(1)[:, None, None], counts)


def _eatr_losses(
    model: EaTR, found: DetectorOutput, inputs: Mapping[str, Tensor]
) -> dict[str, tuple[Tensor, float]]:
    c = model.config
    span, giou = model.event_losses(found, _eatr_events(model, inputs))
    return {
        "loss_event_span": (span, c.event_span_weight),
        "loss_event_giou": (giou, c.event_giou_weight),
    }


def _eatr_outputs(
    model: EaTR, found: DetectorOutput, inputs: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    spans, counts = _eatr_events(model, inputs)
    rows = {f"pseudo_event_spans.{i}": spans[i, :count] for i, count in enumerate(counts)}
    return {"pred_event_spans": found.aside["events"], **rows}


def _uvcom_losses(
    model: UVCOM, found: DetectorOutput, inputs: Mapping[str, Tensor]
) -> dict[str, tuple[Tensor, float]]:
    if model.similarity is None:
        return {}
    mask = inputs["src_vid_mask"] != 0
    rows = tuple(str(row) for row in range(len(mask)))
    spans = inputs["target_spans_cxw"]
    value = model.similarity_loss(found, spans, mask.sum(dim=1), mask, rows)
    return {"loss_sim": (value, model.config.similarity_weight)}


def _uvcom_sizes(ours: Mapping[str, Tensor]) -> dict[str, Any]:
    return {
        "cross": "cross.layers.0.norm1.weight" in ours,
        "similarity": "similarity.of_video.0.weight" in ours,
        "frame_centroids": len(ours["frame_centroids.start"]),
        "segment_centroids": len(ours["segment_centroids.start"]),
        "mlp_hidden": len(ours["slot_attention.mlp.0.weight"]),
    }


FAMILIES = {
    "moment_detr": Family(PLAIN, dropped=r"saliency_proj\."),
    "qd_detr": Family(
        (
            *MOVING,
            (r"^global_rep_token$", "token"),
            (r"^global_rep_pos$", "token_position"),
        ),
        dropped=r"saliency_proj[12]\.",
    ),
    "tr_detr": Family(
        (
            *MOVING,
            (r"^fuser\.cq_attention\.w4C$", "refine.segment_weight"),
            (r"^fuser\.cq_attention\.w4Q$", "refine.frame_weight"),
            (r"^fuser\.cq_attention\.w4mlu$", "refine.product_weight"),
            (r"^fuser\.cq_attention\.cqa_linear\.conv1d\.", "refine.mix."),
            (r"^fuser\.cq_concat\.weighted_pool\.weight$", "refine.pool_weight"),
            (r"^fuser\.cq_concat\.conv1d\.conv1d\.", "refine.join."),
            (r"^saliency_proj1\.", "score."),
            (r"^gru_extractor\.gru\.", "unused_gru."),
        ),
        own_losses=_tr_losses,
    ),
    "eatr": Family(
        (
            (r"^transformer\.decoder\.slot_atten\.slots$", "slots"),
            (r"^transformer\.decoder\.slot_atten\.", "slot_attention."),
            (r"^transformer\.decoder\.event_norm\.", "event_norm."),
            # The authors' decoder and model hold the same two heads.
            (r"^(?:transformer\.decoder\.)?event_span_embed\.", "event_head."),
            (r"^(?:transformer\.decoder\.)?moment_span_embed\.", "decoder.step_head."),
            (r"\.gate_(cross|self)_attn\.", r".gate.\1_attention."),
            (r"\.gate_(linear|norm)\.", r".gate.\1."),
            *_SLOTS,
            *MOVING,
        ),
        dropped=r"saliency_proj\.",
        own_options={"num_slot_iter": "slot_rounds"},
        own_losses=_eatr_losses,
        own_outputs=_eatr_outputs,
    ),
    "uvcom": Family(
        (
            (r"^CIM\.GKA_Module\.", "encoder."),
            (r"^CIM\.t2v_encoder\.", "cross."),
            (r"^CIM\.v2t_encoder\.", "cross_frames."),
            (r"^CIM\.processer_for_tgt\.", "slot_attention."),
            (r"^CIM\.decoder\.span_embed\.weight$", "contents"),
            (r"^CIM\.decoder\.", "decoder."),
            (r"^CIM\.txt_mu$", "frame_centroids.start"),
            (r"^CIM\.vid_mu$", "segment_centroids.start"),
            (r"^CIM\.feature_proj\.", "summary."),
            (r"^CIM\.conv_local\.0\.", "neighbours.enter."),
            (r"^CIM\.conv_local\.1\.", "neighbours.mix."),
            (r"^CIM\.conv_local\.2\.", "neighbours.leave."),
            (r"^CIM\.sim_vid\.layers\.(\d)\.", lambda m: _similarity("track", m[1])),
            (r"^CIM\.sim_txt\.layers\.(\d)\.", lambda m: _similarity("video", m[1])),
            (r"^global_rep_pos$", "token_position"),
            *_SLOTS,
            *MOVING,
        ),
        dropped=r"saliency_proj[12]\.|global_rep_token$",
        own_options={"em_iter": "centroid_rounds"},
        own_losses=_uvcom_losses,
        own_sizes=_uvcom_sizes,
    ),
}
"""By the name of the model that has all of the family's parts."""

_OPTIONS: Mapping[str, str] = {
    "eos_coef": "background_weight",
    "set_cost_span": "span_cost",
    "set_cost_giou": "giou_cost",
    "set_cost_class": "label_cost",
}
"""The authors' options that leave no trace in the weights: their name → ours."""
_OWN = ("authors_mask", "mask_padding")
"""Options that only our modules have."""
_FIXED: Mapping[str, Any] = {
    "use_txt_pos": False,
    "pre_norm": False,
    "position_embedding": "sine",
    "span_loss_type": "l1",
    "n_input_proj": 2,
}
"""The authors' options that have one value here: the published one."""


def load_detector(
    name: str, switches: Mapping[str, Any], weights: Mapping[str, Tensor]
) -> SpanDetector:
    """Model `name` in evaluation mode with the authors' `weights`; each must find its place.

    Sizes and layers are read off the weights. What leaves no trace there comes from `switches`:
    the authors' options `nheads`, `max_music_duration`, those of rounds and costs, the lengths `Lq`
    and `Lv` of their padded rows, and our own `authors_mask` and `mask_padding`. Features are taken
    as they are. ConfigError for an option that would make another network than ours.
    """
    family, options = FAMILIES[name], {**switches, **switches.get("config", {})}
    ours = {family.our_name(key): value for key, value in weights.items()}
    ours.pop("", None)
    try:
        config = _sizes(ours) | family.own_sizes(ours)
    except KeyError as missing:
        raise ConfigError(f"these are not weights of {name}: {missing} is missing") from None
    config |= {
        "max_frames": options.get("Lq", 50),
        "max_segments": options.get("Lv", 96),
        "canvas_seconds": float(options.get("max_music_duration", 240.0)),
        "heads": options.get("nheads", 8),
        "normalise_inputs": False,
    }
    refuse_others(name, options, _FIXED)
    named = {**_OPTIONS, **family.own_options, **{key: key for key in _OWN}}
    config |= {own: options[theirs] for theirs, own in named.items() if theirs in options}
    model = build(name, config)
    assert isinstance(model, SpanDetector)
    own = model.state_dict()
    ours = {key: _shaped(value, own.get(key)) for key, value in ours.items()}
    require_weights(model, ours)
    model.load_state_dict(ours)
    return model.eval()


def _sizes(ours: Mapping[str, Tensor]) -> dict[str, Any]:
    """Sizes of the model that weights under our names belong to."""
    hidden, frame_dim = ours["frame_projection.2.weight"].shape
    queries = [ours[n] for n in ("references", "query_positions", "slots") if n in ours]
    sizes: dict[str, Any] = {
        "hidden_dim": hidden,
        "frame_dim": frame_dim,
        "segment_dim": ours["segment_projection.2.weight"].shape[1],
        "feed_forward": ours["decoder.layers.0.feed_forward.0.weight"].shape[0],
        "encoder_layers": _layers(ours, "encoder"),
        "decoder_layers": _layers(ours, "decoder"),
        "unused_positions": len(ours.get("unused.table.weight", ())),
    }
    if queries:
        sizes["queries"] = len(queries[0])
    if cross := _layers(ours, "cross"):
        sizes["cross_layers"] = cross
    return sizes


def _layers(names: Iterable[str], stack: str) -> int:
    found = (re.match(rf"{stack}\.layers\.(\d+)\.", name) for name in names)
    return len({match[1] for match in found if match})


def _shaped(value: Tensor, own: Tensor | None) -> Tensor:
    """`value` in its own place's shape where they differ by dimensions of one entry alone."""
    if own is not None and [n for n in value.shape if n > 1] == [n for n in own.shape if n > 1]:
        return value.reshape(own.shape)
    return value


def replay_detector(
    model: SpanDetector, name: str, inputs: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """`replay` of a detector that is loaded already; keeps the gradients of its losses.

    `aux0.pred_spans` are the first decoder layer's. With true spans also `loss.weighted_total`.
    """
    spans, rows = inputs.get("target_spans_cxw"), len(inputs["src_txt"])
    seconds = torch.full((rows,), model.config.canvas_seconds)
    names = tuple(str(row) for row in range(rows))
    batch = Batch(
        inputs["src_txt"],
        inputs["src_txt_mask"],
        inputs["src_vid"],
        inputs["src_vid_mask"],
        video_seconds=seconds,
        track_seconds=seconds,
        video_ids=names,
        track_ids=names,
        spans=spans,
    )
    found = model.detection(batch)
    out = {"pred_spans": found.spans[-1], "pred_logits": found.logits[-1]}
    for layer in range(len(found.spans) - 1):
        out[f"aux{layer}.pred_spans"] = found.spans[layer]
        out[f"aux{layer}.pred_logits"] = found.logits[layer]
    if spans is not None:
        out |= loss_terms(model.criterion, found, spans)
        total = model.criterion(found, spans).sum() / rows
        for term, (value, weight) in FAMILIES[name].own_losses(model, found, inputs).items():
            out[f"loss.{term}"] = value
            total = total + weight * value
        out["loss.weighted_total"] = total
    return out | dict(FAMILIES[name].own_outputs(model, found, inputs))
