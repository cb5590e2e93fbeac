"""The same job for many tasks, in several processes or in this one."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Workers:
    """`map` over several processes, or over this one where that is enough."""

    def __init__(self, pool: ProcessPoolExecutor | None) -> None:
        self._pool = pool

    def map(self, job: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
        """What `job` gives for each task, in their order; both must be picklable."""
        return map(job, tasks) if self._pool is None else self._pool.map(job, tasks)


@contextmanager
def several(jobs: int) -> Iterator[Workers]:
    """`jobs` workers, each with one torch thread; an error drops what has not begun."""
    if jobs == 1:
        yield Workers(None)
        return
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    with ProcessPoolExecutor(jobs, context, initializer=_one_thread) as pool:
        try:
            yield Workers(pool)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
