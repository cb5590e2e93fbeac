"""The music library as the rest of the program sees it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from mgsv.errors import LibraryError, shown
from mgsv.jobs import Executor, Listener
from mgsv.library.analysis import MusicAnalyser
from mgsv.library.creditlists import CreditLists
from mgsv.library.features import CURVES, TENSORS, Arrays, TrackRecord, content_hash
from mgsv.library.index import Indexer, IndexReport
from mgsv.library.packs import damaged_packs
from mgsv.library.store import Place, Store
from mgsv.library.stores import open_store
from mgsv.library.track import Track, TrackCurves, TrackFeatures, track_of
from mgsv.library.uses import LibraryUses
from mgsv.library.walk import lies_inside, outermost, plain

if TYPE_CHECKING:
    from mgsv.encoders.registry import MusicEncoder

PathLike = str | os.PathLike[str]

_FEW = 1000
"""Records that are looked up one by one rather than found among all."""
_WAIT = 60.0


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What `Library.check` found."""

    tracks: int
    """Tracks looked at."""
    problems: tuple[tuple[Path, str], ...]
    """Music files whose features or content are not as noted, each with what is wrong."""
    dropped: int = 0
    """Tracks taken out, to be indexed again when their folder is added."""
    outdated: int = 0
    """Tracks whose beats and bars an earlier version found."""
    derived: tuple[tuple[Path, str], ...] = ()
    """Files of what was derived of the features that are damaged, each with what is wrong. With
    `repair` they are removed: what they held is derived anew.
    """


class Library:
    """Tracks with their features, kept in a folder of their own.

    >>> library = Library.open("~/Music")                      # doctest: +SKIP
    >>> for track in library.tracks():                         # doctest: +SKIP
    ...     print(track.path.name, track.duration, *track.tags)

    A library opened with `music` shows the tracks at and under those paths; else all it holds.
    """

    def __init__(
        self,
        store: Store,
        encoder: MusicEncoder | None = None,
        *,
        wait: float = _WAIT,
        executor: Executor | None = None,
    ) -> None:
        """A library on any `Store`. Most callers want `open`.

        encoder: needed to add music, and whose features are seen; None: those that most tracks
        have.
        """
        self._store = store
        self._encoder = encoder
        self._wait = wait
        self._executor = executor
        self._roots: list[bytes] | None = None
        self._lists = CreditLists()
        self.report = IndexReport()
        """What the last `add`, or `open` with music, did."""
        self.uses = LibraryUses(store, wait)
        """What earlier videos used, as far as it was recorded."""

    @classmethod
    def open(
        cls,
        music: PathLike | Sequence[PathLike] | None = None,
        *,
        folder: PathLike | None = None,
        encoder: str | MusicEncoder | None = "default",
        progress: Listener | None = None,
        wait: float = _WAIT,
        executor: Executor | None = None,
        repair: bool = False,
    ) -> Self:
        """Open the library in `folder`, and index what is new or changed in `music`.

        music: folders, files or both; None = all that the library holds, nothing is added.
        folder: None = `stores.default_folder()`. Made if it does not exist. The address of a shared
        library may stand in its place, `postgresql://USER@HOST/DATABASE?features=s3://BUCKET`.
        encoder: a registered name, an encoder, or None to look only (list, remove, check). A
            library may hold features of several; this one's are seen.
        progress: called after each new or changed file; those left out have a note.
        wait: seconds to wait while another process writes the library.
        executor: threads that index, as in `Threads(2)`; None = one per core.
        repair: a damaged catalogue is set aside and made again from the feature files.

        A bad music file is no error: `report.failed` names it. Raises `LibraryError` for a
        library that cannot be opened, read or written and for `music` that does not exist or
        holds no music.
        """
        if isinstance(encoder, str):
            from mgsv.encoders.registry import music_encoder

            encoder = music_encoder(encoder)
        store = open_store(folder, repair=repair)
        try:
            library = cls(store, encoder, wait=wait, executor=executor)
            if music is not None:
                library._roots = []
                library.add(music, progress=progress, retry=False)
        except BaseException:
            store.close()
            raise
        return library

    def add(
        self,
        music: PathLike | Sequence[PathLike],
        *,
        progress: Listener | None = None,
        retry: bool = True,
    ) -> IndexReport:
        """Index what is new or changed in `music`, files or folders, and show its tracks too.

        retry: read files again that failed before, even if they have not changed, and find beats
        and bars anew that an earlier version found.
        Raises as `open`; tracks that were done before an error or interrupt are kept.
        """
        if self._encoder is None:
            raise LibraryError(
                "a library opened without an encoder", "open it with one to add music"
            )
        roots = _roots(music)
        indexer = Indexer(
            self._store,
            self._encoder.fingerprint,
            MusicAnalyser(self._encoder),
            executor=self._executor,
            wait=self._wait,
            progress=progress,
        )
        self.report = indexer.add(roots, retry=retry)
        if self._roots is not None:
            self._roots += [root for root in roots if root not in self._roots]
        return self.report

    def remove(self, music: PathLike | Sequence[PathLike]) -> int:
        """Forget the files at and under `music`, and the features nothing else holds; how many
        files.

        The music files themselves are not touched. Raises `LibraryError` if none of them is known.
        """
        roots = _roots(music)
        with self._store.writing(self._wait, lambda _: None):
            places = self._store.places(roots)
            if not places:
                names = ", ".join(shown(os.fsdecode(root)) for root in roots)
                raise LibraryError(
                    f"{names}: nothing of it is in the library", "see `mgsv library list`"
                )
            self._forget(places.values())
        return len(places)

    def check(
        self,
        *,
        under: Sequence[PathLike] | None = None,
        repair: bool = False,
        sources: bool = False,
    ) -> CheckReport:
        """Read everything stored and compare it with what was noted when it was written.

        under: only tracks at and under these paths.
        repair: take damaged tracks out, so that adding their folder indexes them again.
        sources: read the music files too, and compare their content.
        Raises `LibraryError` if the catalogue itself is damaged.
        """
        tracks = {track.id: track for track in self.tracks(under=under, missing=True)}
        problems: dict[str, str] = {}
        for id, problem in self._store.verify():
            if id in tracks and problem:
                problems[id] = problem
        if sources:
            for id, track in tracks.items():
                if id not in problems and not track.missing and (why := _changed(track)):
                    problems[id] = why
        dropped = 0
        if repair and problems:
            with self._store.writing(self._wait, lambda _: None):
                dropped = self._forget(
                    place for id in problems for place in self._store.places_of(id)
                )
        found = tuple((tracks[id].path, problem) for id, problem in problems.items())
        derived = tuple(damaged_packs(self.derived)) if self.derived else ()
        if repair:
            for path, _ in derived:
                path.unlink(missing_ok=True)
        outdated = sum(track.outdated and not track.missing for track in tracks.values())
        return CheckReport(len(tracks), found, dropped, outdated, derived)

    def tracks(
        self, *, under: Sequence[PathLike] | None = None, missing: bool = False
    ) -> list[Track]:
        """The tracks in view, in order of path; those whose files are gone only with `missing`.

        under: only those at and under these paths, files or folders.
        """
        made_by = self.encoder_fingerprint
        in_view = self._store.places(self._roots)
        if under:
            asked = self._store.places(_roots(under))
            in_view = {path: place for path, place in in_view.items() if path in asked}
        places: dict[str, list[bytes]] = {}
        for place in in_view.values():
            if place.track is not None:
                places.setdefault(place.track, []).append(place.path)
        found = self._records(places, made_by) if made_by else ()
        self._lists = CreditLists()
        tracks = [track_of(record, places[record.id], self._lists) for record in found]
        return sorted(
            (track for track in tracks if missing or not track.missing),
            key=lambda track: os.fsencode(track.path),
        )

    def track(self, id: str) -> Track | None:
        """A track by its id, in view or not; None where the library does not hold it."""
        record = self._store.record(id, self.encoder_fingerprint or "")
        paths = [place.path for place in self._store.places_of(id)]
        return track_of(record, paths, CreditLists()) if record and paths else None

    def each(self, *, under: Sequence[PathLike] | None = None) -> Iterator[Track]:
        """What `tracks` with `missing` gives, one after the other: for libraries that need not fit
        in memory.
        """
        made_by = self.encoder_fingerprint
        roots = self._roots if under is None else outermost(_roots(under))
        if made_by is None:
            return
        lists = self._lists = CreditLists()
        for place in self._store.each_place(roots):
            record = self._store.record(place.track, made_by) if place.track else None
            if record is None:
                continue
            held = [one.path for one in self._store.places_of(record.id)]
            if roots is not None:
                held = [path for path in held if any(lies_inside(path, root) for root in roots)]
            track = track_of(record, held, lists)
            if os.fsencode(track.path) == place.path:  # its copies come by, too
                yield track

    @property
    def list_problems(self) -> list[str]:
        """What is wrong with lists of credits beside the tracks that were last looked at, a line
        each.
        """
        return self._lists.problems()

    def curves(self, track: Track) -> TrackCurves:
        """The rhythm curves of `track`; its segments stay on disk."""
        return TrackCurves(track, **self._read(track, CURVES))

    def probabilities(self, tracks: Sequence[Track]) -> list[Mapping[str, float]]:
        """Tag → mean probability over the track, of each of `tracks`."""
        known = self._records({track.id for track in tracks}, self.encoder_fingerprint or "")
        tags = {record.id: record.tags for record in known}
        return [tags.get(track.id, {}) for track in tracks]

    def features(self, track: Track) -> TrackFeatures:
        """All features of `track`. Raises `LibraryError` if they are missing or damaged."""
        return TrackFeatures(track, **self._read(track, tuple(TENSORS)))

    def nearest(self, query: npt.NDArray[Any], k: int = 10) -> list[tuple[Track, float]]:
        """The `k` tracks in view whose mean segment is closest to `query` [D], with their cosines.

        Exact: every track is compared, in chunks. A vector of length 0 has the cosine 0 to all.
        Raises `ValueError` if D is not that of the library's features.
        """
        tracks = {track.id: track for track in self.tracks()}
        scores: dict[str, float] = {}
        for ids, means in self._store.means(self.encoder_fingerprint or ""):
            if query.shape != means.shape[1:]:
                raise ValueError(
                    f"the query has the shape {query.shape}, the library {means.shape[1:]}"
                )
            lengths = np.linalg.norm(means, axis=1) * np.linalg.norm(query)
            cosines = means @ query.astype(np.float32) / np.where(lengths > 0, lengths, np.inf)
            scores |= {id: float(c) for id, c in zip(ids, cosines, strict=True) if id in tracks}
        best = sorted(scores, key=lambda id: (-scores[id], id))[:k]
        return [(tracks[id], scores[id]) for id in best]

    def revisions(self) -> dict[str, str]:
        """Track's id → what changes whenever its features do, of all that the library holds."""
        made_by = self.encoder_fingerprint
        return dict(self._store.revisions(made_by)) if made_by else {}

    @property
    def derived(self) -> Path | None:
        """The folder for what is derived from features and can be derived again."""
        return self._store.derived

    @property
    def encoder_fingerprint(self) -> str | None:
        """Of the encoder whose features are seen; None while the library has none."""
        held = self._store.encoders
        if self._encoder is not None:
            return self._encoder.fingerprint if self._encoder.fingerprint in held else None
        return held[0] if held else None

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when the tracks in view or their encoder change."""
        ids = sorted(track.id for track in self.tracks(missing=True))
        text = "\n".join([self.encoder_fingerprint or "", *ids])
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    @property
    def version(self) -> object:
        """Differs from an earlier one where what the library holds may have changed since."""
        return self._store.version, len(self._roots or ())

    def close(self) -> None:
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, track: Track, names: tuple[str, ...]) -> Arrays:
        encoder = self._encoder
        made_by = self.encoder_fingerprint if encoder is None else encoder.fingerprint
        return self._store.read(track.id, made_by or "", names)

    def _records(self, wanted: Collection[str], encoder: str) -> Iterator[TrackRecord]:
        """Of the wanted tracks: one by one where they are few, else from all."""
        if len(wanted) <= _FEW:
            found = (self._store.record(track, encoder) for track in wanted)
            yield from (one for one in found if one is not None)
        else:
            yield from (one for one in self._store.records(encoder) if one.id in wanted)

    def _forget(self, places: Iterable[Place]) -> int:
        known = list(places)
        self._store.drop_places(place.path for place in known)
        return self._store.drop_tracks({place.track for place in known if place.track})


def _roots(music: PathLike | Sequence[PathLike]) -> list[bytes]:
    given = [music] if isinstance(music, str | os.PathLike) else list(music)
    if not given:
        raise LibraryError("no music was named", "name a folder or a music file")
    return [plain(path) for path in given]


def _changed(track: Track) -> str:
    """Why the music file is not the content that was indexed, else ''."""
    try:
        same = content_hash(os.fsencode(track.path)) == track.id
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    return "" if same else "its content is not what was indexed"
