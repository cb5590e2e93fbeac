"""How well a clip's cuts and motion fit each start of a track, against the same clip shaken."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mgsv.media.rhythm import ONSET_DELAY, ONSET_RATE
from mgsv.methods.placement import OTHER_BEAT, Music
from mgsv.methods.synchrony import Array, ClipPattern, TrackPattern, agree, fft_size, nearness

Floats = npt.NDArray[np.float64]

SHAKES, SHAKEN = 4, 0.4
"""Seconds: each cut of a shaken clip is late or early by up to so much, a beat of slow music."""
LEAST_DEVIATION = 0.02
"""Of a term: one that varies less on this track says nothing."""


def edit_terms(
    clip: ClipPattern, music: Music, starts: Floats, sparse: Floats, names: Sequence[str]
) -> dict[str, Floats]:
    """[N] each of the terms `names`, "grid", "cuts" and "motion", at the starts [N] in seconds, in
    deviations of what shaken clips have at the starts `sparse` [M]."""
    bumps, track = _bumps(music), music.pattern
    shaken = [_terms(other, track, bumps, sparse) for other in _shaken(clip)]
    seen = _terms(clip, track, bumps, starts)
    return {name: _deviations(seen[name], [other[name] for other in shaken]) for name in names}


def _shaken(clip: ClipPattern) -> list[ClipPattern]:
    """The clip as if it had been cut to nothing, a few times over."""
    rng = np.random.default_rng(0)
    others = []
    for n in range(SHAKES):
        late = rng.uniform(-SHAKEN, SHAKEN, len(clip.cuts))
        cuts = np.sort(np.clip(clip.cuts + late, 0.0, clip.seconds)).astype(np.float32)
        turned = np.roll(clip.motion[::-1], n * len(clip.motion) // SHAKES)
        others.append(ClipPattern(clip.seconds, turned, clip.bursts, cuts))
    return others


def _terms(
    clip: ClipPattern, track: TrackPattern, bumps: Array, starts: Floats
) -> dict[str, Array]:
    """[N] each: how cuts lie on beats and on onsets, and motion with energy."""
    agreement = agree(clip, track)
    n = fft_size(len(bumps))
    hits = np.fft.irfft(np.fft.rfft(bumps, n) * clip.cut_spectrum(n), n)
    grid = np.interp(starts * ONSET_RATE, np.arange(n), hits)
    return {
        "grid": np.asarray(grid, np.float32),
        "cuts": agreement.cuts_at(starts),
        "motion": agreement.term_at("motion", starts),
    }


def _bumps(music: Music) -> Array:
    """At the onset envelope's rate and delay: 1 on the first beat of a bar, less on others."""
    times = np.arange(len(music.pattern.strength)) / ONSET_RATE - ONSET_DELAY
    first = nearness(times, music.structure.downbeats)
    return np.asarray(np.maximum(first, OTHER_BEAT * nearness(times, music.pattern.beats)))


def _deviations(term: npt.NDArray[np.float32], shaken: Sequence[npt.NDArray[np.float32]]) -> Floats:
    """[N] `term` in deviations of what shaken clips have."""
    usual = np.concatenate(shaken).astype(np.float64)
    return np.asarray((term - usual.mean()) / max(float(usual.std()), LEAST_DEVIATION))
