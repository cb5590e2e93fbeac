"""Bad files through the whole command: one line that names the file, a status, nothing written."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import real_media
from media_files import Clip, write_audio, write_video
from mgsv.runtime import onnx
from mgsv.runtime.onnx import PROVIDERS, devices
from subprocesses import Run

Make = Callable[[Path], Path]


def _empty(folder: Path) -> Path:
    return _written(folder / "empty.mp4", b"")


def _text(folder: Path) -> Path:
    return _written(folder / "text.mp4", b"not a video\n" * 100)


def _truncated(folder: Path) -> Path:
    """Without its end, an mp4 has no index."""
    whole = real_media.bikes().read_bytes()
    return _written(folder / "truncated.mp4", whole[: len(whole) // 3])


def _audio_only(folder: Path) -> Path:
    return _written(folder / "song.mp4", real_media.bgm_tracks()[0].read_bytes())


def _sub_second(folder: Path) -> Path:
    path = folder / "blink.mp4"
    write_video(path, Clip(seconds=0.4))
    return path


def _fifo(folder: Path) -> Path:
    path = folder / "pipe.mp4"
    os.mkfifo(path)
    return path


def _loop(folder: Path) -> Path:
    path = folder / "loop.mp4"
    path.symlink_to(path)
    return path


def _hls(folder: Path) -> Path:
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{real_media.bikes()}\n#EXT-X-ENDLIST\n"
    return _written(folder / "list.mp4", text.encode())


def _concat(folder: Path) -> Path:
    return _written(
        folder / "script.mp4", f"ffconcat version 1.0\nfile '{real_media.bikes()}'\n".encode()
    )


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "make",
    [_empty, _text, _truncated, _audio_only, _sub_second, _fifo, _loop, _hls, _concat],
    ids=lambda make: make.__name__.strip("_"),
)
def test_a_bad_clip(make: Make, mgsv: Run, tmp_path: Path) -> None:
    clip = make(tmp_path)
    done = mgsv("ground", clip, "--music", real_media.bgm_tracks()[0])
    _assert_refused(done, clip.name)
    assert not list(tmp_path.glob("*.mgsv.mp4"))


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (("--music", ""), "--music"),
        (("--library", ""), "--library"),
        (("--licence", ""), "--licence"),
        (("--like", " "), "--like"),
        (("--tempo", ""), "--tempo"),
    ],
)
def test_an_empty_text_is_not_taken_for_nothing(
    words: tuple[str, str], flag: str, mgsv: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a variable that is not set: the filter would be off, the folder the one one is in."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    done = mgsv("ground", real_media.bikes(), "-m", real_media.bgm_tracks()[0], *words)
    assert done.returncode != 0 and flag in done.stderr and "names nothing" in done.stderr
    assert not list(here.iterdir())


@pytest.mark.parametrize("flags", [("--json",), ("--top", "2"), ("--format", "svg")])
def test_a_page_of_clips_takes_no_options_of_pictures(
    flags: tuple[str, ...], mgsv: Run, tmp_path: Path
) -> None:
    clips = real_media.bikes(), real_media.city()
    page = tmp_path / "page.html"
    done = mgsv("explain", *clips, "-m", real_media.bgm_tracks()[0], "-o", page, *flags)
    assert done.returncode != 0 and f"leave {flags[0]} out" in done.stderr
    assert not page.exists()


@pytest.mark.parametrize("name", ["concat:x.mp4", "http:/127.0.0.1/x.mp4", "-", "pipe:0"])
def test_a_name_is_never_a_protocol(name: str, mgsv: Run) -> None:
    done = mgsv("ground", "--music", real_media.bgm_tracks()[0], "--", name)
    _assert_refused(done, name)


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"text", b"ID3"], ids=["empty", "text", "header only"])
def test_bad_music_alone(content: bytes, mgsv: Run, tmp_path: Path) -> None:
    track = _written(tmp_path / "song.mp3", content)
    done = mgsv("ground", real_media.bikes(), "--music", track, "--no-render")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    left_out, refusal = done.stderr.splitlines()
    assert left_out.startswith(f"left out: {track}: ")
    assert refusal.startswith("mgsv: no track can be used: song.mp3: ")


def test_an_empty_music_folder(mgsv: Run, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    done = mgsv("ground", real_media.bikes(), "--music", tmp_path / "none", "--no-render")
    _assert_refused(done, "none")
    assert "mp3" in done.stderr, "the accepted endings are named"


@pytest.mark.slow
def test_names_that_are_not_utf8(mgsv_process: Run, tmp_path: Path) -> None:
    clip = os.fsencode(tmp_path) + b"/cl\xffip.mp4"
    track = os.fsencode(tmp_path) + b"/so\xfeng.opus"
    Path(os.fsdecode(clip)).write_bytes(real_media.bikes().read_bytes())
    Path(os.fsdecode(track)).write_bytes(real_media.bgm_tracks()[0].read_bytes())
    done = mgsv_process("ground", clip, "--music", track, "--timeline", "cut.otio")
    assert done.returncode == 0, done.stderr
    assert Path(os.fsdecode(os.fsencode(tmp_path) + b"/cl\xffip.mgsv.mp4")).exists()


@pytest.mark.slow
def test_tracks_shorter_than_three_seconds_are_left_out(mgsv: Run, tmp_path: Path) -> None:
    jingle = tmp_path / "jingle.wav"
    noise = np.random.default_rng(0).normal(0, 0.1, 32_000).astype(np.float32)
    write_audio(jingle, noise, 16_000)
    alone = mgsv("ground", real_media.bikes(), "--music", jingle, "--no-render")
    assert alone.returncode == 1 and "give music of at least 3 s" in alone.stderr
    track = real_media.bgm_tracks()[0]
    done = mgsv("ground", real_media.bikes(), "--music", jingle, track, "--no-render")
    assert done.returncode == 0 and "1 of 2 tracks are shorter than 3 s" in done.stderr


@pytest.mark.slow
def test_a_clip_longer_than_the_track_is_noted(mgsv: Run, tmp_path: Path) -> None:
    clip = tmp_path / "long.mp4"
    write_video(clip, Clip(seconds=40, cuts=(3.0, 11.0, 25.0)))
    done = mgsv("ground", clip, "--music", real_media.bgm_tracks()[0])
    assert done.returncode == 0, done.stderr
    assert "so the music ends first: --fit loop lets it go on" in done.stderr


@pytest.mark.slow
def test_a_full_disk(tmp_path: Path) -> None:
    """The video cannot be finished: the half of it must go, and the message must say why."""
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from mgsv.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    track = str(real_media.bgm_tracks()[0])
    arguments = ["ground", str(real_media.bikes()), "--music", track, "--output", "out.mp4"]
    process = [sys.executable, "-c", code, *arguments, "--library", str(tmp_path / "library")]
    done = subprocess.run(process, cwd=tmp_path, capture_output=True, text=True)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    assert done.returncode == 1 and "out.mp4" in done.stderr and "Traceback" not in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"library"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_output_folder(mgsv: Run, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    arguments = ("--music", real_media.bgm_tracks()[0], "--output", locked / "out.mp4")
    _assert_refused(mgsv("ground", real_media.bikes(), *arguments), "out.mp4")


def _assert_refused(done: subprocess.CompletedProcess[str], name: str) -> None:
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("mgsv: ") and name in line


def test_a_device_that_is_not_installed_is_named(mgsv: Run) -> None:
    missing = next(name for name in PROVIDERS if name not in devices())
    done = mgsv("ground", "clip.mp4", "--music", ".", "--device", missing)
    assert done.returncode == 1
    assert f"--device {missing}: ONNX Runtime was installed without it" in done.stderr


def test_a_device_is_known_by_its_name_in_any_case(
    mgsv: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx, "_device", None)
    done = mgsv("ground", "clip.mp4", "--music", ".", "--device", "CPU")
    assert done.returncode == 1 and "clip.mp4" in done.stderr  # which is missing
    done = mgsv("ground", "clip.mp4", "--music", ".", "--device", "abacus")
    assert done.returncode == 2 and "'cpu', 'cuda', 'coreml', 'directml'" in done.stderr
