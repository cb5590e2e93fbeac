"""A clip and a library in, ranked moments out; a moment in, the finished video out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import get_args, overload

from mgsv.encoders.registry import EncoderPair, encoder_pair
from mgsv.errors import ConfigError, MediaError, shown
from mgsv.library import Library, Progress, Track, TrackCurves
from mgsv.library.accept import accept_moment
from mgsv.library.answer import Grounding as Grounding
from mgsv.library.answer import RankedMoment as RankedMoment
from mgsv.library.recordings import Recording, distinct
from mgsv.library.usable import usable_tracks
from mgsv.library.walk import left_out
from mgsv.media import isolated
from mgsv.media.colour import Alpha
from mgsv.media.render import RenderReport
from mgsv.media.timeline import TimelineReport
from mgsv.media.video import VideoInfo
from mgsv.memory.use import Use, pooled
from mgsv.methods.base import (
    Candidate,
    Detection,
    Fit,
    Method,
    Placement,
    PlacementWeights,
    Query,
    StartOn,
)
from mgsv.methods.memory import MemoryUse, with_memory
from mgsv.methods.registry import DEFAULT_METHOD, open_method
from mgsv.methods.sync import Sync
from mgsv.models.system import System
from mgsv.moment import clock

MIN_CLIP_SECONDS = 1.0
"""Shorter clips hold less than one frame of video features, and no rhythm."""

MOVED = 0.05
"""Seconds by which the memory must have moved a moment for a note about it."""

PathLike = str | os.PathLike[str]


def ground(
    video: PathLike,
    library: Library | PathLike | Sequence[PathLike],
    *,
    method: str | System | Method = DEFAULT_METHOD,
    encoders: str | EncoderPair = "default",
    encoders_dir: PathLike | None = None,
    top: int = 5,
    fit: Fit = "video",
    start_on: StartOn = "any",
    weights: PlacementWeights | None = None,
    memory: MemoryUse = "on",
    popularity: bool = False,
    fusion: PathLike | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Grounding:
    """Find the tracks of `library`, and the moment on each, that best fit `video`.

    Args:
        video: the clip; any local video file of at least a second.
        library: an open `Library`, or music to open one for: a folder, a track, or several. With a
            single track the song is known and its part is sought (the paper's single-music mode).
        method: "made", which comes with mgsv, "sync", which needs no model, a `System` of
            checkpoint files, or a `Method`.
        encoders: "default" or "paper", of the clip's features, and of the music's where `library`
            is a path; or a pair that was made already.
        encoders_dir: where the paper's encoders find their weights; None: the hub's cache.
        top: how many moments to return, at most one per recording, however many files have it.
        fit: "video" makes a moment exactly as long as the clip (99.3 % of the uses in MGSV-EC are);
            "free" lets the method choose the width.
        start_on: "border", "downbeat" or "beat" starts on a section border, on the first beat of a
            bar or on any beat of the track, "any" anywhere.
        weights: what counts where a learned method's moment is placed exactly, if not the default.
        memory: whether past uses in the library help to place the moment ("on"), alone place it
            ("only") or are not asked ("off"). Without any, nothing changes.
        popularity: let often used tracks rank higher.
        fusion: what `mgsv evaluate --fusion` fitted for this model.
        progress: told about every track that is indexed, where `library` is a path.

    Raises:
        MediaError: the clip cannot be used.
        LibraryError: the music cannot be opened, or holds no usable track.
        EncoderMismatch: the method was made for features of other encoders.
        ConfigError: an option makes no sense.
    """
    if top < 1:
        raise ConfigError(f"--top {top}: at least one moment must be asked for")
    placement = _placement(fit, start_on, weights)
    chosen = method if isinstance(method, Method) else open_method(method)
    check_weights(chosen, weights)
    pair = _encoders(encoders, encoders_dir)
    if not isinstance(library, Library):
        chosen.require(pair.video, pair.music)
    elif made_by := _source(library):
        chosen.require(pair.video, made_by)
    query, notes = _read(video, chosen, pair)

    def answer(music: Library) -> Grounding:
        asked = with_memory(
            chosen,
            (use for _, use in music.uses.all()),
            memory=memory,
            popularity=popularity,
            fusion=fusion,
            encoder=pair.video.fingerprint,
        )
        found = _ground(query, music, asked, top, placement, notes)
        if query.frame_feats is None:
            return found
        return replace(found, clip_feats=(pooled(query.frame_feats), pair.video.fingerprint))

    if isinstance(library, Library):
        return answer(library)
    with Library.open(library, encoder=pair.music, progress=progress) as opened:
        notes += [f"left out: {shown(path)}: {reason}" for path, reason in opened.report.failed]
        if opened.report.ignored:
            notes.append(left_out(opened.report.ignored, "music"))
        return answer(opened)


def accept(
    found: Grounding, library: Library, rank: int = 1, *, category: str = ""
) -> tuple[Use, bool]:
    """Remember in `library` that the moment of `rank` was used; the use, and whether it is new.

    A choice made earlier for the same video is replaced. ConfigError where there is no such rank.
    """
    chosen = next((moment for moment in found if moment.rank == rank), None)
    if chosen is None:
        raise ConfigError(f"--rank {rank}: there are {len(found)} moments")
    feats, encoder = found.clip_feats
    return accept_moment(
        library,
        os.fsencode(chosen.track.path),
        chosen.moment,
        video=found.video.path,
        video_seconds=found.video.duration,
        category=category,
        feats=feats,
        encoder=encoder,
    )


def read_query(
    video: PathLike,
    method: str | System | Method = DEFAULT_METHOD,
    *,
    encoders: str | EncoderPair = "default",
    encoders_dir: PathLike | None = None,
) -> Query:
    """The clip as `method` sees it; raises MediaError where it cannot be used."""
    chosen = method if isinstance(method, Method) else open_method(method)
    return _read(video, chosen, _encoders(encoders, encoders_dir))[0]


def check_weights(method: Method, weights: PlacementWeights | None) -> None:
    """ConfigError where `weights` are given to `sync`, which places by rules of its own."""
    if weights is not None and method.name == Sync.name:
        raise ConfigError(f"--method {Sync.name} uses no --weights", "choose a learned method")


def _encoders(encoders: str | EncoderPair, folder: PathLike | None) -> EncoderPair:
    return encoder_pair(encoders, folder=folder) if isinstance(encoders, str) else encoders


@dataclass(frozen=True)
class _Source:
    """The encoder that a library was made with."""

    name: str
    dim: int
    fingerprint: str


def _source(library: Library) -> _Source | None:
    """None while the library is empty."""
    fingerprint, tracks = library.encoder_fingerprint, library.tracks()
    if fingerprint is None or not tracks:
        return None
    width = library.features(tracks[0]).segments.shape[1]
    return _Source(fingerprint.partition(":")[0], width, fingerprint)


def _placement(fit: str, start_on: str, weights: PlacementWeights | None) -> Placement:
    if fit not in ("video", "free"):
        raise ConfigError(f"--fit {fit}: unknown", "choose video or free")
    if start_on not in get_args(StartOn):
        choices = ", ".join(get_args(StartOn))
        raise ConfigError(f"--start-on {start_on}: unknown", f"choose from {choices}")
    return Placement(fit, start_on, weights or PlacementWeights())  # type: ignore[arg-type]


def _read(video: PathLike, method: Method, encoders: EncoderPair) -> tuple[Query, list[str]]:
    """One decode pass over the clip: its curves, and its features where the method wants them."""
    path = Path(video)
    before = _state(path)
    if method.wants_features:
        scan = isolated.VideoScan(path, shorter_side=encoders.video.image_size)
        frame_feats = encoders.video.encode(scan, lambda: scan.curves)
    else:
        scan = isolated.VideoScan(path)
        frame_feats = None
        for _ in scan:
            pass
    if _state(path) != before:
        raise MediaError(
            path, "it changed while it was being read", "try again when it is finished"
        )
    if scan.curves.duration < MIN_CLIP_SECONDS:
        raise MediaError(
            path,
            f"the clip is only {scan.curves.duration:.2f} s long",
            f"give a clip of at least {MIN_CLIP_SECONDS:g} s",
        )
    return Query(scan.info, scan.curves, frame_feats), list(scan.warnings)


def _state(path: Path) -> tuple[int, int] | None:
    """What changes when the file is written; None where there is none."""
    try:
        status = path.stat()
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return None
    return status.st_size, status.st_mtime_ns


def _ground(
    query: Query,
    library: Library,
    method: Method,
    top: int,
    placement: Placement,
    notes: list[str],
) -> Grounding:
    usable, too_short = usable_tracks(library)
    notes += too_short

    # Curves are small, so they are kept; whole features are read again each time.
    whole = method.wants_features or placement.start_on == "border"
    read = library.features if whole else cache(library.curves)
    seen = _Tracks(read, usable)
    recordings, candidates = _shortlist(query, library, seen, method, top, placement)
    placed = zip(recordings, method.place(query, candidates, placement), strict=True)
    moments = tuple(_ranked(rank, *pair) for rank, pair in enumerate(placed, start=1))
    chance = method.ranker.chance(query, seen)
    notes += _remarks(query, moments, chance, method)
    return Grounding(
        video=query.info,
        curves=query.curves,
        moments=moments,
        method=method.name,
        method_fingerprint=method.fingerprint,
        score_meaning=method.score_meaning,
        library_fingerprint=library.fingerprint,
        chance=chance,
        notes=tuple(notes),
    )


class _Tracks(Sequence[TrackCurves]):
    """Tracks as a method sees them, each read when it is looked at."""

    def __init__(self, read: Callable[[Track], TrackCurves], tracks: Sequence[Track]) -> None:
        self._read, self.tracks = read, tracks

    def __len__(self) -> int:
        return len(self.tracks)

    @overload
    def __getitem__(self, index: int) -> TrackCurves: ...
    @overload
    def __getitem__(self, index: slice) -> _Tracks: ...
    def __getitem__(self, index: int | slice) -> TrackCurves | _Tracks:
        if isinstance(index, slice):
            return _Tracks(self._read, self.tracks[index])
        return self._read(self.tracks[index])


def _shortlist(
    query: Query,
    library: Library,
    tracks: _Tracks,
    method: Method,
    top: int,
    placement: Placement,
) -> tuple[list[Recording], list[Candidate]]:
    """The `top` best recordings, best first, each as the best of its tracks."""
    least = top
    while True:
        best = method.shortlist(query, tracks, least, placement)
        names = [tracks.tracks[n] for n, _ in best]
        recordings = distinct(names, library.curves, top)
        if len(recordings) == top or len(best) == len(tracks):
            break
        least *= 4  # they were too few, with many of each
    chosen = (best[one.place] for one in recordings)
    return recordings, [Candidate(tracks[n], ranked) for n, ranked in chosen]


def _ranked(rank: int, recording: Recording, found: Detection) -> RankedMoment:
    start, end = found.moment.start, found.moment.end
    evidence = dict(found.evidence)
    return RankedMoment(rank, recording.track, start, end, found.score, evidence, recording.also_as)


def _remarks(
    query: Query, moments: tuple[RankedMoment, ...], chance: float | None, method: Method
) -> Iterator[str]:
    if chance is None:
        yield method.ranker.chance_unknown
    elif moments[0].score <= chance:
        yield (
            f"nothing here fits better than chance (best score {moments[0].score:.2f}, "
            f"luck alone reaches {chance:.2f}): take the ranking as a guess"
        )
    for found in moments:
        before = found.evidence.get("method_start", found.start)
        if abs(found.start - before) > MOVED:
            uses = round(found.evidence["past_uses"])
            count = f"{uses} past use{'s' * (uses != 1)} of this track" if uses else "other tracks"
            yield f"rank {found.rank}: moved from {clock(before)} by the memory of {count}"
        if found.track.duration < query.seconds:
            name, seconds = shown(found.track.path.name), found.track.duration
            yield (
                f"rank {found.rank}: the clip ({query.seconds:.1f} s) is longer than {name} "
                f"({seconds:.1f} s), so the music ends first"
            )


def default_output(video: PathLike) -> Path:
    """`clip.mp4` → `clip.mgsv.mp4`, beside the clip."""
    path = Path(video)
    return path.with_name(f"{path.stem}.mgsv.mp4")


def render(
    video: PathLike,
    moment: RankedMoment,
    output: PathLike | None = None,
    *,
    keep_audio: bool = False,
    alpha: Alpha = "black",
    strip_metadata: bool = False,
    overwrite: bool = False,
) -> RenderReport:
    """Write `video` with the music of `moment`; see `mgsv.media.render.render`.

    `output` defaults to `clip.mgsv.mp4` beside the clip.
    """
    target = default_output(video) if output is None else output
    return isolated.render(
        video,
        moment.track.path,
        moment.moment,
        target,
        keep_audio=keep_audio,
        alpha=alpha,
        strip_metadata=strip_metadata,
        overwrite=overwrite,
    )


def write_timeline(
    video: PathLike,
    moment: RankedMoment,
    output: PathLike,
    *,
    keep_audio: bool = False,
    overwrite: bool = False,
    video_info: VideoInfo | None = None,
) -> TimelineReport:
    """Write an editor timeline with `video` and the music of `moment`; see `media.timeline`.

    `video_info` is what grounding found of the clip, `Grounding.video`; without it the clip is
    decoded once more.
    """
    from mgsv.media import timeline

    write = isolated.isolate(timeline.write_timeline, ("video", "track"), "output")
    return write(
        video,
        moment.track.path,
        moment.moment,
        output,
        keep_audio=keep_audio,
        overwrite=overwrite,
        video_info=video_info,
        track_seconds=moment.track.duration,
    )
