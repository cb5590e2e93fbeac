"""MaDe's training step and music-set evaluation: time and peak memory, beside a plain version.

    python benchmarks/made.py            # full size: batch 512; 2,000 queries x 2,000 tracks
    python benchmarks/made.py --quick    # a fraction of it, to see that all works

Both versions have the same weights and see the same synthetic features; before anything is timed,
their losses and scores are compared. The plain one is written as the equations read: attention
weights are returned, every pair's pooled vector is materialised, every row is as long as the
longest may be. Each phase runs in a process of its own, whose peak memory is its own as well.
Lengths are drawn `as in the data` (24 frames and 56 segments on average, spread as in MGSV-EC's
annotations) or all `full` (50 and 96).
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgsv.data.batch import Batch
from mgsv.models.authors import our_made_name
from mgsv.models.blocks import sine_of_mask, sine_table
from mgsv.models.losses import generalised_iou, info_nce
from mgsv.models.made import MaDe
from mgsv.models.matching import Embedded, rerank_all
from mgsv.models.registry import build

FRAMES, SEGMENTS, CANVAS = 50, 96, 240.0


# The plain version, its parameters named as the authors name them


class PlainBlock(nn.Module):
    def __init__(self, d: int, rate: float) -> None:
        super().__init__()
        feed_forward = nn.Sequential(
            nn.Linear(d, 1024), nn.GELU(), nn.Dropout(rate), nn.Linear(1024, d), nn.Dropout(rate)
        )
        attention = nn.MultiheadAttention(d, 8, rate, batch_first=True)
        parts = nn.ModuleList([nn.LayerNorm(d), attention, nn.LayerNorm(d), feed_forward])
        self.layers = nn.ModuleList([parts])
        self.final_linear = nn.Linear(d, d)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        norm1, attention, norm2, feed_forward = self.layers[0]
        x = norm1(x + sine_table(x.shape[1], x.shape[2]))
        x = norm2(x + attention(x, x, x, key_padding_mask=~mask)[0])
        return self.final_linear(x + feed_forward(x)) * mask[..., None]


class PlainXPool(nn.Module):
    def __init__(self, d: int) -> None:
        super().__init__()
        names = ("q_proj", "k_proj", "v_proj", "out_proj")
        self.cross_attn = nn.ModuleDict({name: nn.Linear(d, d) for name in names})
        self.linear_proj = nn.Linear(d, d)
        self.layer_norm1, self.layer_norm2, self.layer_norm3 = (nn.LayerNorm(d) for _ in range(3))
        self.dropout = nn.Dropout(0.3)

    def forward(self, videos: Tensor, segments: Tensor, mask: Tensor) -> Tensor:
        query, tokens = self.layer_norm1(videos), self.layer_norm1(segments)
        q, k = self.cross_attn["q_proj"](query), self.cross_attn["k_proj"](tokens)
        scores = k @ q.T / math.sqrt(q.shape[-1])
        weights = scores.masked_fill(~mask[..., None], float("-inf")).softmax(dim=1)
        mixed = weights.transpose(1, 2) @ self.cross_attn["v_proj"](tokens)
        mixed = self.layer_norm2(self.cross_attn["out_proj"](mixed))
        return self.layer_norm3(mixed + self.dropout(self.linear_proj(mixed)))


class PlainLayer(nn.Module):
    def __init__(self, d: int, decoder: bool) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(d, 8, 0.1, batch_first=True)
        if decoder:
            self.multihead_attn = nn.MultiheadAttention(d, 8, 0.1, batch_first=True)
            self.norm3 = nn.LayerNorm(d)
        self.linear1, self.linear2 = nn.Linear(d, 1024), nn.Linear(1024, d)
        self.norm1, self.norm2, self.drop = nn.LayerNorm(d), nn.LayerNorm(d), nn.Dropout(0.1)

    def feed_forward(self, x: Tensor) -> Tensor:
        return self.drop(self.linear2(self.drop(F.relu(self.linear1(x)))))

    def encode(self, x: Tensor, place: Tensor, mask: Tensor) -> Tensor:
        q = x + place
        x = self.norm1(x + self.drop(self.self_attn(q, q, x, key_padding_mask=~mask)[0]))
        return self.norm2(x + self.feed_forward(x))

    def decode(
        self, x: Tensor, query: Tensor, memory: Tensor, place: Tensor, mask: Tensor
    ) -> Tensor:
        q = x + query
        x = self.norm1(x + self.drop(self.self_attn(q, q, x)[0]))
        found = self.multihead_attn(x + query, memory + place, memory, key_padding_mask=~mask)[0]
        x = self.norm2(x + self.drop(found))
        return self.norm3(x + self.feed_forward(x))


class PlainDetr(nn.Module):
    def __init__(self, d: int) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Module(), nn.Module()
        self.encoder.layers = nn.ModuleList(PlainLayer(d, decoder=False) for _ in range(2))
        self.decoder.layers = nn.ModuleList(PlainLayer(d, decoder=True) for _ in range(6))
        self.decoder.norm = nn.LayerNorm(d)


class PlainMaDe(nn.Module):
    def __init__(self, d: int = 256) -> None:
        super().__init__()
        self.vit_proj, self.ast_proj = nn.Linear(512, d), nn.Linear(768, d)
        self.video_transformer, self.audio_transformer = PlainBlock(d, 0.8), PlainBlock(d, 0.8)
        self.video_guided_to_music_pooling_cross_transformer = PlainXPool(d)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.03)))
        self.detr_transformer = PlainDetr(d)
        self.decoder_query_embed = nn.Embedding(1, d)
        self.span_embed = nn.Module()
        self.span_embed.layers = nn.ModuleList(nn.Linear(d, n) for n in (d, d, 2))
        self.class_embed = nn.Linear(d, 2)
        self.contrastive_align_projection_query = nn.Linear(d, d)
        self.contrastive_align_projection_vid = nn.Linear(d, d)

    def embed(self, feats: Tensor, mask: Tensor, video: bool) -> tuple[Tensor, Tensor]:
        project = self.vit_proj if video else self.ast_proj
        block = self.video_transformer if video else self.audio_transformer
        tokens = block(project(feats * mask[..., None]), mask)
        pooled = tokens.sum(dim=1) / mask.sum(dim=1, keepdim=True)
        return tokens, F.normalize(pooled, dim=-1)

    def pooled_scores(self, videos: Tensor, segments: Tensor, mask: Tensor) -> Tensor:
        pooled = self.video_guided_to_music_pooling_cross_transformer(videos, segments, mask)
        return (F.normalize(pooled, dim=-1) * videos).sum(dim=-1).T

    def decode(self, frames: Tensor, segments: Tensor, mask: Tensor, query: Tensor) -> Tensor:
        x = torch.cat([frames, segments], dim=1)
        place = sine_of_mask(mask, x.shape[-1])
        for layer in self.detr_transformer.encoder.layers:
            x = layer.encode(x, place, mask)
        query, outputs = query[:, None], []
        for layer in self.detr_transformer.decoder.layers:
            query = layer.decode(query, self.decoder_query_embed.weight, x, place, mask)
            outputs.append(self.detr_transformer.decoder.norm(query))
        return torch.stack(outputs)

    def spans(self, hidden: Tensor) -> Tensor:
        first, second, third = self.span_embed.layers
        return third(F.relu(second(F.relu(first(hidden))))).sigmoid()

    def loss(self, batch: Batch) -> Tensor:
        frame_mask, segment_mask = batch.frame_mask != 0, batch.segment_mask != 0
        frames, video = self.embed(batch.frame_feats, frame_mask, video=True)
        segments, track = self.embed(batch.segment_feats, segment_mask, video=False)
        scale = self.logit_scale.exp()
        pooled = self.pooled_scores(video, segments, segment_mask)
        retrieval = info_nce(video @ track.T * scale) + info_nce(pooled * scale)
        mask = torch.cat([frame_mask, segment_mask], dim=1)
        hidden = self.decode(frames, segments, mask, video)
        spans, logits = self.spans(hidden)[:, :, 0], self.class_embed(hidden)[:, :, 0]
        assert batch.spans is not None
        distance = (spans - batch.spans).abs().mean(dim=-1)
        giou = 1 - generalised_iou(spans, batch.spans)
        label = -logits.log_softmax(dim=-1)[..., 0]
        queries = F.normalize(self.contrastive_align_projection_query(hidden), dim=-1)
        seen = F.normalize(self.contrastive_align_projection_vid(frames), dim=-1)
        agreement = torch.einsum("lbqd,bfd->lbqf", queries, seen).sum(dim=-1) / 0.07
        alignment = agreement.logsumexp(dim=-1) - agreement[..., 0]
        detection = 4 * distance + giou + 0.8 * label + 0.2 * alignment
        return retrieval + detection.mean(dim=1).sum()


# Data and weights


def make_batch(rows: int, full: bool, seed: int) -> Batch:
    """Random features, each row at its own length, padded to the longest there may be."""
    g = torch.Generator().manual_seed(seed)
    if full:
        frames, segments = torch.full((rows,), FRAMES), torch.full((rows,), SEGMENTS)
    else:
        # Skewed like the videos' lengths: the sum of three exponentials; tracks lie flat.
        drawn = torch.empty(3, rows).exponential_(1 / 6.1, generator=g).sum(dim=0)
        frames = (6 + drawn).round().clamp_max(FRAMES).long()
        segments = torch.randint(14, 99, (rows,), generator=g).clamp_max(SEGMENTS)
    width = torch.rand(rows, generator=g) * 0.2 + 0.02
    centre = width / 2 + torch.rand(rows, generator=g) * (1 - width)
    return Batch(
        torch.randn(rows, FRAMES, 512, generator=g),
        torch.arange(FRAMES) < frames[:, None],
        torch.randn(rows, SEGMENTS, 768, generator=g),
        torch.arange(SEGMENTS) < segments[:, None],
        video_seconds=width * CANVAS,
        track_seconds=segments * 2.5,
        video_ids=tuple(map(str, range(rows))),
        track_ids=tuple(map(str, range(rows))),
        spans=torch.stack([centre, width], dim=-1),
    )


def stream(pairs: int, full: bool, size: int = 128) -> Iterator[Batch]:
    for start in range(0, pairs, size):
        yield make_batch(min(size, pairs - start), full, seed=start)


def models() -> tuple[MaDe, PlainMaDe]:
    """Both versions with the same weights, away from X-Pool's identity start."""
    torch.manual_seed(0)
    ours, plain = build("made"), PlainMaDe()
    assert isinstance(ours, MaDe) and ours.xpool is not None
    with torch.no_grad():
        for parameter in ours.xpool.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    own = ours.state_dict()
    plain.load_state_dict({name: own[our_made_name(name)] for name in plain.state_dict()})
    return ours, plain


# Phases


def train(version: str, full: bool, rows: int, steps: int, bf16: bool) -> dict[str, float]:
    ours, plain = models()
    model = (ours if version == "ours" else plain).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-4)
    batch = make_batch(rows, full, seed=1)
    times = []
    for _ in range(steps + 1):
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            found = model.loss(batch)
        loss = sum(found.values()) if isinstance(found, dict) else found
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        times.append(time.perf_counter() - began)
    return {"seconds": min(times[1:])}  # the first step warms up allocator and optimiser


@torch.no_grad()
def evaluate_ours(full: bool, pairs: int) -> dict[str, float]:
    model = models()[0].eval()
    videos, tracks, forward = [], [], 0.0
    for batch in stream(pairs, full):
        began = time.perf_counter()
        video, track = model.embed_videos(batch), model.embed_tracks(batch)
        model.detect(batch, (video, track))
        videos.append(video.summary())
        tracks.append(track)
        forward += time.perf_counter() - began
    began = time.perf_counter()
    rerank_all(model, Embedded.cat(videos), Embedded.cat(tracks))
    scores = time.perf_counter() - began
    return {"seconds": forward + scores, "forward": forward, "scores": scores}


@torch.no_grad()
def evaluate_plain(full: bool, pairs: int) -> dict[str, float]:
    model = models()[1].eval()
    kept, forward = [], 0.0
    for batch in stream(pairs, full):
        began = time.perf_counter()
        frame_mask, segment_mask = batch.frame_mask != 0, batch.segment_mask != 0
        frames, video = model.embed(batch.frame_feats, frame_mask, video=True)
        segments, track = model.embed(batch.segment_feats, segment_mask, video=False)
        mask = torch.cat([frame_mask, segment_mask], dim=1)
        hidden = model.decode(frames, segments, mask, video)[-1]
        model.spans(hidden), model.class_embed(hidden).softmax(dim=-1)
        kept.append((video, track, segments, segment_mask))
        forward += time.perf_counter() - began
    began = time.perf_counter()
    video, track, segments, segment_mask = (torch.cat(part) for part in zip(*kept, strict=True))
    video @ track.T + model.pooled_scores(video, segments, segment_mask)
    scores = time.perf_counter() - began
    return {"seconds": forward + scores, "forward": forward, "scores": scores}


@torch.no_grad()
def agreement() -> dict[str, float]:
    """Largest differences of loss and scores between the two versions."""
    ours, plain = (model.eval() for model in models())
    batch = make_batch(128, False, seed=7)
    videos, tracks = ours.embed_videos(batch), ours.embed_tracks(batch)
    mask = batch.segment_mask != 0
    _, video = plain.embed(batch.frame_feats, batch.frame_mask != 0, video=True)
    segments, track = plain.embed(batch.segment_feats, mask, video=False)
    scores = video @ track.T + plain.pooled_scores(video, segments, mask)
    loss = sum(ours.loss(batch).values())
    return {
        "loss": float((loss - plain.loss(batch)).abs()),
        "scores": float((ours.pair_scores(videos, tracks) - scores).abs().max()),
    }


PRODUCTS = "mkldnn::_linear_pointwise", "aten::addmm", "aten::mm", "aten::bmm"


def profile(rows: int, training: bool, bf16: bool) -> dict[str, float]:
    """Share of a pass's processor time, on one thread, that matrix products take."""
    torch.set_num_threads(1)
    model, batch = models()[0].train(training), make_batch(rows, False, seed=1)

    def run() -> None:
        with (
            torch.set_grad_enabled(training),
            torch.autocast("cpu", torch.bfloat16, enabled=bf16),
        ):
            if training:
                sum(model.loss(batch).values()).backward()
            else:
                model.detect(batch, (model.embed_videos(batch), model.embed_tracks(batch)))

    run()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as kept:
        run()
    spent = {event.key: event.self_cpu_time_total for event in kept.key_averages()}
    return {"products": sum(spent.get(name, 0) for name in PRODUCTS) / sum(spent.values())}


def run_phase(phase: str, options: argparse.Namespace) -> dict[str, float]:
    kind, version, lengths, precision = phase.split("-")
    full = lengths == "full"
    if kind == "train":
        result = train(version, full, options.rows, options.steps, precision == "bf16")
    else:
        result = (evaluate_ours if version == "ours" else evaluate_plain)(full, options.pairs)
    # ru_maxrss is in KiB on Linux.
    return result | {"peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9}


def in_own_process(phase: str, options: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, str(Path(__file__).resolve()), "--phase", phase]
    for name in ("threads", "rows", "pairs", "steps"):
        command += [f"--{name}", str(getattr(options, name))]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def report(kind: str, lengths: str, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    results = {}
    versions = ["ours-fp32"] if options.ours else ["ours-fp32", "plain-fp32"]
    for name in [*versions, "ours-bf16"] if kind == "train" and options.bf16 else versions:
        version, precision = name.split("-")
        result = in_own_process(f"{kind}-{version}-{lengths}-{precision}", options)
        results[name] = result
        seconds = result["seconds"]
        speed = f"{options.rows / seconds:.1f} samples/s, " if kind == "train" else ""
        parts = "".join(f"{k} {result[k]:.1f} s, " for k in ("forward", "scores") if k in result)
        print(
            f"{kind:8} lengths {lengths:4} {name:10} {seconds:6.2f} s, "
            f"{speed}{parts}peak {result['peak_gb']:.2f} GB",
            flush=True,
        )
    if not options.ours:
        ratio = results["plain-fp32"]["seconds"] / results["ours-fp32"]["seconds"]
        print(f"{kind:8} lengths {lengths:4} plain / ours = {ratio:.2f}", flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="batch 128, 400 x 400 evaluation")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", type=int, default=512, help="batch size of the training step")
    parser.add_argument("--pairs", type=int, default=2000, help="queries and tracks evaluated")
    parser.add_argument("--steps", type=int, default=2, help="steps timed; the fastest counts")
    parser.add_argument("--only", choices=("train", "evaluate"), help="one of the two phases")
    parser.add_argument("--lengths", choices=("data", "full"), help="one of the two settings")
    parser.add_argument("--ours", action="store_true", help="leave the plain version out")
    parser.add_argument("--bf16", action="store_true", help="bfloat16 autocast training as well")
    parser.add_argument("--profile", action="store_true", help="what matrix products take of it")
    parser.add_argument("--json", metavar="FILE", help="write all figures here")
    parser.add_argument("--phase", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.rows, options.pairs = 128, 400
    torch.set_num_threads(options.threads)
    if options.phase:
        print(json.dumps(run_phase(options.phase, options)))
        return
    if options.profile:
        for name, *what in (
            *(("forward pass, fp32", False, False), ("training step, fp32", True, False)),
            ("training step, bf16", True, True),
        ):
            share = profile(options.rows, *what)["products"]
            print(f"{name}: {share:.0%} of the time in matrix products", flush=True)
        return
    found = agreement()
    print(f"largest difference of loss {found['loss']:.1e}, of scores {found['scores']:.1e}")
    print(f"batch {options.rows}, {options.pairs} x {options.pairs}, {options.threads} threads")
    results: dict[str, object] = {"agreement": found, "options": vars(options)}
    for kind in [options.only] if options.only else ["train", "evaluate"]:
        for lengths in [options.lengths] if options.lengths else ["data", "full"]:
            results[f"{kind}-{lengths}"] = report(kind, lengths, options)
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
