"""How right beats and bars are, on rendered music whose own are known.

    .venv/bin/python recipes/bars.py FOLDER
    .venv/bin/python benchmarks/counting.py FOLDER            # both halves, all pieces
    .venv/bin/python benchmarks/counting.py FOLDER --every 4  # a quarter of them
    .venv/bin/python benchmarks/counting.py FOLDER --styles   # a line for each style, too

F-measures, of each piece and then averaged: a time counts if it is within 70 ms of a true one that
no other has taken; the first 5 s of a piece do not count. Columns:

    beats    of the rhythm alone, and of the metre
    bars     counted by accents on the former, by the metre on the latter; by the metre on the true
             beats; and on the metre's beats by a number drawn at random (every fourth is a first)
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from gathering.bars import Piece, f_measure, read_pieces
from mgsv.media.audio import read_audio
from mgsv.media.bars import Spectra
from mgsv.media.metre import count_bars, find_metre, load_model
from mgsv.media.rhythm import RATE, analyse_rhythm
from mgsv.media.structure import analyse_structure

HEAD = (
    "| pieces | number | beats: rhythm | metre | bars: accents | metre | on true beats | random |"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="as recipes/bars.py left it")
    parser.add_argument("--every", type=int, default=1, help="only every Nth piece")
    parser.add_argument("--half", choices=("tuning", "reporting"), help="only the pieces of one")
    parser.add_argument("--styles", action="store_true", help="a line for each style, too")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    groups: defaultdict[str, list[list[float]]] = defaultdict(list)
    spent = sounding = 0.0
    pieces = read_pieces(options.folder)
    pieces = [piece for piece in pieces if options.half in (None, piece.half)]
    for piece in pieces[:: options.every]:
        values, seconds, took = measure(options.folder, piece, rng)
        sounding, spent = sounding + seconds, spent + took
        kind = "styles" if piece.package.startswith("mma-") else "games"
        names = [f"{piece.half}, {kind}", f"{piece.half}, all"]
        if options.styles:
            names.append(f"{piece.half}, {piece.package}, {piece.style}")
        for name in names:
            groups[name].append(values)
    print(HEAD)
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for name in sorted(groups):
        means = " | ".join(f"{value:.3f}" for value in np.mean(groups[name], axis=0))
        print(f"| {name} | {len(groups[name])} | {means} |")
    print(f"\nfind_metre: {1000 * spent / max(sounding / 60, 1e-9):.0f} ms per minute of music")


def measure(
    folder: Path, piece: Piece, rng: np.random.Generator
) -> tuple[list[float], float, float]:
    """(the six figures, seconds of music, processor seconds that `find_metre` took)."""
    audio = read_audio(folder / piece.audio, RATE)
    rhythm = analyse_rhythm(audio.samples)
    before = time.process_time()
    metre = find_metre(audio.samples, rhythm)
    took = time.process_time() - before
    accents = analyse_structure(rhythm.beats, rhythm.onset, rhythm.energy, np.zeros((1, 1)))
    truth = np.array([beat for beat in piece.beats if beat < audio.duration])
    sound = Spectra.of(audio.samples, rhythm.energy)
    _, places = count_bars(sound, truth, load_model())
    values = [
        f_measure(rhythm.beats, piece.beats),
        f_measure(metre.beats, piece.beats),
        f_measure(accents.downbeats, piece.downbeats),
        f_measure(metre.downbeats, piece.downbeats),
        f_measure(truth[places == 0], piece.downbeats),
        f_measure(metre.beats[rng.integers(4) :: 4], piece.downbeats),
    ]
    return values, audio.duration, took


if __name__ == "__main__":
    main()
