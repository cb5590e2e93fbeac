"""What is known of a track before a video is cut to it: features, tags, rhythm, structure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mgsv.encoders.musicnn import TAGS
from mgsv.encoders.musicnn_rhythm import MusicnnRhythm
from mgsv.encoders.registry import SEGMENT_STEP
from mgsv.errors import MediaError
from mgsv.media.audio import Audio
from mgsv.media.curves import moving_mean
from mgsv.media.isolated import read_audio
from mgsv.media.metre import find_metre
from mgsv.media.rhythm import ONSET_RATE, Rhythm, analyse_rhythm
from mgsv.media.structure import Structure, analyse_structure
from mgsv.moment import CANVAS_SECONDS
from mgsv.synthesis.composed.corpus import Arrays, Item, cached

FloatArray = npt.NDArray[np.float64]

VERSION = 2
"""Of what is kept of a track; raised with every change."""

SHORTEST = 8.0
"""Seconds a track must have."""

MOODS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "energy": (
        ("rock", "punk", "metal", "heavy metal", "hard rock", "dance", "party", "House", "electro"),
        ("ambient", "chillout", "chill", "Mellow", "easy listening", "beautiful", "sad"),
    ),
    "wood": (
        ("acoustic", "folk", "country", "guitar", "blues", "jazz", "oldies"),
        ("electronic", "electronica", "electro", "House", "dance", "experimental"),
    ),
    "shine": (
        ("happy", "catchy", "pop", "indie pop", "party", "funk", "soul", "60s"),
        ("metal", "heavy metal", "ambient", "sad", "experimental", "Progressive rock"),
    ),
}
"""The three ways in which the picture follows the music's character, as tags for and against."""


@dataclass(frozen=True)
class AnalysedTrack:
    """A track (or excerpt), analysed. Times are seconds from its start.

    segments: float32 [S, D], the default encoder's. tags: float32 [S, 50], probabilities. rhythm:
    with the beats that `find_metre` chose.
    """

    item: Item
    segments: npt.NDArray[np.float32]
    tags: npt.NDArray[np.float32]
    rhythm: Rhythm
    structure: Structure

    @property
    def id(self) -> str:
        return self.item.id

    @property
    def seconds(self) -> float:
        return self.rhythm.duration

    @cached_property
    def loudness(self) -> FloatArray:
        """[T] at `ONSET_RATE`: energy over a second, as its rank within the track, 0 to 1."""
        return _ranks(moving_mean(self.rhythm.energy, round(0.5 * ONSET_RATE)))

    @cached_property
    def business(self) -> FloatArray:
        """[T] at `ONSET_RATE`: onset strength over two seconds, as its rank within the track."""
        return _ranks(moving_mean(self.rhythm.onset, round(ONSET_RATE)))

    @cached_property
    def moods(self) -> FloatArray:
        """[S, len(MOODS)]: log odds of the tags for over those against, per segment."""
        columns = []
        for groups in MOODS.values():
            likely = [self.tags[:, [TAGS.index(tag) for tag in tags]].mean(1) for tags in groups]
            columns.append(np.log(likely[0] + 1e-3) - np.log(likely[1] + 1e-3))
        return np.stack(columns, axis=1).astype(np.float64)

    def mood(self, start: float, end: float) -> FloatArray:
        """[len(MOODS)] the mean of `moods` over [start, end)."""
        first = min(int(start / SEGMENT_STEP), len(self.moods) - 1)
        return np.asarray(self.moods[first : max(first + 1, round(end / SEGMENT_STEP))].mean(0))

    def at(self, curve: FloatArray, times: npt.ArrayLike) -> FloatArray:
        """A curve of this track at `times`; beyond its ends the last value."""
        places = np.clip(np.asarray(times) * ONSET_RATE, 0, len(curve) - 1)
        return np.asarray(curve[places.astype(np.intp)])


class TrackAnalyser:
    """Analyses tracks once and keeps the results in the folder `cache`, as `footage.Bank` does."""

    def __init__(self, cache: Path) -> None:
        self._folder = cache / "tracks"
        self._encoder = MusicnnRhythm()

    def track(self, item: Item) -> AnalysedTrack:
        """`item` analysed. MediaError where it has no sound, or too little."""
        maker = f"{self._encoder.fingerprint}-{VERSION}"
        found = cached(self._folder, item.content, maker, lambda: self._analyse(item))
        rhythm = Rhythm(
            duration=float(found["duration"][0]),
            onset=found["onset"],
            energy=found["energy"],
            tempo=float(found["tempo"][0]),
            beats=found["beats"],
        )
        structure = analyse_structure(
            rhythm.beats,
            rhythm.onset,
            rhythm.energy,
            found["segments"],
            downbeats=found["downbeats"],
            step=SEGMENT_STEP,
        )
        return AnalysedTrack(item, found["segments"], found["tags"], rhythm, structure)

    def _analyse(self, item: Item) -> Arrays:
        whole = read_audio(item.path, self._encoder.rate, channel=self._encoder.channel)
        start, end = item.excerpt or (0.0, CANVAS_SECONDS)
        first, last = (round(time * whole.rate) for time in (start, end))
        audio = Audio(whole.samples[first:last], whole.rate)
        if audio.duration < SHORTEST:
            problem = f"{audio.duration:.1f} s of music are too few"
            raise MediaError(item.path, problem, f"give at least {SHORTEST:g} s")
        rhythm = analyse_rhythm(audio.samples, audio.rate)
        segments, tags = self._encoder.encode_segments(audio, rhythm)
        metre = find_metre(audio.samples, rhythm)
        return {
            "segments": segments,
            "tags": tags,
            "onset": rhythm.onset,
            "energy": rhythm.energy,
            "beats": metre.beats,
            "downbeats": metre.downbeats,
            "tempo": np.array([rhythm.tempo], np.float32),
            "duration": np.array([rhythm.duration], np.float32),
        }


def _ranks(values: FloatArray) -> FloatArray:
    """Share of the values below each."""
    return np.searchsorted(np.sort(values), values) / max(len(values) - 1, 1)
