"""The door: only plain local files are opened, and every refusal is one clear line.

Tolerances: one frame at 25 frames/s, and rounding, in every duration.
"""

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import av
import numpy as np
import pytest

from media_files import Clip, sine, write_audio, write_song_with_cover, write_video
from mgsv.errors import MediaError
from mgsv.media.audio import probe_audio, read_audio
from mgsv.media.source import open_media
from mgsv.media.video import VideoScan, probe_video, read_curves

READERS: list[Callable[[Path], object]] = [probe_video, read_curves, probe_audio, read_audio]
WHITE = Clip(seconds=0.4, colours=[(255, 255, 255)])


def refusal(path: Path) -> str:
    """The error that all readers raise for `path`: one line that names it and a remedy."""
    messages = set()
    for reader in READERS:
        with pytest.raises(MediaError) as caught:
            reader(path)
        messages.add(str(caught.value))
    assert len(messages) == 1
    message = messages.pop()
    assert "\n" not in message
    problem_and_remedy = message.removeprefix(str(path)) if str(path) in message else message
    assert problem_and_remedy.count(": ") >= 2  # ": problem: remedy"
    return message


class TestNotAFile:
    def test_missing(self, tmp_path: Path) -> None:
        assert "there is no such file" in refusal(tmp_path / "none.mp4")
        (tmp_path / "file").write_text("x")
        assert "there is no such file" in refusal(tmp_path / "file" / "none.mp4")

    def test_name_too_long(self, tmp_path: Path) -> None:
        assert "name is too long" in refusal(tmp_path / ("a" * 300))

    def test_name_with_a_nul(self, tmp_path: Path) -> None:
        assert "not a file name" in refusal(tmp_path / "a\0b.mp4")

    def test_empty(self, tmp_path: Path) -> None:
        (tmp_path / "empty.mp4").touch()
        assert "the file is empty" in refusal(tmp_path / "empty.mp4")

    def test_folder(self, tmp_path: Path) -> None:
        assert "it is a folder" in refusal(tmp_path)

    def test_fifo_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo.mp4")
        assert "not a regular file" in refusal(tmp_path / "fifo.mp4")

    @pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
    def test_device(self, device: str, tmp_path: Path) -> None:
        (tmp_path / "clip.mp4").symlink_to(device)
        assert "not a regular file" in refusal(tmp_path / "clip.mp4")

    def test_symlink_loop(self, tmp_path: Path) -> None:
        (tmp_path / "a.mp4").symlink_to("b.mp4")
        (tmp_path / "b.mp4").symlink_to("a.mp4")
        assert "form a loop" in refusal(tmp_path / "a.mp4")

    def test_unreadable(self, tmp_path: Path) -> None:
        path = write_video(tmp_path / "clip.mp4", WHITE)
        path.chmod(0)
        if os.access(path, os.R_OK):
            pytest.skip("this user may read everything")
        assert "may not be read" in refusal(path)

    def test_changed_between_the_question_and_the_opening(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        os.mkfifo(tmp_path / "fifo")
        regular = (tmp_path / "file").write_bytes(b"x") and (tmp_path / "file").stat()
        monkeypatch.setattr(Path, "stat", lambda *_args, **_kwargs: regular)
        with pytest.raises(MediaError, match="not a regular file"), open_media(tmp_path / "fifo"):
            pass

    def test_other_errors_are_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write_video(tmp_path / "clip.mp4", WHITE)

        def broken(*_args: object) -> int:
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(os, "open", broken)
        with pytest.raises(MediaError, match="Input/output error"), open_media(path):
            pass


def moving_picture(path: Path, kind: str = "WebP") -> Path:
    """Ten pictures of 0.2 s each, of grey 0, 25, 50 … 225."""
    images = pytest.importorskip("PIL.Image", reason="needs Pillow")
    first, *others = (images.new("RGB", (64, 48), (25 * n,) * 3) for n in range(10))
    first.save(path, kind, save_all=True, append_images=others, duration=200, loop=0)
    return path


class TestNotMedia:
    @pytest.mark.parametrize("name", ["notes.mp4", "notes.mp3", "notes.srt", "notes"])
    def test_text(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_text("Dear diary, today I renamed a file.\n" * 100)
        assert "not a media file" in refusal(tmp_path / name)

    def test_subtitles(self, tmp_path: Path) -> None:
        (tmp_path / "a.mp4").write_text("1\n00:00:01,000 --> 00:00:02,000\nHello\n\n" * 20)
        assert "not a media file" in refusal(tmp_path / "a.mp4")

    def test_noise(self, tmp_path: Path) -> None:
        noise = np.random.default_rng(0).integers(0, 256, 200_000, np.uint8)
        (tmp_path / "noise.mp4").write_bytes(noise.tobytes())
        for reader in READERS:
            with pytest.raises(MediaError):
                reader(tmp_path / "noise.mp4")

    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "WebP", "TIFF", "BMP"])
    def test_a_still_picture(self, tmp_path: Path, kind: str) -> None:
        images = pytest.importorskip("PIL.Image", reason="needs Pillow")
        for name in (f"still.{kind.lower()}", "still.mp4"):
            images.new("RGB", (64, 48), "red").save(tmp_path / name, kind)
            message = refusal(tmp_path / name)
            assert f"it is a still picture ({kind}): give a video" in message

    def test_an_animated_webp(self, tmp_path: Path) -> None:
        path = moving_picture(tmp_path / "a.webp")
        assert "animated WebP, which cannot be decoded here: convert it to mp4" in refusal(path)

    @pytest.mark.parametrize("name", ["a.png", "a.apng", "a.mp4"])
    def test_an_animated_png_is_a_clip(self, tmp_path: Path, name: str) -> None:
        scan = VideoScan(moving_picture(tmp_path / name, "PNG"), 48)
        lights = [frame.image.mean() for frame in scan]
        assert scan.info.duration == pytest.approx(2.0) and not scan.warnings
        assert lights == pytest.approx([0, 125], abs=2)
        with pytest.raises(MediaError, match="it has no sound"):
            read_audio(scan.path)

    def test_mp4_cut_short(self, tmp_path: Path) -> None:
        path = write_video(tmp_path / "clip.mp4", Clip(seconds=4), audio=sine(4, 48_000))
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        assert "damaged or incomplete" in refusal(path)

    def test_no_moving_picture(self, tmp_path: Path) -> None:
        for path in (
            write_audio(tmp_path / "sound.mp4", sine(1, 44_100), codec="aac"),
            write_song_with_cover(tmp_path / "song.mp3"),
        ):
            for reader in (probe_video, read_curves):
                with pytest.raises(MediaError, match="it has no moving picture: give a video"):
                    reader(path)

    def test_no_frames_at_all(self, tmp_path: Path) -> None:
        path = write_video(tmp_path / "clip.mkv", times=[])
        for reader in READERS:
            with pytest.raises(MediaError):
                reader(path)


class TestClaims:
    @pytest.mark.parametrize("side", [9_000, 60_000, 2**31 - 1])
    def test_absurd_size(self, tmp_path: Path, side: int) -> None:
        path = write_video(tmp_path / "clip.avi", codec="rawvideo")
        data = bytearray(path.read_bytes())
        at = data.index(b"strf") + 12  # BITMAPINFOHEADER: after its own size, width and height
        data[at : at + 8] = side.to_bytes(4, "little") * 2
        path.write_bytes(data)
        for reader in (probe_video, read_curves):
            with pytest.raises(MediaError, match=r"claims pictures of|no readable picture|damaged"):
                reader(path)

    def test_size_that_grows_within_the_stream(self, tmp_path: Path) -> None:
        path = write_video(tmp_path / "clip.mkv", Clip(seconds=2), codec="mjpeg")
        data = path.read_bytes()
        # SOF0: marker, length 17, 8 bits, height 96, width 160
        size = bytes([0xFF, 0xC0, 0, 17, 8, 0, 96, 0, 160])
        parts = data.split(size)
        assert len(parts) > 40
        huge = size[:5] + (12_000).to_bytes(2, "big") * 2
        path.write_bytes(size.join(parts[:26]) + huge + huge.join(parts[26:]))
        scan = VideoScan(path, shorter_side=48)
        assert [f.image.shape for f in scan] == [(48, 80, 3)]
        assert "damaged" in scan.warnings[0]

    def test_absurd_duration(self, tmp_path: Path) -> None:
        path = write_video(tmp_path / "clip.mp4", Clip(seconds=2))
        data = bytearray(path.read_bytes())
        for box in (b"mvhd", b"mdhd"):  # version 0: duration is the fifth 32-bit field
            at = data.index(box) + 4 + 16
            data[at : at + 4] = (0x7FFFFFFF).to_bytes(4, "big")
        path.write_bytes(data)
        scan = VideoScan(path, shorter_side=48)
        assert len(list(scan)) == 2
        assert scan.info.duration == pytest.approx(2, abs=0.05)
        assert len(scan.curves.motion) == 20


class TestNames:
    @pytest.mark.parametrize(
        "name",
        [
            "a clip.mp4",
            "two\nlines.mp4",
            "🎬.mp4",
            "-i.mp4",
            "concat:x.mp4",
            "file:x.mp4",
            "http:x.mp4",
            "pipe:0",
            "%03d.mp4",
            "no_ending",
            "wrong.mp3",
            os.fsdecode(b"latin-\xe9.mp4"),
        ],
    )
    def test_any_name(self, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        plain = write_video(tmp_path / "plain.mp4", WHITE, audio=sine(0.4, 48_000))
        plain.rename(tmp_path / name)
        monkeypatch.chdir(tmp_path)
        assert probe_video(name).duration == pytest.approx(0.4, abs=0.05)
        assert read_audio(name).duration == pytest.approx(0.4, abs=0.05)

    def test_messages_stay_one_line(self, tmp_path: Path) -> None:
        for name in ("two\nlines.mp4", os.fsdecode(b"latin-\xe9.mp4")):
            message = refusal(tmp_path / name)
            message.encode()  # no bytes that a terminal could not show


class TestReferences:
    """Files that tell FFmpeg to open others. Each time, FFmpeg without the door does so."""

    def shows_white(self, path: Path, **options: str) -> bool:
        with av.open(str(path), options=options) as container:
            frame = next(container.decode(video=0))
            return bool(frame.to_ndarray(format="gray").mean() > 200)

    @pytest.mark.parametrize("name", ["list.mp4", "list.ffconcat", "list.txt"])
    def test_concat_script(self, tmp_path: Path, name: str) -> None:
        write_video(tmp_path / "other.mp4", WHITE)
        script = tmp_path / name
        script.write_text("ffconcat version 1.0\nfile other.mp4\n")
        assert self.shows_white(script)
        assert "not a media file" in refusal(script)

    @pytest.mark.parametrize("name", ["list.mp4", "list.m3u8"])
    def test_playlist(self, tmp_path: Path, name: str) -> None:
        write_video(tmp_path / "other.ts", WHITE)
        playlist = tmp_path / name
        playlist.write_text(
            "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.4,\nother.ts\n#EXT-X-ENDLIST\n"
        )
        if name.endswith(".m3u8"):  # FFmpeg itself has come to refuse playlists of other names
            assert self.shows_white(playlist)
        assert "not a media file" in refusal(playlist)

    def test_nothing_is_fetched(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.setblocking(False)
            address = f"http://127.0.0.1:{server.getsockname()[1]}/a.ts"
            playlist = tmp_path / "list.m3u8"
            playlist.write_text(f"#EXTM3U\n#EXTINF:1,\n{address}\n#EXT-X-ENDLIST\n")
            refusal(playlist)
            script = tmp_path / "list.mp4"
            script.write_text(f"ffconcat version 1.0\nfile {address}\n")
            refusal(script)
            with pytest.raises(BlockingIOError):
                server.accept()

    def test_quicktime_external_data(self, tmp_path: Path) -> None:
        other = write_video(tmp_path / "other.mov", WHITE)
        black = Clip(seconds=0.4, colours=[(0, 0, 0)])
        path = write_video(tmp_path / "clip.mov", black)
        path.write_bytes(refer_to(path.read_bytes(), str(other)))
        # Its sample table fits the other file closely enough for the first frame.
        assert self.shows_white(path, enable_drefs="1", use_absolute_path="1")
        with pytest.MonkeyPatch.context() as patch:
            # Even if FFmpeg's own switch were on, the door would hand it an empty file.
            options = {"enable_drefs": "1", "use_absolute_path": "1"}
            patch.setattr("mgsv.media.source._OPTIONS", options)
            with pytest.raises(MediaError):
                list(VideoScan(path, shorter_side=48))
        try:
            frames = list(VideoScan(path, shorter_side=48))
        except MediaError:
            return
        assert all(f.image.mean() < 50 for f in frames)


def refer_to(movie: bytes, target: str) -> bytes:
    """A QuickTime file whose media data is said to be in `target`, by an alias record.

    The index of these files is at their end, so it can grow without moving the media data.
    """
    path = target.encode()
    alias = bytes(10) + bytes(1 + 27) + bytes(12) + bytes(1 + 63) + bytes(16)
    alias += (1).to_bytes(2, "big") * 2 + bytes(16)  # levels from and to
    alias += (2).to_bytes(2, "big") + len(path).to_bytes(2, "big") + path + bytes(len(path) % 2)
    alias += b"\xff\xff\x00\x00" + bytes(100)
    entry = (12 + len(alias)).to_bytes(4, "big") + b"alis" + bytes(4) + alias
    dref = (16 + len(entry)).to_bytes(4, "big") + b"dref" + bytes(4) + (1).to_bytes(4, "big")
    dref += entry
    data = bytearray(movie)
    inside = data.index(b"minf")  # a mov has a second dref in none of the other boxes before it
    at = data.index(b"dref", inside) - 4
    old = int.from_bytes(data[at : at + 4], "big")
    growth = len(dref) - old
    data[at : at + old] = dref
    for name in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
        head = data.rindex(name, 0, at) - 4
        size = int.from_bytes(data[head : head + 4], "big")
        data[head : head + 4] = (size + growth).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.slow
def test_a_stream_that_comes_up_on_the_way(tmp_path: Path) -> None:
    """A recording from the air: for two seconds, there are three sounds."""
    clip = Clip(seconds=8, rate=5, width=64, height=48)
    one = write_video(tmp_path / "one.ts", clip, audio=sine(8, 48_000)).read_bytes()
    both = {"audio": sine(2, 48_000), "more_audio": [sine(2, 48_000)] * 2}
    two = write_video(tmp_path / "two.ts", Clip(seconds=2), **both).read_bytes()
    # The first seconds and the last 250 KB are looked through when the file is opened.
    times = 2 + 250_000 // len(one)
    path = tmp_path / "all.ts"
    path.write_bytes(one + two + one * times)
    seconds = 8 + 2 + 8 * times
    for _ in range(3):  # what is read depends on memory's former content
        assert read_audio(path).duration == pytest.approx(seconds, abs=0.5)
    assert read_curves(path).duration == pytest.approx(seconds, abs=0.5)


class TestQuiet:
    def test_nothing_reaches_stderr(self, tmp_path: Path) -> None:
        path = write_video(tmp_path / "clip.mkv", Clip(seconds=3), audio=sine(3, 48_000))
        data = bytearray(path.read_bytes())
        for at in range(3_000, len(data) - 100, 1_500):
            data[at : at + 60] = bytes(60)
        path.write_bytes(data)
        other = write_video(tmp_path / "clip.mov", WHITE)
        other.write_bytes(refer_to(other.read_bytes(), str(path)))
        code = """
            import sys
            from mgsv.errors import MediaError
            from mgsv.media.audio import read_audio
            from mgsv.media.video import VideoScan
            for path in sys.argv[1:]:
                for read in (lambda p: list(VideoScan(p, 48)), read_audio):
                    try:
                        read(path)
                    except MediaError:
                        pass
        """
        ran = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), path, other],
            capture_output=True,
            check=False,
        )
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")

    @pytest.mark.parametrize("at", [148, 195, 296, 410, 508])
    def test_a_place_that_no_file_has(
        self, tmp_path: Path, at: int, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Sizes of 9,187,201,950,435,737,471 bytes in the headers of a WMA file."""
        path = write_audio(tmp_path / "a.wma", sine(1, 44_100), codec="wmav2")
        data = bytearray(path.read_bytes())
        data[at : at + 8] = b"\x7f" * 8
        path.write_bytes(data)
        with contextlib.suppress(MediaError):
            read_audio(path)
        assert capfd.readouterr().err == ""
        good = write_audio(tmp_path / "b.wav", sine(1, 44_100))
        assert read_audio(good).warnings == ()


class TestInterrupt:
    @pytest.mark.slow
    @pytest.mark.parametrize("after", [0.01, 0.05, 0.1, 0.2])
    def test_ctrl_c_gets_through(self, tmp_path: Path, after: float) -> None:
        path = write_video(
            tmp_path / "clip.mp4",
            Clip(seconds=8, width=640, height=360),
            audio=sine(8, 48_000),
        )

        def interrupt(_signal: int, _frame: FrameType | None) -> None:
            raise KeyboardInterrupt

        previous = signal.signal(signal.SIGALRM, interrupt)
        try:
            with pytest.raises(KeyboardInterrupt):
                # 1 of 400 is lost: it comes while PyAV notes the place of an error of its own.
                signal.setitimer(signal.ITIMER_REAL, after, 1.0)
                for _ in range(20):  # about 5 s
                    list(VideoScan(path, shorter_side=224))
                    read_audio(path)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
