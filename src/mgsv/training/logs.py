"""What a run reports of each epoch: a CSV table, TensorBoard curves."""

from __future__ import annotations

import csv
import os
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from mgsv.files import new_text, unwritable


class Log(Protocol):
    """Takes one epoch's figures at a time."""

    def write(self, epoch: int, step: int, figures: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


class CsvLog:
    """`log.csv`: one row per epoch.

    Resuming at `epoch` drops the rows a killed sitting wrote beyond the state it left, so the table
    is that of an unbroken run.
    """

    def __init__(self, path: Path, epoch: int = 0) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if path.exists():
            with path.open(encoding="utf-8", newline="") as lines:
                self.rows = [row for row in csv.DictReader(lines) if int(row["epoch"]) <= epoch]
        self._rewrite()

    def write(self, epoch: int, step: int, figures: Mapping[str, float]) -> None:
        self.rows.append(
            {"epoch": epoch, "step": step} | {k: f"{v:.6g}" for k, v in figures.items()}
        )
        self._rewrite()

    def _rewrite(self) -> None:
        """At most a few hundred short rows; none is ever half there."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with new_text(self.path, overwrite=True) as file:
            table = csv.DictWriter(file, names or ["epoch", "step"])
            table.writeheader()
            table.writerows(self.rows)

    def close(self) -> None:
        pass


class TensorBoardLog:
    """Curves for `tensorboard --logdir`, against the step.

    Written here, since TensorBoard's own writer works in a thread, whose errors are lost.
    """

    def __init__(self, folder: Path, step: int = 0) -> None:
        """step: where the run stands; what an earlier file holds after it is not shown."""
        moment = f"{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
        self.path = folder / f"events.out.tfevents.{moment}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("xb")
        except OSError as error:
            raise unwritable(self.path, error) from error
        self._add(file_version="brain.Event:2")
        self._add(step=step + 1, session_log={"status": "START"})

    def write(self, epoch: int, step: int, figures: Mapping[str, float]) -> None:
        # Slashes group the curves: train/loss, val/mIoU.
        curves = {name.replace(" ", "/", 1): value for name, value in figures.items()}
        curves["epoch"] = epoch
        values = [{"tag": tag, "simple_value": value} for tag, value in curves.items()]
        self._add(step=step, summary={"value": values})

    def _add(self, **fields: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event  # a quarter of a second
        from tensorboard.summary.writer.record_writer import RecordWriter

        try:
            event = Event(wall_time=time.time(), **fields)
            RecordWriter(self._file).write(event.SerializeToString())
            self._file.flush()
        except OSError as error:
            raise unwritable(self.path, error) from error

    def close(self) -> None:
        with suppress(OSError):  # `_add` has reported it
            self._file.close()


def brief(figures: Mapping[str, float], names: Sequence[str] = ("val mIoU", "val R1")) -> str:
    """The figures a person watches, as text."""
    shown = [
        f"{name.removeprefix('val ')} {figures[name]:.3g}" for name in names if name in figures
    ]
    return ", ".join(shown)
