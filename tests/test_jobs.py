"""Progress, cancelling, and work that is shared out to threads and processes."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from job_functions import lag, leave, pid, reciprocal, write_slowly
from library_support import start
from mgsv.errors import ConfigError
from mgsv.jobs import Cancelled, Executor, Job, Outcome, Processes, Progress, Threads, in_order

PARENT = """
import os, sys, time
from mgsv.jobs import Processes

def pause(item):
    print(os.getpid(), flush=True)
    time.sleep(60)

if __name__ == "__main__":
    with Processes(2) as processes:
        list(processes.map(pause, range(4)))
"""


@pytest.fixture(params=["threads", "this process", "processes"])
def executor(request: pytest.FixtureRequest, processes: Processes) -> Executor:
    made = {"threads": Threads(3), "this process": Processes(1), "processes": processes}
    return made[request.param]


@pytest.fixture(scope="module")
def processes() -> Iterator[Processes]:
    with Processes(2) as opened:
        yield opened


# --- progress ---------------------------------------------------------------------------------


def test_a_job_passes_its_steps_on() -> None:
    steps: list[Progress] = []
    job = Job(steps.append)
    job.report(Progress("videos", 1, 2, Path("a.mp4")))
    assert steps == [Progress("videos", 1, 2, Path("a.mp4"), "", 0.0)]


def test_a_cancelled_job_ends_at_its_next_step() -> None:
    """Also where one bad item does not end it."""
    job = Job()
    done = []

    def work() -> None:
        for number in range(10):
            try:
                done.append(number)
                job.report(Progress("items", number))
            except Exception:
                continue
            if number == 3:
                job.cancel()

    with pytest.raises(Cancelled):
        work()
    assert done == [0, 1, 2, 3, 4]


def test_cancelling_stops_the_executor() -> None:
    job = Job()
    started: list[int] = []
    with (
        pytest.raises(Cancelled),
        contextlib.closing(Threads(2).map(started.append, range(99))) as o,
    ):
        for number, _ in enumerate(o):
            job.report(Progress("items", number))
            job.cancel()
    assert len(started) <= 1 + 2 * 2 + 1


# --- outcomes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 3, 50])
def test_each_item_is_done_once(executor: Executor, count: int) -> None:
    outcomes = sorted(executor.map(str, range(count)), key=lambda outcome: outcome.index)
    assert outcomes == [Outcome(k, k, str(k)) for k in range(count)]


def test_an_error_is_the_outcome_of_its_item_alone(executor: Executor) -> None:
    outcomes = {outcome.item: outcome for outcome in executor.map(reciprocal, [4, 0, 2])}
    assert (outcomes[4].result(), outcomes[2].result()) == (0.25, 0.5)
    assert isinstance(outcomes[0].error, ZeroDivisionError) and outcomes[0].value is None
    with pytest.raises(ZeroDivisionError):
        outcomes[0].result()


def test_what_is_no_error_of_the_item_ends_the_map(executor: Executor) -> None:
    """And above all does not wait for an outcome that never comes."""
    with pytest.raises(SystemExit, match="no Exception"):
        list(executor.map(leave, [1, 2]))


def test_items_and_values_may_be_none(executor: Executor) -> None:
    outcomes = list(executor.map(type, [None, None]))
    assert [outcome.result() for outcome in outcomes] == [type(None)] * 2
    assert [outcome.result() for outcome in executor.map(print, [""])] == [None]


def test_outcomes_can_be_had_in_order(executor: Executor) -> None:
    assert [outcome.result() for outcome in in_order(executor.map(lag, range(6)))] == [*range(6)]


@pytest.mark.parametrize("count", [0, -1])
@pytest.mark.parametrize("kind", [Threads, Processes])
def test_there_is_at_least_one_worker(kind: type[Threads | Processes], count: int) -> None:
    with pytest.raises(ConfigError, match=rf"^`jobs` {count}: needs at least 1$"):
        kind(count)


# --- stopping early ---------------------------------------------------------------------------


def test_a_closed_map_starts_no_further_item() -> None:
    started: list[int] = []
    outcomes = Threads(2).map(started.append, range(1000))
    next(outcomes)
    outcomes.close()
    count = len(started)
    assert count <= 2 * 2 + 1
    time.sleep(0.05)
    assert len(started) == count
    assert not any(thread.name.startswith("work-") for thread in threading.enumerate())


def test_closing_waits_at_most_two_seconds_for_threads() -> None:
    ended = threading.Event()
    outcomes = Threads(2).map(lambda item: item and ended.wait(30), range(2))
    next(outcomes)
    before = time.monotonic()
    outcomes.close()
    assert time.monotonic() - before < 5
    ended.set()


def test_closing_in_order_closes_the_map() -> None:
    started: list[int] = []
    outcomes = in_order(Threads(1).map(started.append, range(1000)))
    next(outcomes)
    outcomes.close()
    assert len(started) <= 3


def test_a_closed_map_leaves_the_processes_for_the_next(processes: Processes) -> None:
    outcomes = processes.map(lag, range(1000))
    next(outcomes)
    outcomes.close()
    assert [outcome.result() for outcome in processes.map(reciprocal, [2])] == [0.5]


def test_closing_waits_for_what_processes_are_at(processes: Processes, tmp_path: Path) -> None:
    outcomes = processes.map(write_slowly, [tmp_path / str(number) for number in range(1000)])
    next(outcomes)
    outcomes.close()
    written = sorted(tmp_path.iterdir())
    time.sleep(0.5)
    assert sorted(tmp_path.iterdir()) == written
    assert len(written) < 10


def test_waiting_for_threads_can_be_interrupted() -> None:
    ended = threading.Event()
    interrupt = partial(signal.pthread_kill, threading.get_ident(), signal.SIGINT)
    threading.Timer(0.1, interrupt).start()
    before = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        list(Threads(2).map(lambda _: ended.wait(30), range(4)))
    assert time.monotonic() - before < 10
    ended.set()


# --- processes --------------------------------------------------------------------------------


def test_processes_are_others_and_stay(processes: Processes) -> None:
    pids = {outcome.result() for _ in range(3) for outcome in processes.map(pid, range(8))}
    assert os.getpid() not in pids and 1 <= len(pids) <= 2


def test_one_process_is_this_one() -> None:
    assert [outcome.result() for outcome in Processes(1).map(pid, [0])] == [os.getpid()]


@pytest.mark.slow
def test_killed_parents_leave_no_workers(tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    program = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__')"
    parent = start(program, tmp_path / "parent.py", start_new_session=True)
    assert parent.stdout is not None
    workers = {int(parent.stdout.readline()) for _ in range(2)}
    assert in_session(parent.pid) >= workers
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    end = time.monotonic() + 10
    while (left := in_session(parent.pid)) and time.monotonic() < end:
        time.sleep(0.05)
    assert left == set()


def in_session(leader: int) -> set[int]:
    """The live processes of a session."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (OSError, ValueError):
            continue
        if entry.name.isdigit() and int(fields[3]) == leader and fields[0] != "Z":
            found.add(int(entry.name))
    return found
