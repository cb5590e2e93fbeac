"""How fast the studio answers many at once, and how much memory that takes.

PYTHONPATH=tests/support .venv/bin/python benchmarks/studio.py [--minutes 2] [--sessions 50]

- `--sessions` people for `--minutes`: each grounds a clip that was read before, looks at what the
  page looks at, and plays parts of its media; 95th percentile of calls but jobs, errors, memory.
- From the clip that is dropped to its first candidates, among `--tracks` tracks, warm.
- The memory for an upload of `--gigabytes`.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mgsv.demo import demo_clip, demo_music
from mgsv.library import Library
from studio_support import API, Client, Running, running

PAUSE = 0.5
"""Seconds, on average, between two calls of one person: quicker than anybody clicks."""


class Tally:
    """What the calls of all sessions took."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.errors: list[str] = []
        self._lock = threading.Lock()

    def get(self, client: Client, path: str, **options: object) -> object:
        began = time.perf_counter()
        answer = client.get(f"{API}/{path}", **options)
        took = time.perf_counter() - began
        with self._lock:
            self.seconds.append(took)
            if answer.status_code >= 400:
                self.errors.append(f"{answer.status_code} {path}")
        return answer


def session(studio: Running, until: float, tally: Tally, seed: int) -> None:
    """One person at the page."""
    chance = random.Random(seed)
    with studio.client() as client:
        try:
            clip = client.post(f"{API}/clips", json={"path": demo_clip().name}).json()["id"]
            client.do(f"clips/{clip}/groundings")
            found = client.get(f"{API}/clips/{clip}/candidates").json()["moments"]
            size = demo_clip().stat().st_size
            while time.monotonic() < until:
                track = chance.choice(found)["track"]["id"]
                first = chance.randrange(size)
                part = {"Range": f"bytes={first}-{min(size, first + 100_000) - 1}"}
                call = chance.choice(
                    [
                        ("clips", {}),
                        (f"clips/{clip}", {}),
                        (f"clips/{clip}/candidates", {}),
                        (f"clips/{clip}/picture", {}),
                        (f"tracks/{track}/peaks", {}),
                        (f"tracks/{track}/structure", {}),
                        ("library", {}),
                        (f"clips/{clip}/media", {"headers": part}),
                    ]
                )
                tally.get(client, call[0], **call[1])
                if chance.random() < 0.02:
                    client.do(f"clips/{clip}/groundings")
                time.sleep(chance.expovariate(1 / PAUSE))
        except Exception as error:
            tally.errors.append(f"{type(error).__name__}: {error}")


def many(studio: Running, sessions: int, minutes: float) -> None:
    tally, memory = Tally(), []
    until = time.monotonic() + 60 * minutes
    people = [
        threading.Thread(target=session, args=(studio, until, tally, n)) for n in range(sessions)
    ]
    for person in people:
        person.start()
    while any(person.is_alive() for person in people):
        time.sleep(1)
        memory.append(studio.memory() / 1e6)
    p50, p95, p99 = np.percentile(np.array(tally.seconds) * 1000, [50, 95, 99])
    third = max(1, len(memory) // 3)
    print(f"{sessions} sessions, {minutes:g} minutes: {len(tally.seconds)} calls")
    print(f"  p50 {p50:.0f} ms, p95 {p95:.0f} ms, p99 {p99:.0f} ms; {len(tally.errors)} errors")
    print(
        f"  memory: {np.mean(memory[third : 2 * third]):.0f} MB in the second third of the time, "
        f"{np.mean(memory[-third:]):.0f} MB in the last"
    )
    for error in sorted(set(tally.errors))[:5]:
        print("  ", error)


def first_candidates(studio: Running) -> None:
    """Upload, reading and grounding, after one clip that warms all up."""
    with studio.client() as client:
        took = []
        for number in range(4):
            began = time.perf_counter()
            clip = client.upload(demo_clip(), f"{number}.mp4")["id"]
            assert client.do(f"clips/{clip}/groundings")["state"] == "done"
            assert client.get(f"{API}/clips/{clip}/candidates").json()["moments"]
            took.append(time.perf_counter() - began)
        count = client.get(f"{API}/library").json()["tracks"]
    print(f"from the dropped clip to candidates among {count} tracks: {min(took[1:]):.2f} s")


def upload(studio: Running, gigabytes: float) -> None:
    """A clip with so much after its end that no player minds: a `free` box of MP4."""
    clip, size = demo_clip().read_bytes(), round(gigabytes * 1e9)
    padding = size - len(clip)
    head = b"\0\0\0\1free" + padding.to_bytes(8, "big")

    def body() -> Iterator[bytes]:
        yield clip + head
        for _ in range((padding - 16) // (1 << 20)):
            yield bytes(1 << 20)
        yield bytes((padding - 16) % (1 << 20))

    with studio.client() as client:
        before, peak, done = studio.memory(), 0, threading.Event()

        def watch() -> None:
            nonlocal peak
            while not done.wait(0.05):
                peak = max(peak, studio.memory())

        watcher = threading.Thread(target=watch)
        watcher.start()
        began = time.perf_counter()
        answer = client.post(
            f"{API}/clips/upload?name=large.mp4",
            content=body(),
            headers={"Content-Length": str(size)},
            timeout=600,
        )
        took = time.perf_counter() - began
        done.set()
        watcher.join()
        assert answer.status_code == 201, answer.text
        client.delete(f"{API}/clips/{answer.json()['id']}")
    print(f"upload of {gigabytes:g} GB: {took:.0f} s, {(peak - before) / 1e6:.0f} MB more memory")


def larger(folder: Path, count: int) -> None:
    """So many tracks in `folder`: the demo's, each time with other bytes after its end."""
    tracks = sorted(demo_music()[0].glob("*/*.opus"))
    folder.mkdir()
    for number in range(count):
        source = tracks[number % len(tracks)]
        copy = folder / f"{number:04}{source.suffix}"
        shutil.copy(source, copy)
        with copy.open("ab") as file:
            file.write(number.to_bytes(4, "big"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--tracks", type=int, default=1000)
    parser.add_argument("--library", type=Path, help="keep the indexed tracks here for next time")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        kept = given.library or folder / "kept"
        kept.mkdir(parents=True, exist_ok=True)
        if not (kept / "music").exists():
            larger(kept / "music", given.tracks - 29)
        music = [kept / "music", *demo_music()]
        with Library.open(music, folder=kept / "library"):
            pass
        words = [word for one in music for word in ("--music", str(one))]
        more = ["--library", str(kept / "library"), "--clips", str(demo_clip().parent)]
        with running(folder / "studio", *words, *more) as studio:
            with studio.client() as client:
                while not client.get(f"{API}/library").json()["ready"]:
                    time.sleep(0.5)
            first_candidates(studio)
            many(studio, given.sessions, given.minutes)
            upload(studio, given.gigabytes)


if __name__ == "__main__":
    main()
