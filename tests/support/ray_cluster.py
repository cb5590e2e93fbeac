"""A Ray cluster of several nodes on this machine, in a process of its own that can lose some."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_PROGRAM = """
import os, sys
from ray.cluster_utils import Cluster

options = {"num_cpus": 1, "object_store_memory": 100 << 20}
cores = sorted(os.sched_getaffinity(0))

def pin(number):
    if sys.argv[2] == "pinned":  # what is started from now on inherits it
        os.sched_setaffinity(0, {cores[number % len(cores)]})

pin(0)
cluster = Cluster(initialize_head=True, head_node_args={**options, "include_dashboard": False})
nodes = []
for number in range(1, int(sys.argv[1])):
    pin(number)
    nodes.append(cluster.add_node(**options))
print(cluster.address, flush=True)
for line in sys.stdin:
    if line == "lose a node\\n":
        cluster.remove_node(nodes.pop(), allow_graceful=False)
    elif line == "add a node\\n":
        nodes.append(cluster.add_node(**options))
    elif line == "lose the head\\n":
        cluster.head_node.kill_all_processes(check_alive=False, allow_graceful=False)
    print("done", flush=True)
cluster.shutdown()
"""


class NodesOfOneCore:
    """address: of the cluster, "HOST:PORT". pinned: each node has a core of its own, which neither
    it nor what its workers start can leave.
    """

    def __init__(self, count: int, *, pinned: bool = False) -> None:
        paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
        environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": paths}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(count), "pinned" if pinned else ""],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()
        if not self.address:
            raise RuntimeError("Ray's cluster for tests did not start")

    def do(self, what: str) -> None:
        """what: "lose a node", "add a node" or "lose the head"."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(what, file=self._process.stdin, flush=True)
        self._process.stdout.readline()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(30)
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def nodes_of_one_core(count: int, *, pinned: bool = False) -> Iterator[NodesOfOneCore]:
    cluster = NodesOfOneCore(count, pinned=pinned)
    try:
        yield cluster
    finally:
        cluster.close()


def busy_workers() -> list[int]:
    """Process ids of this machine's Ray workers that are at work on mgsv's items."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                title = (entry / "cmdline").read_bytes().split(b"\0")[0]
                if title.startswith(b"ray::") and b"_do" in title:
                    found.append(int(entry.name))
    return found


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
