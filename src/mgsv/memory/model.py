"""The memory of past uses: where earlier videos started on a track, the next one likely will.

On the tracks that MGSV-EC's val and test share, 70 % of the second videos start where the first
did, within 0.1 s, so past starts are the best evidence there is. A new video either repeats a past
use or goes its own way, as in a Chinese restaurant process (Aldous 1985): with weights a_i of the
past uses and a back-off b,

    p(start) = (sum_i a_i kernel(start - start_i) + b prior(start)) / (sum_i a_i + b).

A use weighs less the more its clip differs in length, category and (where both are known) features.
The prior comes from the uses of all tracks, those of like length first, so a track never used has
an answer too. A moment is as long as its video (99.3 % of MGSV-EC are), so only starts that leave
room for it are possible, and the answer is the start with the highest expected IoU.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mgsv.data.annotations import TOLERANCE
from mgsv.memory.density import NEAR, Density
from mgsv.memory.position import LEAST_PROBES, PROBES, PositionDensity, thinned
from mgsv.memory.use import Use

Floats = npt.NDArray[np.float64]

SAME, JITTER = 0.82, 1.5
"""Share of the repeats that start where the earlier use did, and the scale of the others' Laplace
distribution in seconds: of MGSV-EC's second uses 70 % start within 0.1 s, 84 % within 2.5 s."""

AGREE = 0.5
"""Seconds within which two uses agree."""

MOST_STARTS = 256
"""Distinct starts of one track that are kept; of more, those of the least weight are dropped."""

_OFFSETS = -np.log(1 - (np.arange(4) + 0.5) / 4) * JITTER
KERNEL = np.concatenate([[0.0], _OFFSETS, -_OFFSETS])
"""Places of the kernel's atoms in seconds: no shift, and quantiles of the Laplace distribution."""
KERNEL_MASS = np.array([SAME] + [(1 - SAME) / 8] * 8)


@dataclass(frozen=True)
class UseWeights:
    """How past uses weigh. The defaults hold until a memory has tracks used twice to learn from.

    They make the stated probabilities right on average where MGSV-EC's val and test share a track
    (85 % of second uses start within 2.5 s of the first). With one use per track they change
    nothing but that probability.
    """

    back_off: float = 0.15
    """Weight of going one's own way, where a like clip's use weighs 1."""
    lone: float = 0.0
    """Weight, of 1, that a use loses to the back-off where no other starts within half a second;
    n that agree lose so much together (the discount of Pitman and Yor, 1997)."""
    length: float = 0.1
    """Weight falls by exp(-length * |ln of the ratio of the clips' lengths|)."""
    category: float = 0.5
    """Weight of a use in another category, where both are known."""
    features: float = 1.0
    """Weight falls by exp(-features * (1 - cosine)), where both have features of one encoder."""


CHOICES: dict[str, tuple[float, ...]] = {
    "back_off": (0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2, 2.4, 5.0),
    "lone": (0.0, 0.25, 0.5, 0.75, 0.9),
    "length": (0.0, 0.1, 0.3, 1.0),
    "category": (1.0, 0.75, 0.5, 0.25, 0.1),
    "features": (0.0, 1.0, 3.0, 10.0),
}
"""Values that learning chooses from; coarse, so that a small memory cannot be fitted closely."""


@dataclass(frozen=True)
class ClipTraits:
    """What the memory compares of two clips."""

    seconds: float
    category: str = ""
    features: npt.NDArray[np.floating] | None = None
    """[D] pooled, any length; None where unknown."""
    encoder: str = ""


class Memory:
    """Past uses of all tracks, as densities of the next start. Immutable once made."""

    def __init__(self, uses: Iterable[Use], weights: UseWeights | None = None) -> None:
        """From any number of uses, in O(n log n).

        weights: None learns them from the tracks used more than once, where there are enough.
        """
        self._uses = sorted(uses, key=lambda use: use.track)
        self._start = np.array([use.start for use in self._uses])
        self._length = np.array([max(use.video_seconds, 1e-3) for use in self._uses])
        self._trust = np.array([use.confidence for use in self._uses])
        names, first = np.unique(
            np.array([use.track for use in self._uses], object), return_index=True
        )
        bounds = [*first.tolist(), len(self._uses)]
        self._of = {name: slice(bounds[n], bounds[n + 1]) for n, name in enumerate(names)}
        self._prior = PositionDensity(self._start, self._length, self._uses)
        self.weights = weights or self._learned()

    def __len__(self) -> int:
        return len(self._uses)

    def count(self, track: str) -> int:
        """How many uses of `track` there are."""
        at = self._of.get(track, slice(0, 0))
        return int(at.stop - at.start)

    @property
    def tracks(self) -> int:
        """How many tracks were used."""
        return len(self._of)

    @property
    def fingerprint(self) -> str:
        """Changes with the uses and with how they weigh.

        Of their reprs, so that a renamed class or field of `Use` and `UseWeights` changes it too.
        """
        text = "\n".join(map(repr, [*self._uses, self.weights]))
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()

    def popularity(self, track: str) -> float:
        """Logarithm of 1 + the uses of `track`: 0 for one never used."""
        return float(np.log1p(self.count(track)))

    def density(self, track: str, track_seconds: float, clip: ClipTraits) -> Density:
        """Where `clip` may start on `track`, of which nothing needs to be known but its length."""
        latest = max(track_seconds - clip.seconds, 0.0)
        at = self._of.get(track, slice(0, 0))
        starts, weights = self._start[at], self._weights(at, clip)
        fits = starts <= latest + TOLERANCE
        starts, weights = np.minimum(starts[fits], latest), weights[fits]
        total = float(weights.sum()) + self.weights.back_off
        starts, weights = _merged(starts, weights * (1 - self.weights.lone / _agreeing(starts)))
        own_way = 1 - float(weights.sum()) / total
        around = np.clip(starts[:, None] + KERNEL, 0.0, latest).ravel()
        places, prior = self._prior.density(clip.seconds, track_seconds, latest)
        return Density(
            places=np.concatenate([around, places]),
            masses=np.concatenate(
                [
                    (weights[:, None] / total * KERNEL_MASS).ravel(),
                    prior * own_way,
                ]
            ),
            clip_seconds=clip.seconds,
            track_seconds=track_seconds,
            starts=starts,
            uses=self.count(track),
            repeat=1 - own_way,
        )

    def _weights(self, at: slice, clip: ClipTraits) -> Floats:
        """[U] what each use of one track counts for `clip`."""
        return self._trust[at] * _alike(self._unlike(at, clip), self.weights)

    def _unlike(self, at: slice, clip: ClipTraits) -> Floats:
        """[U, 3] how uses differ from `clip` in length, category and features; 0 = alike, and
        where one side is unknown."""
        differ = np.zeros((at.stop - at.start, 3))
        differ[:, 0] = np.abs(np.log(self._length[at] / max(clip.seconds, 1e-3)))
        for n, use in enumerate(self._uses[at]):
            differ[n, 1] = bool(use.category and clip.category and use.category != clip.category)
            if clip.features is not None and use.feats and use.encoder == clip.encoder:
                differ[n, 2] = 1 - _cosine(use.features, clip.features)
        return differ

    def _learned(self) -> UseWeights:
        """The weights under which left-out uses are most likely, given the track's other uses."""
        probes = self._probes()
        if len(probes) < LEAST_PROBES:
            return UseWeights()
        best, weights = -np.inf, UseWeights()
        for _ in range(2):  # the choices hardly interact
            for name, values in CHOICES.items():
                for value in values:
                    tried = replace(weights, **{name: value})
                    score = sum(probe.log_probability(tried) for probe in probes)
                    if score > best + 1e-9:
                        best, weights = score, tried
        return weights

    def _probes(self) -> list[_Probe]:
        """One use of each track used more than once: few tracks hold most uses, and would decide
        for all the others."""
        one = [at.start for at in self._of.values() if at.stop - at.start > 1]
        return [self._probe(n) for n in thinned(np.array(one, int), PROBES)]

    def _probe(self, n: int) -> _Probe:
        use = self._uses[n]
        at = self._of[use.track]
        # A use's fellows are enough by the hundred; one track may have any number.
        fellows = thinned(np.array([k for k in _numbers(at) if k != n]), MOST_STARTS)
        clip = ClipTraits(use.video_seconds, use.category, use.features, use.encoder)
        apart = np.abs(self._start[fellows][:, None] + KERNEL - use.start)
        latest = max(use.track_seconds - use.video_seconds, 0.0)
        places, prior = self._prior.density(use.video_seconds, use.track_seconds, latest)
        return _Probe(
            trust=self._trust[fellows],
            agree=_agreeing(self._start[fellows]),
            unlike=self._unlike(at, clip)[fellows - at.start],
            near=(apart <= NEAR) @ KERNEL_MASS,
            prior=float(prior[np.abs(places - use.start) <= NEAR].sum()),
        )


class _Probe(NamedTuple):
    """A use that was left out, and how its track's other uses and the prior predict its start."""

    trust: Floats
    agree: Floats
    unlike: Floats
    near: Floats
    """[U] share of each use's kernel that lies near the start."""
    prior: float

    def log_probability(self, by: UseWeights) -> float:
        weights = self.trust * _alike(self.unlike, by)
        total = float(weights.sum()) + by.back_off
        weights = weights * (1 - by.lone / self.agree)
        own_way = total - float(weights.sum())
        mass = float(weights @ self.near) + own_way * self.prior
        return float(np.log(max(mass / total, 1e-6)))


def _alike(unlike: Floats, by: UseWeights) -> Floats:
    """[U] weights in (0, 1] of how uses differ [U, 3]."""
    rates = np.array([by.length, -np.log(by.category), by.features])
    return np.asarray(np.exp(-unlike @ rates))


def _agreeing(starts: Floats) -> Floats:
    """[U] how many of `starts` lie within half a second of each, itself included."""
    order = np.sort(starts)
    below = np.searchsorted(order, starts - AGREE, "left")
    return np.asarray(np.searchsorted(order, starts + AGREE, "right") - below, np.float64)


def _merged(starts: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Starts that are the same to 10 ms become one, with the sum of their weights."""
    if not len(starts):
        return starts, weights
    _, first, group = np.unique(np.round(starts, 2), return_index=True, return_inverse=True)
    total = np.asarray(np.bincount(group, weights), np.float64)
    most = np.argsort(-total, kind="stable")[:MOST_STARTS]
    return starts[first][most], total[most]


def _cosine(a: npt.NDArray[np.floating] | None, b: npt.NDArray[np.floating] | None) -> float:
    if a is None or b is None or a.shape != b.shape:
        return 1.0
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-9))


def _numbers(at: slice) -> range:
    return range(at.start, at.stop)
