"""Feature files as objects: in a folder that machines share, or in a bucket (s3://)."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from mgsv.errors import LibraryError, needs_shared, shown
from mgsv.library.features import REPAIR, WRITABLE

_MARK = "library"
"""Object that says whose features these are."""
_MOST_MARK = 64
_CREDENTIALS = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for a user who may list, read, write and "
    "delete there, and AWS_ENDPOINT_URL where it is not Amazon's"
)

_METADATA = "//169.254.169.254/"
"""Where a machine of Amazon's learns its role."""
_DENIED = {"PermissionDeniedError", "UnauthenticatedError"}


class Objects:
    """Bytes by name. Each appears whole or not at all."""

    def __init__(self, place: str) -> None:
        """place: an absolute folder, made if need be, or s3://BUCKET/PREFIX."""
        self._place = place
        try:
            self._api: Any = importlib.import_module("obstore")
        except ImportError as error:
            raise needs_shared(error) from error
        with self.guarded():
            if place.startswith("s3://"):
                self._store = self._api.store.S3Store.from_url(
                    place,
                    client_options={"connect_timeout": "5s", "timeout": "60s", "allow_http": True},
                    retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=10)},
                )
            else:
                Path(place).mkdir(parents=True, exist_ok=True)
                self._store = self._api.store.LocalStore(place)

    def claim(self, library: str, *, new: bool) -> None:
        """Note that these are the features of `library`, where that is `new`.

        Raises `LibraryError` where they are another's, or cannot be reached and written.
        """
        with self.guarded():
            try:
                mark = bytes(self._api.get(self._store, _MARK).bytes())[:_MOST_MARK].decode()
            except FileNotFoundError:
                mark = ""
            if not mark and new:
                self._api.put(self._store, _MARK, library.encode())
                mark = library
        if mark != library:
            raise LibraryError(
                f"{shown(self._place)}: holds the features of "
                f"{'another' if mark else 'no'} library, and the database has some already",
                "name the place that this library was made with in `features`",
            )

    def get(self, name: str) -> bytes:
        with self.guarded():
            try:
                return bytes(self._api.get(self._store, name).bytes())
            except FileNotFoundError as error:
                raise LibraryError(
                    f"{self.shown(name)}: the feature file is missing", REPAIR
                ) from error

    def put(self, name: str, data: bytes) -> None:
        with self.guarded():
            self._api.put(self._store, name, data)

    def delete(self, names: Iterable[str]) -> None:
        with self.guarded():
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    self._api.delete(self._store, name)

    def names(self) -> Iterator[str]:
        """Of all feature files."""
        with self.guarded():
            for chunk in self._api.list(self._store):
                for item in chunk:
                    if item["path"].endswith(".safetensors"):
                        yield item["path"]

    def shown(self, name: str) -> str:
        return shown(f"{self._place.rstrip('/')}/{name}")

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """What goes wrong with the place as a `LibraryError` of one line."""
        try:
            yield
        except (self._api.exceptions.BaseError, OSError) as error:
            raise LibraryError(
                f"{shown(self._place)}: the features cannot be reached ({_line(error)})",
                _CREDENTIALS if self._place.startswith("s3://") else WRITABLE,
            ) from error


def _line(error: Exception) -> str:
    text = str(error).strip()
    if _METADATA in text:  # asked for a role where the environment has no keys
        return "no credentials were found"
    if type(error).__name__ in _DENIED:
        return "access is denied"
    return shown((text.splitlines() or [type(error).__name__])[0])[:200]
