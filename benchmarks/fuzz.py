"""Thousands of damaged files through all that reads media: none may stop `mgsv`.

    .venv/bin/python benchmarks/fuzz.py --count 10000 --keep crashers

Each input is a small real file, changed where its format can be: boxes, chunks, pages and packets
are dropped, doubled, swapped, grafted and cut, their lengths, counts, times and channels changed.
It is probed, decoded, rendered, indexed and annotated. Prints a table by format and stage, and
every fault; exits with 1 if `mgsv` crashed, hung, or gave a traceback or nonsense. What happened to
a decoder process alone, and cost its file an error, is counted apart.

The same seed makes the same inputs, as long as PyAV is the same.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fuzz_mutations import mutated
from fuzz_specimens import RECIPES, Specimen, specimens, write
from fuzz_stages import OUTCOMES, STAGES, Bench, Result, run

from mgsv.encoders.registry import music_encoder

BATCH = 20
"""Inputs that are indexed and annotated together."""
SILENCE = 60.0
"""Seconds without a word from a job, after which it counts as hanging. A word comes before and
after each stage of a file; a stage that takes too long but ends is judged by the job."""
HARMLESS = ("ok", "refused")
CONTAINED = ("decoder crash", "decoder hang")


@dataclass(frozen=True)
class Plan:
    """What is to be run. formats: part of their names; encoder: of the music, by name."""

    count: int
    seed: int = 0
    first: int = 0
    jobs: int = 1
    formats: str = ""
    encoder: str = "default"
    keep: Path | None = None


@dataclass
class Tally:
    """What came of it. results: by input, as they came. notes: of each input, its changes."""

    results: list[tuple[str, Result]] = field(default_factory=list)

    def faults(self) -> list[Result]:
        return [result for _, result in self.results if result.outcome not in HARMLESS]

    def passed(self) -> bool:
        return all(result.outcome in CONTAINED for result in self.faults())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--formats", default="", help="only those with this in their names")
    parser.add_argument("--encoder", default="default", help="of the music; `tiny` is quick")
    parser.add_argument("--keep", type=Path, help="folder for inputs that show a fault")
    plan = Plan(**vars(parser.parse_args()))
    start = time.monotonic()
    tally = fuzz(plan)
    print_table(tally)
    print(f"\n{plan.count} inputs in {time.monotonic() - start:.0f} s, seed {plan.seed}")
    return 0 if tally.passed() else 1


def fuzz(plan: Plan) -> Tally:
    """Run the plan in processes of their own."""
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="mgsv-fuzz-") as scratch:
        folder = Path(scratch) / "specimens"
        folder.mkdir()
        sources = _sources(folder, plan.formats)
        numbers = range(plan.first, plan.first + plan.count)
        work: queue.SimpleQueue[range] = queue.SimpleQueue()
        for at in range(0, plan.count, BATCH):
            work.put(numbers[at : at + BATCH])
        jobs = [_Job(plan, Path(scratch) / f"job-{n}", folder) for n in range(plan.jobs)]
        threads = [threading.Thread(target=job.take, args=(work, tally)) for job in jobs]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(0.2)
            for job in jobs:
                job.end_if_silent()
        if not work.empty():
            raise RuntimeError("the fuzzing itself failed")
        if plan.keep is not None:
            _keep(tally, sources, plan, plan.keep)
    return tally


def made(sources: Sequence[Specimen], seed: int, number: int) -> tuple[str, bytes, list[str]]:
    """Name, bytes and changes of an input."""
    source = sources[number % len(sources)]
    donor = sources[(number * 7 + number // len(sources)) % len(sources)]
    data, notes = mutated(source.data, donor.data, f"{seed}:{number}")
    return f"{number:06d}-{source.format}{source.ending}", data, notes


def serve(specimens: str, folder: str, seed: str, formats: str, encoder: str) -> None:
    """Be a job: read ranges of numbers, one a line, and tell what comes of those inputs."""
    sources = _sources(Path(specimens), formats)
    recipes = {recipe.name: recipe for recipe in RECIPES}
    scratch = Path(folder)
    inputs, output = scratch / "inputs", scratch / "output"
    inputs.mkdir(parents=True)
    output.mkdir()
    bench = Bench(
        write(recipes["mp4-h264-aac.mp4"], scratch / "clip.mp4"),
        write(recipes["flac.flac"], scratch / "track.flac"),
        music_encoder(encoder),
        output,
    )

    def tell(*words: str) -> None:
        print(json.dumps(words), flush=True)

    for line in sys.stdin:
        videos, files = [], []
        for number in range(*map(int, line.split())):
            name, data, _ = made(sources, int(seed), number)
            (inputs / name).write_bytes(data)
            files.append(inputs / name)
            if sources[number % len(sources)].is_video:
                videos.append(inputs / name)
        for result in run(files, videos, bench, lambda *words: tell("begun", *words)):
            tell("result", *result)
        for path in files:
            path.unlink()
        tell("done")


def _sources(folder: Path, formats: str) -> list[Specimen]:
    return [one for one in specimens(folder) if formats in one.format]


class _Job:
    """A process that takes one batch after the other, and another one when it dies."""

    def __init__(self, plan: Plan, scratch: Path, folder: Path) -> None:
        self._plan, self._scratch, self._folder = plan, scratch, folder
        self._process: subprocess.Popen[str] | None = None
        self._heard = time.monotonic()
        self._hangs = False
        self._starts = itertools.count()

    def take(self, work: queue.SimpleQueue[range], tally: Tally) -> None:
        while True:
            try:
                batch = work.get_nowait()
            except queue.Empty:
                break
            while batch:
                batch = self._do(batch, tally)
        if self._process is not None:
            self._process.stdin.close()  # type: ignore[union-attr]
            self._process.wait()

    def end_if_silent(self) -> None:
        process = self._process
        if process is not None and time.monotonic() - self._heard > SILENCE:
            self._hangs = True
            process.kill()

    def _do(self, batch: range, tally: Tally) -> range:
        """Have `batch` done; what is left of it where the process died."""
        process = self._started()
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(f"{batch.start} {batch.stop}\n")
        process.stdin.flush()
        stage = name = ""
        self._heard = time.monotonic()
        for line in process.stdout:
            self._heard = time.monotonic()
            kind, *words = json.loads(line)
            if kind == "begun":
                stage, name = words
            elif kind == "result":
                tally.results.append((words[1], Result(*words)))
            else:
                return range(0)
        status = process.wait()
        if not stage:
            raise RuntimeError(f"the fuzzing itself failed at {batch}")
        outcome = "hang" if self._hangs else "crash"
        inputs = f"exit status {status}, inputs {batch.start} to {batch.stop - 1}"
        tally.results.append((name, Result(stage, name, outcome, inputs)))
        self._process = None
        alone = name[:6].isdigit() and stage in ("probe", "decode", "render")
        return range(int(name[:6]) + 1, batch.stop) if alone else range(0)

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._hangs = False
            plan, scratch = self._plan, self._scratch / str(next(self._starts))
            code = "from fuzz import *; serve(*sys.argv[1:])"
            here = str(Path(__file__).parent)
            told = (self._folder, scratch, plan.seed, plan.formats, plan.encoder)
            self._process = subprocess.Popen(
                [sys.executable, "-c", code, *map(str, told)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join([here, *(path for path in sys.path if path)]),
                    "OMP_NUM_THREADS": "1",
                },
            )
        return self._process


def _keep(tally: Tally, sources: Sequence[Specimen], plan: Plan, folder: Path) -> None:
    """Write the inputs that showed a fault, and beside each what it is and what came of it."""
    folder.mkdir(parents=True, exist_ok=True)
    faults: dict[int, list[Result]] = {}
    for result in tally.faults():
        if result.name[:6].isdigit():
            faults.setdefault(int(result.name[:6]), []).append(result)
    for number, results in faults.items():
        name, data, notes = made(sources, plan.seed, number)
        path = folder / f"{plan.seed}-{name}"
        path.write_bytes(data)
        told = [f"{one.stage}: {one.outcome}\n{one.detail}\n" for one in results]
        text = "\n".join([*notes, "", *told])
        path.with_suffix(".txt").write_text(text, errors="backslashreplace")


def print_table(tally: Tally) -> None:
    """Files that went well, by format and stage; what came of all, by stage; every fault."""
    formats: dict[str, Counter[tuple[str, str]]] = {}
    for name, result in tally.results:
        of = formats.setdefault(Path(name).stem[7:], Counter())
        of[result.stage, result.outcome] += 1
        of[result.stage, ""] += 1
    print(f"{'format':18}" + "".join(f"{stage:>14}" for stage in STAGES) + "   faults")
    for name in sorted(formats):
        of = formats[name]
        cells = [f"{of[stage, 'ok']} of {of[stage, '']}" for stage in STAGES]
        bad = [key for key in sorted(of) if key[1] not in ("", *HARMLESS)]
        faults = ", ".join(f"{of[key]} {': '.join(key)}" for key in bad)
        print(f"{name:18}" + "".join(f"{cell:>14}" for cell in cells) + f"   {faults}")
    print()
    whole: Counter[tuple[str, str]] = sum(formats.values(), Counter())
    print(f"{'outcome':18}" + "".join(f"{stage:>14}" for stage in STAGES))
    for outcome in OUTCOMES:
        row = "".join(f"{whole[stage, outcome]:14}" for stage in STAGES)
        print(f"{outcome:18}{row}")
    for result in tally.faults():
        last = result.detail.strip().splitlines()[-1:] or [""]
        print(f"\n{result.name} {result.stage}: {result.outcome}\n    {last[0]}")


if __name__ == "__main__":
    raise SystemExit(main())
