"""The rows of a composed data folder as grounding sees them: clips with curves, tracks with beats.

A data folder holds features only. What else grounding looks at comes again from the plans and from
the analyses that `mgsv data compose` keeps in its cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mgsv.data.annotations import Row
from mgsv.data.dataset import SplitData
from mgsv.library import Track, TrackFeatures
from mgsv.media.video import VideoInfo
from mgsv.methods.base import Query
from mgsv.synthesis.composed import PLANS
from mgsv.synthesis.composed.corpus import Item, ItemKind, read_manifest
from mgsv.synthesis.composed.features import video_curves
from mgsv.synthesis.composed.footage import Bank, Footage
from mgsv.synthesis.composed.music import AnalysedTrack, TrackAnalyser
from mgsv.synthesis.composed.plan import FRAME_RATE, HEIGHT, WIDTH, Plan, read_plans


@dataclass(frozen=True)
class Corpus:
    """Where `recipes/corpus.py` put things, and where their analyses are kept."""

    folder: Path
    cache: Path

    @property
    def manifest(self) -> Path:
        return self.folder / "manifest.json"

    @cached_property
    def items(self) -> Mapping[str, Item]:
        kinds: dict[ItemKind, str] = {"music": "music", "picture": "pictures", "clip": "clips"}
        folders = {kind: self.folder / name for kind, name in kinds.items()}
        return {item.id: item for item in read_manifest(self.manifest, folders)}

    @cached_property
    def _analyser(self) -> TrackAnalyser:
        return TrackAnalyser(self.cache)

    @cached_property
    def _bank(self) -> Bank:
        return Bank(self.cache, half=True)

    def analysed(self, name: str) -> AnalysedTrack:
        return self._analyser.track(self.items[name])

    def track(self, name: str) -> TrackFeatures:
        """A track (or excerpt) as a library would hold it."""
        heard = self.analysed(name)
        rhythm = heard.rhythm
        return TrackFeatures(
            track=Track(name, heard.item.path, rhythm.duration, rhythm.tempo),
            onset=rhythm.onset.astype(np.float16),
            energy=rhythm.energy.astype(np.float16),
            beats=rhythm.beats.astype(np.float32),
            downbeats=heard.structure.downbeats,
            segments=heard.segments.astype(np.float16),
            segment_mask=np.ones(len(heard.segments), np.bool_),
        )

    def footage(self, name: str) -> Footage:
        return self._bank.footage(self.items[name])


@dataclass(frozen=True)
class Case:
    """A composed clip and the moment that it was cut to."""

    row: Row
    plan: Plan
    query: Query
    features: TrackFeatures

    @property
    def right(self) -> float:
        """The start, in seconds, that puts the clip's cuts where the music asks for them."""
        return self.plan.music_start - self.plan.offset

    @property
    def latest(self) -> float:
        return max(0.0, self.features.track.duration - self.query.seconds)


def cases(folder: Path, split: str, corpus: Corpus) -> Iterator[Case]:
    """The rows of `split` in the composed data folder `folder`, in order."""
    data = SplitData.open(folder, split)
    plans = {plan.video_id: plan for plan in read_plans(folder / PLANS)}
    tracks: dict[str, TrackFeatures] = {}
    bank: dict[str, Footage] = {}
    for row in data.rows:
        plan = plans[row.video_id]
        if plan.track not in tracks:
            tracks[plan.track] = corpus.track(plan.track)
        for shot in plan.shots:
            if shot.source not in bank:
                bank[shot.source] = corpus.footage(shot.source)
        info = VideoInfo(
            Path(f"{plan.video_id}.mp4"), plan.seconds, WIDTH, HEIGHT, 0, FRAME_RATE, "h264", False
        )
        frames = data.frames.read(row.video_id).features
        query = Query(info, video_curves(plan, bank), frames)
        yield Case(row, plan, query, tracks[plan.track])
