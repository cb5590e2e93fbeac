"""A running studio, as `mgsv studio` starts it, and programs that use it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

API = "/api/v1"


@dataclass(frozen=True)
class Running:
    """A studio that serves; its folder, and what it has printed."""

    url: str
    process: subprocess.Popen[bytes]
    folder: Path
    log: Path

    def client(self, **options: Any) -> Client:
        """One with a workspace of its own, as browsers have it."""
        cookies = {"mgsv-workspace": secrets.token_urlsafe(16)}
        return Client(base_url=self.url, timeout=30, **{"cookies": cookies, **options})

    def memory(self) -> int:
        """Bytes that the server's process holds, without its decoders."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return int(found[1]) * 1024


class Client(httpx.Client):
    """Calls of the REST interface that many tests need."""

    def upload(self, path: Path, name: str = "") -> dict[str, Any]:
        with path.open("rb") as file:
            answer = self.post(
                f"{API}/clips/upload", params={"name": name or path.name}, content=file
            )
        assert answer.status_code == 201, answer.text
        return answer.json()

    def begin(self, path: str, **request: Any) -> str:
        """Starts a job; its place."""
        answer = self.post(f"{API}/{path}", json=request)
        assert answer.status_code == 202, answer.text
        return answer.headers["location"]

    def do(self, path: str, **request: Any) -> dict[str, Any]:
        """Does a job; the job when it has ended."""
        return self.ended(self.begin(path, **request))

    def ended(self, place: str) -> dict[str, Any]:
        *_, last = self.events(f"{place}/events")
        return last[1]

    def events(self, path: str, last: str = "") -> Iterator[tuple[int, dict[str, Any]]]:
        """(id, job) of each event of a stream, until it ends."""
        headers = {"Last-Event-ID": last} if last else {}
        with self.stream("GET", path, headers=headers) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            number = 0
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if name == "id":
                    number = int(value)
                elif name == "data":
                    yield number, json.loads(value)


@contextlib.contextmanager
def running(folder: Path, *arguments: object, **environment: str) -> Iterator[Running]:
    """`mgsv studio ARGUMENTS…` on a free port, its queue in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    command = [sys.executable, "-m", "mgsv", "studio", "--no-browser", "--port", "0"]
    command += ["--queue", str(folder / "queue"), *map(str, arguments)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=os.environ | environment
        )
    try:
        yield Running(_address(process, log), process, folder, log)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    for _ in range(600):
        if found := re.search(r"studio: http://[^/]+:(\d+)/", log.read_text()):
            address = f"http://127.0.0.1:{found[1]}"
            with contextlib.suppress(httpx.TransportError):
                httpx.get(address)
                return address
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(f"the studio does not answer: {log.read_text()}")
