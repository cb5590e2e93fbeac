"""Metre of a waveform: its beats, chosen among several ways to hear them, and its bars.

The strongest onsets are not always the beats: a hi-hat can be loudest between them, a dotted rhythm
repeats at two thirds of the tempo. So beats are tracked at the likely tempo and at simple ratios of
it, on all onsets and on the low ones, and taken between those too. What the sound is like on,
between and around the beats of each way, and how well its bars can be counted, is weighed by a
logistic model, which `recipes/metre.py` fits together with that of the bars.
"""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from mgsv.media.bars import (
    BANDS,
    Floats,
    Places,
    Spectra,
    count,
    cues_of,
    onsets_at,
    with_neighbours,
)
from mgsv.media.rhythm import ONSET_RATE, RATE, Rhythm, analyse_rhythm, band_flux, track_beats

METRES = (4, 3)
"""Beats a bar, the usual one first."""
METRE_MARGIN = 0.05
"""Log-likelihood per beat by which bars of three must be the better count."""
RATIOS = (1.0, 2.0, 1 / 2, 3 / 2, 2 / 3, 4 / 3, 3 / 4)
"""Of the likely tempo."""
SLOWEST, FASTEST = 50.0, 210.0
FEWEST = 12
"""Beats below which there is nothing to choose by."""
BETWEEN = {"half": 1 / 2, "third": 1 / 3, "two thirds": 2 / 3}
"""Beats that are shifted by so much of a beat: offbeats, and those of a swing."""
AROUND = (0, 1 / 2, 1 / 3, 2 / 3, 1 / 4, 3 / 4)
"""Places in a beat at which onsets are looked at."""
MODEL = "metre.json"


@dataclass(frozen=True)
class Metre:
    """Beats and first beats of bars of a track, seconds, rising: float32 [K] and [B].

    The downbeats are among the beats; there are none where there are too few beats to count.
    """

    beats: NDArray[np.float32]
    downbeats: NDArray[np.float32]


@dataclass(frozen=True)
class Hearing:
    """One way to hear the beats. ratio: of the likely tempo. kind: what was tracked or shifted."""

    ratio: float
    kind: str
    beats: Floats


@dataclass(frozen=True)
class Model:
    """Weights. count: [C, metre] by metre, for `bars.count`; choice: [N], for `described`."""

    count: dict[int, Floats]
    choice: Floats


def analyse_metre(samples: NDArray[np.float32], rate: int = RATE) -> tuple[Rhythm, Metre]:
    """`analyse_rhythm` and `find_metre` of a waveform [N], in less time than one by one."""
    flux = band_flux(samples, tuple(BANDS.values()))
    rhythm = analyse_rhythm(samples, rate, onset=flux[list(BANDS).index("all")])
    return rhythm, find_metre(samples, rhythm, flux)


def find_metre(
    samples: NDArray[np.float32], rhythm: Rhythm, flux: NDArray[np.float32] | None = None
) -> Metre:
    """The metre of a 16 kHz waveform [N] and its `analyse_rhythm`. flux: as in `Spectra.of`."""
    hearings: list[Hearing] = []
    if rhythm.tempo > 0:
        sound, model = Spectra.of(samples, rhythm.energy, flux), load_model()
        hearings = list(hearings_of(sound, rhythm.tempo))
    if not hearings:
        return Metre(rhythm.beats, np.zeros(0, np.float32))
    scores = [float(described(hearing, sound, model) @ model.choice) for hearing in hearings]
    beats = hearings[int(np.argmax(scores))].beats
    _, places = count_bars(sound, beats, model)
    return Metre(beats.astype(np.float32), beats[places == 0].astype(np.float32))


def hearings_of(sound: Spectra, tempo: float) -> Iterator[Hearing]:
    """The ways to hear a track's beats, at ratios of the likely `tempo` (above 0)."""
    everything, low = sound.onsets["all"], sound.onsets["low"]
    mixed = _scaled(everything) + _scaled(low)
    for ratio in RATIOS:
        if not SLOWEST <= tempo * ratio <= FASTEST:
            continue
        for kind, curve in (("all", everything), ("low", mixed)):
            tracked = track_beats(curve.astype(np.float32), tempo * ratio).astype(np.float64)
            if len(tracked) < FEWEST:
                continue
            yield Hearing(ratio, kind, tracked)
            if kind == "all":
                for name, part in BETWEEN.items():
                    yield Hearing(ratio, name, tracked[:-1] + part * np.diff(tracked))


def count_bars(sound: Spectra, beats: Floats, model: Model) -> tuple[tuple[float, float], Places]:
    """((how well bars of four explain the beats, and of three), [K] each beat's place)."""
    cues = with_neighbours(cues_of(sound, beats))
    (four, in_four), (three, in_three) = (count(cues, model.count[metre]) for metre in METRES)
    return (four, three), in_three if three > four + METRE_MARGIN else in_four


def described(hearing: Hearing, sound: Spectra, model: Model) -> Floats:
    """[N] what speaks for and against a hearing."""
    beats, steps = hearing.beats, np.diff(hearing.beats)
    period = float(np.median(steps))
    values: list[float] = []
    for name, curve in sound.onsets.items():
        usual, spread = sound.usual_onsets[name]
        for part in AROUND:
            at = onsets_at(curve, beats[:-1] + part * steps)
            values.append((float(at.mean()) - usual) / spread)
    (four, three), _ = count_bars(sound, beats, model)
    values += [four, max(three - four, 0.0)]
    for name in ("all", "low"):
        values += [_likeness(sound.repetition[name], beat * period) for beat in (1, 2, 3, 4)]
    octaves = float(np.log2(60 / period / 120))
    values += [octaves, octaves**2, max(0.0, octaves - 0.4), max(0.0, -octaves - 0.5)]
    values.append(float(steps.std()) / period)
    values.append(float(hearing.ratio == 1 and hearing.kind == "all"))
    values += [float(hearing.kind == "low"), float(hearing.kind == "half")]
    values.append(float(hearing.kind in ("third", "two thirds")))
    return np.array(values)


@cache
def load_model() -> Model:
    text = importlib.resources.files("mgsv.media").joinpath(MODEL).read_text("utf-8")
    body = json.loads(text)
    counts = {int(metre): np.array(rows) for metre, rows in body["count"].items()}
    return Model(counts, np.array(body["choice"]))


def _likeness(repetition: Floats, seconds: float) -> float:
    """The autocorrelation about `seconds` on; 0 beyond what is known."""
    lag = round(seconds * ONSET_RATE)
    return float(repetition[lag - 1 : lag + 2].max()) if lag + 2 <= len(repetition) else 0.0


def _scaled(curve: Floats) -> Floats:
    return np.asarray(curve / max(float(curve.std()), 1e-9))
