"""A pool of threads whose caller can be interrupted at once."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")

_GRACE = 2.0  # seconds for the jobs under way when the caller gives up


def run(
    jobs: Sequence[Job], work: Callable[[Job], Result], workers: int
) -> Generator[tuple[Job, Result]]:
    """(job, work(job)) for each job, as they get done; `work` must not raise.

    Not a `ThreadPoolExecutor`, because that waits for the jobs under way both when it is left and
    when the interpreter exits, and a job may be an hour of music. Closing this generator (an
    interrupt does that too) starts no further job and returns after at most two seconds. Jobs are
    handed out as results are taken, so at most 2 × `workers` results wait in memory.
    """
    waiting: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
    finished: queue.SimpleQueue[tuple[Job, Result]] = queue.SimpleQueue()
    given_up = threading.Event()

    def loop() -> None:
        while (job := waiting.get()) is not None and not given_up.is_set():
            finished.put((job, work(job)))

    threads = [
        threading.Thread(target=loop, name=f"index-{k}", daemon=True)
        for k in range(min(workers, len(jobs)))
    ]
    upcoming = iter(jobs)
    for job in itertools.islice(upcoming, 2 * len(threads)):
        waiting.put(job)
    try:
        for thread in threads:
            thread.start()
        for _ in jobs:
            result = finished.get()
            if (following := next(upcoming, None)) is not None:
                waiting.put(following)
            yield result
    finally:
        given_up.set()
        for _ in threads:
            waiting.put(None)
        for thread in threads:
            if thread.ident is not None:
                thread.join(_GRACE / len(threads))
