"""The core without what only some systems have, and where the package may use that."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mgsv
import missing_names
from library_support import SUPPORT, opened, write_tone
from mgsv import portable
from planted_clips import write_planted_clip

SOURCES = Path(mgsv.__file__).parent

CORE = """
import json, os, signal, sys
from pathlib import Path
import filelock, platformdirs, torch
import missing_names
missing_names.take_away()
os.environ["PYTHONPATH"] = os.pathsep.join([sys.argv.pop(), os.environ["PYTHONPATH"]])
import mgsv
from library_support import opened
from mgsv.files import new_folder, write_file
from mgsv.media import decoder
music, clip, folder = map(Path, sys.argv[1:])
with opened(music, folder / "library") as library:
    found = mgsv.ground(clip, library, method="sync", top=3)
    report = [library.report.added, library.report.failed, library.check().problems]
with new_folder(folder / "new") as made:
    write_file(made / "file", "text")
moments = [[m.track.path.name, m.start, m.end, m.score] for m in found]
print(json.dumps([moments, report, sorted(os.listdir(folder)), len(decoder._all)]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("decoding", ["in a process", "here"])
def test_the_core_works_without_what_windows_lacks(tmp_path: Path, decoding: str) -> None:
    rng = np.random.default_rng(3)
    music, clip = tmp_path / "music", tmp_path / "clip.mp4"
    for k in range(3):
        write_tone(music / "folder" / f"{k}.wav", 300.0 + 100 * k, 12.0)
    noise = rng.standard_normal(8000 * 12).astype(np.float32)
    write_planted_clip(clip, noise, 8000, 1.0, 5.0, rng)
    start = tmp_path / "start"  # of the processes that the child starts
    start.mkdir()
    (start / "sitecustomize.py").write_text("import missing_names\nmissing_names.take_away()\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SUPPORT), *sys.path])}
    if decoding == "in a process":
        environment["MGSV_TEST_PIPES"] = "kept"
    place = tmp_path / "there"
    place.mkdir()
    child = subprocess.run(
        [sys.executable, "-c", CORE, music, clip, place, start],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert child.returncode == 0 and not child.stderr, child.stderr
    moments, report, names, decoders = json.loads(child.stdout)
    assert report == [3, [], []] and names == ["library", "new"]
    assert (decoders > 0) == (decoding == "in a process")
    with opened(music, tmp_path / "here") as library:
        expected = mgsv.ground(clip, library, method="sync", top=3)
    assert len(moments) == len(expected) == 3
    for (name, begin, end, score), moment in zip(moments, expected, strict=True):
        assert (name, begin, end) == (moment.track.path.name, moment.start, moment.end)
        assert score == pytest.approx(moment.score, rel=1e-5)


def test_only_one_file_uses_what_windows_lacks() -> None:
    modules = {*missing_names.MODULES, "msvcrt", "winreg", "posix", "nt"}
    names = {"os": {*missing_names.OS, "O_BINARY", "startfile"}, "signal": {*missing_names.SIGNAL}}
    names["select"] = {*missing_names.SELECT}
    found = []
    for file in sorted(SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_bytes())):
            used: list[str] = []
            match node:
                case ast.Import(names=aliases):
                    used = [a.name for a in aliases if a.name in modules]
                case ast.ImportFrom(module=str(module), names=aliases):
                    absent = names.get(module, set())
                    used = [a.name for a in aliases if module in modules or a.name in absent]
                case ast.Attribute(value=ast.Name(id=module), attr=name):
                    used = [name] if name in names.get(module, ()) else []
            if used and file.name != "portable.py":
                found.append((file.relative_to(SOURCES).as_posix(), *used))
    assert found == []


def test_links_are_not_followed_without_the_flag_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("file")
    for flag in (portable._NO_LINK, 0):
        monkeypatch.setattr(portable, "_NO_LINK", flag)
        for name in ("link", b"link"):
            path: Any = os.fsencode(tmp_path / "link") if name == b"link" else tmp_path / "link"
            os.close(portable.open_to_read(path))
            with pytest.raises(OSError, match="symbolic links"):
                portable.open_to_read(path, follow=False)
        os.close(portable.open_to_read(tmp_path / "file", follow=False))


def test_both_seekers_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    with (tmp_path / "file").open("rb") as file:
        descriptor = file.fileno()
        ours = portable.seeker(descriptor)

        def fail(_: object) -> None:
            raise TypeError

        monkeypatch.setattr(portable.ctypes, "CDLL", fail)
        other = portable.seeker(descriptor)
        for place in ((4, os.SEEK_SET), (2, os.SEEK_CUR), (-3, os.SEEK_END), (-1, os.SEEK_SET)):
            os.lseek(descriptor, 1, os.SEEK_SET)
            first = ours(*place)
            os.lseek(descriptor, 1, os.SEEK_SET)
            assert other(*place) == first
        assert other(1 << 70, os.SEEK_SET) == -1


def test_a_folder_is_synced_file_by_file_where_it_must_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inside").mkdir()
    for name in ("a", "inside/b"):
        (tmp_path / name).write_bytes(b"x")
    synced = set()

    def sync(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)

    monkeypatch.delattr(os, "sync")
    monkeypatch.setattr(os, "fsync", sync)
    portable.sync_folder(tmp_path)
    assert synced == {(tmp_path / name).stat().st_ino for name in ("a", "inside/b")}


def test_cores_and_memory_without_the_names_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= portable.available_cores() <= (os.cpu_count() or 1)
    assert portable.installed_memory() is not None
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.delattr(os, "sysconf")
    assert portable.available_cores() == (os.cpu_count() or 1)
    assert portable.installed_memory() is None
