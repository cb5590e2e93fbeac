"""Jobs that requests start: waiting, done by threads in turn, watched and cancelled."""

from __future__ import annotations

import asyncio
import functools
import secrets
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from mgsv.jobs import Cancelled, Job, Progress
from mgsv.media.isolated import watched
from mgsv.studio.problems import Naming, Refusal, problem_values
from mgsv.studio.store import DocumentStore

State = Literal["waiting", "running", "done", "failed", "cancelled"]
Kind = Literal["index", "ground", "render", "timeline", "explain"]
Work = Callable[["StudioJob"], dict[str, Any]]
"""Does a job and gives its result. May raise `MgsvError`, and `Cancelled` at its steps."""

EVERYONE = "*"
"""The workspace of jobs that all may see."""
ENDED = ("done", "failed", "cancelled")
KEPT = 500
"""Jobs that have ended and can still be looked at."""
STEP = 0.1
"""Seconds between two events of one job's progress."""


@dataclass
class StudioJob:
    """A job and what is known of it. Changed by the board alone."""

    id: str
    workspace: str
    clip: str
    kind: Kind
    request: dict[str, Any]
    """What was asked for, in JSON's values, so that it can be done after a restart."""
    state: State = "waiting"
    step: Progress | None = None
    seconds_left: float | None = None
    problem: dict[str, Any] | None = None
    result: dict[str, Any] | None = None
    event: int = 0
    """The number of its last event: rises over all jobs."""
    began: float = 0.0
    told: float = 0.0
    handle: Job = field(default_factory=Job)

    @property
    def ended(self) -> bool:
        return self.state in ENDED


class Board:
    """The jobs of a studio, and the threads that do them, in the order in which they came.

    `work` by kind. What was waiting or running when the studio ended waits again.
    """

    def __init__(self, store: DocumentStore, naming: Naming, most_waiting: int) -> None:
        self._store, self._naming, self._most = store, naming, most_waiting
        self._jobs: dict[str, StudioJob] = {}
        self._waiting: deque[StudioJob] = deque()
        self._work: dict[Kind, Work] = {}
        self._change = threading.Condition()
        # Events rise over restarts too: more than one in a millisecond never come for long.
        self._event, self._closed = time.time_ns() // 1_000_000, False
        self._listeners: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        for document in store.all("job"):
            self._restore(StudioJob(**document))

    def start(self, work: dict[Kind, Work], workers: int) -> None:
        """Begin to do jobs, as many at once as there are workers; `index` has a thread of its
        own."""
        self._work = work
        for number in range(workers):
            threading.Thread(target=self._serve, name=f"studio-{number}", daemon=True).start()

    def add(
        self, workspace: str, clip: str, kind: Kind, request: dict[str, Any] | None = None
    ) -> StudioJob:
        """A new job. Raises `Refusal` where too many are waiting."""
        with self._change:
            waiting = sum(one.workspace == workspace for one in self._waiting)
            if waiting >= self._most:
                raise Refusal(
                    429, f"{waiting} jobs are waiting", "wait for some", {"Retry-After": "5"}
                )
            job = StudioJob(secrets.token_urlsafe(12), workspace, clip, kind, request or {})
            job.handle = Job(functools.partial(self._report, job))
            self._jobs[job.id] = job
            self._changed(job)
            if kind == "index":
                threading.Thread(target=self._do, args=(job,), daemon=True).start()
            else:
                self._waiting.append(job)
                self._change.notify()
            self._forget_old()
        return job

    def get(self, id: str, workspace: str) -> StudioJob:
        """Raises `Refusal` where this workspace has no such job."""
        job = self._jobs.get(id)
        if job is None or job.workspace not in (workspace, EVERYONE):
            raise Refusal(404, "there is no such job", "it may have ended long ago")
        return job

    def of(self, workspace: str, clip: str = "") -> list[StudioJob]:
        return [
            job
            for job in list(self._jobs.values())
            if job.workspace in (workspace, EVERYONE) and clip in ("", job.clip)
        ]

    def cancel(self, job: StudioJob) -> None:
        """End it: at once where it is waiting, else at its next step. An ended one stays so."""
        with self._change:
            job.handle.cancel()
            if job.state == "waiting":
                if job in self._waiting:
                    self._waiting.remove(job)
                self._end(job, "cancelled")

    def cancel_of(self, clip: str) -> None:
        """The jobs of a clip that is removed."""
        for job in [one for one in list(self._jobs.values()) if one.clip == clip]:
            self.cancel(job)

    async def events(
        self, workspace: str, after: int = 0, only: StudioJob | None = None
    ) -> AsyncIterator[StudioJob | None]:
        """Each job of the workspace that has changed since event `after`, and then those that
        change; None now and then, where nothing does. Ends with the end of `only`.
        """
        news, loop = asyncio.Event(), asyncio.get_running_loop()
        self._listeners[news] = loop
        try:
            while not self._closed:
                news.clear()
                jobs = [only] if only is not None else self.of(workspace)
                for job in sorted(jobs, key=lambda one: one.event):
                    if job.event > after:
                        after = job.event
                        yield job
                if only is not None and only.ended:
                    return
                try:
                    await asyncio.wait_for(news.wait(), 10)
                except TimeoutError:
                    yield None
        finally:
            self._listeners.pop(news, None)

    @property
    def watchers(self) -> int:
        return len(self._listeners)

    def close(self) -> None:
        """End what is running; it is begun anew at the next start."""
        with self._change:
            self._closed = True
            self._change.notify_all()
            for job in self._jobs.values():
                job.handle.cancel()
        self._wake()

    def _serve(self) -> None:
        while True:
            with self._change:
                while not self._waiting and not self._closed:
                    self._change.wait()
                if self._closed:
                    return
                job = self._waiting.popleft()
            self._do(job)

    def _do(self, job: StudioJob) -> None:
        with self._change:
            if job.ended:
                return
            job.state, job.began = "running", time.monotonic()
            self._changed(job)
        try:
            with watched(job.handle.check):
                result = self._work[job.kind](job)
        except Cancelled:
            self._finish(job, "cancelled")
        except Exception as error:
            job.problem = problem_values(self._naming.problem(error))
            self._finish(job, "failed")
        else:
            job.result = result
            self._finish(job, "done")

    def _report(self, job: StudioJob, step: Progress) -> None:
        now = time.monotonic()
        with self._change:
            last = job.step
            job.step = step
            if step.total and step.done:
                job.seconds_left = (now - job.began) / step.done * (step.total - step.done)
            if (
                last is None
                or last.what != step.what
                or step.done == step.total
                or (now - job.told >= STEP)
            ):
                job.told = now
                self._changed(job, keep=False)

    def _finish(self, job: StudioJob, state: State) -> None:
        with self._change:
            if not self._closed:  # else it waits for the next start
                self._end(job, state)

    def _end(self, job: StudioJob, state: State) -> None:
        job.state, job.seconds_left = state, None
        self._changed(job)

    def _changed(self, job: StudioJob, *, keep: bool = True) -> None:
        self._event += 1
        job.event = self._event
        if keep and job.kind != "index":
            self._store.put("job", job.id, _document(job))
        self._wake()

    def _wake(self) -> None:
        for news, loop in list(self._listeners.items()):
            if not loop.is_closed():
                loop.call_soon_threadsafe(news.set)

    def _restore(self, job: StudioJob) -> None:
        job.handle = Job(functools.partial(self._report, job))
        if not job.ended:
            job.state = "waiting"
            self._waiting.append(job)
        self._jobs[job.id] = job

    def _forget_old(self) -> None:
        ended = [job for job in self._jobs.values() if job.ended]
        for job in ended[: max(0, len(ended) - KEPT)]:
            del self._jobs[job.id]
            self._store.drop("job", job.id)


def _document(job: StudioJob) -> dict[str, Any]:
    kept = ("id", "workspace", "clip", "kind", "request", "state", "problem", "result", "event")
    return {name: getattr(job, name) for name in kept}
