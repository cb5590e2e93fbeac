"""A person's habits on one track: what a use shows of them, and where they say a moment begins."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mgsv.encoders.registry import SEGMENT_STEP
from mgsv.media.curves import distances, edges_at, window_means
from mgsv.media.rhythm import ONSET_RATE
from mgsv.memory.habits import Habits, Observation, StartKind
from mgsv.memory.use import Use
from mgsv.methods.placement import ON_BEAT, Music

if TYPE_CHECKING:
    from mgsv.methods.survey import SurveyWeights

Floats = npt.NDArray[np.float64]

AT_START = 0.5
"""Seconds from the music's own start within which a moment begins there."""
AT_PHRASE = 1.5
"""Seconds from the beginning of a phrase within which a moment begins there: a bar, since what is
heard as the beginning may be its upbeat."""
SHORTEST_INTRO = 3.0
"""Seconds: what is over sooner is no intro."""
ENTRY_SECONDS = 4.0
"""Of music that show how loud it is where an intro ends."""
SPREAD = 0.3
"""Seconds: the scale of starts around the beginning of a phrase (Laplace)."""

LEAST_CUTS = 3
"""Fewer fall on beats by chance."""
KEPT = 0.9
"""Share of cuts on beats in a video that is cut to the beat."""
USUAL_BEATS = 0.25
"""Share of videos that are, before any is seen: that of the shipped survey."""
USUAL: Mapping[StartKind, float] = {"start": 0.7, "intro": 0.0, "chorus": 0.0, "elsewhere": 0.3}
"""What mgsv expects of starts, about: the survey's share of a clip's own start depends on lengths.
It knows of no intro and no chorus, but that starts elsewhere are mostly on borders."""


def landmarks(music: Music, origin: float, seconds: float) -> dict[StartKind, float]:
    """Where on a track a moment of `seconds` begins under each habit that means one place.

    start: `origin`, where the music starts. intro: the first phrase from which on the music is as
    loud as half of the track. chorus: the phrase from which on it is loudest and comes back most.
    Where there is no such phrase, or no room for the moment, it is the start.
    """
    structure, latest = music.structure, max(0.0, music.pattern.seconds - seconds)
    phrases = structure.phrases.astype(np.float64)
    phrases = phrases[(phrases > origin + SHORTEST_INTRO) & (phrases <= latest)]
    energy = np.asarray(music.pattern.features.energy, np.float64)
    entered = phrases[_means(energy, ONSET_RATE, phrases, ENTRY_SECONDS) >= np.median(energy)]
    places = np.concatenate([[origin], phrases])
    loud = _standardised(_means(energy, ONSET_RATE, places, seconds))
    back = _standardised(_means(structure.repetition, 1 / SEGMENT_STEP, places, seconds))
    return {
        "start": origin,
        "intro": float(entered[0] if len(entered) else origin),
        "chorus": float(places[int(np.argmax(loud + back))]),
    }


def _means(curve: npt.NDArray[np.floating], rate: float, places: Floats, seconds: float) -> Floats:
    """[N] mean of a curve over `seconds` from each of `places` on."""
    edges = (edges_at(times, rate, len(curve)) for times in (places, places + seconds))
    return window_means(curve, *edges)


def _standardised(values: Floats) -> Floats:
    return np.asarray((values - values.mean()) / max(float(values.std()), 1e-9))


def observe(use: Use, music: Music, origin: float) -> Observation:
    """What a use of a track shows. origin: as for `landmarks`."""
    seconds = use.end - use.start
    known = landmarks(music, origin, seconds)
    kinds: tuple[StartKind, ...] = ("elsewhere",)
    if use.start <= known["start"] + AT_START:
        kinds = ("start",)
    else:
        phrases: tuple[StartKind, ...] = ("intro", "chorus")
        near = [
            kind
            for kind in phrases
            if known[kind] > origin and abs(use.start - known[kind]) <= AT_PHRASE
        ]
        kinds = tuple(near) or kinds
    return Observation(
        track=use.track,
        kinds=kinds,
        place=min(max(use.start / max(music.pattern.seconds, 1e-6), 0.0), 1.0),
        on_beats=_on_beats(use, music),
        tags=music.pattern.features.track.tags,
        weight=use.confidence,
    )


def _on_beats(use: Use, music: Music) -> float | None:
    """Probability that the use's video was cut to the beat, by Bayes' rule.

    Its cuts fall on beats with a probability of `KEPT` if so, and otherwise of the share of time
    that lies so near to beats.
    """
    cuts, beats = use.cut_times.astype(np.float64), music.pattern.beats.astype(np.float64)
    inside = beats[(beats >= use.start) & (beats <= use.end)]
    if len(cuts) < LEAST_CUTS or len(inside) < 2:
        return None
    hit = int((distances(cuts + use.start, beats) <= ON_BEAT).sum())
    chance = min(2 * ON_BEAT / float(np.median(np.diff(inside))), 0.8)
    log_odds = math.log(USUAL_BEATS / (1 - USUAL_BEATS))
    log_odds += hit * math.log(KEPT / chance)
    log_odds += (len(cuts) - hit) * math.log((1 - KEPT) / (1 - chance))
    return 1 / (1 + math.exp(-min(max(log_odds, -50.0), 50.0)))


def habitual_weights(weights: SurveyWeights, habits: Habits) -> SurveyWeights:
    """A survey's weights for one person's clips: the share that is cut to beats is theirs.

    Who is known to cut to the beat is believed to, like the composed edits that the weights are
    fitted on.
    """
    beats, known = habits.beat_share(weights.beats), habits.beat_share(0.0)
    others = (1 - beats) / max(1 - weights.beats, 1e-9)
    trust = weights.trust + max(0.0, 1 - weights.trust) * known
    return replace(weights, beats=beats, accents=weights.accents * others, trust=trust)


def habitual_starts(
    habits: Habits,
    starts: Floats,
    later: Floats,
    spacing: Floats,
    places: Mapping[StartKind, float],
    from_start: float,
    track_seconds: float,
) -> Floats:
    """[N] masses of `starts` [N] that sum to 1: where this person's moments begin.

    later: [N] masses of starts that are not the music's own, as mgsv expects them; spacing: seconds
    that each start stands for; places: of `landmarks`; from_start: the share that mgsv expects to
    begin with the music.
    """
    usual: dict[StartKind, float] = {"start": from_start, "intro": 0.0, "chorus": 0.0}
    share = {kind: habits.start_share(kind, expected) for kind, expected in usual.items()}
    elsewhere = later * habits.place_density(starts / max(track_seconds, 1e-6))
    masses = (1 - math.fsum(share.values())) * elsewhere / elsewhere.sum()
    for kind, place in places.items():
        if place == places["start"]:
            masses[int(np.argmin(np.abs(starts - place)))] += share[kind]
        else:
            around = np.exp(-np.abs(starts - place) / SPREAD) * spacing
            masses += share[kind] * around / around.sum()
    return np.asarray(masses / masses.sum())
