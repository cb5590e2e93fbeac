"""The library that many tests share, kept from one run of the tests to the next."""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

import mgsv
from library_support import copy_library
from mgsv import Library

_SOURCES = ("encoders", "library", "media", "memory", "runtime")
"""Rooms of the package that have a say in what a library holds."""
_PACKAGES = ("av", "numpy", "onnxruntime", "safetensors")


def kept_library(folder: Path, music: Sequence[Path], cache: Path | None) -> Path:
    """`folder`, a library of `music`: indexed, or copied out of `cache` where nothing that makes
    it has changed since. Of several processes, the later ones wait for the first.
    """
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            kept = None if cache is None else cache / _key(music)
            if kept is not None and kept.exists():
                copy_library(kept, folder)
            with Library.open(music, folder=folder):
                pass
            if cache is not None and kept is not None and not kept.exists():
                shutil.rmtree(cache, ignore_errors=True)  # of earlier sources
                cache.mkdir(parents=True)
                copy_library(folder, new := kept.with_suffix(".part"))
                new.rename(kept)
    return folder


def _key(music: Sequence[Path]) -> str:
    """Changes with the sources, what they are made of, and the music's places."""
    package = Path(mgsv.__file__).parent
    digest = hashlib.sha256(sys.version.encode())
    for room in _SOURCES:
        for file in sorted((package / room).rglob("*")):
            if file.is_file() and file.suffix != ".pyc":
                digest.update(f"{file.relative_to(package)} ".encode() + file.read_bytes())
    for name in _PACKAGES:
        digest.update(f"{name} {version(name)} ".encode())
    for path in music:
        digest.update(f"{path} {path.stat().st_mtime_ns} ".encode())
    return digest.hexdigest()[:32]
