"""The latent songs of the planted benchmark: what happens, musically, at each 2.5 s of a track.

A song is a path through a small latent space, the sum of parts with a share of its variance each:

* `track`: constant, who the song is;
* `section`: constant within a section and equal wherever the section returns (verse, chorus …);
* `drift`: slow (some 20 s), so a half of a verse differs from the other half;
* `local`: quick (some 5 s), what an exact start can be read from.

Where a section returns, a share of its drift and local part returns too (`repeat_similarity`):
that is what makes the right repeat hard to tell from the wrong ones. Songs of one family share a
part of their `track` and `section` vectors (`family_similarity`): that is what makes the right
track hard to tell. All parts live in the same dimensions, so only time distinguishes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from mgsv.config import option
from mgsv.synthesis.planted.worlds import STEP, World, world_named

Array = npt.NDArray[np.float32]

SHARES = {"track": 0.1, "section": 0.2, "drift": 0.5, "local": 0.2}
"""Share of the latent variance of each part; they add up to one."""

FORMS = ("IABABCBO", "IAABABBO", "ABACABCO", "IBABACBO", "IABCABCO", "AABBACBB")
"""Intro, verse A, chorus B, bridge C, Outro. A long track starts over after the last."""

LOUDNESS = {"I": 0.0, "A": 0.5, "B": 1.2, "C": 0.7, "O": 0.0}
"""Added to the first latent dimension: a chorus is louder, which a highlight detector looks for."""


@dataclass(frozen=True)
class SongOptions:
    """How songs are made; every field is an option of `mgsv data plant`."""

    world: str = option("full", "Size of tracks, videos and features: full, as MGSV-EC, or small.")
    latent_dim: int = option(
        16, "Dimensions of the latent space; more make moments and tracks easier to tell apart."
    )
    family_size: int = option(4, "Tracks that resemble each other; 1 for none.")
    family_similarity: float = option(
        0.5, "Share of a track's constant and section parts that its family has in common."
    )
    repeat_similarity: float = option(
        0.3, "Share of the moving parts that returns with a section; 1 makes repeats equal."
    )


def song(seed: int, number: int, options: SongOptions) -> Array:
    """[S, latent_dim] latent states of song `number`, about unit variance; state t is at 2.5 t s.

    S is as many as the world's longest track has. It depends on (seed, number, options) alone, not
    on how many songs are made.
    """
    own = np.random.default_rng((seed, 1, number))
    family = np.random.default_rng((seed, 2, number // max(1, options.family_size)))
    dim, world = options.latent_dim, world_named(options.world)
    labels, offsets = _sections(own, world)
    shared = options.family_similarity

    def vector(*shape: int) -> npt.NDArray[np.float64]:
        parts = family.standard_normal(shape), own.standard_normal(shape)
        return np.asarray(np.sqrt(shared) * parts[0] + np.sqrt(1 - shared) * parts[1])

    kinds = sorted(world.section_states)
    who, sections = vector(dim), vector(len(kinds), dim)
    kind = np.array([kinds.index(label) for label in labels])
    states = np.sqrt(SHARES["track"]) * who + np.sqrt(SHARES["section"]) * sections[kind]
    for part, width in (("drift", world.drift_seconds), ("local", world.local_seconds)):
        smooth = _smoothing(world.segments, width)
        once = smooth @ own.standard_normal((smooth.shape[1], dim))
        again = np.stack([smooth @ own.standard_normal((smooth.shape[1], dim)) for _ in kinds])
        r = options.repeat_similarity
        moving = np.sqrt(r) * again[kind, offsets] + np.sqrt(1 - r) * once
        states = states + np.sqrt(SHARES[part]) * moving
    states[:, 0] += np.array([LOUDNESS[label] for label in labels])
    return np.asarray(states, np.float32)


def states_at(states: Array, seconds: npt.NDArray[np.floating]) -> Array:
    """[T, K] `states` [S, K] read at `seconds` [T], linear between them, held at the ends."""
    last = len(states) - 1
    place = np.clip(np.asarray(seconds) / STEP, 0, last)
    before = np.minimum(place.astype(np.int64), last - 1)
    share = (place - before)[:, None].astype(np.float32)
    return np.asarray(states[before] * (1 - share) + states[before + 1] * share)


def _sections(rng: np.random.Generator, world: World) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Of each state its section's label, and its place inside that section."""
    form = FORMS[rng.integers(len(FORMS))]
    length = {label: int(rng.integers(a, b + 1)) for label, (a, b) in world.section_states.items()}
    labels: list[str] = []
    offsets: list[int] = []
    while len(labels) < world.segments:
        for label in form:
            labels += [label] * length[label]
            offsets += range(length[label])
    return labels[: world.segments], np.array(offsets[: world.segments])


@cache
def _smoothing(states: int, seconds: float) -> npt.NDArray[np.float64]:
    """[states, N] matrix that turns white noise [N] into a smooth path of unit variance."""
    width = seconds / STEP
    reach = int(np.ceil(3 * width))
    place = np.arange(states)[:, None] - np.arange(-reach, states + reach)[None]
    window = np.exp(-0.5 * (place / width) ** 2)
    return np.asarray(window / np.linalg.norm(window, axis=1, keepdims=True))
