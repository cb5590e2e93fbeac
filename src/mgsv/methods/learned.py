"""Grounding by a learned model: its score ranks, its detection is placed exactly.

Any registered model will do, and `sync` does what it does not. The cheap score (two towers, or a
first stage) is asked of the whole library, the final one of the best candidates, and the moment of
the best of those.

A checkpoint may bring a survey of the whole track by the clip's cuts and motion
(`methods.survey`), which then has a say in the ranking and in the moment.

A model sees `max_segments` segments of a track and `max_frames` frames of a clip. Longer tracks
are cut into windows that overlap by half, and the best window speaks for the track; longer clips
are averaged down to the frames there is room for.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mgsv.data.batch import Batch
from mgsv.encoders.registry import SEGMENT_STEP, Source, batches
from mgsv.errors import ConfigError, shown
from mgsv.library import TrackCurves
from mgsv.methods import placement as placing
from mgsv.methods import survey as surveying
from mgsv.methods import sync
from mgsv.methods.base import DEFAULT_RERANK, Detection, Placement, Query, Rerank
from mgsv.methods.position import GRID
from mgsv.methods.survey import Survey, survey
from mgsv.methods.sync import Sync
from mgsv.methods.windows import Clip, Window, beside, resampled, segments_of, window_bounds
from mgsv.models.checkpoint import Checkpoint, Encoder, Encoders
from mgsv.models.composite import open_system, parts_of
from mgsv.models.matching import Embedded
from mgsv.moment import Moment, spans_to_moments

Array = npt.NDArray[np.float32]
PathLike = str | os.PathLike[str]

VERSION = "2"

WINDOWS_AT_ONCE = 64
"""Windows in memory at one time: 19 MB of the paper's features."""

SURVEYED_REACH = GRID / 2
"""Seconds that a start may still move once the survey has weighed all starts of the track."""

UNRELATED, UNRELATED_REACH = 2.0, 10.0
"""A clip whose best start on a track has log-odds below this was hardly cut to that track. No
moment is the right one then, and the start may move by so many seconds to a better one."""

SHORTEST_FREE = 1.0
"""Seconds that a moment lasts at least with `fit="free"`, as long as the shortest clip."""

CHANCE_QUANTILE = 0.95
CHANCE_TRACKS = 64
"""Chance is measured on at most this many tracks and extrapolated to the whole library."""
CHANCE_LEAST = 8
"""Fewer tracks do not show how scores spread."""
TOO_FEW = (
    f"with fewer than {CHANCE_LEAST} tracks there is nothing to compare a score with, "
    "so it does not tell whether this music fits better than chance"
)


class Learned:
    """The method of one system. Scores are the model's own, on the scale that it states.

    A system that only matches ranks, and `sync` places; one that only detects places, and `sync`
    ranks. A model that only re-ranks puts its first stage's best candidates into its own order.
    """

    wants_features = True

    def __init__(
        self, checkpoint: Checkpoint, *, rerank: Rerank = DEFAULT_RERANK, fingerprint: str = ""
    ) -> None:
        """ConfigError where the model neither matches nor detects, or reads other segments.

        rerank: how many candidates get the final score, or "all". fingerprint: of the weights.
        """
        if rerank != "all" and rerank < 1:
            raise ConfigError(f"--rerank {rerank}: at least one candidate is needed")
        self.name = name = checkpoint.name
        parts = parts_of(checkpoint.model)
        self._first, self._placer = parts.matcher, parts.detector
        self._final = parts.matcher if parts.reranker is None else parts.reranker
        if self._first is None and self._placer is None:
            raise ConfigError(f"the model {name} neither matches nor detects", "use another one")
        model: Any = checkpoint.model
        self._settings: Any = model.config
        step = self._settings.canvas_seconds / self._settings.max_segments
        if abs(step - SEGMENT_STEP) > 1e-6:
            raise ConfigError(
                f"the model {name} hears a segment per {step:g} s, a library holds one per "
                f"{SEGMENT_STEP:g} s",
                "train it on features of that stride",
            )
        self.reranks = sys.maxsize if rerank == "all" else rerank
        self.chance_unknown = TOO_FEW
        if self._first is None:
            self.reranks, self.chance_unknown = Sync.reranks, Sync.chance_unknown
        self._survey = None if self._placer is None else Survey.of(checkpoint.record)
        self._checkpoint = checkpoint
        self._model = model.eval()
        self._fingerprint = fingerprint

    @classmethod
    def load(
        cls,
        path: PathLike | None,
        name: str,
        *,
        matcher: PathLike | None = None,
        detector: PathLike | None = None,
        first_stage: PathLike | None = None,
        rerank: Rerank = DEFAULT_RERANK,
    ) -> Self:
        """From checkpoint files, whose model must be `name`; ConfigError where it is not.

        Which files make which system: see `models.composite.open_system`.
        """
        checkpoint = open_system(path, matcher=matcher, detector=detector, first_stage=first_stage)
        files = [file for file in (path, matcher, detector, first_stage) if file is not None]
        if checkpoint.name != name:
            flag = "--matcher" if path is None else "--model"
            raise ConfigError(
                f"{flag} {shown(files[0])}: holds a model {checkpoint.name}, not {name}",
                f"choose --method {checkpoint.name}, or another checkpoint",
            )
        weights = []
        for path in files:
            with Path(path).open("rb") as file:
                weights.append(hashlib.file_digest(file, "sha256").hexdigest()[:12])
        return cls(checkpoint, rerank=rerank, fingerprint="+".join(weights))

    @property
    def score_meaning(self) -> str:
        if self._first is None:
            return f"{Sync.score_meaning} (sync ranks, the model {self.name} finds the moment)"
        own = getattr(self._model, "score_meaning", "higher is better")
        meaning = f"how well clip and track go together, by the model {self.name}: {own}"
        if self._survey is not None:
            meaning += "; and how well cuts and motion fit the music"
        return f"{meaning} (sync finds the moment)" if self._placer is None else meaning

    @property
    def fingerprint(self) -> str:
        candidates = "all" if self.reranks == sys.maxsize else self.reranks
        parts = f"sync-{sync.VERSION} placement-{placing.VERSION}"
        if self._survey is not None:
            parts += f" survey-{surveying.VERSION}"
        return f"{self.name}-{VERSION}:{self._fingerprint} rerank={candidates} {parts}"

    def require(self, video: Source, music: Source) -> None:
        """EncoderMismatch where features of these encoders are not what the model was made for."""
        sides = (Encoder(side.name, side.dim, side.fingerprint) for side in (video, music))
        self._checkpoint.require(Encoders(*sides))

    def score_tracks(self, query: Query, tracks: Sequence[TrackCurves]) -> Array:
        """The cheap score of each track's best window [M]; -inf for tracks too short to serve."""
        if self._first is None:
            return Sync().score_tracks(query, tracks)
        return self._scores(query, tracks, self._first, lambda v, m: self._first.score_all(v, m)[0])

    def rerank(self, query: Query, tracks: Sequence[TrackCurves]) -> Array:
        """The final score of each track's best window [K], and of its best start by the survey."""
        if self._final is None:
            return Sync().rerank(query, tracks)
        scores = self._scores(query, tracks, self._final, self._final.rerank)
        if self._survey is None:
            return scores
        weights, ranking = self._survey.weights, self._survey.ranking
        fitting = [ranking * survey(query, track, weights).best for track in tracks]
        return scores + np.asarray(fitting, np.float32)

    def detect(
        self, query: Query, tracks: Sequence[TrackCurves], placement: Placement
    ) -> list[Detection]:
        """The best window's moment on each track, then placed exactly (`methods.placement`).

        Evidence of who ranks: `two_tower` and `interaction`, which sum to the score (with `edit`,
        what the survey adds), or `first_stage`, the matcher's score of a track that another model
        ranked. Of who places: `confidence` in the span; `model_start` and `model_end`, the span as
        the model gave it; `survey_start`, where the survey alone would start, and
        `survey_probability`, that the moment is about where both put it, unless the clip was hardly
        cut to this track; and what `placement.place` tells. Where `sync` itself ranks or places,
        its score is the score, or its evidence stands.
        """
        best: list[_Found | None] = [None] * len(tracks)
        with torch.inference_mode():
            clip = self._clip(query)
            for windows, batch in self._windows(clip, tracks):
                for window, found in zip(windows, self._look(clip, batch), strict=True):
                    known = best[window.track]
                    if known is None or found.score > known.score:
                        best[window.track] = found.shifted(window.offset)
        said = [window for window in best if window is not None]
        if self._placer is not None and self._first is not None:
            pairs = zip(tracks, said, strict=True)
            return [self._placed(query, features, one, placement) for features, one in pairs]
        by_sync = Sync().detect(query, tracks, placement)
        if self._placer is None:
            return [
                replace(detection, score=one.score, evidence={**one.ranked, **detection.evidence})
                for detection, one in zip(by_sync, said, strict=True)
            ]
        return [
            replace(self._placed(query, features, one, placement), score=detection.score)
            for features, one, detection in zip(tracks, said, by_sync, strict=True)
        ]

    def chance(self, query: Query, tracks: Sequence[TrackCurves]) -> float | None:
        """The score that, in 95 % of libraries of this size, no track reaches that merely is one
        of many: whose scores spread normally, as those of this library's tracks do around their
        median. A best track above it stands out; where many tracks fit alike, none does. None for
        too few tracks. Where `sync` ranks, its own chance.
        """
        if self._first is None:
            return Sync().chance(query, tracks)
        usable = [n for n in range(len(tracks)) if not tracks[n].track.too_short]
        if len(usable) < CHANCE_LEAST:
            return None
        step = -(-len(usable) // CHANCE_TRACKS)
        scores = self.rerank(query, [tracks[n] for n in usable[::step]])
        middle = float(np.median(scores))
        # The median deviation, unlike the standard one, is not widened by the track that fits.
        spread = float(np.median(np.abs(scores - middle))) / NormalDist().inv_cdf(0.75)
        return middle + spread * NormalDist().inv_cdf(CHANCE_QUANTILE ** (1 / len(usable)))

    def _placed(
        self, query: Query, features: TrackCurves, found: _Found, placement: Placement
    ) -> Detection:
        """The model's moment with the width that `placement` asks for, on its track, moved to
        where the survey and it together put it, and placed exactly.
        """
        track = features.track
        free = max(SHORTEST_FREE, found.end - found.start)
        width = min(query.seconds if placement.fit == "video" else free, track.duration)
        start = min(max(0.0, (found.start + found.end - width) / 2), track.duration - width)
        said, score, reach = dict(found.ranked), found.score, placing.REACH
        if self._survey is not None:
            seen = survey(query, features, self._survey.weights, width)
            fused = self._survey.fusion.fuse(seen.density, start, found.confidence)
            start, reach = fused.best.moment.start, UNRELATED_REACH
            said["survey_start"] = fused.remembered.moment.start
            if seen.best >= UNRELATED:
                said["survey_probability"], reach = fused.best.probability, SURVEYED_REACH
            if self._first is not None:
                said["edit"] = self._survey.ranking * seen.best
                score += said["edit"]
        near = Moment(start, start + width)
        placed = placing.place(query, features, near, placement, reach=reach)
        moment = Moment(placed.start, placed.start + width)
        if placement.fit == "free":
            moment = placing.ended_on_beat(moment, features, SHORTEST_FREE)
        evidence = {
            **said,
            "confidence": found.confidence,
            "model_start": found.start,
            "model_end": found.end,
            **placed.evidence,
        }
        return Detection(moment, score, evidence)

    def _look(self, clip: Clip, batch: Batch) -> list[_Found]:
        """What the models say of each window of `batch`, in seconds from the window's start."""
        first, final, placer = self._first, self._final, self._placer
        rows, embedded = torch.zeros(len(batch), dtype=torch.long), None
        ranked: dict[str, list[float]] = {}
        scores: list[float] | None = None
        if first is not None:
            tracks = first.embed_tracks(batch)
            cheap = first.score_all(clip.seen_by(first), tracks)[0].tolist()
            tracks = tracks if final is first else final.embed_tracks(batch)
            scores = final.rerank(clip.seen_by(final), tracks).tolist()
            if final is first:
                rest = [score - part for score, part in zip(scores, cheap, strict=True)]
                ranked = {"two_tower": cheap, "interaction": rest}
            else:
                ranked = {"first_stage": cheap}
            embedded = clip.seen_by(final)[rows], tracks
        spans = np.full((len(batch), 3), np.nan)
        if placer is not None:
            more = (embedded,) if placer is final else ()
            spans = placer.detect(batch, *more)[:, 0].double().numpy()
        edges = spans_to_moments(spans[:, :2], self._settings.canvas_seconds)
        return [
            _Found(
                # Of a track that sync ranks, the model shows the window it is surest of.
                float(spans[n, 2]) if scores is None else scores[n],
                {name: values[n] for name, values in ranked.items()},
                float(spans[n, 2]),
                *(float(edge) for edge in edges[n]),
            )
            for n in range(len(batch))
        ]

    def _scores(
        self,
        query: Query,
        tracks: Sequence[TrackCurves],
        model: Any,
        score: Callable[[Embedded, Embedded], Tensor],
    ) -> Array:
        best = np.full(len(tracks), -np.inf, np.float32)
        with torch.inference_mode():
            clip = self._clip(query)
            for windows, batch in self._windows(clip, tracks, skip_short=True):
                owners = [window.track for window in windows]
                scores = score(clip.seen_by(model), model.embed_tracks(batch))
                np.maximum.at(best, owners, scores.float().numpy())
        return best

    def _clip(self, query: Query) -> Clip:
        if query.frame_feats is None:
            raise ValueError("a learned method needs the clip's frame features")
        frames = torch.from_numpy(resampled(query.frame_feats, self._settings.max_frames))
        batch = Batch(
            frame_feats=frames[None],
            frame_mask=torch.ones(1, len(frames), dtype=torch.bool),
            segment_feats=torch.zeros(1, 1, self._settings.segment_dim),
            segment_mask=torch.ones(1, 1, dtype=torch.bool),
            video_seconds=torch.tensor([query.seconds], dtype=torch.float32),
            track_seconds=torch.tensor([SEGMENT_STEP]),
            video_ids=("clip",),
            track_ids=("",),
        )
        return Clip(batch)

    def _windows(
        self, clip: Clip, tracks: Sequence[TrackCurves], *, skip_short: bool = False
    ) -> Iterator[tuple[list[Window], Batch]]:
        """The windows of `tracks`, batch by batch, each beside the clip."""
        cut = (
            Window(n, start * SEGMENT_STEP, segments[start:end], mask[start:end], id, seconds)
            for n, id, seconds, segments, mask in segments_of(tracks, skip_short)
            for start, end in window_bounds(len(segments), self._settings.max_segments)
        )
        for windows in batches(cut, WINDOWS_AT_ONCE):
            yield windows, beside(clip.batch, windows)


class _Found(NamedTuple):
    """What a system says of a track: its best window's score and span, in seconds."""

    score: float
    ranked: dict[str, float]
    """The parts of the score."""
    confidence: float
    start: float
    end: float

    def shifted(self, seconds: float) -> _Found:
        return self._replace(start=self.start + seconds, end=self.end + seconds)
