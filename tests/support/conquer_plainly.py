"""CONQUER once more, as its equations read, under its authors' names: an oracle for any depth.

B queries, C tracks of each, L frames, S segments, width d. Everything is float64.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = Mapping[str, Tensor]

SIDES = {"queryEncoder": ("qlayers", "q", "maxq"), "videoEncoder": ("layers", "v", "maxv")}
"""The authors' options for depth, input width and longest sequence of each encoder."""
CONTEXTS = {
    "contextual_QAL_feature_learning": 4,
    "moment_localization_head.begin_feature_modeling": 5,
    "moment_localization_head.end_feature_modeling": 2,
    "video_scoring_head.video_feature_modeling": 5,
}
"""The modules that `layers` counts too, and how many times d they read."""


def shapes(c: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The authors' state dict under config `c`: name → shape."""
    d, found = c["hidden"], dict[str, tuple[int, ...]]()

    def norm(name: str, width: int) -> None:
        found.update({f"{name}.LayerNorm.weight": (width,), f"{name}.LayerNorm.bias": (width,)})

    def linear(name: str, out: int, width: int) -> None:
        found.update({f"{name}.weight": (out, width), f"{name}.bias": (out,)})

    def block(name: str, width: int) -> None:
        norm(name, width)
        linear(f"{name}.net.1", d, width)

    def stack(name: str, layers: int) -> None:
        for layer in (f"{name}.layer.{n}" for n in range(layers)):
            for part in ("query", "key", "value"):
                linear(f"{layer}.attention.self.{part}", d, d)
            linear(f"{layer}.attention.output.dense", d, d)
            norm(f"{layer}.attention.output", d)
            linear(f"{layer}.intermediate.dense", c["inter"], d)
            linear(f"{layer}.output.dense", d, c["inter"])
            norm(f"{layer}.output", d)

    for side, (layers, width, longest) in SIDES.items():
        inner = f"encoder.{side}.transformer"
        block(f"encoder.{side}.linear", c[width])
        found[f"{inner}.embeddings.position_embeddings.weight"] = (c[longest], d)
        found[f"{inner}.embeddings.token_type_embeddings.weight"] = (2, d)
        norm(f"{inner}.embeddings", d)
        stack(f"{inner}.encoder", c[layers])
    exclusive = c["similarity_measure"] == "exclusive"
    for name, times in CONTEXTS.items():
        if exclusive or not name.startswith("video_scoring_head"):
            block(f"{name}.trans_linear", times * d)
            stack(f"{name}.encoder", c["layers"])
    found["query_aware_feature_learning_layer.similarity_weight.weight"] = (1, 3 * d)
    for edge in ("begin", "end"):
        score = f"moment_localization_head.{edge}_score_modeling.clip_score_predictor"
        found |= {
            f"{score}.0.weight": (c["conv"], d, c["k"]),
            f"{score}.2.weight": (1, c["conv"], 1),
        }
    if exclusive:
        score = "video_scoring_head.video_score_predictor"
        found |= {f"{score}.0.weight": (c["conv"], d), f"{score}.2.weight": (1, c["conv"])}
    return found


def random_weights(c: Mapping[str, Any], seed: int = 0) -> dict[str, Tensor]:
    """float32; matrices keep the size of what passes through them, gains are near 1."""
    g = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(shape, generator=g) / max(1, shape[-1]) ** 0.5
        if len(shape) > 1
        else float(name.endswith("weight")) + 0.1 * torch.randn(shape, generator=g)
        for name, shape in shapes(c).items()
    }


def evaluated(c: Mapping[str, Any], weights: Weights, inputs: Weights) -> dict[str, Tensor]:
    """`begin` and `end` [B, C, S] and, with the head, `video_score` [B, C]."""
    w = {name: value.double() for name, value in weights.items()}
    rows, count, places = inputs["visual_mask"].shape
    frames = inputs["query_mask"].double().repeat_interleave(count, dim=0)
    segments = inputs["visual_mask"].double().flatten(0, 1)
    query = inputs["query_feat"].double().repeat_interleave(count, dim=0)
    t = encoded(c, w, "queryEncoder", query, frames, kind=1)
    v = encoded(
        c, w, "videoEncoder", inputs["visual_feat"].double().flatten(0, 1), segments, kind=0
    )

    # Each segment, what the query is to it, and both products.
    pair = v[:, :, None] * t[:, None]
    both = torch.cat([v[:, :, None].expand_as(pair), t[:, None].expand_as(pair), pair], dim=-1)
    scores = F.linear(both, w["query_aware_feature_learning_layer.similarity_weight.weight"])[
        ..., 0
    ]
    valid = segments[:, :, None] * frames[:, None]
    scores = scores * valid + (1 - valid) * -1e10
    of_query = scores.softmax(dim=2) @ t
    of_segments = scores.amax(dim=2).softmax(dim=1)[:, None] @ v
    fused = torch.cat([v, of_query, v * of_query, v * of_segments], dim=-1)

    context = contextual(c, w, "contextual_QAL_feature_learning", fused, segments)
    seen = torch.cat([fused, context], dim=-1)
    head = "moment_localization_head"
    begin = contextual(c, w, f"{head}.begin_feature_modeling", seen, segments)
    after = torch.cat([context, begin], dim=-1)
    end = contextual(c, w, f"{head}.end_feature_modeling", after, segments)
    out = {}
    for name, x in (("begin", begin), ("end", end)):
        score = f"{head}.{name}_score_modeling.clip_score_predictor"
        hidden = F.conv1d(x.mT, w[f"{score}.0.weight"], padding=c["k"] // 2).relu()
        raw = F.conv1d(hidden, w[f"{score}.2.weight"])[:, 0]
        out[name] = (raw * segments + (1 - segments) * -1e4).view(rows, count, places)
    if c["similarity_measure"] == "exclusive":
        whole = contextual(c, w, "video_scoring_head.video_feature_modeling", seen, segments)
        score = "video_scoring_head.video_score_predictor"
        hidden = F.linear(whole.amax(dim=1), w[f"{score}.0.weight"]).relu()
        out["video_score"] = F.linear(hidden, w[f"{score}.2.weight"]).view(rows, count)
    return out


def encoded(
    c: Mapping[str, Any], w: Weights, side: str, x: Tensor, mask: Tensor, *, kind: int
) -> Tensor:
    """Features [P, L, D] of one modality with mask [P, L] → [P, L, d]."""
    inner = f"encoder.{side}.transformer"
    x = projected(w, f"encoder.{side}.linear", x)
    x = x + w[f"{inner}.embeddings.position_embeddings.weight"][: x.shape[1]]
    x = x + w[f"{inner}.embeddings.token_type_embeddings.weight"][kind]
    x = normed(w, f"{inner}.embeddings", x)
    return stacked(c, w, f"{inner}.encoder", c[SIDES[side][0]], x, mask)


def contextual(c: Mapping[str, Any], w: Weights, name: str, x: Tensor, mask: Tensor) -> Tensor:
    x = projected(w, f"{name}.trans_linear", x)
    return stacked(c, w, f"{name}.encoder", c["layers"], x, mask)


def stacked(
    c: Mapping[str, Any], w: Weights, name: str, layers: int, x: Tensor, mask: Tensor
) -> Tensor:
    """BERT's layers, post-norm."""
    for layer in (f"{name}.layer.{n}" for n in range(layers)):
        parts = (f"{layer}.attention.self.{part}" for part in ("query", "key", "value"))
        q, k, v = (linear(w, n, x).unflatten(-1, (c["heads"], -1)).transpose(1, 2) for n in parts)
        scores = q @ k.mT / q.shape[-1] ** 0.5 + (1 - mask)[:, None, None] * -1e4
        mixed = (scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2)
        x = x + linear(w, f"{layer}.attention.output.dense", mixed)
        x = normed(w, f"{layer}.attention.output", x)
        hidden = F.gelu(linear(w, f"{layer}.intermediate.dense", x))
        x = normed(w, f"{layer}.output", x + linear(w, f"{layer}.output.dense", hidden))
    return x


def projected(w: Weights, name: str, x: Tensor) -> Tensor:
    return linear(w, f"{name}.net.1", normed(w, name, x)).relu()


def normed(w: Weights, name: str, x: Tensor) -> Tensor:
    return F.layer_norm(
        x, x.shape[-1:], w[f"{name}.LayerNorm.weight"], w[f"{name}.LayerNorm.bias"], eps=1e-5
    )


def linear(w: Weights, name: str, x: Tensor) -> Tensor:
    return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])
