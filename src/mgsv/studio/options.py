"""How a studio is run."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from mgsv.errors import ConfigError, shown

PORT = 8421
FOLDER_VARIABLE = "MGSV_STUDIO"
"""Environment variable that names another folder for the queue."""
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def queue_folder() -> Path:
    """Where the queue is kept: `$MGSV_STUDIO`, else in the user's data directory."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named).expanduser() if named else platformdirs.user_data_path("mgsv") / "studio"


@dataclass(frozen=True)
class StudioOptions:
    """How a studio is run. Raises `ConfigError` for a value that makes no sense."""

    music: tuple[Path, ...] = ()
    """Folders and tracks to choose from; none: all that the library holds."""
    clips: tuple[Path, ...] = ()
    """Folders whose clips may be picked on the page, beside those that are dropped on it."""
    library: Path | None = None
    """Where the features of indexed music are kept; None: `mgsv.library.default_folder()`."""
    queue: Path | None = None
    """Where the queue, dropped clips and results are kept; None: `queue_folder()`."""
    host: str = "127.0.0.1"
    port: int = PORT
    """0: any that is free."""
    names: tuple[str, ...] = ()
    """Host names besides this machine's own by which browsers reach it, as through a proxy."""
    token: str = ""
    """What every request has to bring; empty where only this machine can send any."""
    workers: int = 2
    """Jobs that are done at the same time."""
    most_jobs: int = 200
    """Jobs that may wait, for each user."""
    largest_clip: int = 4 << 30
    """Bytes of a clip that is dropped."""
    most_stored: int = 20 << 30
    """Bytes of dropped clips and results together."""
    method: str = "made"

    def __post_init__(self) -> None:
        for folder in self.clips:
            if not folder.is_dir():
                raise ConfigError(f"`clips` {shown(folder)}: no such folder", "check the path")
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"`port` {self.port}: no port", "give 0 to 65535")
        for name in ("workers", "most_jobs", "largest_clip", "most_stored"):
            if getattr(self, name) < 1:
                raise ConfigError(f"`{name}` {getattr(self, name)}: needs at least 1")
        if (self.names or not self.local) and not self.token:
            raise ConfigError(
                f"`host` {self.host}: other machines could send requests", "give a `token`"
            )

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def place(self) -> Path:
        return self.queue or queue_folder()
