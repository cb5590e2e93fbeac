"""Which tracks a sound uses, which part of each, and when in the sound.

1. Landmarks of windows of the sound name places it may come from (`index`).
2. Each is checked by aligning the waveforms (`alignment`). Where that explains too little of a
   window, the same is tried as if the music had been played faster or slower.
3. A dynamic programme lays the alignments found over the sound, each where it agrees
   (`segmentation`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mgsv.annotate.alignment import (
    BLOCK_SECONDS,
    MAX_DRIFT,
    REACH,
    Alignment,
    Blocks,
    align,
    find_speed,
    likeness,
    promise,
)
from mgsv.annotate.index import QUERY_SECONDS, LandmarkHit, LandmarkIndex
from mgsv.annotate.segmentation import AlignedStretch, segment
from mgsv.library.fingerprints import TrackFingerprint
from mgsv.media.landmarks import FRAME_RATE, RATE, Peaks, find_peaks
from mgsv.media.sign_waveform import whiten
from mgsv.moment import Moment

Floats = npt.NDArray[np.float32]

SPEEDS = (0.98, 0.985, 0.99, 0.995, 1.005, 1.01, 1.015, 1.02)
"""Speeds tried besides 1. Landmarks bear a quarter of a per cent more to either side."""
PER_WINDOW = 6
"""Places looked at per window."""
AROUND = 16.0
"""Seconds to both ends of a window that tell its speed more exactly."""
PROMISING = 5.0
"""Standard deviations above chance from which on a place is worth aligning in full. Chance alone
reaches 4 at the best of all lags."""
AGREES = 3.0
"""Agreement of a block from which on it counts as explained."""
RIVAL = 0.5
"""Share of the best place's landmarks that makes another place worth a look, though the best one
explains everything: repetitions that are nearly the same."""
SPEEDS_TRIED = 500
"""About what a search for the speed tries at one place: 3 times ±`MAX_DRIFT`, finely."""
STANDS_OUT = 1.4
"""How many times the landmarks that chance brings together the best place of a speed must have."""
SAME = 0.97
"""Likeness of two places of a track from which on they are the same sound."""


@dataclass(frozen=True, slots=True)
class Match:
    """A part of a sound and the moment of a track it uses; seconds.

    speed: how many times as fast as the track it plays. confidence: the probability that chance
    would bring no place of any track to such an agreement with any part of the sound. also_at:
    other starts on the track with the same sound; `music` is the first of all that were found.
    """

    track: TrackFingerprint
    video: Moment
    music: Moment
    speed: float
    confidence: float
    also_at: tuple[float, ...] = ()


def locate(index: LandmarkIndex, samples: Floats) -> list[Match]:
    """What a mono waveform [N] at `media.landmarks.RATE` uses, in order of time.

    What chance may have brought about is among them, with a low confidence.
    """
    return _Search(index, samples).matches() if len(samples) else []


class _Search:
    """One sound's way through the steps above."""

    def __init__(self, index: LandmarkIndex, samples: Floats) -> None:
        self._index = index
        self._seconds = len(samples) / RATE
        self._peaks = find_peaks(samples)
        self._white = whiten(samples)
        self._blocks = Blocks(self._white)
        self._seen: list[LandmarkHit] = []  # with the track's second at the whole sound's 0
        self._found: list[Alignment] = []
        self._tried = 0

    def matches(self) -> list[Match]:
        last = max(0.0, self._seconds - QUERY_SECONDS)
        starts = np.linspace(0, last, 1 + math.ceil(last / (QUERY_SECONDS / 2))).tolist()
        for start in starts:
            self._search(start)
        stretches = segment(self._white, self._found, self._index.tracks)
        return [self._match(stretch) for stretch in stretches]

    def _search(self, start: float) -> None:
        """Look for the places that the window from `start` comes from."""
        first = int(start / BLOCK_SECONDS)
        window = slice(first, first + int(QUERY_SECONDS / BLOCK_SECONDS))
        peaks = _window(self._peaks, start)
        candidates = self._index.candidates(peaks, PER_WINDOW)
        for candidate in candidates:
            rival = candidate.votes >= RIVAL * candidates[0].votes
            if rival or self._explained(window) < 0.9:
                self._check(candidate._replace(offset=candidate.offset - start), window)
        if self._explained(window) < 0.5:
            self._search_speeds(peaks, start, candidates[0].votes if candidates else 0)

    def _check(self, candidate: LandmarkHit, window: slice) -> None:
        if any(candidate.is_near(seen) for seen in self._seen):
            return
        self._seen.append(candidate)
        self._tried += 1
        track = self._index.tracks[candidate.track]
        if promise(self._blocks.correlate(track, candidate.offset, window)) >= PROMISING:
            self._found.append(
                align(self._blocks, track, candidate.track, candidate.offset, window)
            )

    def _search_speeds(self, peaks: Peaks, start: float, votes: int) -> None:
        """The same as if the music had been played at another speed.

        votes: of the best place at speed 1, where this explains little.
        """
        choices = [
            (candidate, speed)
            for speed in SPEEDS
            for candidate in self._index.candidates(peaks.at_speed(speed), 1)
        ]
        if not choices:
            return
        candidate, speed = max(choices, key=lambda choice: choice[0].votes)
        # At all speeds but the true one and its neighbours, the best place is one by chance.
        chance = np.median([votes, *(choice[0].votes for choice in choices)])
        if candidate.votes < STANDS_OUT * chance:
            return
        self._tried += SPEEDS_TRIED
        track = self._index.tracks[candidate.track]
        offset, speed = self._index.drift(peaks, candidate, speed)
        window = self._part(start, 0)
        # Few landmarks tell the speed so badly that its neighbours are worth a look, too.
        near = [speed * (1 + step * MAX_DRIFT) for step in (0, -2, 2)]
        tries = (find_speed(window, track, offset, speed) for speed in near)
        offset, speed, found = max(tries, key=lambda one: one[2])
        if found >= PROMISING:
            # A longer part shows it more exactly.
            begin = max(0.0, start - AROUND)
            part = self._part(begin, AROUND)
            offset -= speed * (start - begin)
            offset, speed, _ = find_speed(part, track, offset, speed, span=4e-5)
            blocks = Blocks(self._white, speed)
            self._found.append(align(blocks, track, candidate.track, offset - speed * begin))

    def _part(self, start: float, around: float) -> Floats:
        """The window from `start`, `around` seconds longer at both ends."""
        return self._white[round(start * RATE) :][: round((QUERY_SECONDS + 2 * around) * RATE)]

    def _explained(self, window: slice) -> float:
        """Share of the window's blocks that some alignment agrees with."""
        if not self._found:
            return 0.0
        shortest = min(len(found.agreement) for found in self._found)
        agreement = np.stack([found.agreement[:shortest] for found in self._found])
        agrees = agreement[:, window].max(axis=0, initial=0.0) >= AGREES
        return float(agrees.mean()) if len(agrees) else 0.0

    def _match(self, stretch: AlignedStretch) -> Match:
        laid = stretch.alignment
        track = self._index.tracks[laid.track]
        video = Moment(stretch.start, stretch.end)
        start = max(0.0, laid.start + laid.speed * video.start)
        length = laid.speed * video.duration
        first, *others = self._same_places(track, laid, start, video)
        music = Moment(first, first + length).clamped(track.seconds)
        return Match(track, video, music, laid.speed, self._confidence(stretch), tuple(others))

    def _same_places(
        self, track: TrackFingerprint, laid: Alignment, start: float, video: Moment
    ) -> list[float]:
        """Starts on the track at which it has the sound that it has at `start`, in order."""
        length = laid.speed * video.duration
        places = [start]
        for seen in self._seen:
            there = seen.offset + video.start
            if seen.track != laid.track or any(abs(there - place) < 0.1 for place in places):
                continue
            if 0 <= there <= track.seconds - length:
                same, there = likeness(track, start, there, length)
                if same >= SAME:
                    places.append(there)
        return sorted(places)

    def _confidence(self, stretch: AlignedStretch) -> float:
        """exp(-E), E = how many stretches at wrong places would agree this well by chance.

        The blocks' agreements are normal at wrong places, so E is their sum's tail probability
        times the number of places, lags and stretches there are to choose from.
        """
        agreement = stretch.alignment.agreement
        part = agreement[stretch.blocks]
        z = max(1.0, float(part.sum()) / math.sqrt(len(part)))
        log_tail = -0.5 * z * z - math.log(z * math.sqrt(2 * math.pi))
        choices = self._tried * (2 * REACH + 1) * len(agreement) * (len(agreement) + 1) / 2
        return math.exp(-math.exp(min(log_tail + math.log(choices), 50.0)))


def _window(peaks: Peaks, start: float) -> Peaks:
    """The peaks of the window from `start`, in its own time."""
    first = round(start * FRAME_RATE)
    low, high = np.searchsorted(peaks.frames, [first, first + round(QUERY_SECONDS * FRAME_RATE)])
    return Peaks(peaks.frames[low:high] - np.int32(first), peaks.bins[low:high])
