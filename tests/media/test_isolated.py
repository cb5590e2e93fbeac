"""A decoder that crashes, hangs or takes all memory costs one file an error, and nothing else."""

from __future__ import annotations

import ast
import gc
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import decoder_faults as faults
import library_support
import media_files
import real_media
from mgsv.errors import ConfigError, DataError, MediaError, NoDecoder
from mgsv.media import audio, decoder, isolated, pictures, render, video
from mgsv.media.isolated import isolate
from mgsv.media.soundtrack import SoundOptions
from mgsv.moment import Moment

SUPPORT = Path(__file__).parents[1] / "support"


@pytest.fixture(autouse=True)
def fresh_decoders() -> Iterator[None]:
    """Each test starts and ends without a decoder."""
    decoder.end_all()
    yield
    decoder.end_all()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return media_files.write_video(
        tmp_path / "clip.mp4",
        media_files.Clip(seconds=3, cuts=(1.0, 2.2)),
        audio=media_files.sine(2.5, 48_000),
        audio_delay=0.3,
    )


def children() -> dict[int, str]:
    """The processes this one has started and that live: id → command line.

    Without those of multiprocessing and servers, which other tests may have left.
    """
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = (folder / "stat").read_text().rpartition(")")[2].split()
                if int(parent[1]) == os.getpid() and parent[0] != "Z":
                    found[int(folder.name)] = (folder / "cmdline").read_text()
            except OSError:  # it has just ended
                continue
    others = "multiprocessing", "postgres", "moto.server", "mgsv\0studio"
    return {pid: line for pid, line in found.items() if not any(one in line for one in others)}


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def soon(condition: Callable[[], object], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def long_wav(path: Path, seconds: int = 7000) -> Path:
    """Hours of sound in few bytes, none of them on the disk: long to decode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = 8_000 * seconds
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8_000, 8_000, 1, 8)  # one byte a sample
    data = struct.pack("<4sI", b"data", size)
    path.write_bytes(struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE") + form + data)
    os.truncate(path, 44 + size)
    return path


def send_when_open(path: Path, number: int) -> threading.Thread:
    """Send the signal `number` to the decoder that has opened `path`, once."""

    def opened() -> bool:
        for pid in [one.pid for one in list(decoder._all)]:
            try:
                links = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
            except OSError:
                continue
            if str(path) in links:
                os.kill(pid, number)
                return True
        return False

    thread = threading.Thread(target=soon, args=(opened,), daemon=True)
    thread.start()
    return thread


class TestSameResults:
    def test_sound(self, clip: Path) -> None:
        here, there = audio.read_audio(clip, 22_050), isolated.read_audio(clip, 22_050)
        assert there.samples.dtype == np.float32
        assert np.array_equal(here.samples, there.samples)
        assert (here.rate, here.warnings) == (there.rate, there.warnings)
        first = isolated.read_audio(clip, channel="first")
        assert np.array_equal(first.samples, audio.read_audio(clip, channel="first").samples)
        assert isolated.count_sounds(clip) == audio.count_sounds(clip)
        assert isolated.probe_audio(clip) == audio.probe_audio(clip)

    @pytest.mark.parametrize("shorter_side", [None, 48])
    def test_pictures(self, clip: Path, shorter_side: int | None) -> None:
        here = video.VideoScan(clip, shorter_side, per_second=2)
        there = isolated.VideoScan(clip, shorter_side, per_second=2)
        frames = list(zip(here, there, strict=True))
        assert len(frames) == (0 if shorter_side is None else 6)
        for one, other in frames:
            assert one.time == other.time
            assert np.array_equal(one.image, other.image)
        for name in ("motion", "light", "cuts"):
            assert np.array_equal(getattr(here.curves, name), getattr(there.curves, name))
        assert here.curves.duration == there.curves.duration
        assert (here.info, here.warnings) == (there.info, there.warnings)
        assert isolated.probe_video(clip) == video.probe_video(clip)

    def test_damaged_sound_keeps_its_warnings(self, tmp_path: Path) -> None:
        path = media_files.write_audio(tmp_path / "a.mp3", media_files.sine(9, 44_100), codec="mp3")
        os.truncate(path, path.stat().st_size // 2)
        here, there = audio.read_audio(path), isolated.read_audio(path)
        assert np.array_equal(here.samples, there.samples)
        assert here.warnings == there.warnings != ()

    def test_real_media(self) -> None:
        track = real_media.bgm_tracks()[0]
        assert np.array_equal(isolated.read_audio(track).samples, audio.read_audio(track).samples)

    def test_rendering(self, clip: Path, tmp_path: Path) -> None:
        track = library_support.write_tone(tmp_path / "tone.wav", seconds=6)
        outputs = tmp_path / "here.mp4", tmp_path / "there.mp4"
        reports = [
            one(clip, track, Moment(1, 4), output, sound=SoundOptions(fade=0.5))
            for one, output in zip((render.render, isolated.render), outputs, strict=True)
        ]
        assert outputs[0].read_bytes() == outputs[1].read_bytes()
        assert [report.path for report in reports] == list(outputs)
        assert reports[0].loudness == reports[1].loudness

    def test_stills(self, tmp_path: Path) -> None:
        import matplotlib.image

        path = tmp_path / "still.png"
        matplotlib.image.imsave(path, np.random.default_rng(0).random((64, 48, 3)))
        here = pictures.read_still(path, 32, 32)
        assert np.array_equal(isolated.read_still(path, 32, 32), here)

    def test_switched_off(self, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(decoder.SWITCH, "off")
        assert len(list(isolated.VideoScan(clip, 48))) == 3
        assert isolated.read_audio(clip).duration == pytest.approx(2.5, abs=0.1)
        assert not children()


class TestErrors:
    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["none.mp3", "folder", "a\nb.mp3", "\udcff.mp3"])
    def test_the_same_as_here(
        self, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "folder").mkdir()
        monkeypatch.chdir(tmp_path)
        errors = []
        for one in (audio.read_audio, isolated.read_audio):
            with pytest.raises(MediaError) as caught:
                one(name)
            errors.append(caught.value)
        assert str(errors[0]) == str(errors[1])
        assert errors[0].path == errors[1].path == Path(name)
        assert (errors[0].problem, errors[0].remedy) == (errors[1].problem, errors[1].remedy)

    def test_names_stay_as_given(self, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        decoder.start_ahead()
        monkeypatch.chdir(clip.parent)  # the decoder stays where it was
        assert isolated.probe_video(clip.name).path == Path(clip.name)
        with pytest.raises(ConfigError, match=r"^x/../nix.mp4: not this one: take another$"):
            isolate(faults.refuse)(Path("x/../nix.mp4"))
        with pytest.raises(DataError, match=r"^x/../nix.mp4: not this one: take another$") as data:
            isolate(faults.refuse_data)(Path("x/../nix.mp4"))
        assert data.value.path == Path("x/../nix.mp4")

    def test_bugs_keep_their_kind_and_their_trace(self, clip: Path) -> None:
        with pytest.raises(ZeroDivisionError, match="no") as caught:
            isolate(faults.fail)(clip, "bug")
        assert "decoder_faults.py" in caught.value.__notes__[0]
        with pytest.raises(OSError, match="Input/output error") as failed:
            isolate(faults.fail)(clip, "disk")
        assert failed.value.errno == 5

    def test_noise_is_kept_away(self, clip: Path, capfd: pytest.CaptureFixture[str]) -> None:
        assert isolate(faults.print_and_warn)(clip) == "quiet"
        assert capfd.readouterr() == ("", "")


class TestFaults:
    @pytest.mark.slow
    def test_a_crash_names_the_file(self, clip: Path, capfd: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(MediaError) as caught:
            isolate(faults.crash)(clip)
        assert str(caught.value) == (f"{clip}: the decoder crashed on it: get or export it again")
        assert len(list(isolated.VideoScan(clip, 48))) == 3  # in another process
        assert capfd.readouterr() == ("", "")

    def test_a_crash_in_the_middle_of_a_file(self, tmp_path: Path) -> None:
        path = long_wav(tmp_path / "long.wav")
        thread = send_when_open(path, signal.SIGSEGV)
        with pytest.raises(MediaError, match=r"long.wav: the decoder crashed on it"):
            isolated.read_audio(path)
        thread.join()

    @pytest.mark.slow
    @pytest.mark.parametrize("status", [0, 3])
    def test_an_exit_is_a_crash(self, clip: Path, status: int) -> None:
        with pytest.raises(MediaError, match="crashed"):
            isolate(faults.leave)(clip, status)

    @pytest.mark.slow
    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
    def test_killed_from_outside(self, tmp_path: Path, number: int) -> None:
        path = long_wav(tmp_path / "long.wav")
        thread = send_when_open(path, number)
        with pytest.raises(NoDecoder, match=rf"was killed \(signal {number:d}\)"):
            isolated.read_audio(path)
        thread.join()

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "fault", [faults.loop_for_ever, faults.loop_for_ever_alone, faults.wait_for_ever]
    )
    def test_a_step_that_does_not_end(
        self, clip: Path, fault: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(decoder, "PATIENCE", 1.0)
        monkeypatch.setattr(decoder, "PATIENCE_AT_REST", 1.5)
        with pytest.raises(MediaError, match="made no progress in 1 s"):
            isolate(fault)(clip)
        assert not children()
        assert isolated.probe_video(clip).width == 160

    def test_a_stopped_decoder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(decoder, "PATIENCE", 2.0)
        path = long_wav(tmp_path / "long.wav")
        thread = send_when_open(path, signal.SIGSTOP)
        with pytest.raises(MediaError, match="made no progress in 2 s"):
            isolated.read_audio(path)
        thread.join()
        assert not children()

    @pytest.mark.slow
    def test_long_work_is_no_fault(self, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(decoder, "PATIENCE", 1.0)
        assert isolate(faults.work_on)(clip, 2.5) == "done"

    def test_all_memory(self, clip: Path) -> None:
        with pytest.raises(MediaError, match=r"takes more than \d+\.\d GB of memory"):
            isolate(faults.take_all_memory)(clip)

    def test_two_inputs_and_half_an_output(self, clip: Path, tmp_path: Path) -> None:
        write = isolate(faults.write_and_crash, ("path",), "output")
        with pytest.raises(MediaError, match="crashed"):
            write(clip, tmp_path / "half.mp4")
        assert sorted(one.name for one in tmp_path.iterdir()) == ["clip.mp4"]

    @pytest.mark.slow
    def test_a_batch_continues(self, tmp_path: Path) -> None:
        music, folder = tmp_path / "music", tmp_path / "library"
        library_support.write_tones(music, 6)
        path = long_wav(music / "002-long.wav")
        thread = send_when_open(path, signal.SIGSEGV)
        with library_support.opened(music, folder) as library:
            report = library.report
        thread.join()
        assert report.added == 6
        assert report.failed == ((path, "the decoder crashed on it: get or export it again"),)
        encoder = library_support.TinyEncoder()
        with library_support.opened(music, folder, encoder) as library:
            assert library.report.failed == report.failed  # remembered
            assert (library.report.unchanged, encoder.calls) == (6, 0)

    @pytest.mark.slow
    def test_a_killed_decoder_is_not_held_against_the_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        music, folder = tmp_path / "music", tmp_path / "library"
        (path,) = library_support.write_tones(music, 1)
        with monkeypatch.context() as patch:
            patch.setattr(isolated, "read_audio", lambda one, *_: isolate(faults.be_killed)(one))
            with library_support.opened(music, folder) as library:
                assert [name for name, _ in library.report.failed] == [path]
        with library_support.opened(music, folder) as library:
            assert (library.report.added, library.report.failed) == (1, ())


class TestProcesses:
    def test_one_is_kept_between_files(self, clip: Path) -> None:
        pids = {isolate(faults.tell_pid)(clip) for _ in range(3)}
        assert len(pids) == 1 == len(children())

    @pytest.mark.slow
    def test_one_whose_frames_are_not_all_wanted(self, clip: Path) -> None:
        pid = isolate(faults.tell_pid)(clip)
        for frame in isolated.VideoScan(clip, 48, per_second=10):
            if frame.time > 0.5:
                break
        gc.collect()
        assert isolate(faults.tell_pid)(clip) == pid

    def test_neither_torch_nor_the_rest_of_mgsv(self, clip: Path) -> None:
        modules = isolate(faults.tell_modules)(clip)
        heavy = {"torch", "mgsv.library", "mgsv.encoders", "matplotlib", "mgsv.cli"}
        assert not heavy & set(modules)

    @pytest.mark.slow
    def test_it_ends_when_there_is_nothing_to_do(self, clip: Path) -> None:
        pid = isolate(faults.be_impatient)(clip)
        assert soon(lambda: not alive(pid))
        assert isolated.probe_video(clip).width == 160

    @pytest.mark.slow
    def test_it_ends_just_as_it_is_needed(
        self, clip: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pid = isolate(faults.be_impatient)(clip)
        assert soon(lambda: not alive(pid))
        monkeypatch.setattr(decoder.Decoder, "alive", lambda _: True)  # as it was a moment ago
        assert isolate(faults.tell_pid)(clip) != pid

    @pytest.mark.slow
    def test_a_fork_starts_its_own(self, clip: Path) -> None:
        pid = isolate(faults.tell_pid)(clip)
        child = os.fork()
        if child == 0:
            try:
                other = isolate(faults.tell_pid)(clip)
                os._exit(0 if other != pid else 1)
            except BaseException:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        assert isolate(faults.tell_pid)(clip) == pid

    @pytest.mark.slow
    def test_many_threads(self, clip: Path) -> None:
        expected, results = audio.read_audio(clip).samples, []

        def work() -> None:
            results.extend(isolated.read_audio(clip).samples for _ in range(3))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(results) == 12 and all(np.array_equal(one, expected) for one in results)
        assert 1 <= len(children()) <= 4

    def test_a_program_that_cannot_be_started(
        self, clip: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "executable", "/no/python")
        decoder.start_ahead()
        with pytest.raises(NoDecoder, match=f"can be started .*{decoder.SWITCH}=off"):
            isolated.probe_video(clip)
        monkeypatch.setattr(sys, "executable", "/bin/true")
        with pytest.raises(NoDecoder, match=r"can be started \(exit status 0"):
            isolated.probe_video(clip)


SCRIPT = """
import sys
from pathlib import Path
from mgsv.media import isolated
import decoder_faults
print("once", isolated.isolate(decoder_faults.tell_pid)(Path(sys.argv[1])), flush=True)
"""


def script(text: str, *arguments: str | Path, cwd: Path) -> subprocess.Popen[str]:
    """A script without a guard against being run again."""
    (cwd / "script.py").write_text(text)
    path = os.pathsep.join([str(SUPPORT), *(one for one in sys.path if one)])
    return subprocess.Popen(
        [sys.executable, "script.py", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class TestTheAskingProcess:
    @pytest.mark.slow
    def test_its_script_is_not_run_again(self, clip: Path, tmp_path: Path) -> None:
        output, errors = script(SCRIPT, clip, cwd=tmp_path).communicate(timeout=60)
        assert (output.count("once"), errors) == (1, "")
        assert soon(lambda: not alive(int(output.split()[1])))

    @pytest.mark.slow
    def test_modules_that_lie_in_its_folder_are_not_taken(self, clip: Path, tmp_path: Path) -> None:
        for name in ("av", "numpy", "mgsv"):
            (tmp_path / f"{name}.py").write_text("raise SystemExit('taken')")
        path = os.pathsep.join([str(SUPPORT), *(one for one in sys.path if one)])
        done = subprocess.run(
            [sys.executable, "-P", "-c", SCRIPT, clip],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.stdout[:4], done.stderr) == ("once", "")

    @pytest.mark.slow
    @pytest.mark.parametrize("fault", ["wait_for_ever", "loop_for_ever"])
    def test_when_it_is_killed_the_decoder_ends(
        self, clip: Path, tmp_path: Path, fault: str
    ) -> None:
        text = SCRIPT + f"isolated.isolate(decoder_faults.{fault})(Path(sys.argv[1]))"
        asking = script(text, clip, cwd=tmp_path)
        assert asking.stdout is not None
        pid = int(asking.stdout.readline().split()[1])
        time.sleep(0.3)
        asking.kill()
        asking.communicate()
        assert soon(lambda: not alive(pid), 5)

    @pytest.mark.slow
    def test_ctrl_c(self, tmp_path: Path) -> None:
        text = SCRIPT + "isolated.read_audio(sys.argv[1])"
        asking = script(text, long_wav(tmp_path / "long.wav"), cwd=tmp_path)
        assert asking.stdout is not None
        pid = int(asking.stdout.readline().split()[1])
        time.sleep(0.5)
        start = time.monotonic()
        for one in (pid, asking.pid):  # a terminal sends it to both
            os.kill(one, signal.SIGINT)
        _, errors = asking.communicate(timeout=10)
        assert time.monotonic() - start < 2
        assert errors.rstrip().endswith("KeyboardInterrupt")
        assert soon(lambda: not alive(pid), 2)


@pytest.mark.slow
def test_nothing_else_decodes_in_its_own_process() -> None:
    """Whoever reads users' files above `mgsv.media` takes the functions of `isolated`."""
    root = Path(isolated.__file__).parents[1]
    names = {*isolated.__all__, "read_curves", "open_media"} - {"isolate"}
    for path in root.rglob("*.py"):
        if path.relative_to(root).parts[0] == "media":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mgsv.media."):
                taken = names & {alias.name for alias in node.names}
                assert not taken or node.module == "mgsv.media.isolated", (path, taken)
