"""`mgsv data download`: the published annotations and features from the hub."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import urllib.request
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from mgsv.data.folder import CSV_FOLDER, FEATURE_FOLDER, FRAMES_ROOT
from mgsv.errors import DataError, needs_extra, shown
from mgsv.files import new_folder, put_in_place, refuse_existing
from mgsv.jobs import Listener, Progress

REPOSITORY = "xxayt/MGSV-EC"
CSVS = tuple((CSV_FOLDER / f"{split}_data.csv").as_posix() for split in ("train", "val", "test"))
ARCHIVE = "MGSV_feature.zip"

MAX_UNPACKED_BYTES = 200 << 30
"""Most an archive may claim to unpack to. At full size the features take some 7 GB per stride."""

MAX_ENTRY_BYTES = 1 << 30
MAX_ENTRIES = 2_000_000

TIMEOUT = 60
"""Seconds without a byte after which a transfer is given up."""

OFFLINE = (
    "connect to the internet, or fetch the files on another machine with "
    f"`hf download {REPOSITORY} --repo-type dataset --local-dir DIR` and bring the folder here"
)


class Listed(NamedTuple):
    """A file as the hub lists it."""

    size: int
    blob_id: str
    sha256: str | None


def download(
    output: str | os.PathLike[str],
    *,
    features: bool = True,
    revision: str = "main",
    endpoint: str | None = None,
    progress: Listener | None = None,
) -> Path:
    """Fetch MGSV-EC into the data folder `output`; run it again and it resumes where it stopped.

    Fetches the three CSVs and, with `features`, the archive of feature files, which is unpacked
    beside them. Sizes and checksums are compared with the hub's before anything is used. The data
    are CC BY-NC 4.0: research and education only. `progress` is called with the bytes
    that are unpacked.

    DataError where the hub is out of reach or a file is damaged; ConfigError without
    huggingface_hub.
    """
    output = Path(output)
    hub = _hub()
    names = [*CSVS, ARCHIVE] if features else list(CSVS)
    expected = _listed(hub, names, revision, endpoint)
    for name in names:
        _fetch(hub, name, output / name, expected[name], revision, endpoint)
    if features and not (output / FEATURE_FOLDER / FRAMES_ROOT).is_dir():
        unpack(output / ARCHIVE, output / FEATURE_FOLDER.parts[0], progress=progress)
    return output


def unpack(
    archive: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    max_bytes: int = MAX_UNPACKED_BYTES,
    progress: Listener | None = None,
) -> Path:
    """Unpack the zip file `archive` into the new folder `folder`, wholly or not at all.

    Entries that would lie outside the folder, links and devices are refused, and so is an archive
    that claims more than `max_bytes` or more than the disk has, before anything is written. A
    `features` folder at the archive's top is not repeated. DataError naming the archive;
    OutputError where `folder` exists or cannot be written.
    """
    archive, folder = Path(archive), Path(folder)
    refuse_existing(folder)
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = opened.infolist()
            _refuse_unsafe(archive, entries, max_bytes)
            total = sum(entry.file_size for entry in entries)
            folder.parent.mkdir(parents=True, exist_ok=True)
            if total > shutil.disk_usage(folder.parent).free:
                raise DataError(
                    archive, f"unpacks to {total >> 20} MB, more than the disk has free"
                )
            with new_folder(folder) as fresh:
                _extract(opened, entries, fresh, progress)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(
            archive, f"damaged archive ({error})", "remove it and download again"
        ) from error
    except OSError as error:
        raise DataError(
            archive, f"cannot be unpacked: {error.strerror}", "check the disk"
        ) from error
    return folder


def _extract(
    opened: zipfile.ZipFile,
    entries: list[zipfile.ZipInfo],
    folder: Path,
    progress: Listener | None,
) -> None:
    done, total = 0, sum(entry.file_size for entry in entries)
    paths = [PurePosixPath(entry.filename).parts for entry in entries]
    files = [path for entry, path in zip(entries, paths, strict=True) if not entry.is_dir()]
    repeated = all(path[0] == FEATURE_FOLDER.parts[0] and len(path) > 1 for path in files)
    for entry, path in zip(entries, paths, strict=True):
        target = folder.joinpath(*path[repeated:])
        if entry.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with opened.open(entry) as source, target.open("xb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)  # checks the CRC, and stops at file_size
        done += entry.file_size
        if progress is not None:
            progress(Progress("unpacking", done, total))


def _refuse_unsafe(archive: Path, entries: list[zipfile.ZipInfo], max_bytes: int) -> None:
    total = sum(entry.file_size for entry in entries)
    if len(entries) > MAX_ENTRIES or total > max_bytes:
        raise DataError(
            archive, f"claims {len(entries)} files of {total >> 20} MB", "is it the right archive?"
        )
    for entry in entries:
        path = PurePosixPath(entry.filename)
        kind = stat.S_IFMT(entry.external_attr >> 16)
        plain = kind in (0, stat.S_IFREG, stat.S_IFDIR)
        outside = path.is_absolute() or ".." in path.parts or "\\" in entry.filename
        if outside or not plain or not path.parts or entry.file_size > MAX_ENTRY_BYTES:
            raise DataError(archive, f"unsafe entry {shown(entry.filename)!r}", "do not trust it")


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise needs_extra("downloading", error) from error
    return huggingface_hub


def _listed(hub: Any, names: list[str], revision: str, endpoint: str | None) -> dict[str, Listed]:
    """What the hub states about each file."""
    try:
        found = hub.HfApi(endpoint=endpoint).get_paths_info(
            REPOSITORY, names, repo_type="dataset", revision=revision
        )
    except Exception as error:  # the client lets any of its HTTP library's errors through
        raise _unreachable(names[0], error) from error
    listed = {
        file.path: Listed(file.size, file.blob_id, file.lfs.sha256 if file.lfs else None)
        for file in found
    }
    for name in names:
        if name not in listed:
            raise DataError(f"{REPOSITORY}/{name}", "the hub has no such file", "try `revision`")
    return listed


def _unreachable(name: str, error: Exception) -> DataError:
    return DataError(f"{REPOSITORY}/{name}", f"cannot be fetched ({_brief(error)})", OFFLINE)


def _brief(error: Exception) -> str:
    """The error's name and the first line of its text, without the address it came from."""
    name, first = type(error).__name__, next(iter(str(error).strip().splitlines()), "")
    return name if "://" in first or not first else f"{name}: {first[:80]}"


def _fetch(
    hub: Any, name: str, target: Path, listed: Listed, revision: str, endpoint: str | None
) -> None:
    """Fetch the hub's file `name` to `target`, going on with what an earlier run has of it.

    The hub's client finds the file and its address; the transfer is done here because the client
    starts a file of many gigabytes over when its process was killed.
    """
    part = target.with_name(f".{target.name}.part")
    if target.exists():
        if not _as_listed(target, listed):
            raise DataError(target, "is not what the hub lists", "move it away and run this again")
        part.unlink(missing_ok=True)  # of a run that was killed between naming and tidying
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        url = hub.hf_hub_url(
            REPOSITORY, name, repo_type="dataset", revision=revision, endpoint=endpoint
        )
        address = hub.get_hf_file_metadata(url).location
        headers = hub.utils.build_hf_headers()
        if urlsplit(address).netloc != urlsplit(url).netloc:
            headers.pop("authorization", None)  # a storage server need not see the user's token
        _transfer(address, headers, part, listed.size)
    except Exception as error:  # the client lets any of its HTTP library's errors through
        raise _unreachable(name, error) from error
    if not _as_listed(part, listed):
        part.unlink()
        raise DataError(target, "what arrived is not what the hub lists", "run this again")
    put_in_place(part, target)


def _transfer(address: str, headers: dict[str, str], part: Path, size: int) -> None:
    """Append the rest of the file at `address` to `part` until it has `size` bytes."""
    if urlsplit(address).scheme not in ("http", "https"):
        raise ValueError("the hub names an address that is not HTTP")
    have = part.stat().st_size if part.exists() else 0
    while have < size or not part.exists():
        asked = {**headers, "Range": f"bytes={have}-"} if have else headers
        request = urllib.request.Request(address, headers=asked)  # noqa: S310 scheme checked above
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
            whole = answer.status == 200  # the server starts from the beginning
            with part.open("wb" if whole else "ab") as sink:
                shutil.copyfileobj(answer, sink, 1 << 20)
        before, have = 0 if whole else have, part.stat().st_size
        if have <= before and have < size:
            raise ConnectionError("the connection closed without sending anything")
        if have > size:
            return  # not the listed file; the caller's check says so


def _as_listed(path: Path, listed: Listed) -> bool:
    """Whether the content of `path` is what the hub lists."""
    if path.stat().st_size != listed.size:
        return False
    if listed.sha256:  # a large file: its blob id is that of a pointer
        digest, expected = hashlib.sha256(), listed.sha256
    else:  # how git names the content of a file
        digest, expected = hashlib.sha1(usedforsecurity=False), listed.blob_id
        digest.update(f"blob {listed.size}\0".encode())
    with path.open("rb") as stream:
        while block := stream.read(1 << 22):
            digest.update(block)
    return digest.hexdigest() == expected
