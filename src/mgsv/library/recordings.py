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


def distinct(
    tracks: Iterable[Track], curves: Callable[[Track], TrackCurves], most: int
) -> list[Recording]:
    """The first `most` recordings among `tracks`, each with those that come after it.

    Curves are read of every track, waveforms only of those whose curves agree; a track whose file
    cannot be read is like no other.
    """
    found: list[tuple[Recording, _Sound]] = []
    for place, track in enumerate(tracks):
        sound = _Sound(curves(track))
        same = next((one for one, heard in found if heard.is_same(sound)), None)
        if same is not None:
            same.others.append(track)
        elif len(found) < most:
            found.append((Recording(place, track), sound))
    return [recording for recording, _ in found]


class _Sound:
    """What tells a track from others, the waveform read when it is first needed."""

    def __init__(self, features: TrackCurves) -> None:
        self._track = features.track
        self._curves = Curves(features.onset, features.energy)

    def is_same(self, other: _Sound) -> bool:
        shorter, longer = sorted((self._track.duration, other._track.duration))
        if shorter < SAME_LENGTH * longer:
            return False
        if self._curves.likeness(other._curves) < CURVES_ALIKE:
            return False
        if self._wave is None or other._wave is None:
            return False
        lag = self._curves.lag(other._curves)
        return wave_likeness(self._wave, other._wave, lag) >= WAVES_ALIKE

    @cached_property
    def _wave(self) -> npt.NDArray[np.float32] | None:
        """[N] at `WAVE_RATE`; None where it cannot be read now."""
        from mgsv.media.isolated import read_audio

        try:
            return read_audio(self._track.path, WAVE_RATE, seconds=HEARD).samples
        except (MediaError, OSError):
            return None
