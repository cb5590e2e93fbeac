"""`evaluate`: a checkpoint measured on a split, beside what can be had without looking."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from mgsv.data.annotations import read_annotations
from mgsv.data.dataset import SplitData
from mgsv.data.folder import DataFolder
from mgsv.errors import ConfigError, shown
from mgsv.evaluation import protocol
from mgsv.evaluation.measures import confidence_intervals
from mgsv.evaluation.memory import evaluate_fusion
from mgsv.evaluation.results import breakdown
from mgsv.evaluation.sources import ShuffledVideos, encoders_of, is_planted
from mgsv.files import remove_leftovers, unwritable, write_file
from mgsv.jobs import Listener
from mgsv.methods.blind import blind_answers
from mgsv.models.composite import parts_of
from mgsv.models.system import DEFAULT_RERANK, System
from mgsv.synthesis.planted import predict_oracle

SCHEMA = "mgsv.evaluation/1"
RESULTS, DOCUMENT = "results.jsonl", "evaluation.json"
"""Beside the page of a report: an answer per line, and all figures."""


@dataclass(frozen=True)
class EvaluateOptions:
    """How a system is measured; nothing of it but `music_set` changes the figures."""

    music_set: bool = True
    """Rank all tracks too, or only find the moment on the true one."""
    batch_size: int = 128
    """Rows at once."""
    device: str = "auto"
    """As torch names it; `auto` is the first GPU, else the CPU."""


def evaluate(
    system: str | os.PathLike[str] | System,
    data: str | os.PathLike[str],
    split: str = "test",
    *,
    report: str | os.PathLike[str] | None = None,
    uses: str | os.PathLike[str] | None = None,
    fusion: str | os.PathLike[str] | None = None,
    options: EvaluateOptions | None = None,
    progress: Listener | None = None,
) -> dict[str, Any]:
    """All measures of `system` on `split` of the data folder, as a JSON-ready document.

    `measures` with their 95 % `intervals`; `breakdown` per category and length; `shuffled`, the
    model's measures when every video is exchanged for another; and `baselines`, methods that never
    look at the video (and a planted benchmark's oracle, which knows the recipe). A model that only
    matches has no measures of moments, one that only detects none of ranks.

    system: a checkpoint, or the `System` of several. With `report`, a new folder gets the document,
    the answer to each query, and a page with plots. With `uses`, an annotation file, `memory` shows
    what past uses add: memory, model and both fused, the fusion fitted on val (and written to the
    file `fusion`, for `mgsv ground`). Raises
    EncoderMismatch when the model was made for other features.
    """
    options = options or EvaluateOptions()
    if not isinstance(system, System):
        system = System(checkpoint=Path(system))
    if fusion is not None and uses is None:
        raise ConfigError("`fusion` without `uses`", "name the past uses to fuse the model with")
    if uses is not None and split == "val":
        raise ConfigError("`uses` with `split` val", "the fusion is fitted on val: measure test")
    past = None if uses is None else read_annotations(uses)
    source = DataFolder.open(data)
    names = (split,) if past is None else (split, "val")
    splits = {name: SplitData.from_folder(source, name) for name in names}
    pairs = splits[split]
    loaded = system.open()
    if (not options.music_set or uses is not None) and parts_of(loaded.model).detector is None:
        field = "`uses`" if options.music_set else "`music_set=False`"
        raise ConfigError(f"the model {loaded.name} finds no moments", f"leave {field} out")
    loaded.require(encoders_of(source, pairs))
    train = source.annotations("train") if source.find_csv("train") is not None else None
    folder = _new_folder(report) if report is not None else None
    model: Any = loaded.model.to(pick_device(options.device))
    run = partial(
        protocol.run_model,
        model,
        music_set=options.music_set,
        batch_size=options.batch_size,
        candidates=sys.maxsize if system.rerank == "all" else system.rerank or DEFAULT_RERANK,
    )
    results, shuffled = run(pairs, progress=progress), run(ShuffledVideos(pairs))
    baselines = blind_answers(pairs.rows, pairs.segments, train)
    if is_planted(source):
        baselines["oracle"] = predict_oracle(source, pairs.rows)
    intervals = confidence_intervals(results.iou if results.places else None, results.rank)
    document = {
        "schema": SCHEMA,
        "model": loaded.name,
        "record": loaded.record,
        "split": split,
        "queries": len(results),
        "tracks": len({*results.tracks}),
        "measures": results.measures(),
        "intervals": {name: [*ends] for name, ends in intervals.items()},
        "shuffled": shuffled.measures(),
        "baselines": {
            name: replace(
                results, predicted=moments, rank=None, best_track=None, places=True
            ).measures()
            for name, moments in baselines.items()
        },
        "breakdown": [asdict(part) for part in breakdown(results)],
    }
    if past is not None:
        val = protocol.run_model(
            model, splits["val"], music_set=False, batch_size=options.batch_size
        )
        document["memory"], fitted = evaluate_fusion(past, val=val, test=results)
        if fusion is not None:
            fitted.save(fusion)
    if folder is not None:
        from mgsv.evaluation.report import write_report  # plots: matplotlib is half a second

        results.save(folder / RESULTS)
        text = json.dumps(document, indent=2, ensure_ascii=False)
        write_file(folder / DOCUMENT, text + "\n", overwrite=True)
        write_report(folder / "index.html", document, results, baselines.get("highlight"))
    return document


def best_blind(document: Mapping[str, Any]) -> float:
    """The highest mIoU in `document` that was reached without the video."""
    rows: dict[str, dict[str, float]] = document["baselines"]
    return max(measures["mIoU"] for name, measures in rows.items() if name != "oracle")


def pick_device(name: str) -> torch.device:
    """The device called `name`; `auto` is the first GPU, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"`device` {name}: not available here", "use auto or cpu") from error
    return device


def _new_folder(path: str | os.PathLike[str]) -> Path:
    """`path`, made if need be. The page is written last: without it, a report is unfinished."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
        if {entry.name for entry in folder.iterdir()} - {RESULTS, DOCUMENT}:
            raise ConfigError(f"`report` {shown(folder)}: is not empty", "name another folder")
    except OSError as error:
        raise unwritable(folder, error) from error
    return folder
