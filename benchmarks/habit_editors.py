"""Editors with one habit each, for `habits.py`: where their moments begin, and how they cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mgsv.synthesis.composed.editors import COMPOSERS, LOOSE, Composer, Rng
from mgsv.synthesis.composed.music import AnalysedTrack

Floats = npt.NDArray[np.float64]

STRAY = 0.1
"""Share of an editor's moments that are anywhere: nobody is that strict."""


def from_the_start(_track: AnalysedTrack, _seconds: float, _rng: Rng) -> float:
    return 0.0


def at_the_chorus(track: AnalysedTrack, seconds: float, rng: Rng) -> float:
    """The phrase that is loud and comes back most."""
    places = phrases(track, seconds)
    loud = means(track.loudness, track.loudness.size / track.seconds, places, seconds)
    rows = track.structure.repetition
    back = means(rows, len(rows) / track.seconds, places, seconds)
    return stray(track, seconds, rng) or float(places[int(np.argmax(loud + 0.5 * back))])


def on_a_bar(track: AnalysedTrack, seconds: float, rng: Rng) -> float:
    """The first beat of any bar."""
    bars = track.structure.downbeats
    bars = bars[bars <= max(track.seconds - seconds, 0)]
    return float(rng.choice(bars)) if len(bars) else 0.0


def about(share: float, spread: float) -> Callable[[AnalysedTrack, float, Rng], float]:
    """About a `share` of the track."""

    def start(track: AnalysedTrack, seconds: float, rng: Rng) -> float:
        place = track.seconds * rng.normal(share, spread)
        place = min(max(place, 0.0), max(track.seconds - seconds, 0.0))
        return stray(track, seconds, rng) or place

    return start


def after_the_intro(track: AnalysedTrack, seconds: float, rng: Rng) -> float:
    """The first phrase after three seconds that is among the louder half of the track."""
    places = phrases(track, seconds)
    later = places[places > 3]
    loud = means(track.loudness, track.loudness.size / track.seconds, later, 4.0)
    entry = later[loud > 0.5]
    return stray(track, seconds, rng) or float(entry[0] if len(entry) else places[0])


def start_or_chorus(track: AnalysedTrack, seconds: float, rng: Rng) -> float:
    return 0.0 if rng.random() < 0.5 else at_the_chorus(track, seconds, rng)


def phrases(track: AnalysedTrack, seconds: float) -> Floats:
    places = track.structure.phrases.astype(np.float64)
    return np.append(0.0, places[(places > 0.5) & (places <= track.seconds - seconds)])


def means(curve: npt.NDArray[Any], rate: float, places: Floats, seconds: float) -> Floats:
    edges = [(int(p * rate), max(int(p * rate) + 1, int((p + seconds) * rate))) for p in places]
    return np.array([curve[a:b].mean() if a < len(curve) else 0.0 for a, b in edges])


def stray(track: AnalysedTrack, seconds: float, rng: Rng) -> float:
    """Now and then any place of the track; else 0."""
    return float(rng.uniform(0, max(track.seconds - seconds, 0))) if rng.random() < STRAY else 0.0


@dataclass(frozen=True)
class Editor:
    """rules: of `plan_video`; None: those of the loose editor, whom the defaults were fitted to."""

    name: str
    rules: Composer | None


SHOWN = (
    Editor("starts with the track", replace(LOOSE, start=from_the_start)),
    Editor("starts at the chorus", replace(LOOSE, start=at_the_chorus)),
    Editor("cuts on beats, from bar lines", replace(COMPOSERS["editor"], start=on_a_bar)),
    Editor("starts at 40 % of the track", replace(LOOSE, start=about(0.4, 0.03))),
    Editor("as the defaults expect", None),
)
"""Whose learning curves are drawn."""

FITTED_ON = (
    Editor("after the intro", replace(LOOSE, start=after_the_intro)),
    Editor("start or chorus", replace(LOOSE, start=start_or_chorus)),
    Editor("first composer", COMPOSERS["editor"]),
    Editor("second composer", COMPOSERS["second"]),
    Editor("at 65 %", replace(LOOSE, start=about(0.65, 0.06))),
    Editor("on the beat from the start", replace(COMPOSERS["loose"], start=from_the_start)),
    Editor("as the defaults expect", None),
)
"""Whose clips `--fit` sees."""
