"""One run of a list: trained, measured on test, and kept, so that a killed list can be resumed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mgsv.evaluation.evaluate import evaluate
from mgsv.files import write_file
from mgsv.jobs import Listener
from mgsv.models.registry import about
from mgsv.models.system import System
from mgsv.training.fit import refuse_other_run, train
from mgsv.training.loop import checkpoint_path

PathLike = str | os.PathLike[str]

THETA = "0.7"
"""IoU a moment must exceed in our MoR columns. The paper names no threshold for its own."""


def measure_name(measure: str) -> str:
    """Our measure that stands beside the paper's column `measure`."""
    return f"{measure}@{THETA}" if measure.startswith("MoR") else measure


def best_checkpoint(folder: Path, model: str) -> Path:
    """What of a run of `model` kept in `folder` is measured: best by mIoU on val, or else by R1."""
    figure = "mIoU" if "detect" in about(model).abilities else "R1"
    return checkpoint_path(folder / "run", figure)


def measured(
    folder: Path,
    model: str = "made",
    *,
    data: PathLike,
    preset: str,
    set: Sequence[str],
    progress: Listener | None,
    first_stage: Path | None = None,
) -> dict[str, Any]:
    """Train in `folder` and evaluate, or read what an earlier call found.

    Raises ConfigError when the folder holds a run with other settings, or on other data.
    """
    kept = _kept(folder)
    if kept is None:
        run = train(
            model,
            data=data,
            output=folder / "run",
            preset=preset,
            set=set,
            resume=True,
            progress=progress,
        )
        seconds = run.seconds
    else:
        refuse_other_run(folder / "run", model, data=data, preset=preset, set=set)
        seconds = kept["seconds"]
    system = System(checkpoint=best_checkpoint(folder, model), first_stage=first_stage)
    return evaluated(folder, data, system, seconds)


def evaluated(folder: Path, data: PathLike, system: System, seconds: float) -> dict[str, Any]:
    """The document about `system`, on test.

    Kept in `folder`, and read from there while the files are the same. `seconds` it took to train.
    """
    digests = {}
    for role in ("checkpoint", "matcher", "detector", "first_stage"):
        if (path := getattr(system, role)) is None:
            continue
        with path.open("rb") as file:
            digests[role] = hashlib.file_digest(file, "sha256").hexdigest()
    kept = _kept(folder)
    if kept is not None and kept.get("files") == digests:
        return kept
    document = evaluate(system, data=data, split="test")
    document |= {"files": digests, "seconds": seconds}
    write(folder / "evaluation.json", json.dumps(document, indent=2, ensure_ascii=False))
    return document


def _kept(folder: Path) -> dict[str, Any] | None:
    path = folder / "evaluation.json"
    if not path.exists():
        return None
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def write(path: Path, text: str) -> None:
    """Write `text` and a newline to `path`, in place of what an earlier call wrote."""
    write_file(path, text + "\n", overwrite=True, parents=True)


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 0) -> str:
    """A table in plain text, all columns but number `left` on the right."""
    widths = [max(len(line[i]) for line in [head, *rows]) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place == left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in [head, *rows]
    )
