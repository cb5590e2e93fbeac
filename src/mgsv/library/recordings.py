"""Tracks that are one recording in several files: an album in mp3 and flac, a song and its rip.

Files of the same bytes are one track with copies. These are different tracks with the same sound,
which would all be answers where one is: the best of them stands for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mgsv.errors import MediaError
from mgsv.library.track import Track, TrackCurves
from mgsv.media.likeness import WAVE_RATE, Curves, wave_likeness

SAME_LENGTH = 0.9
"""Share of the longer track that the shorter one lasts, at least: an excerpt is another track."""
CURVES_ALIKE = 0.5
"""Likeness of the curves from which on the waveforms are worth comparing."""
WAVES_ALIKE = 0.95
"""Likeness of the waveforms from which on two tracks are one recording."""
HEARD = 120.0
"""Seconds from the beginning whose waveforms are compared."""


@dataclass
class Recording:
    """A track that stands for itself and for `others`, the same recording in other files."""

    place: int
    """Of the track among those that were given."""
    track: Track
    others: list[Track] = field(default_factory=list)

    @property
    def also_as(self) -> tuple[Path, ...]:
        """All other files that hold it, copies included."""
        held = (path for other in self.others for path in (other.path, *other.copies))
        return (*self.track.copies, *held)


class Recordings:
    """Which tracks are one recording; each pair is compared once. For several threads."""

    def __init__(self, curves: Callable[[Track], TrackCurves]) -> None:
        self._curves = curves
        self._known: dict[tuple[str, str], bool] = {}

    def distinct(self, tracks: Iterable[Track], most: int) -> list[Recording]:
        """The first `most` recordings among `tracks`, each with those that come after it.

        Curves are read of tracks of about the same length, waveforms only of those whose curves
        agree; a track whose file cannot be read is like no other.
        """
        found: list[tuple[Recording, _Sound]] = []
        for place, track in enumerate(tracks):
            sound = _Sound(track, self._curves)
            same = next((one for one, heard in found if self._are_same(heard, sound)), None)
            if same is not None:
                same.others.append(track)
            elif len(found) < most:
                found.append((Recording(place, track), sound))
        return [recording for recording, _ in found]

    def _are_same(self, one: _Sound, other: _Sound) -> bool:
        shorter, longer = sorted((one.track.duration, other.track.duration))
        if shorter < SAME_LENGTH * longer:
            return False
        pair = min(one.track.id, other.track.id), max(one.track.id, other.track.id)
        if (same := self._known.get(pair)) is None:
            same = self._known[pair] = one.is_same(other)
        return same


class _Sound:
    """What tells a track from others, each part read when it is first needed."""

    def __init__(self, track: Track, curves: Callable[[Track], TrackCurves]) -> None:
        self.track = track
        self._read_curves = curves

    def is_same(self, other: _Sound) -> bool:
        lag = self._curves.lag(other._curves)
        if not self._curves.is_like(other._curves, lag, CURVES_ALIKE):
            return False
        if self._wave is None or other._wave is None:
            return False
        return wave_likeness(self._wave, other._wave, lag) >= WAVES_ALIKE

    @cached_property
    def _curves(self) -> Curves:
        features = self._read_curves(self.track)
        return Curves(features.onset, features.energy)

    @cached_property
    def _wave(self) -> npt.NDArray[np.float32] | None:
        """[N] at `WAVE_RATE`; None where it cannot be read now."""
        from mgsv.media.isolated import read_audio

        try:
            return read_audio(self.track.path, WAVE_RATE, seconds=HEARD).samples
        except (MediaError, OSError):
            return None
