"""Where a shared library is: `postgresql://USER@HOST/DATABASE?features=s3://BUCKET/PREFIX`."""

from __future__ import annotations

import os
import re
import urllib.parse
from dataclasses import dataclass

from mgsv.errors import LibraryError, shown

_EXAMPLE = "postgresql://USER@HOST/DATABASE?features=s3://BUCKET/PREFIX"


@dataclass(frozen=True, slots=True)
class Address:
    """database: for libpq, without `features` and never with a password. features: a folder, or
    an address that starts with s3://.
    """

    database: str
    features: str

    def __str__(self) -> str:
        return shown(self.database)


def is_shared(place: str | os.PathLike[str]) -> bool:
    """Whether `place` is the address of a shared library, no folder."""
    return re.match(r"postgres(ql)?:/", os.fspath(place)) is not None


def parse_address(place: str | os.PathLike[str]) -> Address:
    """The parts of an address. Raises `LibraryError` for one that lacks any, or has a password."""
    # As a path it may have lost the second of two slashes.
    text = re.sub(r"\b(postgres(?:ql)?|s3|file):/(?!/)", r"\1://", os.fspath(place))
    url = urllib.parse.urlsplit(text)
    if url.password is not None:
        raise LibraryError(
            "the library's address holds a password, which others may see",
            "leave it out, and put it in ~/.pgpass or the file that PGPASSFILE names",
        )
    fields = urllib.parse.parse_qs(url.query)
    features = fields.pop("features", [""])[0]
    if features.startswith("file://"):
        features = "/" + features.removeprefix("file://").lstrip("/")
    if not features.startswith("s3://") and not os.path.isabs(features):  # noqa: PTH117 (text)
        raise LibraryError(
            f"{shown(text)}: `features` is missing, or neither s3:// nor an absolute folder",
            f"write {_EXAMPLE}, or features=/a/shared/folder",
        )
    if not url.path.strip("/"):
        raise LibraryError(f"{shown(text)}: names no database", f"write {_EXAMPLE}")
    query = urllib.parse.urlencode({name: values[-1] for name, values in fields.items()})
    return Address(urllib.parse.urlunsplit((url.scheme, url.netloc, url.path, query, "")), features)
