"""Takes from a process what Windows does not have."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

MODULES = ("fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty")
_OS = """
O_ASYNC O_CLOEXEC O_DIRECT O_DIRECTORY O_DSYNC O_NOATIME O_NOCTTY O_NOFOLLOW O_NONBLOCK O_PATH
O_RSYNC O_SYNC O_TMPFILE WNOHANG chown chroot confstr copy_file_range ctermid eventfd fchdir fchmod
fchown fdatasync fork forkpty fpathconf fstatvfs getegid geteuid getgid getgroups getloadavg
getpgid getpgrp getpriority getresuid getsid getuid getxattr killpg lchown listxattr lockf
memfd_create mkfifo mknod nice openpty pathconf pipe2 posix_fadvise posix_fallocate posix_spawn
posix_spawnp pread preadv pwrite pwritev readv register_at_fork removexattr sched_getaffinity
sched_setaffinity sched_yield sendfile setgid setgroups setpgid setpriority setsid setuid setxattr
statvfs sync sysconf tcgetpgrp tcsetpgrp ttyname wait wait3 wait4 waitid writev
"""
_SIGNAL = """
SIGALRM SIGBUS SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGSYS SIGTRAP SIGTSTP SIGUSR1
SIGUSR2 alarm pause pthread_kill pthread_sigmask setitimer sigpending sigtimedwait sigwait
"""
OS, SIGNAL = _OS.split(), _SIGNAL.split()
SELECT = ["devpoll", "epoll", "kqueue", "poll"]


def take_away() -> None:
    """What is imported by then has it still: libraries that take another way on Windows."""
    # What starts and ends processes is another one on Windows.
    subprocess.os = SimpleNamespace(**vars(os))  # type: ignore[attr-defined]
    subprocess.signal = SimpleNamespace(**vars(signal))  # type: ignore[attr-defined]
    for module in MODULES:
        sys.modules[module] = None  # type: ignore[assignment]
    taken: list[tuple[Any, list[str]]] = [(os, OS), (signal, SIGNAL)]
    if "MGSV_TEST_PIPES" not in os.environ:
        taken.append((select, SELECT))
    for module, names in taken:
        for name in names:
            if hasattr(module, name):
                delattr(module, name)

    load = ctypes.CDLL.__init__

    def load_named(self: ctypes.CDLL, name: str | None, *args: Any, **options: Any) -> None:
        if name is None:
            raise TypeError("no name")
        load(self, name, *args, **options)

    ctypes.CDLL.__init__ = load_named  # type: ignore[method-assign]
