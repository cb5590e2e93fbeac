"""Decoder processes, seen from the process that asks them: started, kept, watched, ended."""

from __future__ import annotations

import atexit
import contextlib
import contextvars
import io
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

from mgsv.files import remove_leftover
from mgsv.media.wire import Channel, Garbled
from mgsv.media.worker import BEAT
from mgsv.portable import KILLED, PIPES_TIME_OUT, after_fork

SWITCH = "MGSV_ISOLATION"
"""Set to "off" in the environment: decode in this process, as where no other can be started."""
PATIENCE = 15.0
"""Seconds a process may be silent, or keep a processor busy within one step."""
PATIENCE_AT_REST = 150.0
"""Seconds within one step that takes no processor time. A slow disk is no fault of a file's, but
threads that wait for each other look the same."""
START = 60.0
"""Seconds a process may take to start, with its libraries on a slow disk."""

_TICK = 1.0
_PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from mgsv.media.worker import serve; serve()"
# What a process does to itself. Other signals come from outside and say nothing of a file.
_CRASHES = ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT", "SIGTRAP", "SIGSYS")


class NotStarted(Exception):
    """No process can be started; the text has the reason."""


class Ended(Exception):
    """The process is gone, before it gave an answer."""

    def __init__(self, status: int) -> None:
        """status: as `subprocess.Popen.returncode`."""
        self.status = status
        self.unused = status == 0
        """It had been idle for long, and ended as the request came."""
        self.crashed = status >= 0 or -status in {getattr(signal, name, 0) for name in _CRASHES}
        super().__init__(f"exit status {status}")


class Stuck(Exception):
    """The process gave no sign of life, or of progress, for `seconds`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"no progress in {seconds:g} s")


class Decoder:
    """A decoder process. One request at a time."""

    def __init__(self) -> None:
        # Not `-m`, which would look for modules in the folder we are in, nor multiprocessing, which
        # runs the main script again (spawn) or copies locks that other threads hold (fork).
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-c", _PROGRAM, *(p for p in sys.path if isinstance(p, str))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
        reader, writer = self._process.stdout, self._process.stdin
        assert isinstance(reader, io.FileIO) and isinstance(writer, io.FileIO)
        self._channel = Channel(reader, writer, self._wait)
        self._selector = selectors.DefaultSelector()
        self._selector.register(reader, selectors.EVENT_READ)
        self._silent, self._patience = 0.0, START
        self._steps, self._seconds, self._stuck = -1, 0.0, 0.0
        self._ready = False
        self._output: Path | None = None
        self.busy = False
        """Whether an answer is under way."""
        _all.add(self)

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(
        self, request: Mapping[str, Any], names: Mapping[Path, Path], output: Path | None
    ) -> Generator[Any, None, tuple[str, Any]]:
        """Yields the items of the answer; the return value is its last message, (kind, value).

        names: what to call paths in the answer. output: the file that is to be written. Raises
        `NotStarted`, `Ended` or `Stuck`.
        """
        self.busy, self._output = True, output
        try:
            if not self._ready:
                self._greet()
            self._channel.names = names
            self._channel.send("ask", request)
            while True:
                kind, value = self._receive()
                if kind != "item":
                    break
                try:
                    yield value
                except GeneratorExit:
                    with contextlib.suppress(EOFError, Garbled, OSError, Stuck):
                        self._stop()
                    raise
        except Garbled as error:
            self.end()
            raise Ended(-int(signal.SIGABRT)) from error
        except (EOFError, OSError) as error:
            raise Ended(self.end(wait=_TICK)) from error
        self.busy, self._output = False, None
        return kind, value

    def alive(self) -> bool:
        return self._process.poll() is None

    def end(self, wait: float = 0.0) -> int:
        """End the process now, or after it had `wait` seconds to do so itself; its status."""
        _all.discard(self)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(wait)
        with contextlib.suppress(subprocess.TimeoutExpired):  # it hangs in the kernel, on a disk
            self._process.kill()
            self._process.wait(_TICK)
        if self._output is not None:
            remove_leftover(self._output)
        status = self._process.returncode
        self.forget()
        return -KILLED if status is None else status

    def forget(self) -> None:
        """Close this end of the pipes, and leave the process to itself."""
        self._selector.close()
        self._channel.close()
        self._process.returncode = self._process.returncode or 0

    def _greet(self) -> None:
        try:
            self._receive()
        except (EOFError, Garbled, Stuck) as error:
            raise NotStarted(f"exit status {self.end(wait=_TICK)}") from error
        self._ready, self._patience = True, PATIENCE

    def _stop(self) -> None:
        """Have the rest of the answer left out."""
        self._channel.send("stop")
        while self._receive()[0] == "item":
            pass
        self.busy = False

    def _receive(self) -> tuple[str, Any]:
        """The next message that is no beat."""
        self._silent = self._stuck = 0.0
        while True:
            kind, value = self._channel.receive()
            if self._ready:
                _check.get()()
            if kind != "beat":
                return kind, value
            self._silent = 0.0
            self._judge(*value)

    def _judge(self, steps: int, seconds: float) -> None:
        """Raise `Stuck` where no step was taken in a long time; seconds: of processor time."""
        if steps != self._steps:
            self._stuck = 0.0
        elif seconds - self._seconds > BEAT / 4:
            self._stuck += BEAT
        else:
            self._stuck += BEAT * PATIENCE / PATIENCE_AT_REST
        self._steps, self._seconds = steps, seconds
        if self._stuck >= PATIENCE:
            raise Stuck(PATIENCE)

    def _wait(self) -> None:
        """Return when there is something to read.

        Seconds are counted here, not read from a clock, which goes on while a user has stopped
        both processes (Ctrl-Z).
        """
        while not self._selector.select(_TICK):
            self._silent += _TICK
            if self._silent >= self._patience:
                raise Stuck(self._silent)


@contextlib.contextmanager
def watched(check: Callable[[], None]) -> Iterator[None]:
    """Inside, in this thread, `check` is called every half a second while a decoder works.

    What it raises, as `Job.check` does, ends the decoder and with it whatever it was writing.
    """
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


def _go_on() -> None:
    """The check where nobody watches."""


_check: contextvars.ContextVar[Callable[[], None]] = contextvars.ContextVar("check", default=_go_on)
_all: set[Decoder] = set()  # that have been started and not ended
_idle: list[Decoder] = []


@contextlib.contextmanager
def borrowed() -> Iterator[Decoder]:
    """A decoder for one request: a kept one if there is one. Kept again if it finished."""
    decoder = _kept() or _new()
    try:
        yield decoder
    finally:
        if decoder.busy:
            decoder.end()
        else:
            _idle.append(decoder)


def start_ahead() -> None:
    """Start a process, unless one is kept, to be ready when the first file comes."""
    with contextlib.suppress(NotStarted):  # the first file will meet it again
        if not switched_off():
            with borrowed():
                pass


def switched_off() -> bool:
    return os.environ.get(SWITCH) == "off" or not PIPES_TIME_OUT


def _kept() -> Decoder | None:
    with contextlib.suppress(IndexError):
        while True:
            decoder = _idle.pop()
            if decoder.alive():
                return decoder
            decoder.end()
    return None


def _new() -> Decoder:
    try:
        return Decoder()
    except (OSError, ValueError) as error:
        raise NotStarted(str(error)) from error


@atexit.register
def end_all() -> None:
    """End all processes now, those at work too."""
    for decoder in list(_all):
        decoder.end()


@after_fork
def _forget_all() -> None:
    """In a forked copy of this process: the decoders are the original's."""
    for decoder in _all:
        decoder.forget()
    _all.clear()
    _idle.clear()
