"""Any method of grounding, with the memory of past uses beside it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from mgsv.errors import ConfigError
from mgsv.library import TrackCurves
from mgsv.memory.fusion import Fused, Fusion
from mgsv.memory.model import ClipTraits, Memory
from mgsv.memory.use import pooled
from mgsv.methods import placement as placing
from mgsv.methods.base import (
    NOTHING_KNOWN,
    FloatArray,
    Method,
    Placed,
    Placement,
    Placer,
    PlacerWrapper,
    Query,
    Ranked,
    Ranker,
    RankerWrapper,
)
from mgsv.methods.tracklist import records_of
from mgsv.moment import Moment

MemoryUse = Literal["on", "off", "only"]

VERSION = "2"

POPULARITY = 0.5
"""What e times as many uses gain, in deviations of the tracks' scores. Set by hand, not fitted."""

WITH_HABITS = Fusion(unused_weight=0.0)
"""Beside a method that takes habits into account, which say where moments begin on tracks that were
never used: the memory need not say it once more."""


def with_memory(
    method: Method,
    known: Memory,
    *,
    memory: MemoryUse = "on",
    popularity: bool = False,
    fusion: Fusion | None = None,
    encoder: str = "",
) -> Method:
    """`method` with the memory `known` beside it; the method itself where that is empty or off.

    fusion: what `mgsv evaluate --fusion` fitted; without it the method gets even odds. encoder:
    fingerprint of what makes the clip's features. Raises ConfigError where there is nothing that
    could alone say where.
    """
    if memory == "off":
        return method
    if not len(known):
        if memory == "only":
            raise ConfigError(
                "`memory` only: no past uses are known", "bring some with `mgsv library learn`"
            )
        return method
    ranker = PopularRanker(method.ranker, known) if popularity else method.ranker
    only = memory == "only"
    placer = PlacerWithMemory(method.placer, known, fusion or Fusion(), encoder=encoder, only=only)
    return Method(method.name, ranker, placer)


class PopularRanker(RankerWrapper):
    """`ranker`, whose scores also count how often a track was used."""

    def __init__(self, ranker: Ranker, memory: Memory) -> None:
        super().__init__(ranker)
        self.chance_unknown = "no level of chance is known for a score that holds popularity"
        self._memory = memory

    @property
    def score_meaning(self) -> str:
        return f"{self._ranker.score_meaning}; plus the track's popularity among past uses"

    @property
    def fingerprint(self) -> str:
        return f"{self._ranker.fingerprint} popularity:{self._memory.fingerprint}"

    def score_tracks(self, query: Query, tracks: Sequence[TrackCurves]) -> FloatArray:
        scores = super().score_tracks(query, tracks)
        return np.asarray(scores + self._popularity(scores, tracks))

    def rerank(
        self, query: Query, tracks: Sequence[TrackCurves], placement: Placement
    ) -> list[Ranked]:
        """Evidence, beside the ranker's own: `popularity`, what was added to the score."""
        ranked = self._ranker.rerank(query, tracks, placement)
        more = self._popularity(np.array([one.score for one in ranked]), tracks)
        return [
            replace(one, score=one.score + extra, evidence={**one.evidence, "popularity": extra})
            for one, extra in zip(ranked, more.tolist(), strict=True)
        ]

    def chance(
        self,
        query: Query,  # noqa: ARG002
        tracks: Sequence[TrackCurves],  # noqa: ARG002
        known: Mapping[int, float] = NOTHING_KNOWN,  # noqa: ARG002
    ) -> float | None:
        return None

    def _popularity(self, scores: FloatArray, tracks: Sequence[TrackCurves]) -> FloatArray:
        usable = scores[np.isfinite(scores)]
        spread = float(np.std(usable)) if len(usable) else 0.0
        popular = [self._memory.popularity(one.id) for one in records_of(tracks)]
        return POPULARITY * spread * np.array(popular)


class PlacerWithMemory(PlacerWrapper):
    """`placer`, whose moments move where past uses have better reasons.

    Evidence on top of the placer's own: `past_uses` of the track; `memory_start` and
    `memory_probability`, the memory's best and that it is right within 2.5 s; `method_start`, the
    placer's own; `method_log_odds`, that the placer is right, without the memory;
    `memory_log_odds`, of the memory's place against the placer's, by both together;
    `placed_by_memory`, 1 where the memory moved the moment, which then has the evidence of
    `placement.place` (a start of a past use stays as it is, unless it must be on a beat).
    """

    def __init__(
        self,
        placer: Placer,
        memory: Memory,
        fusion: Fusion,
        *,
        encoder: str = "",
        only: bool = False,
    ) -> None:
        """
        encoder: fingerprint of what makes the clip's features, where the placer needs them.
        only: the memory alone decides, whatever the placer's answer.
        """
        super().__init__(placer)
        self.memory, self.fusion = memory, fusion
        self._encoder, self._only = encoder, only

    @property
    def fingerprint(self) -> str:
        text = f"{self.memory.fingerprint} {'only' if self._only else repr(self.fusion)}"
        short = hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
        return f"{self._placer.fingerprint} memory-{VERSION}:{short}"

    def improved(
        self, query: Query, features: TrackCurves, placed: Placed, placement: Placement
    ) -> Placed:
        clip = ClipTraits(query.seconds)
        if query.frame_feats is not None:
            feats = np.frombuffer(pooled(query.frame_feats), "<f2").astype(np.float32)
            clip = replace(clip, features=feats, encoder=self._encoder)
        density = self.memory.density(features.track.id, features.track.duration, clip)
        middle = (placed.moment.start + placed.moment.end) / 2
        confidence = placed.evidence.get("confidence", math.nan)
        fused = self.fusion.fuse(density, middle - density.width / 2, confidence)
        best = fused.remembered.moment if self._only else fused.best.moment
        evidence = {**placed.evidence, **_evidence(fused, density.uses, placed.moment)}
        if fused.keeps_answer and not self._only:
            return replace(placed, evidence=evidence)
        # Another video started exactly there, so the place is as fine as it gets.
        exact = np.isclose(density.starts, best.start, atol=1e-6).any()
        reach = 0.0 if exact else placing.REACH
        fine = placing.place(query, features, best, placement, reach=reach)
        return Placed(fine.moment, {**evidence, **fine.evidence, "placed_by_memory": 1.0})


def _evidence(fused: Fused, uses: int, answer: Moment) -> Mapping[str, float]:
    return {
        "past_uses": float(uses),
        "memory_start": fused.remembered.moment.start,
        "memory_probability": fused.remembered.probability,
        "method_start": answer.start,
        "method_log_odds": fused.model_log_odds,
        "memory_log_odds": fused.memory_log_odds,
    }
