"""Any method of grounding, with the memory of past uses beside it."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from mgsv.data.uses import Use, pooled
from mgsv.encoders.registry import Source
from mgsv.errors import ConfigError
from mgsv.library import TrackCurves
from mgsv.methods import placement as placing
from mgsv.methods.base import Detection, FloatArray, Method, Placement, Query
from mgsv.methods.fusion import Fused, Fusion
from mgsv.methods.usage import Clip, UsageMemory
from mgsv.moment import Moment

MemoryUse = Literal["on", "off", "only"]

VERSION = "2"

POPULARITY = 0.5
"""What e times as many uses gain, in deviations of the tracks' scores. Set by hand, not fitted."""


def with_memory(
    method: Method,
    uses: Iterable[Use],
    *,
    memory: MemoryUse = "on",
    popularity: bool = False,
    fusion: str | os.PathLike[str] | None = None,
    encoder: str = "",
) -> Method:
    """`method` with the memory of `uses` beside it; the method itself where there is none to ask.

    fusion: a file that `mgsv evaluate --fusion` wrote; without one the method gets even odds.
    encoder: fingerprint of what makes the clip's features. ConfigError for options that make no
    sense together.
    """
    if memory not in ("on", "off", "only"):
        raise ConfigError(f"--memory {memory}: unknown", "choose on, off or only")
    if memory == "off":
        if popularity or fusion is not None:
            flag = "--popularity" if popularity else "--fusion"
            raise ConfigError(f"{flag} with --memory off", "leave one of them out")
        return method
    fused = Fusion() if fusion is None else Fusion.load(fusion)
    known = UsageMemory(uses)
    if not len(known):
        if memory == "only":
            raise ConfigError(
                "--memory only: no past uses are known", "bring some with `mgsv library learn`"
            )
        return method
    return Remembering(
        method, known, fused, encoder=encoder, only=memory == "only", popularity=popularity
    )


class Remembering:
    """A `Method` that asks `method`, and then the memory where on each track the moment lies.

    The ranking of tracks stays the method's own, unless `popularity` adds how often they were used.
    """

    def __init__(
        self,
        method: Method,
        memory: UsageMemory,
        fusion: Fusion,
        *,
        encoder: str = "",
        only: bool = False,
        popularity: bool = False,
    ) -> None:
        """
        encoder: fingerprint of what makes the clip's features, where the method wants them.
        only: the memory alone says where, whatever the method answers.
        """
        self.name = method.name
        self.wants_features = method.wants_features
        self.reranks = method.reranks
        self.chance_unknown = method.chance_unknown
        if popularity:
            self.chance_unknown = "no level of chance is known for a score that holds popularity"
        self.method, self.memory, self.fusion = method, memory, fusion
        self._encoder, self._only, self._popularity = encoder, only, popularity

    @property
    def score_meaning(self) -> str:
        more = "; plus the track's popularity among past uses" if self._popularity else ""
        return self.method.score_meaning + more

    @property
    def fingerprint(self) -> str:
        how = "only" if self._only else repr(self.fusion)
        text = f"{self.memory.fingerprint} {how} popularity={self._popularity}"
        short = hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
        return f"{self.method.fingerprint} memory-{VERSION}:{short}"

    def require(self, video: Source, music: Source) -> None:
        self.method.require(video, music)

    def score_tracks(self, query: Query, tracks: Sequence[TrackCurves]) -> FloatArray:
        return self._popular(self.method.score_tracks(query, tracks), tracks)

    def rerank(self, query: Query, tracks: Sequence[TrackCurves]) -> FloatArray:
        return self._popular(self.method.rerank(query, tracks), tracks)

    def detect(
        self, query: Query, tracks: Sequence[TrackCurves], placement: Placement
    ) -> list[Detection]:
        """The method's detections, moved where the memory has better reasons.

        Evidence on top of the method's own: `past_uses` of the track; `memory_start` and
        `memory_probability`, the memory's best and that it is right within 2.5 s; `method_start`,
        the method's own; `method_log_odds`, that the method is right, before the memory is asked;
        `memory_log_odds`, of the memory's place against the method's, by both together;
        `placed_by_memory`, 1 where the memory moved the moment, which then has the evidence of
        `placement.place` (a start of a past use stays as it is, unless it must be on a beat);
        `popularity`, what was added to the score.
        """
        found = self.method.detect(query, tracks, placement)
        clip = Clip(query.seconds)
        if query.frame_feats is not None:
            feats = np.frombuffer(pooled(query.frame_feats), "<f2").astype(np.float32)
            clip = replace(clip, features=feats, encoder=self._encoder)
        moved = [
            self._moved(query, tracks[n], detection, clip, placement)
            for n, detection in enumerate(found)
        ]
        scores = np.array([detection.score for detection in found])
        more = self._popular(scores, tracks) - scores if self._popularity else None
        return [
            detection
            if more is None
            else replace(
                detection,
                score=detection.score + float(more[n]),
                evidence={**detection.evidence, "popularity": float(more[n])},
            )
            for n, detection in enumerate(moved)
        ]

    def chance(self, query: Query, tracks: Sequence[TrackCurves]) -> float | None:
        return None if self._popularity else self.method.chance(query, tracks)

    def _moved(
        self,
        query: Query,
        track: TrackCurves,
        detection: Detection,
        clip: Clip,
        placement: Placement,
    ) -> Detection:
        density = self.memory.density(track.track.id, track.track.duration, clip)
        middle = (detection.moment.start + detection.moment.end) / 2
        confidence = detection.evidence.get("confidence", math.nan)
        fused = self.fusion.fuse(density, middle - density.width / 2, confidence)
        best = fused.remembered.moment if self._only else fused.best.moment
        keeps = fused.keeps_answer and not self._only
        evidence = {**detection.evidence, **_evidence(fused, density.uses, detection.moment)}
        if keeps:
            return replace(detection, evidence=evidence)
        # Another video started exactly there, so the place is as fine as it gets.
        exact = np.isclose(density.starts, best.start, atol=1e-6).any()
        reach = 0.0 if exact else placing.REACH
        placed = placing.place(query, track, best, placement, reach=reach)
        return replace(
            detection,
            moment=Moment(placed.start, placed.start + best.duration),
            evidence={**evidence, **placed.evidence, "placed_by_memory": 1.0},
        )

    def _popular(self, scores: FloatArray, tracks: Sequence[TrackCurves]) -> FloatArray:
        if not self._popularity or not len(scores):
            return scores
        usable = scores[np.isfinite(scores)]
        spread = float(np.std(usable)) if len(usable) else 0.0
        more = np.array([self.memory.popularity(track.track.id) for track in tracks])
        return np.asarray(scores + POPULARITY * spread * more)


def _evidence(fused: Fused, uses: int, answer: Moment) -> Mapping[str, float]:
    return {
        "past_uses": float(uses),
        "memory_start": fused.remembered.moment.start,
        "memory_probability": fused.remembered.probability,
        "method_start": answer.start,
        "method_log_odds": fused.model_log_odds,
        "memory_log_odds": fused.memory_log_odds,
    }
