"""A split measured by an executor's processes, block by block of queries.

What travels to them is paths and row numbers. Each opens the system and the data folder itself, and
embeds the tracks anew for each of its blocks; answers come back.
"""

from __future__ import annotations

import contextlib
import hashlib
import platform
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mgsv.cluster import seen_by
from mgsv.data.dataset import SplitData
from mgsv.data.folder import DataFolder
from mgsv.errors import ClusterError, shown
from mgsv.evaluation.protocol import Answers, IntArray, answer, blocks, joined, pick_device
from mgsv.evaluation.results import Results
from mgsv.evaluation.sources import ShuffledVideos
from mgsv.jobs import Executor, Listener, Progress
from mgsv.models.system import System

QUERIES_AT_ONCE = 256
"""In a block: a test split makes some ten, enough for a few machines to be done together. More
blocks embed the tracks more often."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What is measured, and how: absolute paths, and the fields of `EvaluateOptions`."""

    system: System
    data: Path
    split: str
    music_set: bool
    batch_size: int
    candidates: int
    device: str


def run_remote(
    what: Measured,
    executor: Executor,
    *,
    queries_at_once: int = QUERIES_AT_ONCE,
    progress: Listener | None = None,
) -> tuple[Results, Results]:
    """The answers to the split, and those with its videos shuffled; see `protocol.run_model`.

    Raises what opening the system and the data raises, and `ClusterError` where a worker has other
    files there.
    """
    work = _Work(what)
    rows = work.pairs.rows
    parts = blocks(work.pairs, queries_at_once)
    tasks = [_Task(at, shuffled) for shuffled in (False, True) for at in parts]
    given: dict[bool, list[Answers]] = {False: [], True: []}
    done, files = 0, (what.data, *what.system.files)
    with (
        seen_by(executor, *files),
        contextlib.closing(executor.map(_Work(what, work.fingerprint), tasks)) as outcomes,
    ):
        for outcome in outcomes:
            given[outcome.item.shuffled].append(outcome.result())
            done += len(outcome.item.at)
            if progress is not None:
                progress(Progress("queries", done, 2 * len(rows)))
    return joined(rows, given[False]), joined(rows, given[True])


@dataclass(frozen=True, slots=True)
class _Task:
    """at: row numbers of the queries. shuffled: with the videos exchanged (`ShuffledVideos`)."""

    at: IntArray
    shuffled: bool


class _Work:
    """The work for one block. Another process opens the same files anew."""

    def __init__(self, what: Measured, fingerprint: str | None = None) -> None:
        """fingerprint: what the files must have; None = whatever they have."""
        self._what, self._wanted = what, fingerprint

    def __reduce__(self) -> tuple[object, ...]:
        return _Work, (self._what, self._wanted)

    def __call__(self, task: _Task) -> Answers:
        what = self._what
        if self._wanted not in (None, self.fingerprint):
            names = ", ".join(map(shown, (what.data, *what.system.files)))
            raise ClusterError(
                f"{names}: {platform.node()} has other files there",
                "have every machine see the same files under the same paths",
            )
        pairs = ShuffledVideos(self.pairs) if task.shuffled else self.pairs
        options = {"batch_size": what.batch_size, "candidates": what.candidates}
        return answer(self._model, pairs, task.at, what.music_set, **options)

    @cached_property
    def fingerprint(self) -> str:
        """Of the checkpoints' content and the split's rows."""
        rows = [(row.video_id, row.music_id) for row in self.pairs.rows]
        text = repr((self._what.system.fingerprint, rows))
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    @cached_property
    def pairs(self) -> SplitData:
        return SplitData.from_folder(DataFolder.open(self._what.data), self._what.split)

    @cached_property
    def _model(self) -> Any:
        model: Any = self._what.system.open().model
        return model.to(pick_device(self._what.device))
