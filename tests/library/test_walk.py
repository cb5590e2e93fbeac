import contextlib
import os

import pytest

from library_support import as_nobody
from mgsv.errors import LibraryError
from mgsv.library.walk import (
    bounds_inside,
    by_ending,
    find_files,
    find_music,
    left_out,
    listed,
    plain,
)
from mgsv.media.extensions import VIDEO_EXTENSIONS


def names(*roots):
    found = list(find_music([plain(root) for root in roots]))
    base = plain(roots[0])
    return {os.path.relpath(item.path, base): item.problem for item in found}


def test_music_endings_in_any_case_and_nothing_hidden(tmp_path):
    for name in ("b.mp3", "A.FLAC", "notes.txt", "cover.jpg", ".hidden.mp3", "mp3", "c.d/e.opus"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache/f.mp3").write_bytes(b"x")
    assert names(tmp_path) == {b"A.FLAC": "", b"b.mp3": "", b"c.d/e.opus": ""}


def test_what_is_left_out_is_counted_except_companion_files(tmp_path):
    inner = tmp_path / "in"
    inner.mkdir()
    names = "a.mp3 b.DFF in/c.dff README d.mid cover.JPG a.cue l.m3u8 a.lrc x.txt .DS_Store .d.mid"
    for name in names.split():
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "dead.mid").symlink_to("nowhere")
    others = set()
    assert [item.path for item in find_music([plain(tmp_path)], others)] == [
        plain(tmp_path / "a.mp3")
    ]
    counts = by_ending(others)
    assert counts == {"dff": 2, "mid": 2, "": 1} and list(counts)[-1] == ""
    assert listed(counts) == "2 .dff, 2 .mid, 1 without an ending"
    line = left_out(counts, "music")
    assert line.startswith("left out: 5 files that are not music: 2 .dff, ")
    assert left_out({"xyz": 1}, "music").startswith("left out: 1 file that is not music: 1 .xyz (")
    many = {f"e{k}": 1 for k in range(9)}
    assert listed(many) == "1 .e0, 1 .e1, 1 .e2, 1 .e3, 1 .e4, 1 .e5, 3 with other endings"
    # A file that is also named itself is not left out, whichever comes first.
    roots = [plain(tmp_path), plain(tmp_path / "d.mid")]
    for order in (roots, roots[::-1]):
        others = set()
        assert len(list(find_music(order, others))) == 2
        assert by_ending(others) == {"dff": 2, "": 1, "mid": 1}


def test_endings_that_songs_and_videos_share_are_marked(tmp_path):
    for name in ("a.mp4", "b.webm", "c.mka", "d.avi"):
        (tmp_path / name).write_bytes(b"x")
    os.mkfifo(tmp_path / "e.mov")
    others = set()
    found = {item.path: item.may_be_video for item in find_music([plain(tmp_path)], others)}
    marked = {os.path.relpath(path, plain(tmp_path)): mark for path, mark in found.items()}
    assert marked == {b"a.mp4": True, b"b.webm": True, b"c.mka": False}
    assert by_ending(others) == {"avi": 1, "mov": 1}
    (named,) = find_music([plain(tmp_path / "a.mp4")])
    assert not named.may_be_video
    videos = find_files([plain(tmp_path)], VIDEO_EXTENSIONS, others=(others := set()))
    assert [item.may_be_video for item in videos] == [False] * 4
    assert by_ending(others) == {"mka": 1}


def test_a_file_named_outright_needs_no_ending_and_is_given_once(tmp_path):
    song = tmp_path / "song.dat"
    song.write_bytes(b"x")
    other = tmp_path / "other.mp3"
    other.write_bytes(b"x")
    found = list(find_music([plain(song), plain(tmp_path), plain(other)]))
    assert [item.path for item in found] == [plain(song), plain(other)]
    assert found[0].size == 1 and found[0].mtime_ns == song.stat().st_mtime_ns


@pytest.mark.parametrize(
    "name",
    ["a b.mp3", "new\nline.mp3", "🎵.mp3", "-dash.mp3", os.fsdecode(b"latin\xe9.mp3"), "%41?#.mp3"],
)
def test_any_name(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    assert names(tmp_path) == {os.fsencode(name): ""}


def test_links_are_followed_and_loops_end(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "out"
    (inside / "deep").mkdir(parents=True)
    outside.mkdir()
    (outside / "far.mp3").write_bytes(b"x")
    (inside / "near.mp3").write_bytes(b"x")
    (inside / "deep/up").symlink_to(inside)
    (inside / "link").symlink_to(outside)
    (inside / "self").symlink_to("self")
    (inside / "self.mp3").symlink_to("self.mp3")
    (inside / "dead.mp3").symlink_to("nowhere")
    assert names(inside) == {
        b"near.mp3": "",
        b"link/far.mp3": "",
        b"self.mp3": "too many levels of symbolic links",
        b"dead.mp3": "no such file or directory",
    }


def test_a_fifo_is_named_and_never_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp3")
    assert names(tmp_path) == {b"pipe.mp3": "not a regular file"}
    with pytest.raises(LibraryError, match="neither a folder nor a regular file"):
        names(tmp_path / "pipe.mp3")


@pytest.mark.parametrize("name", ["missing", "file.mp3/inside", "nul\0", "x" * 300])
def test_a_root_that_is_not_there(tmp_path, name):
    (tmp_path / "file.mp3").write_bytes(b"x")
    with pytest.raises(LibraryError) as caught:
        names(tmp_path / name)
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_a_folder_that_may_not_be_listed(public_path):
    closed = public_path / "closed"
    closed.mkdir()
    (public_path / "open.mp3").write_bytes(b"x")
    closed.chmod(0o311)

    def look():
        assert names(public_path) == {b"open.mp3": "", b"closed": "permission denied"}
        with pytest.raises(LibraryError, match="closed: permission denied: check"):
            names(closed)

    as_nobody(look)


def test_folders_are_entered_where_the_listing_does_not_identify_them(tmp_path, monkeypatch):
    """On Windows, `os.DirEntry.stat` says that each folder is number 0 on device 0."""

    class Entry:
        def __init__(self, entry):
            self._entry, self.name, self.path = entry, entry.name, entry.path
            self.is_dir = entry.is_dir

        def stat(self):
            status = self._entry.stat()
            return os.stat_result((status.st_mode, 0, 0, *status[3:]))

    class Listing(contextlib.ExitStack):
        def __init__(self, path):
            super().__init__()
            self._entries = self.enter_context(scandir(path))

        def __iter__(self):
            return map(Entry, self._entries)

    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", Listing)
    for name in ("a/1.mp3", "b/2.mp3", "b/c/3.mp3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert names(tmp_path) == {b"a/1.mp3": "", b"b/2.mp3": "", b"b/c/3.mp3": ""}


@pytest.mark.parametrize("separator", [b"/", b"\\"])
def test_the_bounds_of_a_folder_hold_what_lies_inside_and_nothing_else(separator):
    inside = [b"x", b"a" + separator + b"b", b"\xff", b" "]
    outside = [b"", b"b", b"0", b" ", b"\xff", b"]", b"."]
    for root in (b"/m", b"/m/", b"C:\\m"):
        root = root.replace(b"/", separator).replace(b"\\", separator)
        low, high = bounds_inside(root, separator)
        base = root.rstrip(separator)
        assert all(low < base + separator + name < high for name in inside)
        assert not any(low < base + name < high for name in outside)
