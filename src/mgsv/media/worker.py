"""The decoder process: serves the requests of `mgsv.media.isolated`, file after file.

What a file does to a decoder, a crash, an endless loop or a claim on all memory, it does to this
process alone, which ends with the one that started it.
"""

from __future__ import annotations

import _thread
import contextlib
import importlib
import io
import os
import queue
import signal
import threading
import time
import traceback
from collections.abc import Generator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from mgsv.errors import MgsvError, shown
from mgsv.media.wire import Channel
from mgsv.portable import installed_memory, limit_resources

BEAT = 0.5
"""Seconds between signs of life."""
IDLE = 60.0
"""Seconds without work after which the process ends."""
MEMORY = 8 << 30
"""Bytes a file may take, or three quarters of what is installed: many frames of 8K video."""

Requests = queue.SimpleQueue[Any]


def serve() -> None:
    """Serve until the other process is gone, or has sent no request for a long time."""
    channel = Channel(io.FileIO(os.dup(0), "rb"), io.FileIO(os.dup(1), "wb"))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):  # a library that prints something must not disturb the conversation
        os.dup2(nowhere, descriptor)
    limit_resources(memory_limit())
    pulse, requests = _Pulse(channel), Requests()
    for job in (pulse.beat, lambda: _take_in(channel, requests)):
        threading.Thread(target=job, daemon=True).start()
    for module in ("mgsv.media.audio", "mgsv.media.video"):  # what nearly every request needs
        importlib.import_module(module)
    channel.send("ready")
    while True:
        try:
            request = requests.get(timeout=IDLE)
        except queue.Empty:
            os._exit(0)
        if request is not None:  # None: the wish to stop came when the work was done
            with pulse:
                answer = _answer(request, channel, requests)
            channel.send(*answer)


def scan(path: Path, shorter_side: int | None, per_second: int) -> Generator[Any, None, Any]:
    """The frames of a `VideoScan`; at the end its curves, info and warnings."""
    from mgsv.media.video import VideoScan

    pictures = VideoScan(path, shorter_side, per_second=per_second)
    yield from pictures
    return pictures.curves, pictures.info, pictures.warnings


def memory_limit() -> int:
    """Bytes."""
    installed = installed_memory()
    return MEMORY if installed is None else min(MEMORY, installed * 3 // 4)


class _Pulse:
    """Tells the other process, during work, that this one lives and how far it is.

    A call that never returns from FFmpeg cannot say so itself. A handler of signals can: Python
    runs it in the main thread between two of its own steps, and not before such a call returns.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._working = threading.Event()
        self._steps = 0
        signal.signal(signal.SIGINT, self._step)  # and Ctrl-C is for the other process to act on

    def __enter__(self) -> None:
        self._working.set()

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._working.clear()

    def beat(self) -> None:
        while self._working.wait():
            time.sleep(BEAT)
            if self._working.is_set():
                self._channel.send("beat", (self._steps, time.process_time()))
                _thread.interrupt_main(signal.SIGINT)

    def _step(self, _signal: int, _frame: FrameType | None) -> None:
        self._steps += 1


def _take_in(channel: Channel, requests: Requests) -> None:
    """Read requests while others are worked on, so that the end of the other process is seen."""
    try:
        while True:
            requests.put(channel.receive()[1])
    finally:
        os._exit(0)


def _answer(request: dict[str, Any], channel: Channel, requests: Requests) -> tuple[str, Any]:
    """The message that ends the work on `request`; what a generator yields is sent before."""
    try:
        function = getattr(importlib.import_module(request["module"]), request["name"])
        result = function(**request["arguments"])
        if isinstance(result, Generator):
            result = _send_items(result, channel, requests)
        return "result", result
    except MgsvError as error:
        told: tuple[Any, ...] = (error.problem, error.remedy)
        if (path := getattr(error, "path", None)) is not None:  # an argument of its own
            told = (path, error.problem.removeprefix(f"{shown(path)}: "), error.remedy)
        return "refused", (type(error).__name__, *told)
    except MemoryError:
        return "memory", memory_limit()
    except Exception as error:
        plain = all(isinstance(one, int | str) for one in error.args)
        arguments = error.args if plain else (str(error),)
        return "failed", (type(error).__name__, arguments, traceback.format_exc())


def _send_items(items: Generator[Any, None, Any], channel: Channel, requests: Requests) -> Any:
    """Send what `items` yields until there is another request; its return value."""
    with contextlib.closing(items):
        while requests.empty():
            try:
                item = next(items)
            except StopIteration as end:
                return end.value
            channel.send("item", item)
    return None
