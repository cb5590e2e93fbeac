"""Work on many machines: the `Executor` of a Ray cluster.

A worker gets paths and small values, and gives small values back; what is the same for all items of
a `map` travels once to each machine. Ray sends both pickled, so a cluster is trusted as one's own
machines are. Workers must see files under the same paths as the program that hands them out.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import pickle
import platform
import secrets
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeVar

from mgsv.errors import ClusterError, ConfigError, MgsvError, WorkerLost, shown
from mgsv.files import write_file
from mgsv.jobs import GRACE, Executor, Outcome, Outcomes
from mgsv.portable import available_cores
from mgsv.version import __version__

T = TypeVar("T")
R = TypeVar("R")

RETRIES = 5
"""How often an item is tried again whose worker was lost. An error of the work itself never is."""

PATIENCE = 20.0
"""Seconds without an answer from the cluster after which it is given up. Ray itself would end this
process after 60.
"""

_MARK = ".mgsv-mark-"
"""Begins the name of a file that shows whether a folder is the same one everywhere."""
_PULSE = 1.0  # seconds between two looks at the cluster
_CONNECT = 5.0  # seconds that opening a connection may take
_STORE = (
    256 << 20
)  # bytes for results in a cluster of this machine alone, where 100 tracks fit 50 MB


@dataclass(frozen=True, slots=True)
class _Order:
    """What all items of a `map` have in common."""

    version: str
    needed: tuple[Path, ...]
    """What every worker must see."""
    start: Callable[[], None] | None
    work: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a worker says of an item. kind: "value", "error" (of the item), "unfit" (the worker
    is), or "stop" (what is no `Exception` was raised). unseen: the worker's
    machine where the item is a file that it does not find.
    """

    kind: str
    value: Any
    unseen: str = ""


class Ray:
    """An `Executor` of the processes of a Ray cluster, to be closed after use.

    `work` and the items must be picklable. An item whose worker or machine is lost is done again
    elsewhere; what `work` raises is the outcome of its item. An item that is a path, or has one as
    its `path`, must be the same file for all. There is one of these per process.
    """

    def __init__(
        self, address: str | None = None, *, start: Callable[[], None] | None = None
    ) -> None:
        """address: "HOST:PORT" of a cluster that this machine belongs to, or "auto" for the one it
        belongs to; None = that in $RAY_ADDRESS, else a cluster of this machine alone, which ends
        with this object. start: called first in each worker; what it raises ends the `map`.

        Raises `ConfigError` without the package ray, and `ClusterError` where no cluster answers.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would report its use
        try:
            ray = importlib.import_module("ray")
        except ImportError as error:
            raise ConfigError(
                "`on` ray needs the package ray", "install it with: pip install 'mgsv[cluster]'"
            ) from error
        self._ray: Any = ray
        self._start = start
        self._needed: tuple[Path, ...] = ()
        address = address or os.environ.get("RAY_ADDRESS") or None
        if address is not None and ":" in address:
            _require_answer(address)
        own: dict[str, Any] = {
            "num_cpus": available_cores(),
            "object_store_memory": _STORE,
            "include_dashboard": False,
        }
        quiet = {"log_to_driver": False, "logging_level": "ERROR"}
        try:
            ray.init(**quiet, **(own if address is None else {"address": address}))
        except (OSError, RuntimeError, ValueError, TimeoutError) as error:
            raise _no_cluster(address, error) from error
        # Ray writes of lost workers to stdout, where JSON may go, and has no option against it.
        importlib.import_module("ray._private.worker").__dict__["_worker_logs_enabled"] = False
        self._address = str(ray.get_runtime_context().gcs_address)
        self._answered = self._looked = time.monotonic()
        self._cores = 0
        self._do = ray.remote(max_retries=RETRIES, retry_exceptions=False)(_do)

    def map(self, work: Callable[[T], R], items: Sequence[T]) -> Outcomes[T, R]:
        """At most 2 × the cluster's cores are in the hands of workers or done.

        Closing the generator ends the items under way. Raises `ClusterError` where the cluster goes
        away, or a worker cannot do this work at all.
        """
        order = [self._ray.put(_Order(__version__, self._needed, self._start, work))]
        running: dict[Any, tuple[int, T]] = {}
        upcoming = enumerate(items)
        try:
            while True:
                self._look()
                for index, item in itertools.islice(upcoming, 2 * self._cores - len(running)):
                    running[self._do.remote(order, item)] = index, item
                if not running:
                    return
                with self._guarded():
                    done, _ = self._ray.wait([*running], timeout=_PULSE)
                for reference in done:
                    index, item = running.pop(reference)
                    yield self._outcome(index, item, reference)
                    del reference  # the last hold on the result
        finally:
            self._cancel([*running])

    @contextlib.contextmanager
    def needing(self, paths: Iterable[Path]) -> Iterator[None]:
        """A `map` inside raises `ClusterError` where a worker does not see the absolute `paths`."""
        before = self._needed
        self._needed = (*before, *paths)
        try:
            yield
        finally:
            self._needed = before

    def close(self) -> None:
        """Leave the cluster; one of this machine alone ends."""
        self._ray.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _outcome(self, index: int, item: T, reference: Any) -> Outcome[T, Any]:
        try:
            with self._guarded():
                answer = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, TypeError | pickle.PicklingError):  # of the answer
                return Outcome(index, item, error=error.cause)
            raise ClusterError(
                f"a worker cannot run mgsv {__version__} ({_first_line(error.cause)})",
                "install the same mgsv on every machine of the cluster",
            ) from error
        except self._ray.exceptions.RayError as error:
            lost = WorkerLost(f"the worker was lost {RETRIES + 1} times ({_first_line(error)})")
            return Outcome(index, item, error=lost)
        if answer.unseen and (path := _path(item)) is not None and os.path.exists(path):  # noqa: PTH110
            raise _unseen(path, answer.unseen)
        if answer.kind == "value":
            return Outcome(index, item, answer.value)
        if answer.kind == "error":
            return Outcome(index, item, error=answer.value)
        raise answer.value

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """The loss of the cluster as a `ClusterError`."""
        errors = self._ray.exceptions
        try:
            yield
        except (errors.LocalRayletDiedError, errors.RaySystemError, ConnectionError) as error:
            raise self._gone() from error

    def _look(self) -> None:
        """How many cores the cluster has, now and then; raises `ClusterError` if it has gone."""
        now = time.monotonic()
        if self._cores and now - self._looked < _PULSE:
            return
        self._looked = now
        if not _answers(self._address, _PULSE):
            if now - self._answered > PATIENCE:
                raise self._gone()
            return
        self._answered = now
        # At least one, so that something waits where a cluster grows with its work.
        self._cores = max(1, int(self._ray.cluster_resources().get("CPU", 0)))

    def _gone(self) -> ClusterError:
        return ClusterError(
            f"the cluster at {self._address} went away",
            "run the command again, which goes on with what is left",
        )

    def _cancel(self, references: list[Any]) -> None:
        """Leave nothing running: workers are asked to stop, and ended if they do not."""
        for force in (False, True):
            for reference in references:
                with contextlib.suppress(Exception):
                    self._ray.cancel(reference, force=force)
            with contextlib.suppress(Exception):
                _, references = self._ray.wait(
                    references, num_returns=len(references), timeout=GRACE, fetch_local=False
                )
            if not references or not _answers(self._address, _PULSE):
                return


@contextlib.contextmanager
def seen_by(executor: Executor, *paths: Path) -> Iterator[None]:
    """A `map` inside raises `ClusterError` where a worker does not see the absolute `paths`."""
    with executor.needing(paths) if isinstance(executor, Ray) else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def written_by(executor: Executor, folder: Path) -> Iterator[None]:
    """A `map` inside raises `ClusterError` where a worker does not see the absolute `folder`,
    which is made: it may have one of its own there, and what it wrote would be lost.
    """
    if not isinstance(executor, Ray):
        yield
        return
    mark = folder / f"{_MARK}{secrets.token_hex(8)}"
    write_file(mark, b"", parents=True)
    try:
        with executor.needing([mark]):
            yield
    finally:
        mark.unlink(missing_ok=True)


def open_executor(on: str, *, start: Callable[[], None] | None = None) -> Ray:
    """The executor that `on` names: "ray", or "ray:ADDRESS" (see `Ray`)."""
    kind, _, address = on.partition(":")
    if kind != "ray" or (":" in on and not address):
        raise ConfigError(f"`on` {shown(on)}: unknown", "use ray, ray:auto or ray:HOST:PORT")
    return Ray(address or None, start=start)


_opened: tuple[str, Callable[[Any], Any]] | None = None  # in a worker: of the last order


def _do(order: list[Any], item: Any) -> _Answer:
    """What a worker does for one item."""
    try:
        work = _work(order[0])
    except Exception as error:
        return _Answer("unfit", _unfit(error))
    try:
        answer = _Answer("value", work(item))
    except Exception as error:
        answer = _Answer("error", _portable(error))
    except KeyboardInterrupt:
        raise  # how Ray cancels
    except BaseException as stop:
        answer = _Answer("stop", stop)
    path = _path(item)
    if path is not None and not os.path.exists(path):  # noqa: PTH110 (bytes)
        answer = replace(answer, unseen=platform.node())
    return answer


def _work(reference: Any) -> Callable[[Any], Any]:
    """The work of an order, which a worker opens once."""
    global _opened
    if _opened is None or _opened[0] != reference.hex():
        order = importlib.import_module("ray").get(reference)
        if order.version != __version__:
            raise MgsvError(f"it has mgsv {__version__}, and the work comes from {order.version}")
        for path in order.needed:
            if not path.exists():
                raise _unseen(path.parent if path.name.startswith(_MARK) else path, platform.node())
        if order.start is not None:
            order.start()
        _opened = reference.hex(), order.work
    return _opened[1]


def _path(item: Any) -> bytes | os.PathLike[str] | None:
    """The file that an item is about, if any."""
    path = getattr(item, "path", item)
    return path if isinstance(path, bytes | os.PathLike) else None


def _unseen(path: bytes | os.PathLike[str], node: str) -> ClusterError:
    return ClusterError(
        f"{shown(os.fsdecode(path))}: the worker on {node} does not see it",
        "have every machine see the same files under the same paths",
    )


def _unfit(error: Exception) -> ClusterError:
    if isinstance(error, ClusterError):
        return error
    problem = str(error) if isinstance(error, MgsvError) else f"{type(error).__name__}: {error}"
    return ClusterError(
        f"the worker on {platform.node()} cannot do this: {_first_line(problem)}",
        f"install mgsv {__version__} with all it needs on every machine of the cluster",
    )


def _portable(error: Exception) -> Exception:
    """`error`, or its text where it cannot be pickled."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 (our own bytes)
    except Exception:
        return RuntimeError(_first_line(f"{type(error).__name__}: {error}"))
    return error


def _require_answer(address: str) -> None:
    if not address.startswith("ray://") and not _answers(address, _CONNECT):
        raise ClusterError(
            f"no cluster answers at {shown(address)}",
            "check the address, or start one with `ray start --head` and `ray start --address`",
        )


def _answers(address: str, wait: float) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=wait).close()
    except (OSError, ValueError):
        return False
    return True


def _no_cluster(address: str | None, error: Exception) -> ClusterError:
    if address is None:
        return ClusterError(
            f"Ray cannot start here ({_first_line(error)})", "leave `on` out to use threads"
        )
    return ClusterError(
        f"the cluster at {shown(address)} cannot be used ({_first_line(error)})",
        "check the address; this machine must belong to it (`ray start --address`)",
    )


def _first_line(error: object) -> str:
    lines = str(error).strip().splitlines()
    return shown(lines[0]) if lines else type(error).__name__
