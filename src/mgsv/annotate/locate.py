"""Which tracks a sound uses, which part of each, and when in the sound.

1. Landmarks of windows of the sound name places it may come from (`index`), and those that
   several windows name come first: in a drone or a loop, one window names many.
2. Each is checked by aligning the waveforms (`alignment`). Where that explains too little of a
   window, the same is tried as if the music had been played faster or slower.
3. A dynamic programme lays the alignments found over the sound, each where it agrees
   (`segmentation`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mgsv.annotate.alignment import (
    BLOCK_SECONDS,
    MAX_DRIFT,
    REACH,
    SAME_SOUND,
    Alignment,
    Blocks,
    align,
    find_speed,
    likeness,
    promise,
)
from mgsv.annotate.confidence import confidence
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
NAMED = 24
"""Places per window whose landmarks are added up over all windows."""
THROUGHOUT = 6
"""Places looked at that have most landmarks in all windows together."""
AROUND = 16.0
"""Seconds to both ends of a window that tell its speed more exactly."""
PROMISING = 5.0
"""Standard deviations above chance from which on a place is worth aligning in full. Chance alone
reaches 4 at the best of all lags."""
RIVAL = 0.5
"""Share of the best place's landmarks that makes another place worth a look, though the best one
explains everything: repetitions that are nearly the same."""
SAME_SAMPLE = 5e-5
"""Seconds by which alignments differ that are one: half a sample costs a third of correlation."""
SPEEDS_TRIED = 500
"""About what a search for the speed tries at one place: 3 times ±`MAX_DRIFT`, finely."""
STANDS_OUT = 1.4
"""How many times the landmarks that chance brings together the best place of a speed must have."""
SAME = 0.97
"""Likeness of two places of a track from which on they are the same sound."""


@dataclass(frozen=True, slots=True)
class Match:
    """A part of a sound and the moment of a track it uses; seconds.

    speed: how many times as fast as the track it plays. confidence: the probability that it is
    right (see `confidence`). correlation: of the sound with the track's, 1 where there is nothing
    else. also_at: other starts on the track with the same sound; `music` is the first of all that
    were found.
    """

    track: TrackFingerprint
    video: Moment
    music: Moment
    speed: float
    confidence: float
    correlation: float = 1.0
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
        self._checked: set[tuple[LandmarkHit, int, int]] = set()
        self._tried = 0

    def matches(self) -> list[Match]:
        last = max(0.0, self._seconds - QUERY_SECONDS)
        starts = np.linspace(0, last, 1 + math.ceil(last / (QUERY_SECONDS / 2))).tolist()
        named = [self._named(start) for start in starts]
        for candidate, start in _throughout(zip(starts, named, strict=True)):
            self._check(candidate, _blocks_from(start))
        for start, candidates in zip(starts, named, strict=True):
            self._search(start, candidates)
        stretches = segment(self._white, self._found, self._index.tracks)
        return [self._match(stretch) for stretch in stretches]

    def _named(self, start: float) -> list[LandmarkHit]:
        """Places that the landmarks of the window from `start` name, as of the sound's 0."""
        found = self._index.candidates(_window(self._peaks, start), NAMED)
        return [one._replace(offset=one.offset - start) for one in found]

    def _search(self, start: float, candidates: Sequence[LandmarkHit]) -> None:
        """Look for the places that the window from `start` comes from."""
        window = _blocks_from(start)
        for candidate in candidates[:PER_WINDOW]:
            rival = candidate.votes >= RIVAL * candidates[0].votes
            if rival or self._explained(window) < 0.9:
                self._check(candidate, window)
        if self._explained(window) < 0.5:
            peaks = _window(self._peaks, start)
            self._search_speeds(peaks, start, candidates[0].votes if candidates else 0)

    def _check(self, candidate: LandmarkHit, window: slice) -> None:
        # A dropped sample or a drifting clock moves a known place by a little; what it leaves
        # unexplained says where to.
        known = any(candidate.is_near(one) for one in self._seen)
        laid = [one for one in self._found if known and candidate.is_near(_place(one))]
        unexplained = ~self._agrees(window, laid)
        step = candidate, window.start, len(laid)
        if step in self._checked or unexplained.mean() <= 0.1:
            return
        if not known:
            self._seen.append(candidate)
        self._checked.add(step)
        self._tried += 1
        track = self._index.tracks[candidate.track]
        waves = self._blocks.correlate(track, candidate.offset, window)[unexplained]
        found, same = promise(waves)
        if found >= PROMISING or same >= SAME_SOUND:
            decisive = window.start + np.flatnonzero(unexplained)
            self._add(align(self._blocks, track, candidate.track, candidate.offset, decisive))

    def _add(self, alignment: Alignment) -> None:
        """Keep `alignment`, unless it is one of those kept, or nearly."""
        if not any(alignment.is_near(other, self._seconds, SAME_SAMPLE) for other in self._found):
            self._found.append(alignment)

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
            self._add(align(blocks, track, candidate.track, offset - speed * begin))

    def _part(self, start: float, around: float) -> Floats:
        """The window from `start`, `around` seconds longer at both ends."""
        return self._white[round(start * RATE) :][: round((QUERY_SECONDS + 2 * around) * RATE)]

    def _explained(self, window: slice) -> float:
        """Share of the window's blocks that some alignment agrees with."""
        agrees = self._agrees(window, self._found)
        return float(agrees.mean()) if len(agrees) else 0.0

    def _agrees(self, window: slice, alignments: Sequence[Alignment]) -> npt.NDArray[np.bool_]:
        """Of each of the window's blocks, whether one of `alignments` agrees with it."""
        agrees = np.zeros(len(range(*window.indices(self._blocks.count))), np.bool_)
        for one in alignments:
            part = one.agrees[window][: len(agrees)]
            agrees[: len(part)] |= part
        return agrees

    def _match(self, stretch: AlignedStretch) -> Match:
        laid = stretch.alignment
        track = self._index.tracks[laid.track]
        video = Moment(stretch.start, stretch.end)
        start = max(0.0, laid.start + laid.speed * video.start)
        length = laid.speed * video.duration
        first, *others = self._same_places(track, laid, start, video)
        music = Moment(first, first + length).clamped(track.seconds)
        correlation = float(laid.correlation[stretch.blocks].mean())
        sure = confidence(video.duration, correlation, self._by_chance(stretch))
        return Match(track, video, music, laid.speed, sure, correlation, tuple(others))

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

    def _by_chance(self, stretch: AlignedStretch) -> float:
        """How many stretches at wrong places would agree this well by chance.

        The blocks' agreements are normal at wrong places, so it is their sum's tail probability
        times the number of places, lags and stretches there are to choose from.
        """
        agreement = stretch.alignment.agreement
        part = agreement[stretch.blocks]
        z = max(1.0, float(part.sum()) / math.sqrt(len(part)))
        log_tail = -0.5 * z * z - math.log(z * math.sqrt(2 * math.pi))
        choices = self._tried * (2 * REACH + 1) * len(agreement) * (len(agreement) + 1) / 2
        return math.exp(min(log_tail + math.log(choices), 50.0))


def _place(alignment: Alignment) -> LandmarkHit:
    return LandmarkHit(alignment.track, alignment.start, 0)


def _blocks_from(start: float) -> slice:
    """The blocks of the window from `start`."""
    first = int(start / BLOCK_SECONDS)
    return slice(first, first + int(QUERY_SECONDS / BLOCK_SECONDS))


def _throughout(
    named: Iterable[tuple[float, Sequence[LandmarkHit]]],
) -> list[tuple[LandmarkHit, float]]:
    """The places that several windows name, those with most landmarks in all, and for each the
    start of the window that names it most.
    """
    hits = [(hit, start) for start, some in named for hit in some]
    hits.sort(key=lambda one: -one[0].votes)
    places: list[tuple[LandmarkHit, float]] = []
    totals: list[int] = []
    for hit, start in hits:
        near = next((i for i, (kept, _) in enumerate(places) if kept.is_near(hit)), None)
        if near is None:
            places.append((hit, start))
            totals.append(hit.votes)
        else:
            totals[near] += hit.votes
    order = sorted(range(len(places)), key=lambda i: -totals[i])
    several = [i for i in order if totals[i] > places[i][0].votes]
    return [places[i] for i in several[:THROUGHOUT]]


def _window(peaks: Peaks, start: float) -> Peaks:
    """The peaks of the window from `start`, in its own time."""
    first = round(start * FRAME_RATE)
    low, high = np.searchsorted(peaks.frames, [first, first + round(QUERY_SECONDS * FRAME_RATE)])
    return Peaks(peaks.frames[low:high] - np.int32(first), peaks.bins[low:high])
