"""What one person does from video to video: counts of their uses, each drawn towards a usual value.

Every use is observed once, on its track (`methods.habits`). From the counts comes each number as

    share = (PSEUDO_USES[name] * usual + counted) / (PSEUDO_USES[name] + uses),

the mean of a Beta or Dirichlet distribution whose prior is worth so many uses: without any use it
is the `usual` share that ships with mgsv, and with many it is what this person does. Sums are
exact, so the order of uses makes no difference. Nothing of this is stored: it is counted anew from
the uses, so that it is never out of date.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

StartKind = Literal["start", "intro", "chorus", "elsewhere"]
"""Where on its track a moment begins: at the music's own start, where the intro is over, with what
sounds like the chorus, or at none of these."""
START_KINDS: tuple[StartKind, ...] = get_args(StartKind)

PSEUDO_USES: Mapping[str, float] = {
    "starts": 2.0,
    "places": 2.0,
    "beats": 4.0,
    "tags": 4.0,
    "again": 4.0,
}
"""Uses that each usual value is worth. `benchmarks/habits.py --fit` tries the first three on
composed editors, who are stricter than people: for starts and places it favours 1, the least it
tries, by 0.01 in mIoU, and for beats hardly anything. The last two are set by hand."""

BINS = 100
"""Parts of a track whose starts are counted together."""
PLACE_WIDTH = 0.02
"""Deviation, as a share of the track, around each place that a moment began at."""


@dataclass(frozen=True)
class Observation:
    """What one use shows of habits."""

    track: str
    """Its id."""
    kinds: tuple[StartKind, ...]
    """What its start may be; more than one where two of these are the same place."""
    place: float
    """The start as a share of the track, 0 to 1."""
    on_beats: float | None = None
    """Probability that its video is cut to the beat; None where its cuts are not known, or too
    few."""
    tags: tuple[str, ...] = ()
    """Of its track."""
    weight: float = 1.0
    """How sure the use is, 0 to 1."""


@dataclass(frozen=True)
class Habits:
    """Counts of observations; each is a sum of their weights, so whole where all are sure."""

    uses: float = 0.0
    starts: Mapping[StartKind, float] = field(default_factory=dict)
    places: tuple[float, ...] = (0.0,) * BINS
    """Of starts elsewhere, by which hundredth of the track they lie in."""
    cut_uses: float = 0.0
    """Uses whose cuts are known, three or more."""
    cut_to_beats: float = 0.0
    """Of these, cut to the beat."""
    tagged: float = 0.0
    """Uses of tracks that have tags."""
    tags: Mapping[str, float] = field(default_factory=dict)
    tracks: Mapping[str, float] = field(default_factory=dict)
    """Uses by the track's id."""
    again: float = 0.0
    """Uses of a track that was used before."""
    library_tags: Mapping[str, float] = field(default_factory=dict)
    """Share of the library's tracks that have a tag."""
    library_tracks: int = 0

    @classmethod
    def of(cls, seen: Iterable[Observation], library: Sequence[Sequence[str]] = ()) -> Habits:
        """Counted from observations. library: the tags of each track there is to choose from."""
        all_of = list(seen)
        found: dict[StartKind, list[float]] = {kind: [] for kind in START_KINDS}
        places: list[list[float]] = [[] for _ in range(BINS)]
        tags: dict[str, list[float]] = {}
        tracks: dict[str, list[float]] = {}
        for one in all_of:
            for kind in one.kinds:
                found[kind].append(one.weight / len(one.kinds))
            if one.kinds == ("elsewhere",):
                places[min(int(one.place * BINS), BINS - 1)].append(one.weight)
            for tag in one.tags:
                tags.setdefault(tag, []).append(one.weight)
            tracks.setdefault(one.track, []).append(one.weight)
        cut = [(one.weight, one.on_beats) for one in all_of if one.on_beats is not None]
        held: dict[str, int] = {}
        for names in library:
            for tag in names:
                held[tag] = held.get(tag, 0) + 1
        return cls(
            uses=math.fsum(one.weight for one in all_of),
            starts={kind: math.fsum(weights) for kind, weights in found.items()},
            places=tuple(math.fsum(weights) for weights in places),
            cut_uses=math.fsum(weight for weight, _ in cut),
            cut_to_beats=math.fsum(weight * share for weight, share in cut),
            tagged=math.fsum(one.weight for one in all_of if one.tags),
            tags={tag: math.fsum(tags[tag]) for tag in sorted(tags)},
            tracks={track: math.fsum(tracks[track]) for track in sorted(tracks)},
            # The first use of a track is no repetition, and which is the first does not matter.
            again=math.fsum(math.fsum(some) - max(some) for some in tracks.values()),
            library_tags={tag: held[tag] / len(library) for tag in sorted(held)},
            library_tracks=len(library),
        )

    def __bool__(self) -> bool:
        return self.uses > 0

    @property
    def fingerprint(self) -> str:
        """Changes with every count."""
        return hashlib.blake2b(
            repr(self).encode("utf-8", "surrogatepass"), digest_size=6
        ).hexdigest()

    def start_share(self, kind: StartKind, usual: float) -> float:
        """Share of moments that begin so, where mgsv expects `usual` of them to."""
        return _drawn("starts", self.starts.get(kind, 0.0), self.uses, usual)

    def beat_share(self, usual: float) -> float:
        """Share of videos that are cut to the beat, where mgsv expects `usual` of them to be."""
        return _drawn("beats", self.cut_to_beats, self.cut_uses, usual)

    def again_share(self) -> float:
        """Share of uses that take a track again; mgsv expects none to."""
        return _drawn("again", self.again, self.uses, 0.0)

    def place_density(self, shares: Floats) -> Floats:
        """[N] how much likelier later starts are at these shares of a track than mgsv expects: a
        mean of 1, the usual, and of bells around the places of the known ones."""
        counts = np.array(self.places)
        total = math.fsum(self.places)
        centres = (np.arange(BINS) + 0.5) / BINS
        bells = np.exp(-0.5 * ((np.clip(shares, 0, 1)[:, None] - centres) / PLACE_WIDTH) ** 2)
        bells /= PLACE_WIDTH * math.sqrt(2 * math.pi)
        usual = PSEUDO_USES["places"]
        return np.asarray((usual + bells @ counts) / (usual + total))

    def tag_log_odds(self, tag: str) -> float:
        """Of a tag among the uses against the library's tracks; 0 for one that no track has."""
        if not (usual := self.library_tags.get(tag)):
            return 0.0
        return math.log(_drawn("tags", self.tags.get(tag, 0.0), self.tagged, usual) / usual)

    def mood(self, tags: Sequence[str]) -> float:
        """Log-odds of a track with these tags, the mean of theirs."""
        return math.fsum(map(self.tag_log_odds, tags)) / max(len(tags), 1)

    def popularity(self, track: str) -> float:
        """Log-odds of a track, by how often it was used, against any other of the library."""
        again = self.again_share()
        share = self.tracks.get(track, 0.0) / max(self.uses, 1e-9)
        return math.log(1 - again + again * share * self.library_tracks)


def _drawn(name: str, counted: float, uses: float, usual: float) -> float:
    strength = PSEUDO_USES[name]
    return (strength * usual + counted) / (strength + uses)
