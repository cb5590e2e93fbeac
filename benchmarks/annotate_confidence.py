"""Whether the confidence of `mgsv annotate` is the share that is right, on mixes of many sounds.

    python benchmarks/annotate_confidence.py --music DIR … [--fit]

A mix is a moment of 8 to 40 s of a track, alone, late, with a hole, cut to another moment, or under
speech (`espeak-ng`), noise or other music that is up to 30 dB louder, encoded as AAC at 32 kb/s. A
third of the tracks is foreign, not in the library: their mixes have nothing to find. Drones and
loops that repeat themselves nearly are among the tracks. A match is right where its place is that
of the mix to 50 ms, or has the same audio (correlation of at least 0.97).

Tracks are drawn by `--seed`, which is 0 for `--fit` and 1 otherwise, never the same ones.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import tempfile
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from annotate import readable, spoken

from mgsv.annotate import LandmarkIndex, Match, locate
from mgsv.annotate.confidence import USUAL_CORRELATION, USUAL_SECONDS
from mgsv.library.fingerprints import open_fingerprints
from mgsv.library.walk import plain
from mgsv.media.audio import read_audio
from mgsv.media.landmarks import RATE

Floats = npt.NDArray[np.float64]

KINDS = ("clean", "late", "hole", "jump", "speech", "noise", "other")
LOUDER = ("speech", "noise", "other")
"""Kinds whose foreground is again made up to 30 dB louder than the music."""
NEAR, SAME = 0.05, 0.97
SHORTEST = 5.0
"""Seconds of a match, as `--min-moment` has it."""
BINS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 1.0)
RIDGE = 0.5


@dataclass(frozen=True)
class Mix:
    """parts: (start, end, track's second at the mix's 0), seconds; none of a foreign track."""

    track: Path
    kind: str
    sound: npt.NDArray[np.float32]
    parts: Sequence[tuple[float, float, float]]


@dataclass(frozen=True)
class Judged:
    seconds: float
    correlation: float
    confidence: float
    right: bool


class Mixer:
    def __init__(self, rng: np.random.Generator, foreign: Sequence[Path], scratch: Path) -> None:
        self._rng, self._foreign, self._scratch = rng, foreign, scratch

    def mix(self, track: Path, kind: str, *, louder: bool, known: bool) -> Mix:
        rng, music = self._rng, samples(track)
        total = len(music) / RATE
        seconds = float(rng.uniform(8, min(40, total - 1)))
        start = 0.0 if rng.random() < 0.3 else float(rng.uniform(0, total - seconds))
        piece = music[round(start * RATE) :][: round(seconds * RATE)].astype(np.float64)
        parts = [(0.0, seconds, start)]
        middle = seconds * float(rng.uniform(0.35, 0.65))
        if kind == "late":
            late = float(rng.uniform(3, 10))
            piece = np.append(np.zeros(round(late * RATE)), piece)
            parts = [(late, late + seconds, start - late)]
        elif kind == "hole":
            piece[round(middle * RATE) :][: round(rng.uniform(0.3, 2) * RATE)] = 0
        elif kind == "jump":
            other = float(rng.uniform(0, total - (seconds - middle)))
            tail = music[round(other * RATE) :][: round((seconds - middle) * RATE)]
            piece = np.append(piece[: round(middle * RATE)], tail)
            parts = [(0.0, middle, start), (middle, seconds, other - middle)]
        elif kind != "clean":
            front = self._foreground(kind, len(piece))
            level = float(rng.uniform(8, 30) if louder else rng.uniform(-9, 6))
            ratio = np.sqrt((piece**2).mean() / max(float((front**2).mean()), 1e-12))
            piece = piece + front * ratio * 10 ** (level / 20)
        sound = 0.5 * piece / max(float(np.abs(piece).max()), 1e-9)
        return Mix(track, kind, self._coded(sound), parts if known else [])

    def _foreground(self, kind: str, count: int) -> Floats:
        if kind == "noise":
            return self._rng.normal(size=count)
        if kind == "other":
            sound = samples(self._foreign[int(self._rng.integers(len(self._foreign)))])
        else:
            whole = spoken(self._rng)
            at = np.arange(len(whole) * RATE // 44_100) * 44_100 / RATE
            sound = np.interp(at, np.arange(len(whole)), whole).astype(np.float32)
        return np.tile(sound, -(-count // len(sound)))[:count].astype(np.float64)

    def _coded(self, sound: Floats) -> npt.NDArray[np.float32]:
        path = self._scratch / "mix.mp4"
        with av.open(str(path), "w") as output:
            stream = output.add_stream("aac", rate=RATE, layout="mono")
            stream.bit_rate = 32_000
            for place in range(0, len(sound), 1024):
                block = np.ascontiguousarray(sound[None, place : place + 1024], np.float32)
                frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
                frame.sample_rate, frame.pts = RATE, place
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        return read_audio(path, RATE).samples


@cache
def samples(track: Path) -> npt.NDArray[np.float32]:
    return read_audio(track, RATE).samples


def made_up(folder: Path, seed: int) -> Iterator[Path]:
    """Three drones, and three loops of a bar with a little of their own."""
    time = np.arange(60 * RATE) / RATE
    for n in range(6):
        rng = np.random.default_rng((seed, n))
        sound = np.zeros(len(time))
        if n % 2:
            bar = rng.normal(size=2 * RATE) * np.exp(-4 * (np.arange(2 * RATE) / RATE % 0.5))
            sound = np.resize(bar, len(time)) + 0.1 * n * rng.normal(size=len(time))
        else:
            for pitch in (55, 82.5, 110, 137.5, 165, 220, 275, 330):
                slow = 1 + 0.3 * np.sin(2 * np.pi * time / 5.1 + rng.uniform(0, 6))
                sound += slow * np.sin(2 * np.pi * pitch * time + rng.uniform(0, 6))
        path = folder / f"made-up-{seed}-{n}.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes((0.5 * sound / np.abs(sound).max() * 32767).astype("<i2").tobytes())
        yield path


def judged(mix: Mix, match: Match) -> Judged:
    middle = (match.video.start + match.video.end) / 2
    place = match.music.start + match.speed * (middle - match.video.start)
    right = False
    if match.track.path == mix.track:
        for start, end, offset in mix.parts:
            apart = place - (middle + offset)
            if start <= middle < end:
                right = abs(apart) < NEAR or same(mix.track, middle + offset, place)
    return Judged(match.video.duration, match.correlation, match.confidence, right)


def same(track: Path, here: float, there: float) -> bool:
    """Whether four seconds around two places have the same audio."""
    music = samples(track)
    first, other = (max(0, round((place - 2) * RATE)) for place in (here, there))
    piece = music[first : first + 4 * RATE]
    for shift in range(-40, 41):
        at = max(0, other + shift)
        there_ = music[at : at + len(piece)]
        if len(there_) == len(piece) > 100 and np.corrcoef(piece, there_)[0, 1] >= SAME:
            return True
    return False


def matches(music: Sequence[Path], count: int, mixes: int, seed: int) -> list[Judged]:
    """Of `mixes` mixes of `count` tracks."""
    rng = np.random.default_rng(seed)
    # The same order for every seed, so that two of them share no track.
    order = np.random.default_rng(99).permutation(len(music))[seed * count : (seed + 1) * count]
    tracks = [music[n] for n in order]
    foreign = tracks[: count // 3]
    found: list[Judged] = []
    with tempfile.TemporaryDirectory(prefix="mgsv-mixes-") as scratch:
        folder = Path(scratch)
        known = [*tracks[count // 3 :], *made_up(folder, seed)]
        prints, _ = open_fingerprints([plain(path) for path in known], folder / "library")
        index = LandmarkIndex(prints)
        mixer = Mixer(rng, foreign, folder)
        kinds = [*((kind, False) for kind in KINDS), *(2 * [(kind, True) for kind in LOUDER])]
        for n in range(mixes):
            kind, louder = kinds[n % len(kinds)]
            some = foreign if rng.random() < 0.25 else known
            track = some[int(rng.integers(len(some)))]
            mix = mixer.mix(track, kind, louder=louder, known=some is known)
            found += [judged(mix, match) for match in locate(index, mix.sound)]
    return found


def report(found: Sequence[Judged], least: float) -> None:
    found = [one for one in found if one.seconds >= least]
    said = np.array([one.confidence for one in found])
    right = np.array([one.right for one in found], float)
    print(f"{len(found)} matches of {least:g} s and more, {right.mean():.1%} right")
    print(f"{'confidence':16}{'n':>5}{'mean said':>11}{'right':>9}")
    for low, high in itertools.pairwise(BINS):
        at = (said >= low) & ((said < high) | (high == 1))
        if at.any():
            share = f"{said[at].mean():11.3f}{right[at].mean():9.3f}"
            print(f"{f'{low:g} to {high:g}':16}{at.sum():5}{share}")
    base = right.mean()
    scores = ((said - right) ** 2).mean(), ((1 - right) ** 2).mean(), base * (1 - base)
    print("Brier score {:.4f}; of always 1 {:.4f}; of the base rate {:.4f}".format(*scores))


def fit(found: Sequence[Judged]) -> None:
    """Logistic regression by Newton's method, slightly drawn to 0."""
    right = np.array([one.right for one in found], float)
    table = np.array(
        [
            (
                1.0,
                np.log(one.seconds / USUAL_SECONDS),
                np.log(max(one.correlation, 0.02) / USUAL_CORRELATION),
            )
            for one in found
        ]
    )
    drawn = np.diag([0.02, RIDGE, RIDGE])
    weights = np.zeros(3)
    for _ in range(50):
        p = 1 / (1 + np.exp(-table @ weights))
        curvature = (table * (p * (1 - p))[:, None]).T @ table + drawn
        weights += np.linalg.solve(curvature, table.T @ (right - p) - drawn @ weights)
    print("plain {:.2f}, by seconds {:.2f}, by correlation {:.2f}".format(*weights))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--music", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--tracks", type=int, default=60)
    parser.add_argument("--mixes", type=int, default=300)
    parser.add_argument("--fit", action="store_true")
    given = parser.parse_args()
    if shutil.which("espeak-ng") is None:
        raise SystemExit("espeak-ng is missing: install the package of this name")
    music = sorted(readable(given.music, 20.0))
    if len(music) < 2 * given.tracks:
        raise SystemExit(f"--music holds {len(music)} tracks; {2 * given.tracks} are needed")
    found = matches(music, given.tracks, given.mixes, 0 if given.fit else 1)
    if given.fit:
        fit(found)
    report(found, 0.0)
    report(found, SHORTEST)


if __name__ == "__main__":
    main()
