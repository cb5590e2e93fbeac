"""A library, a method and encoders, opened once for any number of clips."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Self

from mgsv.encoders.registry import EncoderPair, Source, encoder_pair
from mgsv.errors import ConfigError
from mgsv.grounding.acceptance import accept
from mgsv.grounding.clip import heard, read_clip
from mgsv.grounding.options import GroundOptions
from mgsv.grounding.recall import ShortlistRecall, shortlist_recall
from mgsv.grounding.remarks import remarks
from mgsv.grounding.result import Grounding, RankedMoment
from mgsv.grounding.shortlist import (
    NO_WORDS,
    RankedTrack,
    Ranking,
    find_shortlist,
    moments_on,
)
from mgsv.grounding.tracks import Contents, Tracks
from mgsv.jobs import Listener
from mgsv.library import Library, Track
from mgsv.library.words import Narrowed, narrow
from mgsv.memory.fusion import Fusion
from mgsv.memory.use import Use, pooled
from mgsv.methods.base import Method, Placement, PlacementWeights, Query
from mgsv.methods.memory import WITH_HABITS, with_memory
from mgsv.methods.placement import REACH, place
from mgsv.methods.registry import DEFAULT_METHOD, open_method
from mgsv.methods.sync import Sync
from mgsv.models.system import System
from mgsv.moment import Moment

PathLike = str | os.PathLike[str]
Music = PathLike | Sequence[PathLike]


class Session:
    """A library, a method, encoders and the memory of past uses, opened once for many clips.

        with Session.open("~/Music") as session:
            for clip in clips:
                moments = session.ground(clip)

    What is read of the library stays in memory, up to `tracks.KEPT_BYTES`, until the library
    changes. Several threads may call `ground` and `read` at the same time.
    """

    def __init__(
        self,
        library: Library,
        *,
        method: str | System | Method = DEFAULT_METHOD,
        encoders: str | EncoderPair = "default",
        encoders_dir: PathLike | None = None,
        fusion: PathLike | None = None,
        progress: Listener | None = None,
    ) -> None:
        """A session on an open library, which stays open when the session ends.

        Args:
            library: where tracks are looked for.
            method: "made", which comes with mgsv, "sync", which needs no model, a `System` of
                checkpoint files, or a `Method`.
            encoders: "default" or "paper", of the clips' features; or a pair that was made already.
            encoders_dir: where the paper's encoders find their weights; None: the hub's cache.
            fusion: what `mgsv evaluate --fusion` fitted for this model.
            progress: called while what ranking keeps of new tracks is made, at the first clip.

        Raises:
            EncoderMismatch: the method was made for features of other encoders.
            ConfigError: an option makes no sense.
        """
        self.library = library
        self.method = opened(method)
        encoders = pair_of(encoders, encoders_dir)
        self.encoders = encoders
        self._fusion = None if fusion is None else Fusion.load(fusion)
        self._owned: Library | None = None
        self._progress = progress
        self._lock = threading.Lock()
        self._contents: Contents | None = None
        if made_by := _source(library, encoders.music):
            self.method.require(encoders.video, made_by)

    @classmethod
    def open(
        cls,
        music: Music,
        *,
        folder: PathLike | None = None,
        method: str | System | Method = DEFAULT_METHOD,
        encoders: str | EncoderPair = "default",
        encoders_dir: PathLike | None = None,
        fusion: PathLike | None = None,
        progress: Listener | None = None,
    ) -> Self:
        """A session on `music`, a folder, a track or several, which is indexed where it is new.

        With a single track the song is known and its part is sought (the paper's single-music
        mode). folder, progress: see `Library.open`, which raises `LibraryError` too. The others:
        see `Session`; what does not fit together is found before anything is indexed.
        """
        chosen = opened(method)
        encoders = pair_of(encoders, encoders_dir)
        chosen.require(encoders.video, encoders.music)
        library = Library.open(music, folder=folder, encoder=encoders.music, progress=progress)
        try:
            session = cls(
                library, method=chosen, encoders=encoders, fusion=fusion, progress=progress
            )
        except BaseException:
            library.close()
            raise
        session._owned = library
        return session

    def close(self) -> None:
        """Close the library, if the session has opened it."""
        if self._owned is not None:
            self._owned.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, video: PathLike, progress: Listener | None = None) -> Query:
        """The clip as the session's method sees it; raises MediaError where it cannot be used."""
        return read_clip(video, self.method, self.encoders, progress)

    def ground(
        self,
        video: PathLike | Query,
        options: GroundOptions | None = None,
        *,
        within: Collection[str] | None = None,
    ) -> Grounding:
        """Find the tracks of the library, and the moment on each, that best fit `video`.

        Args:
            video: any local video file of at least a second, or what `read` gave for it.
            within: ids of the only tracks to look at; None: all in view.

        Raises:
            MediaError: the clip cannot be used.
            LibraryError: the library holds no usable track, or cannot be read.
            ConfigError: the options do not go with the method.
        """
        options = options or GroundOptions()
        self._check(options)
        query = heard(video if isinstance(video, Query) else self.read(video), options.music_at)
        ranking, sight = self._ranked(query, options, within)
        moments = moments_on(query, ranking.tracks, sight.tracks, sight.method, options)
        said = remarks(query, moments, ranking.chance, sight.method, options.fit)
        feats = b"" if query.frame_feats is None else pooled(query.frame_feats)
        return Grounding(
            video=query.info,
            curves=query.curves,
            moments=moments,
            method=sight.method.name,
            method_fingerprint=sight.method.fingerprint,
            score_meaning=sight.method.score_meaning,
            library_fingerprint=sight.contents.fingerprint,
            chance=ranking.chance,
            notes=(*ranking.notes, *said),
            clip_feats=(feats, self.encoders.video.fingerprint if feats else ""),
            music_at=options.music_at,
        )

    def rank(self, video: PathLike | Query, options: GroundOptions | None = None) -> Ranking:
        """The tracks that `ground` would answer with, before a moment is looked for on them.

        Raises as `ground` does.
        """
        options = options or GroundOptions()
        self._check(options)
        query = heard(video if isinstance(video, Query) else self.read(video), options.music_at)
        return self._ranked(query, options)[0]

    def moment(
        self, video: PathLike | Query, chosen: RankedTrack, options: GroundOptions | None = None
    ) -> RankedMoment:
        """The moment on one of the tracks of `rank`, as `ground` finds it. Raises as it does."""
        options = options or GroundOptions()
        query = heard(video if isinstance(video, Query) else self.read(video), options.music_at)
        sight = self._sight(options, known=True)
        (found,) = moments_on(query, [chosen], sight.tracks, sight.method, options)
        return found

    def _check(self, options: GroundOptions) -> None:
        check_weights(self.method, options.weights)
        if self._fusion is not None and options.memory == "off":
            raise ConfigError("`fusion` with `memory` off", "leave one of them out")

    def _sight(self, options: GroundOptions, *, known: bool) -> _Sight:
        contents = self._look(known=known)
        method = self._with_memory(contents, options)
        return _Sight(contents, method, _wanted(contents, method, options.placement))

    def _ranked(
        self, query: Query, options: GroundOptions, within: Collection[str] | None = None
    ) -> tuple[Ranking, _Sight]:
        """The ranking of the part of a clip that has music, and what it was chosen from."""
        for known in (True, False):
            sight = self._sight(options, known=known)
            contents, method, tracks = sight.contents, sight.method, sight.tracks
            narrowed = self.narrowed(options, contents, within)
            if narrowed is not None:
                tracks = tracks.only(narrowed.ids)
            shortlist, scores = find_shortlist(
                query,
                tracks,
                method,
                options,
                contents.recordings.distinct,
                narrowed.fit if narrowed else NO_WORDS,
            )
            if all(one.track.path.exists() for one in shortlist):
                break  # else files were deleted since the library was looked at: look again
        chance = method.ranker.chance(query, tracks, scores)
        notes = (*query.notes, *contents.notes, *(narrowed.notes if narrowed else ()))
        return Ranking(tuple(shortlist), chance, notes), sight

    def narrowed(
        self,
        options: GroundOptions,
        contents: Contents | None = None,
        within: Collection[str] | None = None,
    ) -> Narrowed | None:
        """The tracks that `options` leave to be looked at; None for all.

        within: ids of the only tracks in question. Raises `LibraryError` where none is left.
        """
        contents = contents or self._look(known=True)
        wanted = options.wanted
        if not wanted and within is None:
            return None
        ids = None if within is None else set(within)
        usable = [track for track in contents.usable if ids is None or track.id in ids]
        return narrow(self.library, usable, wanted)

    def shortlist_recall(
        self, video: PathLike | Query, options: GroundOptions | None = None
    ) -> ShortlistRecall:
        """How much of the ranking of all tracks the shortlist for `video` holds.

        Raises what `ground` does. Every track gets its final score, some milliseconds each.
        """
        options = options or GroundOptions()
        query = video if isinstance(video, Query) else self.read(video)
        sight = self._sight(options, known=True)
        least = options.top
        return shortlist_recall(query, sight.tracks, sight.method, least, options.placement)

    def place(
        self,
        video: PathLike | Query,
        track: Track,
        start: float,
        options: GroundOptions | None = None,
        *,
        reach: float = REACH,
    ) -> RankedMoment:
        """The moment on `track` that fits `video` best near `start`, and what speaks for it.

        Args:
            video: see `ground`.
            start: seconds on the track.
            reach: seconds to either side in which it may start; 0: at `start`, come what may.

        The score is 0: the moment was not compared with other tracks. Raises as `ground` does.
        """
        options = options or GroundOptions()
        query = heard(video if isinstance(video, Query) else self.read(video), options.music_at)
        features = self.library.features(track)
        if not 0 <= start < track.duration:
            raise ConfigError(f"`start` {start:g}: the track lasts {track.duration:.2f} s")
        wanted = Moment(start, start + query.seconds)
        placed = place(query, features, wanted, options.placement, reach=reach)
        moment = (placed.moment if reach else wanted).clamped(track.duration)
        return RankedMoment(1, track, moment.start, moment.end, 0.0, dict(placed.evidence))

    def accept(self, found: Grounding, rank: int = 1, *, category: str = "") -> tuple[Use, bool]:
        """Remember that the moment of `rank` was used; see `mgsv.accept`."""
        return accept(found, self.library, rank, category=category)

    def _look(self, *, known: bool) -> Contents:
        """What the library holds now; with `known` what was seen before, if it has not changed."""
        with self._lock:
            seen = self._contents
            if seen is None or not known or seen.version != self.library.version:
                model = self.method.ranker.model
                seen = self._contents = Contents(self.library, model, self._progress)
            return seen

    def _with_memory(self, contents: Contents, options: GroundOptions) -> Method:
        if options.memory == "off":
            return self.method
        method, fusion = self.method, self._fusion
        if method.takes_habits:
            method = method.with_habits(contents.habits)
            fusion = fusion or WITH_HABITS
        return with_memory(
            method,
            contents.memory,
            memory=options.memory,
            popularity=options.popularity,
            fusion=fusion,
            encoder=self.encoders.video.fingerprint,
        )


def check_weights(method: Method, weights: PlacementWeights | None) -> None:
    """ConfigError where `weights` are given to `sync`, which places by rules of its own."""
    if weights is not None and method.name == Sync.name:
        raise ConfigError(f"`method` {Sync.name} uses no `weights`", "choose a learned method")


@dataclass(frozen=True)
class _Sight:
    """What a clip's music is looked for in, and how."""

    contents: Contents
    method: Method
    tracks: Tracks


@dataclass(frozen=True)
class _Source:
    """The encoder that a library was made with."""

    name: str
    dim: int
    fingerprint: str


def opened(method: str | System | Method) -> Method:
    """The method itself, or the one of that name or of those files."""
    return method if isinstance(method, Method) else open_method(method)


def pair_of(encoders: str | EncoderPair, folder: PathLike | None = None) -> EncoderPair:
    """The encoders themselves, or those of that name."""
    return encoder_pair(encoders, folder=folder) if isinstance(encoders, str) else encoders


def _source(library: Library, encoder: Source) -> Source | None:
    """What made the features in `library`, `encoder` or another; None while it is empty."""
    fingerprint = library.encoder_fingerprint
    if fingerprint == encoder.fingerprint:
        return encoder
    tracks = library.tracks()
    if fingerprint is None or not tracks:
        return None
    width = library.features(tracks[0]).segments.shape[1]
    return _Source(fingerprint.partition(":")[0], width, fingerprint)


def _wanted(contents: Contents, method: Method, placement: Placement) -> Tracks:
    whole = method.wants_features or placement.start_on == "border"
    return contents.features if whole else contents.curves
