"""Files and folders that appear complete or not at all, whatever stops their writer."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crashes import killed_before
from library_support import as_nobody
from mgsv import files, portable
from mgsv.errors import ConfigError, OutputError
from mgsv.files import check_output, new_file, new_folder, put_in_place, remove_leftovers
from mgsv.files import write_file as write

OLD, NEW = b"old", b"new" * 50_000


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def fill(folder: Path) -> None:
    """What goes into a new folder here: two files, one in a folder of its own."""
    (folder / "a.bin").write_bytes(NEW)
    (folder / "inside").mkdir()
    (folder / "inside" / "b.bin").write_bytes(NEW)


def is_filled(folder: Path) -> bool:
    inner = [folder / "a.bin", folder / "inside" / "b.bin"]
    return all(path.read_bytes() == NEW for path in inner)


# --- whole or not at all ----------------------------------------------------------------------


def test_a_file_gets_its_name_when_it_is_whole(tmp_path: Path) -> None:
    with new_file(tmp_path / "x") as file:
        file.write(b"body")
        file.seek(0)
        file.write(b"B")
        assert not (tmp_path / "x").exists()
    assert (tmp_path / "x").read_bytes() == b"Body"
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o666 & ~mask
    assert names(tmp_path) == {"x"}


def test_a_folder_gets_its_name_when_it_is_whole(tmp_path: Path) -> None:
    with new_folder(tmp_path / "sub" / "x", parents=True) as folder:
        fill(folder)
        assert names(tmp_path / "sub") == {folder.name}
    assert is_filled(tmp_path / "sub" / "x")
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "sub" / "x").stat().st_mode & 0o777 == 0o777 & ~mask
    assert names(tmp_path / "sub") == {"x"}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_an_error_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "x").write_bytes(OLD)
    with (
        pytest.raises(OutputError if error is OSError else error),
        new_file(tmp_path / "x", overwrite=True) as file,
    ):
        file.write(NEW)
        raise error
    with (
        pytest.raises(OutputError if error is OSError else error),
        new_folder(tmp_path / "y") as folder,
    ):
        fill(folder)
        raise error
    assert (tmp_path / "x").read_bytes() == OLD
    assert names(tmp_path) == {"x"}


def test_what_exists_is_refused_or_replaced_but_never_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(OLD)
    link = tmp_path / "link"
    link.symlink_to(target)
    dangling = tmp_path / "dangling"
    dangling.symlink_to("nowhere")
    for path in (target, link, dangling):
        with pytest.raises(OutputError, match=f"{path.name}: it exists already"):
            write(path, NEW)
        with pytest.raises(OutputError, match="it exists already"), new_folder(path):
            pass
    write(link, "new ♪", overwrite=True)
    assert target.read_bytes() == OLD and not link.is_symlink()
    assert link.read_text(encoding="utf-8") == "new ♪"
    assert names(tmp_path) == {"target", "link", "dangling"}


@pytest.mark.parametrize("links", ["hard links", "none"])
def test_what_comes_to_exist_meanwhile_is_kept(
    tmp_path: Path, links: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if links == "none":
        monkeypatch.setattr(os, "link", failing(errno.EPERM))
    with pytest.raises(OutputError, match="it exists already"), new_file(tmp_path / "x") as file:
        file.write(NEW)
        (tmp_path / "x").write_bytes(OLD)
    with pytest.raises(OutputError, match="it exists already"), new_folder(tmp_path / "y"):
        (tmp_path / "y").write_bytes(OLD)
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes() == OLD
    assert names(tmp_path) == {"x", "y"}


def test_the_longest_names_can_be_written(tmp_path: Path) -> None:
    name = "ü" * 127 + "x"
    assert len(os.fsencode(name)) == 255
    write(tmp_path / name, NEW)
    with new_folder(tmp_path / (name[:-1] + "y")) as folder:
        fill(folder)
    assert len(names(tmp_path)) == 2


def test_an_error_of_another_file_is_not_taken_for_one_of_writing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), new_folder(tmp_path / "x"):
        (tmp_path / "input").read_bytes()
    with pytest.raises(FileNotFoundError), new_file(tmp_path / "x"):
        (tmp_path / "input").read_bytes()
    assert names(tmp_path) == set()


def test_a_file_made_over_several_runs_is_put_in_place(tmp_path: Path) -> None:
    for _ in range(2):
        with (tmp_path / "part").open("ab") as file:
            file.write(OLD)
    put_in_place(tmp_path / "part", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == OLD + OLD and names(tmp_path) == {"x"}
    (tmp_path / "part").write_bytes(NEW)
    with pytest.raises(OutputError, match="it exists already"):
        put_in_place(tmp_path / "part", tmp_path / "x")


def test_an_output_is_checked_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "in.mp4").write_bytes(OLD)
    (tmp_path / "out.mp4").hardlink_to(tmp_path / "in.mp4")
    (tmp_path / "folder.mp4").mkdir()

    def check(name: str, *, overwrite: bool = True) -> Path:
        inputs = [tmp_path / "in.mp4", tmp_path / "gone.mp4"]
        return check_output(tmp_path / name, {".mp4"}, overwrite=overwrite, inputs=inputs)

    assert check("new.MP4", overwrite=False) == tmp_path / "new.MP4"
    with pytest.raises(ConfigError, match=r"end the output's name in \.mp4"):
        check("out.avi")
    for name, problem in {
        "missing/out.mp4": "the folder it should go to does not exist",
        "folder.mp4": "there is a folder of this name",
        "out.mp4": "this is the input itself",
    }.items():
        with pytest.raises(OutputError, match=problem):
            check(name)
    (tmp_path / "old.mp4").write_bytes(OLD)
    assert check("old.mp4").name == "old.mp4"
    with pytest.raises(OutputError, match="allow `overwrite`"):
        check("old.mp4", overwrite=False)


# --- kills ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "before",
    [
        "nothing",
        "an earlier result",
        pytest.param("another's leftover", marks=pytest.mark.thorough),
    ],
)
@pytest.mark.parametrize("kind", ["file", "replaced file", "folder"])
def test_a_kill_at_any_step_leaves_the_old_or_the_new(
    tmp_path: Path, kind: str, before: str
) -> None:
    path = tmp_path / "there" / "x"

    def job() -> None:
        if kind == "folder":
            with new_folder(path) as folder:
                fill(folder)
        else:
            write(path, NEW, overwrite=kind == "replaced file")

    def start_again() -> None:
        shutil.rmtree(path.parent, ignore_errors=True)
        path.parent.mkdir()
        if before == "an earlier result" and kind == "replaced file":
            path.write_bytes(OLD)
        elif before == "another's leftover":
            killed_before(4, job)

    for step in range(60):
        start_again()
        old = path.read_bytes() if path.exists() else None
        killed = killed_before(step, job)
        if path.exists():
            assert is_filled(path) if kind == "folder" else path.read_bytes() in (OLD, NEW)
        else:
            assert killed and old is None
        if not path.exists() or kind == "replaced file":
            job()
        else:  # finished but for its passing name: what would be written again is refused
            with pytest.raises(OutputError, match="it exists already"):
                job()
            remove_leftovers(path.parent)
        assert is_filled(path) if kind == "folder" else path.read_bytes() == NEW
        assert names(path.parent) == {"x"}
        if not killed:
            break
    assert 5 < step < 59


WRITER = """
import sys, time
from mgsv.files import new_file, new_folder
make = {"file": new_file, "folder": new_folder}[sys.argv[1]]
with make(sys.argv[2]):
    print("begun", flush=True)
    time.sleep(60)
"""


@contextlib.contextmanager
def writer(kind: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process in the middle of writing `path`."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, kind, path], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_another_process_is_writing_is_let_alone(tmp_path: Path, kind: str) -> None:
    with writer(kind, tmp_path / "x") as process:
        (leftover,) = names(tmp_path)
        make = {"file": new_file, "folder": new_folder}[kind]
        with pytest.raises(OutputError, match="another process is writing it"):
            make(tmp_path / "x").__enter__()
        remove_leftovers(tmp_path)
        assert names(tmp_path) == {leftover}
        process.kill()
        process.wait()
    with make(tmp_path / "x"):
        pass
    assert names(tmp_path) == {"x"}


def test_who_may_overwrite_waits_for_the_other(tmp_path: Path) -> None:
    order = []

    def second() -> None:
        write(tmp_path / "x", NEW, overwrite=True)
        order.append("second")

    thread = threading.Thread(target=second)
    with new_file(tmp_path / "x", overwrite=True) as file:
        file.write(OLD)
        thread.start()
        time.sleep(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert (tmp_path / "x").read_bytes() == NEW and names(tmp_path) == {"x"}


def test_only_leftovers_are_removed(tmp_path: Path) -> None:
    ours = {".mgsv-0123456789abcdef.part", ".mgsv-0123456789abcdef-0123456789abcdef.part"}
    others = {".mgsv-notes.part", ".mgsv-0123456789abcdef.part.txt", "mgsv.part", ".x.part"}
    for name in ours | others:
        (tmp_path / name).write_bytes(b"x")
    folder = tmp_path / ".mgsv-00112233445566ff.part"
    (folder / "inside").mkdir(parents=True)
    remove_leftovers(tmp_path)
    assert names(tmp_path) == others
    remove_leftovers(tmp_path / "missing")


# --- filesystems that can do less, or no more --------------------------------------------------


def failing(number: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_filesystem_without_hard_links(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", failing(number))
    write(tmp_path / "x", NEW)
    assert (tmp_path / "x").read_bytes() == NEW
    with pytest.raises(OutputError, match="it exists already"):
        write(tmp_path / "x", OLD)
    assert (tmp_path / "x").read_bytes() == NEW and names(tmp_path) == {"x"}


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EBADF, None])
def test_a_filesystem_without_locks(
    tmp_path: Path, number: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None: a system that renames nothing that is open, as a lock's holder has it."""
    if number is None:
        monkeypatch.setattr(portable, "OPEN_FILES_MOVE", False)
        monkeypatch.setattr(portable, "open_to_read", failing(errno.EACCES))
    else:
        monkeypatch.setattr(fcntl, "flock", failing(number))
    with new_file(tmp_path / "x", overwrite=True) as first:
        first.write(OLD)
        write(tmp_path / "x", NEW, overwrite=True)
        assert (tmp_path / "x").read_bytes() == NEW
    assert (tmp_path / "x").read_bytes() == OLD
    with new_folder(tmp_path / "y") as folder:
        fill(folder)
        (passing,) = names(tmp_path) - {"x"}
    assert names(tmp_path) == {"x", "y"}
    (tmp_path / passing).mkdir()
    remove_leftovers(tmp_path)  # young: it may be in use
    assert names(tmp_path) == {"x", "y", passing}
    os.utime(tmp_path / passing, (time.time() - 2 * 86400,) * 2)
    remove_leftovers(tmp_path)
    assert names(tmp_path) == {"x", "y"}


NUMBERS = [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("act", ["open", "mkdir", "fsync", "rename", "replace"])
def test_a_failing_disk_is_reported_and_leaves_nothing(
    tmp_path: Path, act: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_bytes(OLD)
    monkeypatch.setattr(os, "link", failing(number))
    monkeypatch.setattr(os, act, failing(number))
    jobs: list[Callable[[], None]] = []
    if act != "mkdir":
        jobs.append(lambda: write(tmp_path / "x", NEW, overwrite=True))
        jobs.append(lambda: write(tmp_path / "y", NEW))
    if act == "rename":
        jobs.pop(0)  # which replaces
    if act in ("mkdir", "rename"):
        jobs.append(lambda: new_folder_filled(tmp_path / "y"))
    if act == "replace":
        jobs.pop()
    for job in jobs:
        with pytest.raises(OutputError) as caught:
            job()
        text = str(caught.value)
        assert os.strerror(number) in text and "\n" not in text and str(tmp_path) in text
        assert ("free some space" in text) == (number in (errno.ENOSPC, errno.EDQUOT))
    monkeypatch.undo()
    assert (tmp_path / "x").read_bytes() == OLD and names(tmp_path) == {"x"}


def new_folder_filled(path: Path) -> None:
    with new_folder(path) as folder:
        fill(folder)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 64 KB and 8 inodes."""
    place = tmp_path / "disk"
    place.mkdir()
    options = ["-t", "tmpfs", "-o", "size=64k,nr_inodes=8", "tmpfs", str(place)]
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, *options], capture_output=True).returncode:
        pytest.skip("no filesystem can be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    write(small_disk / "x", OLD)
    for job in (
        lambda: write(small_disk / "x", NEW, overwrite=True),
        lambda: write(small_disk / "y", NEW),
        lambda: new_folder_filled(small_disk / "z"),
    ):
        with pytest.raises(OutputError, match=r"No space left on device\): free some space"):
            job()
        assert names(small_disk) == {"x"} and (small_disk / "x").read_bytes() == OLD
    write(small_disk / "y", NEW[:1000])


def test_a_disk_without_inodes(small_disk: Path) -> None:
    write(small_disk / "x", OLD)
    for number in range(6):
        (small_disk / f"{number}").touch()
    with pytest.raises(OutputError, match="No space left on device"):
        write(small_disk / "y", b"")
    with pytest.raises(OutputError, match="No space left on device"):
        write(small_disk / "x", b"", overwrite=True)
    with pytest.raises(OutputError, match="No space left on device"):
        new_folder_filled(small_disk / "z")
    assert names(small_disk) == {"x", *"012345"} and (small_disk / "x").read_bytes() == OLD


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_folder_that_disappears_in_the_middle(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "place"
    place.mkdir()
    make = {"file": new_file, "folder": new_folder}[kind]
    gone = r"x: it cannot be written \(No such file or directory"
    with pytest.raises(OutputError, match=gone), make(place / "x"):
        shutil.rmtree(place)
    assert not place.exists()
    with pytest.raises(OutputError, match="No such file or directory"), make(place / "x"):
        pass
    with make(place / "x", parents=True):
        pass
    assert names(place) == {"x"}


def test_a_folder_that_may_not_be_written(public_path: Path) -> None:
    write(public_path / "x", OLD)
    public_path.chmod(0o755)

    def job() -> None:
        for path in (public_path / "x", public_path / "y"):
            with pytest.raises(OutputError, match=r"Permission denied\): check the folder's"):
                write(path, NEW, overwrite=True)
        with pytest.raises(OutputError, match="Permission denied"):
            new_folder_filled(public_path / "z")

    as_nobody(job)
    assert names(public_path) == {"x"} and (public_path / "x").read_bytes() == OLD


def test_anothers_leftover_in_a_shared_folder_is_walked_around(public_path: Path) -> None:
    public_path.chmod(0o1777)
    leftover, lock = files._take(public_path / "x", portable.create, wait=False)
    os.close(lock)

    def job() -> None:
        write(public_path / "x", NEW)

    as_nobody(job)
    assert (public_path / "x").read_bytes() == NEW
    assert names(public_path) == {"x", leftover.name}
