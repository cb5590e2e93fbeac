"""What an editor has at hand, and the whole plan of a video made of it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mgsv.synthesis.composed.editors import COMPOSERS, PLAIN, UNSYNCED, Composer, Passage, Rng
from mgsv.synthesis.composed.footage import LOOKS, Footage
from mgsv.synthesis.composed.music import MOODS, AnalysedTrack
from mgsv.synthesis.composed.plan import (
    CLIP_STEPS,
    FRAME_RATE,
    LIGHTS,
    VIEWS,
    FloatArray,
    Plan,
    Shot,
)
from mgsv.synthesis.statistics import VIDEO_SECONDS

SHORTEST_SHOT = 0.3
"""Seconds; shorter shots read as flicker."""

LONGEST_FADE = 1.0
"""Seconds in which a shot fades in over another."""

CLIP_VIDEOS = 0.5
"""Share of videos in which clips stand among the pictures."""

TASTE = np.array(
    #  energy, wood, shine  of `tracks.MOODS`
    [
        (0.0, 0.0, 1.0),  # light
        (0.0, 1.0, 0.0),  # warmth
        (0.7, 0.0, 0.5),  # colour
        (1.0, 0.0, 0.0),  # detail
        (-0.5, 0.8, 0.0),  # nature
    ]
)
"""[LOOKS, MOODS] the look that suits a mood, both in deviations from the mean."""

OWN = "own"
"""What plans by rules of one's own say of their composer."""

STRICTNESS = 0.8
"""How firmly pictures follow the taste: 0 not at all. Scale of the logits of a picture."""

assert TASTE.shape == (len(LOOKS), len(MOODS))


@dataclass(frozen=True)
class Studio:
    """What an editor of one split has at hand.

    tracks, footage: of the split. mood_scale [2, MOODS], look_scale [2, LOOKS]: mean and deviation
    over the training split, by which moods and looks are compared.
    """

    tracks: Sequence[AnalysedTrack]
    footage: Sequence[Footage]
    mood_scale: FloatArray
    look_scale: FloatArray

    @cached_property
    def bank(self) -> dict[str, Footage]:
        return {footage.item.id: footage for footage in self.footage}

    @cached_property
    def looks(self) -> FloatArray:
        """[N, LOOKS] of the footage, in deviations from the mean, at most 3."""
        looks = np.stack([footage.looks for footage in self.footage]).astype(np.float64)
        return np.asarray(np.clip((looks - self.look_scale[0]) / self.look_scale[1], -3, 3))

    @cached_property
    def clips(self) -> npt.NDArray[np.bool_]:
        """[N] which of the footage are clips."""
        return np.array([footage.is_clip for footage in self.footage])


def scale_of(rows: Sequence[FloatArray]) -> FloatArray:
    """[2, N] mean and deviation of `rows`, each [N]."""
    stacked = np.stack(rows)
    return np.stack([stacked.mean(0), stacked.std(0) + 1e-3])


def plan_video(
    composer: str | Composer,
    studio: Studio,
    track: AnalysedTrack,
    rng: Rng,
    *,
    video_id: str,
    split: str,
    plain: float = 0.1,
    offset_max: float = 0.0,
) -> Plan:
    """A plan by the rules of `composer`, a name in `COMPOSERS` or rules of one's own. plain: share
    of videos that follow no music.

    offset_max: everything in the picture is late by a random constant of up to so many seconds,
    or early.
    """
    shares, lengths = zip(*VIDEO_SECONDS, strict=True)
    wanted = min(float(np.interp(rng.random(), shares, lengths)), track.seconds - 0.1)
    seconds = int(wanted * FRAME_RATE) / FRAME_RATE
    rules = COMPOSERS[composer] if isinstance(composer, str) else composer
    name = composer if isinstance(composer, str) else OWN
    start = round(rules.start(track, seconds, rng), 3)
    offset = round(float(rng.uniform(-offset_max, offset_max)), 3) if offset_max else 0.0
    synced = bool(rng.random() >= plain)
    rules = rules if synced else UNSYNCED.get(name, PLAIN)
    passage = Passage(track, start - offset, seconds)

    edges = _edges(rules.cuts(passage, rng), seconds)
    count = int(np.ceil(seconds)) + 1
    light = np.clip(rules.light(passage, count, rng), LIGHTS[0], LIGHTS[-1])
    pool = _pool(studio, passage, rules.taste, len(edges), rng)
    liveliness = rng.uniform(0.2, 1.3)
    shots: list[Shot] = []
    for first, end in itertools.pairwise(edges):
        footage = pool[int(rng.integers(len(pool)))]
        if shots and len(pool) > 1:
            while footage.item.id == shots[-1].source:
                footage = pool[int(rng.integers(len(pool)))]
        times = np.arange(int(first), int(np.ceil(end)) + 1, dtype=np.float64)
        drive = liveliness * rules.movement(passage, times)
        shots.append(_faded(_shot(footage, first, end, drive, rng), rules, shots, rng))
    punches = rules.punches(passage, rng)
    return Plan(
        video_id=video_id,
        split=split,
        composer=name,
        track=track.id,
        music_start=start,
        seconds=seconds,
        offset=offset,
        synced=synced,
        shots=tuple(shots),
        light=tuple(round(float(value), 4) for value in light),
        punches=tuple(round(float(time), 3) for time in punches),
        punch=round(float(rng.uniform(0.02, 0.06)), 4),
    )


def _faded(shot: Shot, rules: Composer, before: Sequence[Shot], rng: Rng) -> Shot:
    """The shot, which may fade in over the one before it."""
    if not rules.soft or not before or rng.random() >= rules.soft:
        return shot
    longest = min(LONGEST_FADE, (shot.end - shot.start) / 2)
    return replace(shot, soft=round(float(rng.uniform(0.3, 1.0)) * longest, 3))


def _edges(cuts: Sequence[float], seconds: float) -> list[float]:
    """Starts of the shots and the end, on frames, no shot shorter than `SHORTEST_SHOT`."""
    edges = [0.0]
    for cut in sorted(cuts):
        on_frame = round(cut * FRAME_RATE) / FRAME_RATE
        if on_frame - edges[-1] >= SHORTEST_SHOT and seconds - on_frame >= SHORTEST_SHOT:
            edges.append(on_frame)
    return [*edges, seconds]


def _pool(studio: Studio, passage: Passage, taste: float, shots: int, rng: Rng) -> list[Footage]:
    """The pictures of a video, no more than it has shots, by the taste for the moment's mood."""
    mood = passage.track.mood(max(passage.origin, 0.0), passage.origin + passage.seconds)
    mean, deviation = studio.mood_scale
    target = np.clip(TASTE @ ((mood - mean) / deviation), -2, 2)
    closeness = -0.5 * ((studio.looks - target) ** 2).sum(1)
    strictness = taste * STRICTNESS * rng.uniform(0.3, 1.5) if taste else 0.0
    logits = strictness * closeness + rng.gumbel(size=len(closeness))
    if not studio.clips.all():
        logits -= np.where(studio.clips, 0.0 if rng.random() < CLIP_VIDEOS else 1e9, 0.0)
    count = int(np.clip(rng.integers(3, 16), 1, shots))
    usable = np.flatnonzero(logits > -1e8)
    best = usable[np.argsort(-logits[usable])[:count]]
    return [studio.footage[int(n)] for n in best]


_CENTRES = np.stack([(0.5 + (VIEWS[:, n] - 0.5) * (1 - VIEWS[:, 2])) for n in range(2)], axis=1)
_STEPS = np.abs(_CENTRES[:, None] - _CENTRES[None]).sum(-1) / VIEWS[:, 2].mean()
_STEPS += np.abs(np.log(VIEWS[:, None, 2] / VIEWS[None, :, 2]))
"""[P, P] how far the camera goes from view to view."""


def _shot(footage: Footage, start: float, end: float, drive: FloatArray, rng: Rng) -> Shot:
    """A shot whose movement follows `drive`, 0 to about 1 at each whole second around it."""
    if footage.is_clip:
        wanted = (len(drive) - 1) * CLIP_STEPS
        first = int(rng.integers(max(1, footage.views - wanted)))
        views = np.minimum(first + CLIP_STEPS * np.arange(len(drive)), footage.views - 1)
        return Shot(footage.item.id, start, end, tuple(views.tolist()))
    path = [int(rng.integers(len(VIEWS)))]
    for strength in drive[1:]:
        wanted = 0.35 * strength * rng.uniform(0.2, 1.6)
        weight = np.exp(-np.abs(_STEPS[path[-1]] - wanted) / 0.08)
        path.append(int(rng.choice(len(VIEWS), p=weight / weight.sum())))
    strength = float(drive.mean())
    sway = 0.015 * strength**2 * rng.uniform(0.3, 1.7) if rng.random() < 0.7 else 0.0
    rate = 1 + int(rng.binomial(2, min(strength, 1.0)))
    return Shot(footage.item.id, start, end, tuple(path), round(min(sway, 0.05), 4), rate)
