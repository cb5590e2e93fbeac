"""Whether joins of a track to itself can be heard: clicks, onsets and loudness where they are made.

    python benchmarks/joins.py MUSIC [--tracks 50]

Every k-th track of the folder MUSIC is made 1.6 times as long (`mgsv.media.arrange`, "loop") from
5 s on, and joined as a render joins it. Around each join (60 ms to either side) two measures are
taken, each against the same around all bar lines of the untouched track: the largest second
difference of the waveform, which a click raises, and the largest rise of the spectrum from one
10 ms step to the next. Loudness is that of the bar behind the join against that of the bar that
would have followed. For comparison as many joins are cut bluntly, at random times. Then, how 30 s
of each track from 5 s on end by `end` "natural", without joins and with them. Prints tables.
"""

from __future__ import annotations

import argparse
import io
import itertools
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mgsv.errors import MgsvError
from mgsv.media.arrange import arrange
from mgsv.media.audio import probe_audio, read_audio
from mgsv.media.joins import Song
from mgsv.media.music import music_sound
from mgsv.media.pieces import Arrangement, Piece
from mgsv.media.sound import RATE
from mgsv.moment import Moment

LONGER = 1.6
START = 5.0
SHORTEST = 40.0
CLIP = 30.0
KINDS = ("track", "section", "phrase, at")
AROUND = 0.06
"""Seconds to either side of a join."""
STEP = 480
"""Samples between two spectra, 10 ms."""
WINDOW = 1024

Samples = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("music", type=Path)
    parser.add_argument("--tracks", type=int, default=50)
    given = parser.parse_args()
    files = sorted(given.music.iterdir())
    chosen = files[:: max(1, len(files) // given.tracks)]
    made, blunt, used = Heard(), Heard(), 0
    ends: dict[str, Counter[str]] = {"exact": Counter(), "natural": Counter()}
    random = np.random.default_rng(0)
    for path in chosen:
        if used == given.tracks:
            break
        try:
            seconds = probe_audio(path).duration
            if seconds < SHORTEST:
                continue
            music = arrange(path, Moment(START, seconds), LONGER * seconds, fit="loop")
        except MgsvError as error:
            print(f"left out: {error}")
            continue
        used += 1
        song = Song.of(read_audio(path).samples)
        usual = Usual.of(whole(path), song.lines)
        made.add(usual, song, music, played(path, music))
        bluntly = cut_bluntly(music, seconds, random)
        blunt.add(usual, song, bluntly, played(path, bluntly, plain=True))
        for fit in ("exact", "natural"):
            short = arrange(path, Moment(START, START + CLIP), CLIP, fit=fit, end="natural")
            told = next((k for k in KINDS if short.notes and k in short.notes[-1]), "fades")
            ends[fit][told] += 1
    print(f"{used} tracks")
    for fit, counts in ends.items():
        print(f"{CLIP:g} s, fit {fit}, end natural: {dict(counts)}")
    for name, heard in (("joined", made), ("cut bluntly", blunt)):
        heard.print(name)


@dataclass(frozen=True)
class Usual:
    """What is usual around the bar lines of a track: [lines] of each measure."""

    clicks: Samples
    rises: Samples

    @classmethod
    def of(cls, sound: Samples, lines: Samples) -> Usual:
        inside = lines[(lines > AROUND) & (lines < len(sound) / RATE - AROUND)]
        return cls(*(np.array(each) for each in zip(*map(measured(sound), inside), strict=True)))


@dataclass
class Heard:
    joins: int = 0
    clicks: int = 0
    rises: int = 0
    above: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    def add(self, usual: Usual, song: Song, music: Arrangement, sound: Samples) -> None:
        measure = measured(sound)
        self.counts.append(len(music.pieces) - 1)
        for before, after in itertools.pairwise(music.pieces):
            click, rise = measure(after.at)
            self.joins += 1
            self.clicks += click > usual.clicks.max()
            self.rises += not usual.rises.min() <= rise <= usual.rises.max()
            self.above.append(float((usual.rises < rise).mean()))
            if before.end + song.bar <= song.heard_until:
                self.steps.append(abs(loudness(song, after.start) - loudness(song, before.end)))

    def print(self, name: str) -> None:
        steps = np.array(self.steps)
        print(
            f"{name}: {self.joins} joins, {np.mean(self.counts):.1f} a track;"
            f" clicks beyond the track's own {self.clicks}, rises beyond {self.rises};"
            f" rank of the rise among the bar lines, median {np.median(self.above):.2f};"
            f" loudness step median {np.median(steps):.2f} LU, 90 % within"
            f" {np.quantile(steps, 0.9):.2f}, most {steps.max():.2f},"
            f" at most 1 LU {np.mean(steps <= 1):.0%}"
        )


def measured(sound: Samples):
    """A function of a time: the measures around it."""
    bends = np.abs(np.diff(sound, 2))

    def at(time: float) -> tuple[float, float]:
        low, high = round((time - AROUND) * RATE), round((time + AROUND) * RATE)
        low = max(low, 0)
        part = sound[max(0, low - WINDOW) : high + WINDOW]
        frames = np.lib.stride_tricks.sliding_window_view(part, WINDOW)[::STEP]
        level = np.log1p(100 * np.abs(np.fft.rfft(frames * np.hanning(WINDOW), axis=1)))
        rises = np.maximum(np.diff(level, axis=0), 0).mean(axis=1)
        return float(bends[low:high].max(initial=0)), float(rises.max(initial=0))

    return at


def loudness(song: Song, time: float) -> float:
    from mgsv.media.joins import loudness_of
    from mgsv.media.rhythm import RATE as SLOW

    return loudness_of(song.samples[round(time * SLOW) : round((time + song.bar) * SLOW)])


def cut_bluntly(music: Arrangement, seconds: float, random: np.random.Generator) -> Arrangement:
    """As many pieces, from random times on."""
    pieces = [music.pieces[0]]
    for piece in music.pieces[1:]:
        start = float(random.uniform(0, seconds - min(piece.seconds, seconds)))
        pieces.append(Piece(start, start + piece.seconds, piece.at))
    return Arrangement(tuple(pieces))


def played(path: Path, music: Arrangement, *, plain: bool = False) -> Samples:
    if plain:
        sound = whole(path)
        parts = [
            sound[round(p.start * RATE) : round(p.start * RATE) + round(p.seconds * RATE)]
            for p in music.pieces
        ]
        return np.concatenate(parts)
    made, _ = music_sound(path, music, round(music.seconds * RATE), 0.01, io.BytesIO)
    return made.between(0, made.samples).mean(axis=1).astype(np.float64)


def whole(path: Path) -> Samples:
    return read_audio(path, RATE).samples.astype(np.float64)


if __name__ == "__main__":
    main()
