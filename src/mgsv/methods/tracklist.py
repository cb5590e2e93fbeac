"""Lists of tracks that are read when they are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

import numpy as np
import numpy.typing as npt

from mgsv.library import Track, TrackCurves

if TYPE_CHECKING:
    from mgsv.methods.kept import KeptRows


class TrackList(Sequence[TrackCurves]):
    """Tracks of which more may be known than their features. Each is read when it is looked at."""

    @property
    def kept(self) -> KeptRows | None:
        """What a library keeps of them for a model; None where it keeps nothing."""
        return None

    @property
    def curves(self) -> Sequence[TrackCurves]:
        """The same tracks, of which curves are enough."""
        return self

    @property
    def records(self) -> Sequence[Track]:
        """What the catalogue says of the tracks; none is read for it if that can be helped."""
        return [one.track for one in self]


class Subset(TrackList):
    """Some of `tracks`, in the order of `places`."""

    def __init__(self, tracks: Sequence[TrackCurves], places: npt.NDArray[np.intp]) -> None:
        self._tracks, self._places = tracks, places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> TrackCurves: ...
    @overload
    def __getitem__(self, index: slice) -> Subset: ...
    def __getitem__(self, index: int | slice) -> TrackCurves | Subset:
        if isinstance(index, slice):
            return Subset(self._tracks, self._places[index])
        return self._tracks[int(self._places[index])]

    @property
    def kept(self) -> KeptRows | None:
        whole = kept_of(self._tracks)
        return None if whole is None else whole.at(self._places)

    @property
    def curves(self) -> Sequence[TrackCurves]:
        return Subset(curves_of(self._tracks), self._places)

    @property
    def records(self) -> Sequence[Track]:
        whole = records_of(self._tracks)
        return [whole[place] for place in self._places.tolist()]


def kept_of(tracks: Sequence[TrackCurves]) -> KeptRows | None:
    """What is kept of tracks, if they are a `TrackList` that knows."""
    return tracks.kept if isinstance(tracks, TrackList) else None


def curves_of(tracks: Sequence[TrackCurves]) -> Sequence[TrackCurves]:
    """The same tracks, of which nothing but curves need be read."""
    return tracks.curves if isinstance(tracks, TrackList) else tracks


def records_of(tracks: Sequence[TrackCurves]) -> Sequence[Track]:
    """What the catalogue says of tracks, which are read for it only if need be."""
    return tracks.records if isinstance(tracks, TrackList) else [one.track for one in tracks]
