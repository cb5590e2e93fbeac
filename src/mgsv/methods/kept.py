"""What is kept of a library's tracks for one model, so that no query derives it again.

`sketches` (`methods.sketch`) are the same for every model of the same features; `embeddings` are
what the model's matching network makes of each window of a track: its pooled vector, by which the
whole library is scored, and its tokens, by which the best are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mgsv.library import TrackCurves
from mgsv.library.packs import Key, Pack, Rows, folder_of
from mgsv.methods import sketch
from mgsv.methods.origin import origin_of
from mgsv.methods.placement import Music
from mgsv.methods.windows import Window, in_batches, windows_of
from mgsv.runtime.model import Embeddings, GroundingModel, Network

VERSION = "1"

EMBEDDING: Mapping[str, tuple[str, int]] = {
    "windows": ("<i4", 2),  # [W, 2] the segments that each window begins and ends at
    "pooled": ("<f4", 2),  # [W, d]
    "tokens": ("<f2", 2),  # [L, d] of all windows, one after the other
    "valid": ("|u1", 1),  # [L]
}
"""What is kept of what a model makes of a track. The final score differs by some 1e-4 for tokens
in half precision."""

Row = Mapping[str, npt.NDArray[Any]]


class Kept:
    """Sketches and embeddings of tracks, in memory or beside a library."""

    def __init__(
        self, encoder: str, model: GroundingModel | None, derived: Path | None = None
    ) -> None:
        """
        encoder: fingerprint of what made the tracks' features. model: None where nothing is
        embedded. derived: the folder for both; None: in memory alone.
        """
        network = None if model is None else model.matcher
        made = f"{encoder} sketch-{sketch.VERSION}"
        self.sketches = Pack(_folder(derived, "sketches", made), made, sketch.FIELDS)
        self.embeddings: Pack | None = None
        self.model, self._network = model, network
        if model is not None and network is not None:
            made = f"{encoder} {model.name}-{VERSION}:{model.fingerprint}"
            self.embeddings = Pack(_folder(derived, "embeddings", made), made, EMBEDDING)

    @property
    def packs(self) -> list[Pack]:
        return [self.sketches, *([] if self.embeddings is None else [self.embeddings])]

    def missing(self, keys: Sequence[Key]) -> npt.NDArray[np.intp]:
        """Which of the tracks are not here yet, or are out of date."""
        lacking = np.zeros(len(keys), bool)
        for pack in self.packs:
            lacking |= pack.rows(keys) < 0
        return np.flatnonzero(lacking)

    def derive(self, keys: Sequence[Key], tracks: Sequence[TrackCurves]) -> bool:
        """Put in what is missing of these tracks; whether it could be kept on disk, too."""
        new = self.sketches.rows(keys) < 0
        kept = self.sketches.add(
            [key for key, one in zip(keys, new, strict=True) if one],
            [sketched(tracks[n]) for n in np.flatnonzero(new).tolist()],
        )
        if self.embeddings is not None and self.model is not None and self._network is not None:
            new = self.embeddings.rows(keys) < 0
            wanted = [tracks[n] for n in np.flatnonzero(new).tolist()]
            rows = embedded(self._network, wanted, self.model.limits.max_segments)
            left = [key for key, one in zip(keys, new, strict=True) if one]
            kept = self.embeddings.add(left, rows) and kept
        return kept

    def of(self, keys: Sequence[Key]) -> KeptRows:
        """What is kept of these tracks, all of which are here."""
        nothing = np.full(len(keys), -1, np.intp)
        embedding = nothing if self.embeddings is None else self.embeddings.rows(keys)
        return KeptRows(self, self.sketches.rows(keys), embedding)


@dataclass(frozen=True)
class KeptRows:
    """What is kept of M tracks: their rows [M] among the sketches and the embeddings."""

    kept: Kept
    sketch: Rows
    embedding: Rows

    def at(self, places: npt.NDArray[np.intp]) -> KeptRows:
        """Of some of the tracks."""
        return KeptRows(self.kept, self.sketch[places], self.embedding[places])

    @property
    def seconds(self) -> npt.NDArray[np.float32]:
        """[M] how long the tracks last."""
        facts = self.kept.sketches.whole("facts").reshape(-1, 2)
        return np.asarray(facts[self.sketch, 0])

    def pooled(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.intp]]:
        """The pooled vectors [W, d] of all windows, and of which track each is."""
        assert self.kept.embeddings is not None
        pack = self.kept.embeddings
        counts = pack.lengths("pooled")
        if len(self.embedding) == len(pack):  # all there are: no need to gather them
            track = np.empty(len(pack), np.intp)
            track[self.embedding] = np.arange(len(pack))
            return pack.whole("pooled"), np.repeat(track, counts)
        vectors, _ = pack.take("pooled", self.embedding)
        return vectors, np.repeat(np.arange(len(self.embedding)), counts[self.embedding])

    def music(self, n: int, features: TrackCurves) -> Music:
        """Track `n` as placing looks at it, its structure not analysed again."""
        return sketch.music_of(features, self.kept.sketches.row(int(self.sketch[n])))

    def windows(self, places: npt.NDArray[np.intp]) -> tuple[list[Window], Embeddings]:
        """The windows of some of the tracks, each with its place among `places`, embedded."""
        assert self.kept.embeddings is not None
        pack, rows = self.kept.embeddings, self.embedding[places]
        bounds, ends = pack.take("windows", rows)
        pooled = pack.take("pooled", rows)[0]
        tokens = pack.take("tokens", rows)[0]
        valid = pack.take("valid", rows)[0].astype(bool)
        track = np.repeat(np.arange(len(rows)), np.diff(ends))
        lengths = bounds[:, 1] - bounds[:, 0]
        shape = len(bounds), int(lengths.max(initial=1))
        inside = np.arange(shape[1]) < lengths[:, None]
        mask = np.zeros(shape, bool)
        mask[inside] = valid
        spread = np.zeros((*shape, tokens.shape[1]), np.float32)
        spread[inside] = tokens
        nothing = np.zeros((0, 0), np.float32), np.zeros(0, bool)
        windows = [
            Window(int(n), int(start), int(end), *nothing)
            for n, (start, end) in zip(track, bounds, strict=True)
        ]
        return windows, Embeddings(spread, mask, pooled)


def sketched(features: TrackCurves) -> Row:
    """The sketch of a track, its structure analysed."""
    music = Music.of(features)
    return sketch.sketch_of(music, origin_of(music.pattern))


def embedded(network: Network, tracks: Sequence[TrackCurves], size: int) -> list[Row]:
    """What the network makes of each track, in windows of at most `size` segments."""
    parts: list[list[Row]] = [[] for _ in tracks]
    for group, batch in in_batches(windows_of(tracks, size)):
        found = network.embed_tracks(batch)
        for n, window in enumerate(group):
            length = window.end - window.start
            row: Row = {
                "windows": np.array([[window.start, window.end]], np.int32),
                "pooled": found.pooled[n : n + 1],
                "tokens": found.tokens[n, :length].astype(np.float16),
                "valid": found.mask[n, :length].astype(np.uint8),
            }
            parts[window.track].append(row)
    return [
        {name: np.concatenate([row[name] for row in rows]) for name in EMBEDDING} for rows in parts
    ]


def _folder(derived: Path | None, kind: str, maker: str) -> Path | None:
    return None if derived is None else folder_of(derived, kind, maker)
