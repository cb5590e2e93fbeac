"""Many tracks' landmarks in one sorted table, and where in which track a sound may come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mgsv.library.fingerprints import TrackFingerprint
from mgsv.media.landmarks import FRAME_RATE, KEYS, MAX_GAP, Peaks, pair_keys

_BIN = 4  # frames, 64 ms: what a landmark's time may be off by, and what alignment searches
_NEAR = 0.1  # seconds; alignment searches 0.128
QUERY_SECONDS = 16.0
"""A query is at most this long, so that one that begins before its track does can still be
distinguished from the end of the track before."""
_LEAD = int(QUERY_SECONDS * FRAME_RATE) + MAX_GAP
_COMMON, _TOO_COMMON = 256, 16
"""A key that stands more than `_COMMON` times in the library, and `_TOO_COMMON` times as often as
keys do on average, tells little: such keys are a tenth of a sound's but half of all hits."""


class LandmarkHit(NamedTuple):
    """A place a sound may come from.

    track: its place in the index. offset: seconds on the track at the sound's 0, within ±0.05.
    votes: landmarks that agree.
    """

    track: int
    offset: float
    votes: int

    def is_near(self, other: LandmarkHit) -> bool:
        """Whether aligning both would search the same lags."""
        return self.track == other.track and abs(self.offset - other.offset) < _NEAR


class LandmarkIndex:
    """Landmarks of `tracks`, to be looked up all at once.

    The tracks stand one after the other on one axis of frames, so that a hit's place on that axis
    minus its place in the query tells track and offset in one number.
    """

    def __init__(self, tracks: Sequence[TrackFingerprint]) -> None:
        self.tracks = tuple(tracks)
        lengths = [_LEAD + int(track.seconds * FRAME_RATE) for track in tracks]
        self._starts = np.cumsum([0, *lengths])[: len(lengths)] + _LEAD
        entries = [np.zeros(0, np.uint64)]
        for start, track in zip(self._starts, tracks, strict=True):
            keys, frames = pair_keys(track.peaks)
            entries.append(keys.astype(np.uint64) << 32 | (frames + start).astype(np.uint64))
        table = np.concatenate(entries)
        table.sort()
        self._frames = (table & 0xFFFFFFFF).astype(np.uint32)
        bounds = np.arange(KEYS + 1, dtype=np.uint64) << np.uint64(32)
        self._bounds = np.searchsorted(table, bounds)
        self._most = max(_COMMON, _TOO_COMMON * len(table) // KEYS)

    def __len__(self) -> int:
        """Landmarks in the table."""
        return len(self._frames)

    def candidates(self, peaks: Peaks, limit: int) -> list[LandmarkHit]:
        """The `limit` places most landmarks agree on, best first."""
        places, _ = self._hits(peaks)
        if not len(places):
            return []
        # Hits are few and the axis is long: count the bins there are, not all there could be.
        bins = np.sort((places // _BIN).astype(np.int32))
        runs = np.flatnonzero(np.diff(bins, prepend=bins[0] - 1))
        bins, votes = bins[runs], np.diff(runs, append=len(bins))
        # A place's hits may fall on either side of a bin's edge.
        beside = np.append(np.diff(bins) == 1, False)
        votes = votes + np.where(beside, np.append(votes[1:], 0), 0)
        best: list[LandmarkHit] = []
        # More than `limit`, since neighbours are one place.
        several = np.flatnonzero(votes > 1)
        for bin in several[np.argsort(-votes[several], kind="stable")[: 4 * limit]].tolist():
            found = self._candidate(int(bins[bin] + 1) * _BIN, int(votes[bin]))
            if not any(found.is_near(other) for other in best):
                best.append(found)
        return best[:limit]

    def drift(self, peaks: Peaks, candidate: LandmarkHit, speed: float) -> tuple[float, float]:
        """(offset, speed) that most landmarks near `candidate` of `peaks` at `speed` agree on.

        To about a twentieth of a per cent; the speeds that `candidates` bears are looked at.
        """
        places, frames = self._hits(peaks.at_speed(speed))
        apart = places - self._starts[candidate.track] - candidate.offset * FRAME_RATE
        near = np.abs(apart) <= 2 * _BIN
        apart, frames = apart[near], frames[near]
        # The most common place, then a line through ever closer hits.
        values, votes = np.unique(np.round(apart), return_counts=True)
        line = np.array([0.0, float(values[votes.argmax()])]) if len(votes) else np.zeros(2)
        for width in (4.0, 3.0, 2.0, 2.0, 2.0):
            close = np.abs(apart - np.polyval(line, frames)) <= width
            if not close.any() or np.ptp(frames[close]) < 4 * FRAME_RATE:
                break
            line = np.polyfit(frames[close], apart[close], 1)
        return candidate.offset + float(line[1]) / FRAME_RATE, speed * (1 + float(line[0]))

    def _hits(self, peaks: Peaks) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        """Every hit's place on the axis minus its frame in the query, and that frame; [H] each."""
        keys, frames = pair_keys(peaks)
        first, counts = self._bounds[keys], self._bounds[keys + 1] - self._bounds[keys]
        counts = np.where(counts > self._most, 0, counts)
        ends = np.cumsum(counts)
        total = int(ends[-1]) if len(ends) else 0
        inside = np.arange(total) - np.repeat(ends - counts, counts)
        hits = self._frames[np.repeat(first, counts) + inside].astype(np.int64)
        asked = np.repeat(frames, counts)
        return hits - asked, asked

    def _candidate(self, place: int, votes: int) -> LandmarkHit:
        track = int(np.searchsorted(self._starts, place + _LEAD, side="right")) - 1
        return LandmarkHit(track, (place - int(self._starts[track])) / FRAME_RATE, votes)
