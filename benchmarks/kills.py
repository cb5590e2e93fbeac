"""Commands killed at random times: what is lost, taken for whole, or left behind.

    python benchmarks/kills.py --count 200 --seed 1
    python benchmarks/kills.py --count 10 --jobs "library add" "data pack"

A command runs in a process forked from this one, which has everything imported, so that the kills
fall on its work. Half of the kills are spread over the time that an unkilled run took, half over
the time from its first change of a file on. Then a look at the folder, by other programs than
`mgsv`, compares it with what was there before and with what an unkilled run leaves; the command is
run again, to its end, which must be that of the unkilled run, byte for byte.

Columns: kills; landed before, while and after the command changed its files; lost: kills after
which something is gone that was there before or that the command had reported as done; half: kills
after which something half-written has a final name; went on: next runs that ended as an unkilled
one; left over: next runs after which a file stays that an unkilled one does not leave; running:
kills that left processes behind.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import torch
from killed_jobs import JOBS, Job, Seen, make_jobs

import mgsv.annotate
import mgsv.data.pack
import mgsv.grounding
import mgsv.methods.sync
import mgsv.training.fit  # noqa: F401 (imported here for the processes forked below)
from mgsv.cli import main as mgsv_main

GRACE = 10.0
"""Seconds in which the processes that a killed one had started must be gone."""
LONGEST = 120.0
"""Seconds that a run may take before it counts as hanging."""


@dataclass
class Row:
    """A line of the table."""

    job: str
    kills: int = 0
    before: int = 0
    during: int = 0
    after: int = 0
    lost: int = 0
    half: int = 0
    went_on: int = 0
    left_over: int = 0
    running: int = 0
    faults: list[str] = field(default_factory=list)
    """What was lost, broken or left, in words."""

    def bad(self) -> bool:
        return bool(self.faults)


def start(words: Sequence[str], place: Path, output: Path) -> int:
    """Begin `mgsv WORDS…` in the folder `place`, its streams going to the file `output`."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 70
        try:
            os.setsid()
            os.chdir(place)
            stream = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for number in (1, 2):
                os.dup2(stream, number)
            torch.set_num_threads(1)
            status = mgsv_main(list(words))
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    return child


def ended(child: int, until: float, place: Path | None = None) -> tuple[int | None, float | None]:
    """Wait for `child` until a time of the clock: (its status, None where it still runs; when the
    files below `place` first changed)."""
    changed, before = None, None if place is None else signature(place)
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if place is not None and changed is None and signature(place) != before:
            changed = time.monotonic()
        if found:
            return os.waitstatus_to_exitcode(status), changed
        if time.monotonic() >= until:
            return None, changed
        time.sleep(min(0.002, max(0.0, until - time.monotonic())))


def run(place: Path, words: Sequence[str], until: Callable[[Path], bool] | None = None) -> None:
    """Run a command to its end, which must be a good one, or kill it when `until` holds."""
    with tempfile.NamedTemporaryFile() as output:
        child = start(words, place, Path(output.name))
        while until is not None and not until(place):
            time.sleep(0.002)
        if until is not None:
            os.kill(child, signal.SIGKILL)
        status, _ = ended(child, time.monotonic() + LONGEST)
        if status != (0 if until is None else -signal.SIGKILL):
            text = Path(output.name).read_text(errors="replace")
            raise RuntimeError(f"mgsv {' '.join(words)}: status {status}: {text}")


def signature(place: Path) -> set[tuple[str, int, int]]:
    """Name, size and time of everything below `place`."""
    found = set()
    for folder, folders, names in os.walk(place):
        for name in (*folders, *names):
            try:
                status = Path(folder, name).lstat()
            except FileNotFoundError:
                continue
            found.add((os.path.join(folder, name), status.st_size, status.st_mtime_ns))  # noqa: PTH118
    return found


def names(place: Path, passing: str) -> set[str]:
    """The files and folders below `place`, but for those whose names depend on the time."""
    found = {str(path.relative_to(place)) for path in place.rglob("*")}
    return {name for name in found if not (passing and fnmatch(name, passing))}


def in_session(leader: int) -> list[int]:
    """The live processes that the process `leader`, now dead, had started."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):
            continue
        if int(session) == leader and state != "Z":
            found.append(int(entry.name))
    return found


class Trials:
    """The kills of one job."""

    def __init__(self, job: Job, folder: Path) -> None:
        self.job, self.folder, self.row = job, folder, Row(job.name)
        self.place, self.output = folder / "place", folder / "output"
        self.seen_before = [job.see(place) for place in job.starts]
        self.ends: list[tuple[float, float]] = []
        for which in range(len(job.starts)):
            self.ends.append(self._measure(which))

    def _measure(self, which: int) -> tuple[float, float]:
        """Seconds to the first change and to the end of an unkilled run."""
        self._begin(which)
        began = time.monotonic()
        child = start(self.job.words, self.place, self.output)
        status, changed = ended(child, began + LONGEST, self.place)
        end = time.monotonic() - began
        seen = self.job.see(self.place)
        if status != 0 or seen.broken:
            raise RuntimeError(f"{self.job.name}: {self.output.read_text()} {seen.broken}")
        if which == 0:
            self.end, self.names = seen, names(self.place, self.job.passing)
        elif different := self._differs(seen):
            raise RuntimeError(f"{self.job.name}: its end depends on its start: {different}")
        return (changed or began) - began, end

    def _begin(self, which: int) -> None:
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(self.job.starts[which], self.place)

    def kill(self, number: int, seed: int) -> None:
        """The `number`th kill, and all that is looked at after it."""
        which = number // 2 % len(self.job.starts)
        first, last = self.ends[which]
        chance = random.Random(f"{seed} {self.job.name} {number}")
        delay = chance.uniform(first if number % 2 else 0.0, last)
        self._begin(which)
        untouched = signature(self.place)
        began = time.monotonic()
        child = start(self.job.words, self.place, self.output)
        status, _ = ended(child, began + delay)
        if status is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        self.row.kills += 1
        self._look(f"kill {number} after {delay:.3f} s", which, untouched, child)
        self._go_on(f"after kill {number}, {delay:.3f} s")

    def _look(self, when: str, which: int, untouched: object, child: int) -> None:
        row, before = self.row, self.seen_before[which]
        end = time.monotonic() + GRACE
        while (left := in_session(child)) and time.monotonic() < end:
            time.sleep(0.01)
        for process in left:
            os.kill(process, signal.SIGKILL)
        seen = self.job.see(self.place)
        if signature(self.place) == untouched:
            row.before += 1
        elif seen.whole == self.end.whole:
            row.after += 1
        else:
            row.during += 1
        lost = self._lost(before, seen)
        row.lost += bool(lost)
        row.half += bool(seen.broken)
        row.running += bool(left)
        for what, found in (("lost", lost), ("half", seen.broken), ("running", left)):
            if found:
                row.faults.append(f"{row.job}, {when}: {what}: {found}")

    def _lost(self, before: Seen, seen: Seen) -> list[str]:
        """What was there, or reported as done, and is gone."""
        text = self.output.read_text(errors="replace")
        lost = [f"{name} as reported" for name in sorted(self.job.reported(text))
                if seen.whole.get(name) != self.end.whole[name]]  # fmt: skip
        lost += [f"progress {before.progress}"] if seen.progress < before.progress else []
        return lost + [
            name
            for name, value in before.whole.items()
            if name not in seen.whole
            or (not seen.progress and seen.whole[name] not in (value, self.end.whole.get(name)))
        ]

    def _differs(self, seen: Seen) -> list[str]:
        """What is not as after an unkilled run."""
        there = seen.whole.keys() | self.end.whole.keys()
        return sorted(n for n in there if seen.whole.get(n) != self.end.whole.get(n))

    def _go_on(self, when: str) -> None:
        child = start(self.job.words, self.place, self.output)
        status, _ = ended(child, time.monotonic() + LONGEST)
        if status is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        seen = self.job.see(self.place)
        differs = self._differs(seen)
        well = status == 0 and not differs and not seen.broken
        left = sorted(names(self.place, self.job.passing) ^ self.names)
        self.row.went_on += well
        self.row.left_over += bool(left)
        if not well:
            text = self.output.read_text(errors="replace").strip()
            self.row.faults.append(f"{self.row.job}, {when}: status {status}, {differs}: {text}")
        if left:
            self.row.faults.append(f"{self.row.job}, {when}: left over: {left}")


def table(rows: Sequence[Row]) -> str:
    head = ("kills", "before", "during", "after", "lost", "half", "went on", "left over", "running")
    lines = [f"{'command':16}" + "".join(f"{name:>11}" for name in head)]
    for row in rows:
        cells = [getattr(row, name.replace(" ", "_")) for name in head]
        lines.append(f"{row.job:16}" + "".join(f"{cell:11}" for cell in cells))
    return "\n".join(lines)


def total(rows: Sequence[Row]) -> Row:
    whole = Row("all")
    for row in rows:
        for name, value in asdict(row).items():
            if name != "job":
                setattr(whole, name, getattr(whole, name) + value)
    return whole


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=200, help="kills in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=JOBS, metavar="COMMAND")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="mgsv-kills-") as temporary:
        folder = Path(temporary)
        jobs = list(make_jobs(folder, run, options.jobs))
        for number, job in enumerate(jobs):
            trials = Trials(job, folder)
            for kill in range(options.count // len(jobs) + (number < options.count % len(jobs))):
                trials.kill(kill, options.seed)
            rows.append(trials.row)
            for fault in trials.row.faults:
                print(fault, file=sys.stderr)
    rows.append(total(rows))
    print(json.dumps([asdict(row) for row in rows], indent=1) if options.json else table(rows))
    return 1 if rows[-1].faults or rows[-1].went_on != rows[-1].kills else 0


if __name__ == "__main__":
    sys.exit(main())
