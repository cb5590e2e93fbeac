"""One training run on two hosts, against the same run in one process.

    sudo .venv/bin/python benchmarks/two_hosts.py

The hosts are network namespaces of this machine, joined by a virtual cable, which needs root. Each
runs `mgsv train` under torchrun, as docs/cluster.md has it. Compared are Adam's running means of
the gradients after an epoch without dropout, which every process draws for itself: with shared
negatives, two processes have the gradients of one that sees both halves of each batch.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))

from planted_small import TINY, planted

HOSTS = ("mgsv-host-0", "mgsv-host-1")
CABLE = ("mgsv-eth-0", "mgsv-eth-1")
ADDRESSES = ("10.87.66.1", "10.87.66.2")
PORT = 29500
RTOL, ATOL = 1e-3, 1e-7
"""As in the test of two processes on one host."""
STILL = ("dropout", "embedding_dropout", "pool_dropout")


def main() -> None:
    if os.geteuid():
        sys.exit("two_hosts.py: network namespaces need root: run it with sudo")
    with tempfile.TemporaryDirectory(prefix="mgsv-bench-") as name:
        scratch = Path(name)
        data = planted(scratch / "data")
        changes = [*TINY, *(f"model.{name}=0" for name in STILL)]
        changes += ["train.epochs=1", "train.warmup=0"]
        settings = [word for change in changes for word in ("--set", change)]
        words = ["mgsv", "train", "made", "--data", str(data), *settings, "--progress", "none"]
        run([sys.executable, "-m", *words, "--output", str(scratch / "one")])
        with two_hosts():
            train_on_both([*words, "--output", str(scratch / "two")])
            sent = [bytes_sent(host, cable) for host, cable in zip(HOSTS, CABLE, strict=True)]
        one, two = (load_file(scratch / name / "state.safetensors") for name in ("one", "two"))
        gradients = [name for name in one if name.endswith("exp_avg")]
        worst = max(excess(one[name], two[name]) for name in gradients)
    print(f"{len(gradients)} means of gradients, of one process and of two hosts")
    print(f"largest difference: {worst:.2f} of the bound (rtol {RTOL}, atol {ATOL})")
    print(f"sent over the cable: {sent[0] / 1e6:.1f} and {sent[1] / 1e6:.1f} MB")
    sys.exit(worst > 1)


def train_on_both(words: list[str]) -> None:
    started = []
    for rank, (host, cable) in enumerate(zip(HOSTS, CABLE, strict=True)):
        launch = ["-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
        launch += [f"--node-rank={rank}", f"--master-addr={ADDRESSES[0]}", f"--master-port={PORT}"]
        environment = {**os.environ, "GLOO_SOCKET_IFNAME": cable, "OMP_NUM_THREADS": "1"}
        command = ["ip", "netns", "exec", host, sys.executable, *launch, "-m", *words]
        started.append(subprocess.Popen(command, env=environment))
    try:
        statuses = [process.wait() for process in started]
    finally:
        for process in started:
            process.kill()
    if any(statuses):
        sys.exit(f"two_hosts.py: the hosts ended with {statuses}")


@contextlib.contextmanager
def two_hosts() -> Iterator[None]:
    try:
        for host in HOSTS:
            run(["ip", "netns", "add", host])
            run(["ip", "-n", host, "link", "set", "lo", "up"])
        run(["ip", "link", "add", CABLE[0], "type", "veth", "peer", "name", CABLE[1]])
        for host, cable, address in zip(HOSTS, CABLE, ADDRESSES, strict=True):
            run(["ip", "link", "set", cable, "netns", host])
            run(["ip", "-n", host, "address", "add", f"{address}/24", "dev", cable])
            run(["ip", "-n", host, "link", "set", cable, "up"])
        yield
    finally:
        for host in HOSTS:  # the cable goes with them
            subprocess.run(["ip", "netns", "delete", host], stderr=subprocess.DEVNULL)


def bytes_sent(host: str, cable: str) -> int:
    file = f"/sys/class/net/{cable}/statistics/tx_bytes"
    return int(run(["ip", "netns", "exec", host, "cat", file]))


def excess(one: np.ndarray, two: np.ndarray) -> float:
    """The largest difference as a share of what is allowed."""
    return float(np.max(np.abs(one - two) / (ATOL + RTOL * np.abs(one)), initial=0.0))


def run(command: list[str]) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
