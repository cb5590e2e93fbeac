"""How an edit lies on a track: its cuts on beats and onsets, its motion with the loudness.

Each is measured at every start, in deviations of what the same track gives to the same clip with
its cuts shaken and its motion turned round. All the clip's versions meet a track in one pass of
FFTs, and what of it is the same for every track is computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mgsv.media.rhythm import ONSET_DELAY, ONSET_RATE
from mgsv.media.video import CURVE_RATE
from mgsv.methods.placement import OTHER_BEAT, Music
from mgsv.methods.synchrony import (
    Array,
    ClipPattern,
    Spectra,
    TrackPattern,
    fft_size,
    nearness,
    window_norms,
)

Floats = npt.NDArray[np.float64]

NULL_STEP = 0.2
"""Seconds between the starts of a clip that was shaken, of which only means count."""
NULL_POINTS = 2400
"""The most of them."""
SHAKES = 4
SHAKEN = 0.4
"""Seconds: each cut of a shaken clip is late or early by up to so much, a beat of slow music."""
LEAST_CUTS = 3
"""Fewer cuts fall on beats by chance: nothing is concluded from them."""
LEAST_DEVIATION = 0.02
"""Of a term: one that varies less on this track says nothing."""


class Edit:
    """A clip as it was edited, and as if it had been edited to nothing, a few times over.

    moves: whether the picture moves enough to tell what its motion goes with. Threads may share it.
    """

    def __init__(self, clip: ClipPattern, *, moves: bool = True) -> None:
        self.clip = clip
        self.has_cuts = len(clip.cuts) >= LEAST_CUTS
        self.has_motion = moves and bool(clip.motion.any())
        self._spectra: dict[tuple[str, int], Spectra] = {}

    @cached_property
    def versions(self) -> list[ClipPattern]:
        """The clip, and after it the shaken ones."""
        rng = np.random.default_rng(0)
        clip, found = self.clip, [self.clip]
        for n in range(SHAKES):
            late = rng.uniform(-SHAKEN, SHAKEN, len(clip.cuts))
            cuts = np.sort(np.clip(clip.cuts + late, 0.0, clip.seconds)).astype(np.float32)
            turned = np.roll(clip.motion[::-1], n * len(clip.motion) // SHAKES)
            found.append(ClipPattern(clip.seconds, turned, clip.bursts, cuts))
        return found

    def on(self, music: Music, starts: Floats) -> Mapping[str, Floats]:
        """[N] each, in deviations: "grid", cuts on beats and "cuts", on onsets, of a clip with
        enough cuts; "motion", with the loudness, of one that moves.

        starts: [N] seconds that leave room for the clip, rising; the last is the latest there is.
        """
        if not (self.has_cuts or self.has_motion):
            return {}
        track, latest = music.pattern, float(starts[-1])
        sparse = np.arange(0.0, latest + 1e-9, max(NULL_STEP, latest / NULL_POINTS))
        found: dict[str, Floats] = {}
        if self.has_cuts:
            found |= self._cut_terms(music, starts, sparse)
        if self.has_motion:
            rows = self._motion(track)
            found["motion"] = _deviations(rows, starts * CURVE_RATE, sparse * CURVE_RATE)
        return found

    def _cut_terms(self, music: Music, starts: Floats, sparse: Floats) -> dict[str, Floats]:
        track = music.pattern
        n = fft_size(len(track.strength))
        curves = np.fft.rfft(np.stack([bumps(music), track.strength]), n)
        room = track.cells
        if room >= len(self.clip.motion):
            spectra = self._kept("cuts", n, lambda clip: clip.cut_spectrum(n))
            grid, hits = np.fft.irfft(curves[:, None] * spectra, n)
        else:  # the track is the shorter: onsets are those under the cuts that it can accompany
            cropped = [clip.cropped(room) for clip in self.versions]
            grid = np.fft.irfft(curves[0] * self._kept("cuts", n, lambda c: c.cut_spectrum(n)), n)
            hits = np.fft.irfft(curves[1] * np.stack([c.cut_spectrum(n) for c in cropped]), n)
        usual = float(track.strength.mean())
        last = track.last_step(min(room, len(self.clip.motion)))
        hits = (hits[:, : last + 1] - usual) / max(1.0 - usual, 1e-6)
        at, null = starts * ONSET_RATE, sparse * ONSET_RATE
        return {"grid": _deviations(grid, at, null), "cuts": _deviations(hits, at, null)}

    def _motion(self, track: TrackPattern) -> Array:
        """[1 + SHAKES, S] correlation of motion with energy at 10 Hz, for each version."""
        room, n = track.cells, fft_size(track.cells)
        length = min(room, len(self.clip.motion))
        if length == len(self.clip.motion):
            spectra = self._kept("motion", n, lambda clip: clip.curve_spectra(n)[0])
        else:
            spectra = np.stack([c.cropped(room).curve_spectra(n)[0] for c in self.versions])
        sums = np.fft.irfft(np.fft.rfft(track.energy, n) * spectra, n)[:, : room - length + 1]
        return np.asarray(sums / window_norms(track.energy, length, room - length + 1), np.float32)

    def _kept(self, what: str, n: int, made: Callable[[ClipPattern], Spectra]) -> Spectra:
        """[1 + SHAKES, n // 2 + 1] of all versions, made once."""
        known = self._spectra.get((what, n))
        if known is None:
            known = self._spectra[what, n] = np.stack([made(clip) for clip in self.versions])
        return known


def bumps(music: Music) -> Array:
    """At the onset envelope's rate and delay: 1 on the first beat of a bar, less on others."""
    times = np.arange(len(music.pattern.strength)) / ONSET_RATE - ONSET_DELAY
    first = nearness(times, music.structure.downbeats)
    return np.asarray(np.maximum(first, OTHER_BEAT * nearness(times, music.pattern.beats)))


def _deviations(rows: Array, at: Floats, null: Floats) -> Floats:
    """[N] row 0 at the places `at` [N], in deviations of what the other rows have at `null`."""
    usual = _between(rows[1:], null).ravel().astype(np.float64)
    spread = max(float(usual.std()), LEAST_DEVIATION)
    return np.asarray((_between(rows[0], at) - usual.mean()) / spread, np.float64)


def _between(rows: Array, at: Floats) -> Array:
    """[..., N] curves [..., T] at places [N] between their samples, the last one held."""
    below = np.minimum(at.astype(np.intp), rows.shape[-1] - 1)
    share = np.minimum(at - below, 1.0).astype(np.float32)
    lower = rows.take(below, axis=-1)
    upper = rows.take(np.minimum(below + 1, rows.shape[-1] - 1), axis=-1)
    return np.asarray(lower + share * (upper - lower), np.float32)
