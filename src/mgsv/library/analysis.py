"""From a music file to what a store keeps of it: hash, decode, rhythm, encode."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mgsv.errors import EncoderMismatch, MediaError, shown
from mgsv.library.credits import NO_CREDITS, Credits
from mgsv.library.features import Arrays, TrackRecord, content_hash
from mgsv.library.walk import Found, is_video, require_unchanged

if TYPE_CHECKING:
    from mgsv.encoders.registry import MusicEncoder


@dataclass(frozen=True, slots=True)
class Analysed:
    """One track, ready to be stored."""

    record: TrackRecord
    arrays: Arrays
    """By the names of `features.TENSORS`, without `ENCODED` where these were not made anew."""
    warnings: tuple[str, ...] = ()


class Analyse(Protocol):
    """Decodes and encodes the file `path`, whose content has the hash `track`; safe to call in
    threads.

    encode: make the encoder's features and tags, too.
    """

    def __call__(self, path: Path, track: str, *, encode: bool) -> Analysed: ...


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading a file gave: its track analysed, or an error, or neither where the content is
    known or a video.
    """

    track: str
    """The content's hash, empty if the file could not even be read, or is a video."""
    analysed: Analysed | None = None
    error: Exception | None = None
    is_video: bool = False
    """It was found among music, and has a moving picture."""


class Analysis:
    """The work for one file, called from several threads, or sent to other processes. Content met
    before, in this process, is not analysed again.
    """

    def __init__(self, analyse: Analyse, known: Collection[str], encoded: Collection[str]) -> None:
        """known: tracks that need nothing. encoded: those that do, but whose features by the
        encoder stay.
        """
        self._analyse = analyse
        self._known, self._encoded = known, encoded
        self._taken: set[str] = set()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[object, ...]:
        # Without the lock, and by value: the tracks may be looked up in a store that stays here.
        return Analysis, (self._analyse, frozenset(self._known), frozenset(self._encoded))

    def __call__(self, item: Found) -> Reading:
        track = ""
        try:
            # First of all, since a film is long to hash.
            if is_video(item):
                return Reading(track, is_video=True)
            track = content_hash(item.path)
            with self._lock:
                if track in self._taken or track in self._known:
                    return Reading(track)
                self._taken.add(track)
            path = Path(os.fsdecode(item.path))
            analysed = self._analyse(path, track, encode=track not in self._encoded)
            require_unchanged(item)
        except EncoderMismatch:
            raise  # no fault of the file's
        except Exception as error:  # whatever it is, the other files are worth going on for
            return Reading(track, error=_gone(item.path) or error)
        return Reading(track, analysed)


def read_credits(item: Found) -> Credits:
    """What a file says of itself; nothing where it cannot be read."""
    from mgsv.media.isolated import read_tags

    try:
        return Credits.of_tags(read_tags(os.fsdecode(item.path)))
    except MediaError:
        return NO_CREDITS


def _gone(path: bytes) -> OSError | None:
    """Why the file cannot be looked at any more: then that, not its content, is what is wrong."""
    try:
        os.stat(path)  # noqa: PTH116 (bytes)
    except OSError as error:
        return error
    return None


@contextlib.contextmanager
def one_torch_thread_each() -> Iterator[None]:
    """Keep torch from splitting each operation over all cores, which the workers use already.

    Holds for threads that start inside; under load the split costs several times the work. An
    encoder that computes with torch has imported it by now, for its fingerprint.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class MusicAnalyser:
    """The `Analyse` with a music encoder.

    Sent to another process, it encodes with the encoder that is made of the same arguments there.
    """

    def __init__(self, encoder: MusicEncoder) -> None:
        self._encoder = encoder
        self._fingerprint = encoder.fingerprint

    def __call__(self, path: Path, track: str, *, encode: bool = True) -> Analysed:
        """Raises `MediaError` for a file that is no readable music, and `EncoderMismatch` in a
        process whose encoder is another one.
        """
        from mgsv.media.brightness import measure_brightness
        from mgsv.media.isolated import read_audio, read_tags
        from mgsv.media.metre import analyse_metre

        if self._encoder.fingerprint != self._fingerprint:
            raise EncoderMismatch(
                f"the library's features are made by {shown(self._fingerprint)}, and on "
                f"{platform.node()} the same encoder is {shown(self._encoder.fingerprint)}",
                "give every machine the same mgsv and the same weights",
            )
        audio = read_audio(path, self._encoder.rate, self._encoder.channel)
        rhythm, metre = analyse_metre(audio.samples, audio.rate)
        tags: Mapping[str, float] = {}
        features: Arrays = {}
        if encode:
            # The encoder's features come from the rhythm as models were trained on it.
            encoded = self._encoder.encode(audio, rhythm)
            tags = _by_probability(encoded.tags)
            features = {
                "segments": encoded.segments,
                "segment_mask": np.ones(len(encoded.segments), bool),
            }
        return Analysed(
            TrackRecord(
                track,
                audio.duration,
                float(rhythm.tempo),
                tags,
                credits=Credits.of_tags(read_tags(path)),
                brightness=measure_brightness(audio.samples, audio.rate),
            ),
            {
                **features,
                "onset": rhythm.onset,
                "energy": rhythm.energy,
                "beats": metre.beats,
                "downbeats": metre.downbeats,
            },
            audio.warnings,
        )


def _by_probability(tags: Mapping[str, float]) -> dict[str, float]:
    """Best first. Rounded, since a thousand tracks' tags are parsed whenever a library opens."""
    best = sorted(tags, key=lambda tag: (-tags[tag], tag))
    return {tag: round(float(tags[tag]), 4) for tag in best}
