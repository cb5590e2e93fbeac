"""What the library needs of the place where tracks are kept."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from mgsv.library.credits import Credits
from mgsv.library.features import Arrays, TrackRecord
from mgsv.memory.table import UseStore

UNSETTLED = -1
"""`mtime_ns` of a file that was written so shortly before it was read that its time may stay the
same when it changes again: only its content shows it.
"""


class Place(NamedTuple):
    """A music file on disk, as last seen: either it holds a track, or it has a problem."""

    path: bytes
    size: int
    mtime_ns: int
    track: str | None
    problem: str = ""


class Held(Collection[str]):
    """The tracks that a store has features of, looked up one by one rather than held in memory."""

    def __init__(
        self, store: Store, encoder: str, analysis: int = 0, *, but: Collection[str] = ()
    ) -> None:
        """By `encoder`, and by no version of `ANALYSIS` earlier than `analysis`; none of `but`."""
        self._store, self._encoder, self._analysis, self._but = store, encoder, analysis, but

    def __contains__(self, track: object) -> bool:
        return (
            isinstance(track, str)
            and track not in self._but
            and self._store.holds(track, self._encoder, self._analysis)
        )

    def __iter__(self) -> Iterator[str]:
        for record in self._store.records(self._encoder):
            if record.analysis >= self._analysis and record.id not in self._but:
                yield record.id

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Store(Protocol):
    """What the library needs of the place where tracks are kept. A vector database would do, too.

    Every method raises `LibraryError`, naming the file or service and the remedy, when the store is
    damaged, full, or out of reach.
    """

    @property
    def uses(self) -> UseStore:
        """What earlier videos used."""

    @property
    def encoders(self) -> list[str]:
        """Fingerprints of the encoders that features here were made by, the most used first."""

    @property
    def version(self) -> object:
        """Differs from an earlier one where anything may have been written since, by whomever."""

    def writing(
        self, wait: float, tell: Callable[[str], None]
    ) -> contextlib.AbstractContextManager[None]:
        """The right to call the methods below that write, held by one process at a time.

        If another holds it, `tell` is called once and up to `wait` seconds are waited.
        """

    def places(self, under: Iterable[bytes] | None = None) -> dict[bytes, Place]:
        """Known files at or under the given paths (None = all), in order of path."""

    def each_place(self, under: Iterable[bytes] | None = None) -> Iterator[Place]:
        """The same one after the other, without holding all in memory; in order of path under
        each of the given paths, none of which should lie in another.
        """

    def places_of(self, track: str) -> list[Place]:
        """The files known to hold `track`."""

    def records(self, encoder: str) -> Iterator[TrackRecord]:
        """Every track that has features by `encoder`."""

    def record(self, track: str, encoder: str) -> TrackRecord | None:
        """One of them by its id."""

    def holds(self, track: str, encoder: str, analysis: int = 0) -> bool:
        """Whether a track has features by `encoder`, and rhythm by a version of `ANALYSIS` that is
        no earlier than `analysis`. Safe to call in threads."""

    def uncredited(self) -> list[str]:
        """The tracks in whose files nobody has looked for credits, by any encoder."""

    def put_credits(self, credits: Mapping[str, Credits]) -> None:
        """Keep what the files of tracks say of themselves, by id. (writes)"""

    def read(self, track: str, encoder: str, names: tuple[str, ...]) -> Arrays:
        """The tensors `names` (of `features.TENSORS`) of a track by `encoder`."""

    def means(self, encoder: str) -> Iterator[tuple[list[str], npt.NDArray[np.float32]]]:
        """(ids, mean segments [n, D]) of all tracks with features by `encoder`, in chunks."""

    @property
    def derived(self) -> Path | None:
        """A folder on this machine for what is derived from features and can be derived again (see
        `packs`), made when it is first written to; None where nothing is to be kept.
        """

    def revisions(self, encoder: str) -> Iterator[tuple[str, str]]:
        """(track, what changes whenever its features do) of all tracks with features by `encoder`.

        At most 32 characters of ASCII.
        """

    def embeddings(self, model: str) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
        """(track, what the model of this fingerprint made of it [N, E]) of all that have some."""

    def put_embeddings(self, model: str, vectors: Mapping[str, npt.NDArray[np.float32]]) -> None:
        """Keep what a model made of tracks, by id [N, E], all or none of it. They go with their
        track. (writes)
        """

    def drop_embeddings(self, model: str) -> int:
        """Forget all that a model made; of how many tracks that was. (writes)"""

    def verify(self) -> Iterator[tuple[str, str]]:
        """(track, what is wrong with what is stored of it, else '') for every track and encoder;
        reads everything.
        """

    def put(self, record: TrackRecord, encoder: str, arrays: Arrays) -> None:
        """Keep a track, replacing what was known of it by this encoder. Whole or not at all, even
        when killed. (writes)

        Raises `ValueError` for arrays that are not finite or of the wrong shape.
        """

    def place(self, place: Place) -> None:
        """Note what is at a path now. (writes)"""

    def drop_places(self, paths: Iterable[bytes]) -> None:
        """Forget files; their tracks stay. (writes)"""

    def drop_tracks(self, tracks: Iterable[str]) -> int:
        """Delete those of the tracks that no known file holds; how many these were. (writes)"""

    def close(self) -> None:
        """Release files and connections. The store is of no use afterwards."""
