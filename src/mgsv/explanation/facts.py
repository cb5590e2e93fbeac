"""What a picture of a moment shows: the clip, its track and the place of each cut among the beats.

All times are seconds; on the track unless it says "clip".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mgsv.grounding.reasons import reasons
from mgsv.grounding.result import Grounding, RankedMoment
from mgsv.library import TrackFeatures
from mgsv.media.curves import distances, offsets
from mgsv.media.rhythm import ENERGY_RANGE_DB, ONSET_RATE
from mgsv.media.structure import Structure, analyse_structure
from mgsv.media.video import CURVE_RATE, Frame, VideoCurves
from mgsv.methods.placement import ON_BEAT
from mgsv.methods.synchrony import TrackPattern

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Facts:
    """One moment of one track beside the clip it was chosen for."""

    clip_name: str
    clip: VideoCurves
    found: RankedMoment
    track: TrackFeatures
    chance: float | None
    """The score that luck alone reaches, if it is known."""
    frames: tuple[Frame, ...] = ()
    """Pictures of the clip, rising in time; empty where they are not shown."""

    @classmethod
    def of(
        cls,
        grounding: Grounding,
        found: RankedMoment,
        track: TrackFeatures,
        frames: tuple[Frame, ...] = (),
    ) -> Facts:
        name, curves = grounding.video.path.name, grounding.curves
        return cls(name, curves, found, track, grounding.chance, frames)

    @property
    def seconds(self) -> float:
        """Length of the track."""
        return self.track.track.duration

    @cached_property
    def beats(self) -> Array:
        """[K] of the whole track."""
        return self.track.beats.astype(np.float64)

    @property
    def downbeats(self) -> Array:
        """The first beat of each bar."""
        return self._structure.downbeats.astype(np.float64)

    @property
    def borders(self) -> Array:
        """Where a section of the track ends and another begins."""
        borders = self._structure.borders.astype(np.float64)
        return borders[borders > 0]

    @cached_property
    def _structure(self) -> Structure:
        track = self.track
        return analyse_structure(
            track.beats, track.onset, track.energy, track.segments, downbeats=track.downbeats
        )

    @cached_property
    def cuts(self) -> Array:
        """[C] where the clip's cuts fall on the track, those before the music ends."""
        cuts = self.found.start + self.clip.cuts.astype(np.float64)
        return cuts[cuts < self.found.end]

    @cached_property
    def silent_cuts(self) -> Array:
        """[C'] cuts after the music has ended."""
        cuts = self.found.start + self.clip.cuts.astype(np.float64)
        return cuts[cuts >= self.found.end]

    @cached_property
    def beside(self) -> Array:
        """[C] seconds from the nearest beat to each of `cuts`; infinite without beats."""
        return offsets(self.cuts, self.beats)

    @property
    def on_beat(self) -> npt.NDArray[np.bool_]:
        """[C] whether a cut falls on a beat."""
        return np.abs(self.beside) <= ON_BEAT

    @cached_property
    def reasons(self) -> tuple[str, ...]:
        """Why the moment was chosen, as sentences, and how far to believe it."""
        said = [self._cuts(), *reasons(self.found.evidence), self._end(), self._luck()]
        return tuple(sentence for sentence in said if sentence)

    def loudness(self, first: float, last: float, places: int) -> tuple[Array, Array]:
        """(seconds, amplitude from 0 to 1) of the track between `first` and `last`.

        At most `places` of them, each the loudest of its part, so that short accents stay.
        """
        energy = self.track.energy
        low = max(0, int(first * ONSET_RATE))
        high = max(low + 1, min(len(energy), int(np.ceil(last * ONSET_RATE))))
        part = energy[low:high].astype(np.float64)
        step = max(1, -(-len(part) // places))
        edges = np.arange(0, len(part), step)
        level = np.maximum.reduceat(part, edges) if len(part) else part
        amplitude: Array = 10 ** ((level - 1) * ENERGY_RANGE_DB / 20)
        times = (low + edges + step / 2) / ONSET_RATE
        return np.asarray(times, np.float64), np.where(level > 0, amplitude, 0.0)

    def smooth_energy(self) -> tuple[Array, Array]:
        """(seconds, energy) over the moment at 10 Hz, as `sync` compares it with motion."""
        smooth = TrackPattern.of(self.track).energy.astype(np.float64)
        times: Array = (np.arange(len(smooth), dtype=np.float64) + 0.5) / CURVE_RATE
        inside = (times >= self.found.start) & (times <= self.found.end)
        return times[inside], smooth[inside]

    def _cuts(self) -> str:
        count = len(self.clip.cuts)
        if not count:
            return "The clip has no cuts that could fall on beats."
        if not len(self.beats):
            return "No beats were found in the track, so the cuts are not compared with any."
        hits, near = int(self.on_beat.sum()), f"within {ON_BEAT:g} s"
        if count == 1:
            where = f"on a beat ({near})" if hits else f"beside the beats (none {near})"
            said = f"The clip's one cut falls {where}"
        else:
            luck = self._covered() * len(self.cuts)
            said = f"{hits} of {count} cuts fall on a beat ({near}); chance would give {luck:.1f}"
        if meets := int((distances(self.cuts, self.borders) <= ON_BEAT).sum()):
            which = "it meets" if count == 1 else f"{meets} meet{'s' * (meets == 1)}"
            said += f"; {which} a new section of the track"
        return said + "."

    def _covered(self) -> float:
        """The share of the moment's time that is so near to a beat."""
        grid = np.arange(self.found.start, max(self.found.end, self.found.start + 0.01), 0.01)
        return float((distances(grid, self.beats) <= ON_BEAT).mean())

    def _end(self) -> str:
        missing = self.clip.duration - (self.found.end - self.found.start)
        return f"The music ends {missing:.1f} s before the clip." if missing > 0.05 else ""

    def _luck(self) -> str:
        score = f"Score {self.found.score:.2f}"
        if self.chance is None:
            return f"{score}; how far luck alone would come is not known here."
        if self.found.score > self.chance:
            return f"{score}: better than luck, which reaches {self.chance:.2f} in this library."
        return (
            f"{score}, while luck alone reaches {self.chance:.2f} in this library: "
            "take this choice as a guess."
        )
