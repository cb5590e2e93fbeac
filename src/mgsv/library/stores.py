"""Where a library is kept: in a folder, or at an address that says by what.

Other distributions bring stores by entry points of the group `mgsv.stores`, named by the scheme of
their addresses: functions that take the address and `repair`, as `open_store` does, and return a
`Store`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import platformdirs

from mgsv.errors import LibraryError, shown
from mgsv.library.filestore import FileStore
from mgsv.library.shared.address import is_shared
from mgsv.library.store import Store
from mgsv.library.walk import plain
from mgsv.plugins import find, names

FOLDER_VARIABLE = "MGSV_LIBRARY"
"""Environment variable that names another folder for the library."""

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/+")
"""Two letters or more, as `C:/` is a folder. As a path it may have lost one of two slashes."""


def open_store(folder: str | os.PathLike[str] | None, *, repair: bool = False) -> Store:
    """The store in `folder` (None = `default_folder()`), or at the address of a shared library or
    of a plug-in's.

    Raises `LibraryError` where it cannot be opened, or nothing knows such addresses.
    """
    place = default_folder() if folder is None else Path(os.fsdecode(os.fspath(folder)))
    if is_shared(place):
        from mgsv.library.shared.store import SharedStore

        return SharedStore(str(place), repair=repair)
    if is_address(place):
        return _brought(place.as_posix(), repair)
    return FileStore(Path(os.fsdecode(plain(place))), repair=repair)


def default_folder() -> Path:
    """The folder of the user's library: `$MGSV_LIBRARY`, else in the user's data directory."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named) if is_address(named) else Path(os.fsdecode(plain(named)))
    return platformdirs.user_data_path("mgsv") / "library"


def is_address(place: str | os.PathLike[str]) -> bool:
    """Whether `place` is the address of a library, no folder."""
    text = Path(place).as_posix()
    return bool(_ADDRESS.match(text)) and (is_shared(text) or not Path(place).exists())


def _brought(text: str, repair: bool) -> Store:
    """The store of a plug-in at an address."""
    scheme = text.partition(":")[0]
    plugin = find("store", scheme)
    if plugin is None:
        known = ", ".join(f"{name}://" for name in ("postgresql", *names("store")))
        raise LibraryError(
            f"{shown(text)}: nothing here keeps libraries at {scheme}://",
            f"name a folder, or an address that starts with one of {known}",
        )
    store = plugin.make(_ADDRESS.sub(rf"{scheme}://", text, count=1), repair=repair)
    for needed in ("put", "records", "read", "writing", "uses"):
        if not hasattr(store, needed):
            raise plugin.broken(f"is a {type(store).__name__}, no Store")
    opened: Store = store
    return opened
