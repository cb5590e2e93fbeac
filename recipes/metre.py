"""Fit the model of beats and bars, src/mgsv/media/metre.json, on pieces whose bars are known.

    python recipes/bars.py FOLDER
    python recipes/metre.py FOLDER --output src/mgsv/media/metre.json

Fits on the pieces of the half `tuning` alone; `benchmarks/bars.py` measures both halves. First the
places in bars of three and of four, on the pieces' own beats; then the choice among ways to hear
the beats, of which those within 0.05 of the best F-measure are right. Both by L-BFGS, with a
penalty on squared weights.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from gathering.bars import Piece, f_measure, read_pieces
from mgsv.files import write_file
from mgsv.media.audio import read_audio
from mgsv.media.bars import Floats, Spectra, cues_of, with_neighbours
from mgsv.media.metre import METRES, Model, described, hearings_of
from mgsv.media.rhythm import RATE, analyse_rhythm

COUNT_PENALTY, CHOICE_PENALTY = 1e-2, 3e-3
AS_GOOD = 0.05
LEAST_RIGHT = 0.6
"""Pieces without a hearing of this F-measure teach no choice."""
FEWEST = 16

Heard = tuple[Piece, Spectra, float]
"""A piece, its sound and its likely tempo."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Fit the model of beats and bars.")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="as recipes/bars.py left it")
    parser.add_argument("--output", type=Path, default=Path("src/mgsv/media/metre.json"))
    options = parser.parse_args(arguments)
    heard = [
        listen(options.folder, piece)
        for piece in read_pieces(options.folder)
        if piece.half == "tuning"
    ]
    model = learn(heard)
    write_file(options.output, packed(model), overwrite=True)
    return 0


def listen(folder: Path, piece: Piece) -> Heard:
    audio = read_audio(folder / piece.audio, RATE)
    rhythm = analyse_rhythm(audio.samples)
    return piece, Spectra.of(audio.samples, rhythm.energy), rhythm.tempo


def learn(heard: Sequence[Heard]) -> Model:
    """The model of these pieces."""
    counts = {metre: _learn_count(heard, metre) for metre in METRES}
    return Model(counts, _learn_choice(heard, counts))


def packed(model: Model) -> str:
    """As `metre.json` has it, in four digits."""
    counts = {str(metre): np.round(rows, 4).tolist() for metre, rows in model.count.items()}
    body = {"count": counts, "choice": np.round(model.choice, 4).tolist()}
    return json.dumps(body, indent=None).replace("], [", "],\n[") + "\n"


def _learn_count(heard: Sequence[Heard], metre: int) -> Floats:
    """[C, metre]"""
    rows, places, weights = [], [], []
    for piece, sound, _ in heard:
        if piece.metre != f"{metre}/4" or len(piece.beats) < FEWEST:
            continue
        beats, downbeats = np.array(piece.beats), np.array(piece.downbeats)
        bar = np.searchsorted(downbeats, beats + 1e-6) - 1
        place = np.arange(len(beats)) - np.searchsorted(beats, downbeats[np.maximum(bar, 0)] - 1e-6)
        known = (bar >= 0) & (place < metre)
        rows.append(with_neighbours(cues_of(sound, beats))[known])
        places.append(place[known])
        weights.append(np.full(known.sum(), 1 / known.sum()))
    cues = torch.tensor(np.vstack(rows))
    target = torch.tensor(np.concatenate(places))
    weight = torch.tensor(np.concatenate(weights) / len(weights))

    def loss(values: torch.Tensor) -> torch.Tensor:
        scores = cues @ values.reshape(-1, metre)
        return (torch.nn.functional.cross_entropy(scores, target, reduction="none") * weight).sum()

    return _fit(loss, cues.shape[1] * metre, COUNT_PENALTY).reshape(-1, metre)


def _learn_choice(heard: Sequence[Heard], counts: dict[int, Floats]) -> Floats:
    """[N]"""
    model = Model(counts, np.zeros(0))
    cases = []
    for piece, sound, tempo in heard:
        hearings = list(hearings_of(sound, tempo))
        found = np.array([f_measure(hearing.beats, piece.beats) for hearing in hearings])
        if len(found) and found.max() >= LEAST_RIGHT:
            rows = np.stack([described(hearing, sound, model) for hearing in hearings])
            cases.append((rows, found >= found.max() - AS_GOOD))
    scale = np.vstack([rows for rows, _ in cases]).std(axis=0)
    scale = np.where(scale > 1e-9, scale, np.inf)
    tensors = [(torch.tensor(rows / scale), torch.tensor(right)) for rows, right in cases]

    def loss(values: torch.Tensor) -> torch.Tensor:
        scores = [(rows @ values, right) for rows, right in tensors]
        each = [torch.logsumexp(s, 0) - torch.logsumexp(s[right], 0) for s, right in scores]
        return torch.stack(each).mean()

    return _fit(loss, len(scale), CHOICE_PENALTY) / scale


def _fit(loss, size: int, penalty: float) -> Floats:  # type: ignore[no-untyped-def]
    values = torch.zeros(size, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([values], max_iter=80, line_search_fn="strong_wolfe")

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        total = loss(values) + penalty * (values**2).sum()
        total.backward()
        return total

    optimizer.step(step)
    return np.asarray(values.detach().numpy(), np.float64)


if __name__ == "__main__":
    raise SystemExit(main())
