"""Work that takes a while: its progress, cancelling it, and the threads or processes that do it."""

from __future__ import annotations

import contextlib
import functools
import itertools
import multiprocessing
import os
import queue
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, Self, TypeVar

from mgsv.errors import ConfigError
from mgsv.portable import available_cores

T = TypeVar("T")
R = TypeVar("R")

GRACE = 2.0
"""Seconds that the threads of `Threads` may take to end where a caller stops early."""


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a job: enough for a bar with the time left."""

    what: str
    """The part of the job at hand, or what is counted: "indexing", "videos"."""
    done: int
    total: int | None = None
    """None if it is not known."""
    path: Path | None = None
    """The file of this step, if it is about one."""
    note: str = ""
    """Why `path` could not be used, or what the job is waiting for."""
    seconds: float = 0.0
    """Seconds of audio indexed so far."""


Listener = Callable[[Progress], None]
"""Is called after each step, in the thread that started the job. What it raises ends the job."""


class Cancelled(BaseException):
    """Raised in a job that was cancelled.

    No `Exception`, as `KeyboardInterrupt` is none: jobs that go on after a bad file must end.
    """


class Job:
    """A handle on work under way, to cancel it from another thread.

    >>> job = Job()
    >>> library.add("~/Music", progress=job.report)           # doctest: +SKIP
    >>> job.cancel()  # in another thread: `add` raises `Cancelled` at its next step
    """

    def __init__(self, listener: Listener | None = None) -> None:
        self._listener = listener
        self._cancelled = threading.Event()

    def report(self, step: Progress) -> None:
        """Pass `step` on to the listener. Raises `Cancelled` after `cancel`."""
        self.check()
        if self._listener is not None:
            self._listener(step)

    def check(self) -> None:
        """Raises `Cancelled` after `cancel`."""
        if self._cancelled.is_set():
            raise Cancelled

    def cancel(self) -> None:
        """End the job at its next step."""
        self._cancelled.set()


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T, R]):
    """What became of one item: the value that `work` returned, or the error that it raised."""

    index: int
    """Of `item` among the items."""
    item: T
    value: R | None = None
    error: Exception | None = None

    def result(self) -> R:
        """The value; raises the error if there is one."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]  # None only where R allows it


Outcomes = Generator[Outcome[T, R], None, None]


class Executor(Protocol):
    """Does the same work for many items, several of them at once."""

    def map(self, work: Callable[[T], R], items: Sequence[T]) -> Outcomes[T, R]:
        """Yields the outcome of each item as it is done, in any order.

        Items are handed out as outcomes are taken, so that few wait in memory. Closing the
        generator hands out no more; use `contextlib.closing`, as an exception alone closes it late.
        """
        ...


class Threads:
    """An `Executor` of threads in this process, whose caller can be interrupted at once.

    Not a `ThreadPoolExecutor`, because that waits for the items under way both when it is left and
    when the interpreter exits, and an item may be an hour of music. Closing `map` waits for them
    for at most two seconds.
    """

    def __init__(self, count: int | None = None) -> None:
        """count: None = one per core that this process may use.

        Raises `ConfigError` for less than one.
        """
        self.count = available_cores() if count is None else checked_jobs(count)

    def map(self, work: Callable[[T], R], items: Sequence[T]) -> Outcomes[T, R]:
        """At most 2 × `count` outcomes wait in memory."""
        waiting: queue.SimpleQueue[tuple[int, T] | None] = queue.SimpleQueue()
        finished: queue.SimpleQueue[tuple[int, T, Future[R]]] = queue.SimpleQueue()
        given_up = threading.Event()

        def loop() -> None:
            while (following := waiting.get()) is not None and not given_up.is_set():
                future: Future[R] = Future()
                try:
                    future.set_result(work(following[1]))
                except BaseException as error:  # whoever takes the outcome raises it
                    future.set_exception(error)
                finished.put((*following, future))

        threads = [
            threading.Thread(target=loop, name=f"work-{k}", daemon=True)
            for k in range(min(self.count, len(items)))
        ]
        upcoming = enumerate(items)
        for following in itertools.islice(upcoming, 2 * len(threads)):
            waiting.put(following)
        try:
            for thread in threads:
                thread.start()
            for _ in items:
                index, item, future = finished.get()
                waiting.put(next(upcoming, None))  # None: there is nothing left to start
                yield _outcome(index, item, future.result)
        finally:
            given_up.set()
            for _ in threads:
                waiting.put(None)
            for thread in threads:
                if thread.ident is not None:
                    thread.join(GRACE / len(threads))


class Processes:
    """An `Executor` of processes on this machine, to be closed after use; of one: this process.

    `work` and the items must be picklable. The processes start when they are needed, stay from one
    `map` to the next, and end with this process, even if it is killed.
    """

    def __init__(self, count: int, start: Callable[[], None] | None = None) -> None:
        """start: called first in each process that is not this one.

        Raises `ConfigError` for a count below one.
        """
        self.count = checked_jobs(count)
        context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
        self._pool = (
            None if count == 1 else ProcessPoolExecutor(count, context, _begin, initargs=(start,))
        )

    def map(self, work: Callable[[T], R], items: Sequence[T]) -> Outcomes[T, R]:
        """At most 2 × `count` items are in the hands of the processes or done.

        Closing the generator waits for the items under way, which may be writing files.
        """
        upcoming = enumerate(items)
        if self._pool is None:
            for index, item in upcoming:
                yield _outcome(index, item, functools.partial(work, item))
            return
        running: dict[Future[R], tuple[int, T]] = {}
        try:
            while True:
                for index, item in itertools.islice(upcoming, 2 * self.count - len(running)):
                    running[self._pool.submit(work, item)] = index, item
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield _outcome(*running.pop(future), future.result)
        finally:
            wait([future for future in running if not future.cancel()])

    def close(self) -> None:
        """Wait for the items under way and end the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def checked_jobs(count: int) -> int:
    """`count`; raises `ConfigError` where it is less than one."""
    if count < 1:
        raise ConfigError(f"`jobs` {count}: needs at least 1")
    return count


def in_order(outcomes: Outcomes[T, R]) -> Outcomes[T, R]:
    """`outcomes` in the order of their items: each is held until those before it have come."""
    early: dict[int, Outcome[T, R]] = {}
    due = 0
    with contextlib.closing(outcomes):
        for outcome in outcomes:
            early[outcome.index] = outcome
            while due in early:
                yield early.pop(due)
                due += 1


def _outcome(index: int, item: T, value: Callable[[], R]) -> Outcome[T, R]:
    """What became of an item. Raises what is no `Exception`, such as an interrupt."""
    try:
        return Outcome(index, item, value())
    except Exception as error:
        return Outcome(index, item, error=error)


def _begin(start: Callable[[], None] | None) -> None:
    """What a process does first."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if start is not None:
        start()


def _end_with_parent() -> None:
    """A worker whose parent is killed would wait for ever: each holds the others' pipe open."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
