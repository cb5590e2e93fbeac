"""The music of a soundtrack: pieces of a track, cross-faded where they meet, with its fades."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import IO

import numpy as np
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from mgsv.clock import clock
from mgsv.errors import MediaError
from mgsv.files import StrPath
from mgsv.media.audio import audio_stream
from mgsv.media.pieces import Arrangement, Piece
from mgsv.media.sound import RATE, Decoded, Filter, Spool, block_of, filtered
from mgsv.media.source import open_media

Scratch = Callable[[], IO[bytes]]
"""Gives an empty temporary file that somebody else closes."""

FADE_IN = 0.01
"""Seconds: no click, and the beat a moment starts on keeps its attack."""
SLACK = 0.1
"""Seconds by which a moment may miss the clip's end and still be meant to reach it: annotations
and container headers are rounded."""
CROSS_FADE = 0.08
"""Seconds before a join in which one piece becomes the other."""
ATTACK = 0.01
"""Seconds before a join at which that is done, so that the new bar keeps its attack."""

Stereo = NDArray[np.float32]


def music_sound(
    track: StrPath, music: Arrangement, samples: int, fade: float, scratch: Scratch
) -> tuple[Spool, list[str]]:
    """The pieces of `track` with fades, silence after them where they are shorter than `samples`;
    and what the user should know.

    fade: seconds at the end, where the music does not ring.
    """
    seconds = samples / RATE
    wanted = music.seconds if music.seconds < seconds - SLACK else seconds
    pieces = _lasting(music.pieces, wanted)
    start, end = min(one.start for one in pieces), max(one.end for one in pieces)
    start = max(0.0, start - CROSS_FADE - ATTACK) if len(pieces) > 1 else start
    with open_media(track) as container:
        stream = audio_stream(container, track)
        decoded = Decoded(track, container, stream, start, end)
        source = Spool(scratch()).fill(decoded)
    if not decoded.heard:
        raise MediaError(track, "none of its sound can be decoded", "get or export it again")
    if not source.samples:
        raise MediaError(
            track,
            f"the moment starts at {clock(music.start)}, but the track ends at"
            f" {clock(decoded.heard)}",
            "choose an earlier moment",
        )
    sound = source
    if len(pieces) > 1:
        sound = Spool(scratch()).fill(_joined(source, start, pieces))
    notes = []
    if (missing := seconds - sound.seconds) > SLACK and not music.ring:
        what = "the moment" if wanted - sound.seconds < SLACK else "the track"
        notes.append(f"{what} ends {missing:.1f} s before the clip; the music fades out there")
    fading = fades(sound, music.ring or fade, curve="cub" if music.ring else "hsin")
    return Spool(scratch()).fill(filtered(sound.frames(), *fading, *fitted(samples))), notes


def fades(sound: Spool, seconds: float, *, curve: str = "hsin") -> tuple[Filter, Filter]:
    """In at the start, and out for `seconds` at the end, along one of FFmpeg's curves."""
    fade_in, fade_out = _fade_samples(FADE_IN, sound), _fade_samples(seconds, sound)
    start = sound.samples - fade_out
    return (
        ("afade", f"type=in:start_sample=0:nb_samples={fade_in}:curve=hsin"),
        ("afade", f"type=out:start_sample={start}:nb_samples={fade_out}:curve={curve}"),
    )


def fitted(samples: int) -> tuple[Filter, Filter]:
    """Silence after, or a cut, so that exactly `samples` come out."""
    return ("apad", f"whole_len={samples}"), ("atrim", f"end_sample={samples}")


def _fade_samples(seconds: float, sound: Spool) -> int:
    return max(1, min(round(seconds * RATE), sound.samples // 2))


def _lasting(pieces: tuple[Piece, ...], seconds: float) -> list[Piece]:
    """The pieces as far as they are heard in the first `seconds`, the last one to its end."""
    *others, last = (one for one in pieces if one.at < seconds)
    return [*others, Piece(last.start, last.start + seconds - last.at, last.at, last.likeness)]


def _joined(source: Spool, start: float, pieces: list[Piece]) -> Iterator[AudioFrame]:
    """The pieces one after the other, out of `source`, which begins `start` s into the track."""
    length, attack = round(CROSS_FADE * RATE), round(ATTACK * RATE)
    place = 0
    before: Stereo | None = None  # what the piece before would have sounded like from here on
    for piece, following in zip(pieces, [*pieces[1:], None], strict=True):
        lead = 0 if before is None else length + attack
        first = round((piece.start - start) * RATE)
        last = first + round((piece.at + piece.seconds) * RATE) - round(piece.at * RATE)
        stop = last if following is None else last - length - attack
        for begin in range(first - lead, stop, RATE):
            sound = source.between(begin, min(begin + RATE, stop))
            if before is not None:
                sound[:length] = _crossed(before, sound[:length], piece.likeness)
                before = None
            yield block_of(sound, place)
            place += len(sound)
        before = source.between(stop, stop + length)


def _crossed(out: Stereo, into: Stereo, likeness: float) -> Stereo:
    """One sound becoming another [N, 2] at an even power, whatever they have in common."""
    angle = np.linspace(0, np.pi / 2, len(into), dtype=np.float32)[:, None]
    falling, rising = np.cos(angle), np.sin(angle)
    power = np.sqrt(1 + 2 * max(likeness, 0.0) * falling * rising)
    return np.asarray((out * falling + into * rising) / power, np.float32)
