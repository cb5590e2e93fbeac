"""Rendering, judged by decoding the result again with independent measures."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from media_files import Clip, clicks, sine, write_audio, write_video
from mgsv.errors import ConfigError, MediaError
from mgsv.media import render as render_module
from mgsv.media import soundtrack as soundtrack_module
from mgsv.media.aac import AacSpool
from mgsv.media.render import render
from mgsv.moment import Moment
from real_media import bgm_tracks, big_buck_bunny, bikes, city, long_tracks

RATE = 48_000
Stereo = NDArray[np.float64]


# Oracles


def read_sound(path: Path, rate: int = RATE) -> Stereo:
    """[2, N] at `rate`, sample 0 at the file's time 0, as a player hears it."""
    blocks = []
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("fltp", "stereo", rate)
        for frame in container.decode(audio=0):
            if not blocks:
                assert frame.time is not None
                blocks.append(np.zeros((2, round(frame.time * rate))))
            frame.pts = None
            blocks += [f.to_ndarray() for f in resampler.resample(frame)]
        blocks += [f.to_ndarray() for f in resampler.resample(None)]
    return np.concatenate(blocks, axis=1).astype(np.float64)


def read_track(path: Path) -> Stereo:
    """[2, N] at 48 kHz, sample 0 the track's first sample."""
    sound = read_sound(path)
    with av.open(str(path)) as container:
        first = next(iter(container.decode(audio=0)))
        assert first.time is not None
    return sound[:, round(first.time * RATE) :]


def read_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(p) for p in container.demux(video=0) if p.size]


def read_times(path: Path) -> NDArray[np.float64]:
    """Seconds at which each picture is shown."""
    with av.open(str(path)) as container:
        return np.array([f.time for f in container.decode(video=0)])


def loudness(sound: Stereo) -> float:
    """Integrated loudness in LUFS: ITU-R BS.1770-4, written from its annex 1 for 48 kHz."""
    shelf = ([1.53512485958697, -2.69169618940638, 1.19839281085285],
             [1.0, -1.69065929318241, 0.73248077421585])  # fmt: skip
    high_pass = ([1.0, -2.0, 1.0], [1.0, -1.99004745483398, 0.99007225036621])
    count = 1 << (sound.shape[1] + RATE).bit_length()
    z = np.exp(-2j * np.pi * np.arange(count // 2 + 1) / count)
    response = np.ones_like(z)
    for above, below in (shelf, high_pass):
        response = response * np.polyval(above[::-1], z) / np.polyval(below[::-1], z)
    weighted = np.fft.irfft(np.fft.rfft(sound, count) * response, count)[:, : sound.shape[1]]
    starts = range(0, sound.shape[1] - int(0.4 * RATE) + 1, int(0.1 * RATE))
    power = np.array([(weighted[:, s : s + int(0.4 * RATE)] ** 2).mean(1).sum() for s in starts])
    heard = power[-0.691 + 10 * np.log10(power + 1e-20) > -70]
    heard = heard[10 * np.log10(heard) > 10 * np.log10(heard.mean()) - 10]
    return float(-0.691 + 10 * np.log10(heard.mean()))


def true_peak(sound: Stereo) -> float:
    """dBTP: the highest of the samples and of three between each two (band-limited)."""
    count = 1 << sound.shape[1].bit_length()
    spectrum = np.fft.rfft(sound, count)
    finer = np.fft.irfft(spectrum, 4 * count) * 4
    return float(20 * np.log10(np.abs(finer).max()))


def lag(sound: Stereo, reference: Stereo, reach: float = 0.1) -> float:
    """Seconds by which `sound` comes later than `reference`, within ± `reach`."""
    a, b = sound.mean(0), reference.mean(0)
    count = 1 << (len(a) + len(b)).bit_length()
    match = np.fft.irfft(np.fft.rfft(a, count) * np.conj(np.fft.rfft(b, count)), count)
    shifts = np.arange(-round(reach * RATE), round(reach * RATE) + 1)
    return float(shifts[np.argmax(match[shifts])]) / RATE


def left_in(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


# Material


def music(seconds: float = 12.0, rate: int = 44_100, seed: int = 3) -> NDArray[np.float32]:
    """Stereo noise bursts over a chord, never the same twice: its places can be told apart."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    beat = np.exp(-8 * (time % 0.4))
    noise = rng.normal(0, 0.1, (2, len(time))) * beat
    chord = 0.1 * np.sin(2 * np.pi * 220 * time) + 0.1 * np.sin(2 * np.pi * 331 * time)
    return (noise + chord).astype(np.float32)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short clip and a track."""
    folder = tmp_path_factory.mktemp("shelf")
    write_video(folder / "clip.mp4", Clip(seconds=2.0, cuts=(1.0,)))
    write_audio(folder / "track.flac", music(), codec="flac")
    return folder


# Picture


@pytest.mark.parametrize(
    ("codec", "source", "target", "copied"),
    [
        ("h264", ".mp4", ".mp4", True),
        ("h264", ".mkv", ".mp4", True),
        ("h264", ".mkv", ".mkv", True),
        ("h264", ".mp4", ".mov", True),
        ("hevc", ".mp4", ".mp4", True),
        ("hevc", ".mkv", ".mp4", True),
        ("mpeg4", ".mp4", ".mp4", True),
        ("mpeg4", ".avi", ".mp4", True),
        ("vp9", ".mkv", ".mkv", True),
        ("vp9", ".webm", ".mp4", False),
        ("mpeg2video", ".mkv", ".mp4", False),
        ("ffv1", ".mkv", ".mp4", False),
    ],
)
def test_picture_of_every_codec(
    tmp_path: Path, shelf: Path, codec: str, source: str, target: str, copied: bool
) -> None:
    base = Fraction(1, 25) if codec in ("mpeg4", "mpeg2video") else Fraction(1, 12_800)
    clip = write_video(
        tmp_path / f"clip{source}", Clip(seconds=2.0, cuts=(1.0,)), codec=codec, time_base=base
    )
    report = render(clip, shelf / "track.flac", Moment(1.0, 3.0), tmp_path / f"out{target}")
    assert report.copied_video is copied
    assert abs(report.duration - 2.0) <= 1 / 25
    if copied:
        assert read_packets(report.path) == read_packets(clip)
    before = read_times(clip)
    np.testing.assert_allclose(read_times(report.path), before - before[0], atol=2e-3)
    assert abs(read_sound(report.path).shape[1] / RATE - 2.0) <= 1 / 25


@pytest.mark.parametrize("codec", ["h264", "vp9"])
def test_uneven_times_and_a_late_start_are_kept(tmp_path: Path, shelf: Path, codec: str) -> None:
    times = np.cumsum([0.0, *np.random.default_rng(1).choice([0.02, 0.05, 0.11], 40)])
    clip = write_video(
        tmp_path / "clip.mkv", Clip(seconds=3), codec=codec, times=times.tolist(), start=1.5
    )
    report = render(clip, shelf / "track.flac", Moment(1.0, 9.0), tmp_path / "out.mp4")
    assert report.copied_video is (codec == "h264")
    np.testing.assert_allclose(read_times(report.path), times, atol=1.1e-3)


@pytest.mark.parametrize("codec", ["h264", "vp9"])
@pytest.mark.parametrize(
    ("rotation", "mirrored"), [(90, False), (180, False), (270, False), (90, True)]
)
def test_a_turned_picture_is_shown_as_before(
    tmp_path: Path, shelf: Path, codec: str, rotation: int, mirrored: bool
) -> None:
    corners = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8)
    picture = np.kron(corners, np.ones((48, 80, 1), np.uint8))
    clip = write_video(
        tmp_path / "clip.mp4",
        Clip(seconds=0.5, paint=lambda _time: picture),
        codec=codec,
        rotation=rotation,
        mirrored=mirrored,
    )
    report = render(clip, shelf / "track.flac", Moment(1.0, 1.5), tmp_path / "out.mp4")
    shown = picture[:, ::-1] if mirrored else picture
    shown = np.rot90(shown, -rotation // 90)
    with av.open(str(report.path)) as container:
        frame = next(iter(container.decode(video=0)))
        if report.copied_video:
            with av.open(str(clip)) as source:
                original = next(iter(source.decode(video=0)))
                assert bytes(frame.side_data["DISPLAYMATRIX"]) == bytes(
                    original.side_data["DISPLAYMATRIX"]
                )
        else:
            assert "DISPLAYMATRIX" not in frame.side_data
            image = frame.to_ndarray(format="rgb24").astype(int)
            assert image.shape == shown.shape
            for row in (0.25, 0.75):
                for column in (0.25, 0.75):
                    at = int(row * shown.shape[0]), int(column * shown.shape[1])
                    assert np.abs(image[at] - shown[at].astype(int)).max() < 40


def test_odd_sides_are_cut_to_even_when_encoding(tmp_path: Path, shelf: Path) -> None:
    clip = write_video(tmp_path / "c.webm", Clip(seconds=0.5, width=161, height=97), codec="vp9")
    report = render(clip, shelf / "track.flac", Moment(1.0, 1.5), tmp_path / "out.mp4")
    with av.open(str(report.path)) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (160, 96)


# Music


@pytest.mark.parametrize(
    ("codec", "suffix", "rate"),
    [
        ("wav", ".wav", 44_100),
        ("mp3", ".mp3", 44_100),
        ("aac", ".m4a", 44_100),
        ("opus", ".opus", 48_000),
        ("flac", ".flac", 22_050),
    ],
)
@pytest.mark.parametrize("start", [0.0, 1.2345, 7.77])
def test_the_music_starts_where_asked(
    tmp_path: Path, shelf: Path, codec: str, suffix: str, rate: int, start: float
) -> None:
    track = write_audio(tmp_path / f"track{suffix}", music(rate=rate), rate=rate, codec=codec)
    report = render(shelf / "clip.mp4", track, Moment(start, start + 2.0), tmp_path / "out.mp4")
    asked = read_track(track)[:, round(start * RATE) : round((start + 2.0) * RATE)]
    assert abs(lag(read_sound(report.path), asked)) <= 0.001


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
def test_the_music_starts_where_asked_in_other_containers(
    tmp_path: Path, shelf: Path, suffix: str
) -> None:
    track = shelf / "track.flac"
    report = render(shelf / "clip.mp4", track, Moment(3.21, 5.21), tmp_path / f"out{suffix}")
    asked = read_track(track)[:, round(3.21 * RATE) : round(5.21 * RATE)]
    assert abs(lag(read_sound(report.path), asked)) <= 0.002


def test_real_clips_and_tracks(tmp_path: Path) -> None:
    tracks = [*bgm_tracks()[::14], long_tracks()[0]]
    clips = [big_buck_bunny(), bikes(), city()]
    for number, track in enumerate(tracks):
        clip, start = clips[number % len(clips)], 3.3 + number
        report = render(clip, track, Moment(start, start + 10), tmp_path / f"{number}.mp4")
        sound = read_sound(report.path)
        asked = read_track(track)[:, round(start * RATE) :][:, : sound.shape[1]]
        assert abs(lag(sound, asked)) <= 0.005
        assert abs(loudness(sound) + 14) <= 1 or any("ceiling" in n for n in report.notes)
        assert true_peak(sound) <= -0.9
        assert abs(report.loudness - loudness(sound)) <= 0.3


@pytest.mark.parametrize("level", [0.02, 1.0, 6.0])
def test_any_level_comes_out_at_the_loudness_asked(
    tmp_path: Path, shelf: Path, level: float
) -> None:
    track = write_audio(tmp_path / "track.wav", level * music(4), codec="pcm_f32le")
    for asked in (-14.0, -23.0):
        report = render(
            shelf / "clip.mp4", track, Moment(0.5, 2.5), tmp_path / f"{asked}.mp4", loudness=asked
        )
        sound = read_sound(report.path)
        assert abs(loudness(sound) - asked) <= 1.0
        assert true_peak(sound) <= -0.95
        assert report.notes == ()


def test_the_ceiling_binds_and_says_so(tmp_path: Path, shelf: Path) -> None:
    track = write_audio(tmp_path / "t.wav", clicks(4, [0.5, 1.5, 2.5], RATE), RATE)
    report = render(shelf / "clip.mp4", track, Moment(0.0, 2.0), tmp_path / "out.mp4")
    sound = read_sound(report.path)
    assert loudness(sound) < -15
    assert true_peak(sound) <= -0.95
    assert any("ceiling" in note for note in report.notes)


def test_the_ceiling_holds_where_coding_moves_the_peaks(
    tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room taken away instead of left, the first encoding must come out above the ceiling."""
    monkeypatch.setattr(soundtrack_module, "_PEAK_MARGIN", -1.0)
    track = write_audio(tmp_path / "t.wav", clicks(4, [0.5, 1.5, 2.5], RATE), RATE)
    report = render(shelf / "clip.mp4", track, Moment(0.0, 2.0), tmp_path / "out.mp4")
    assert true_peak(read_sound(report.path)) <= -0.95


def test_silence_stays_silence(tmp_path: Path, shelf: Path) -> None:
    track = write_audio(tmp_path / "t.wav", np.zeros(RATE * 3, np.float32), RATE)
    report = render(shelf / "clip.mp4", track, Moment(0.0, 2.0), tmp_path / "out.mp4")
    assert report.loudness == -np.inf
    assert "the sound is silent" in report.notes
    assert np.abs(read_sound(report.path)).max() < 1e-3


def test_left_and_right_stay_apart(tmp_path: Path, shelf: Path) -> None:
    sides = np.stack([sine(4, RATE, 440.0), sine(4, RATE, 1000.0)])
    track = write_audio(tmp_path / "t.wav", sides, RATE)
    report = render(shelf / "clip.mp4", track, Moment(0.0, 2.0), tmp_path / "out.mp4")
    left, right = np.abs(np.fft.rfft(read_sound(report.path)[:, RATE // 2 : RATE * 3 // 2]))
    assert left[440] > 100 * left[1000]
    assert right[1000] > 100 * right[440]


def test_no_clicks_at_either_end(tmp_path: Path, shelf: Path) -> None:
    """A tone cut anywhere but at a zero would start and end with a step."""
    track = write_audio(tmp_path / "t.wav", sine(9, RATE, 100.0), RATE)
    report = render(shelf / "clip.mp4", track, Moment(1.0025, 3.0025), tmp_path / "out.mp4")
    sound = read_sound(report.path)[0]
    loud = np.abs(sound).max()
    assert np.abs(sound[:48]).max() < 0.1 * loud
    assert np.abs(sound[2 * RATE - 240 : 2 * RATE]).max() < 0.1 * loud
    middle = np.abs(sound[RATE // 2 : RATE]).max()
    assert np.abs(np.diff(sound)).max() < 1.5 * middle * 2 * np.pi * 100 / RATE


@pytest.mark.parametrize(
    ("moment", "heard", "who"),
    [(Moment(2.0, 3.0), 1.0, "the moment"), (Moment(11.2, 13.2), 0.8, "the track")],
)
def test_music_that_ends_before_the_clip(
    tmp_path: Path, shelf: Path, moment: Moment, heard: float, who: str
) -> None:
    report = render(shelf / "clip.mp4", shelf / "track.flac", moment, tmp_path / "out.mp4")
    sound = np.abs(read_sound(report.path)).max(0)
    end = round(heard * RATE)
    assert sound[: end - RATE // 3].max() > 0.1
    assert sound[end + RATE // 20 :].max() < 1e-3
    assert any(note.startswith(who) for note in report.notes)
    assert abs(len(sound) / RATE - 2.0) < 1 / 25


def test_a_moment_must_lie_on_the_track(tmp_path: Path, shelf: Path) -> None:
    clip, track, out = shelf / "clip.mp4", shelf / "track.flac", tmp_path / "out.mp4"
    with pytest.raises(MediaError, match=r"track\.flac.*ends at 00:12\.0"):
        render(clip, track, Moment(12.5, 14.5), out)
    with pytest.raises(ConfigError, match="starts at -1 s"):
        render(clip, track, Moment(-1.0, 1.0), out)
    with pytest.raises(ConfigError, match="empty"):
        render(clip, track, Moment(1.0, 1.0), out)
    assert left_in(tmp_path) == set()


# The clip's own sound


def test_music_ducks_under_the_clips_own_sound_which_stays_in_step(tmp_path: Path) -> None:
    """Speech: a 1 kHz tone in the second and the fourth second. Music: a 300 Hz tone throughout."""
    own = sine(5.0, RATE, 1000.0)
    second = np.arange(len(own)) // RATE
    own[(second != 1) & (second != 3)] = 0
    late = 0.25  # the picture starts this much later than the sound, whose beginning is cut off
    clip = write_video(
        tmp_path / "clip.mkv",
        times=(late + np.arange(118) / 25).tolist(),
        audio=own,
        audio_codec="flac",
        start=0.7,
    )
    track = write_audio(tmp_path / "track.wav", sine(9.0, RATE, 300.0), RATE)
    report = render(clip, track, Moment(0.0, 5.0), tmp_path / "out.mp4", keep_audio=True)
    assert abs(report.duration - 118 / 25) <= 1 / 25
    sound = np.pad(read_sound(report.path), ((0, 0), (round(late * RATE), 0)))
    spectra = [
        np.abs(np.fft.rfft(sound[0, s * RATE + 12_000 : s * RATE + 36_000])) for s in range(5)
    ]
    speech, bed = [s[500] for s in spectra], [s[150] for s in spectra]
    assert bed[1] < bed[0] / 3
    assert bed[3] < bed[4] / 3
    assert speech[1] > 2 * bed[1]
    assert speech[0] < speech[1] / 100
    assert abs(loudness(sound[:, round(late * RATE) :]) + 14) <= 1
    assert true_peak(sound) <= -0.95
    voice = np.fft.irfft(
        np.where(np.abs(np.fft.rfftfreq(sound.shape[1], 1 / RATE) - 1000) < 300,
                 np.fft.rfft(sound[0]), 0), sound.shape[1])  # fmt: skip
    starts = [
        np.argmax(np.abs(voice[s * RATE - 4800 :]) > 0.5 * np.abs(voice).max()) for s in (1, 3)
    ]
    assert all(abs(start - 4800) < 0.005 * RATE for start in starts)


def test_keeping_the_sound_of_a_clip_without_any(tmp_path: Path, shelf: Path) -> None:
    report = render(
        shelf / "clip.mp4", shelf / "track.flac", Moment(0, 2), tmp_path / "o.mp4", keep_audio=True
    )
    assert "the clip has no sound of its own" in report.notes
    assert abs(report.loudness + 14) <= 1


# Files


def test_what_exists_is_not_overwritten_unless_asked(tmp_path: Path, shelf: Path) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"mine")
    job = shelf / "clip.mp4", shelf / "track.flac", Moment(0, 2), out
    with pytest.raises(MediaError, match="exists already"):
        render(*job)
    assert out.read_bytes() == b"mine"
    render(*job, overwrite=True)
    assert len(read_times(out)) == 50
    assert left_in(tmp_path) == {"out.mp4"}


def test_what_comes_to_exist_meanwhile_is_not_overwritten(
    tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.mp4"
    packets = AacSpool.packets
    monkeypatch.setattr(AacSpool, "packets", lambda *a: (out.write_bytes(b"mine"), packets(*a))[1])
    with pytest.raises(MediaError, match="exists already"):
        render(shelf / "clip.mp4", shelf / "track.flac", Moment(0, 2), out)
    assert out.read_bytes() == b"mine"
    assert left_in(tmp_path) == {"out.mp4"}


@pytest.mark.parametrize("link", ["same", "symbolic", "hard"])
@pytest.mark.parametrize("which", ["clip.mp4", "track.mp4"])
def test_an_input_is_never_the_output(tmp_path: Path, link: str, which: str) -> None:
    write_video(tmp_path / "clip.mp4", Clip(seconds=0.5))
    write_audio(tmp_path / "track.mp4", music(2), codec="aac")
    target, out = tmp_path / which, tmp_path / "out.mp4"
    before = target.read_bytes()
    if link == "same":
        out = tmp_path / "." / which
    elif link == "symbolic":
        out.symlink_to(target)
    else:
        out.hardlink_to(target)
    with pytest.raises(MediaError, match="the input itself"):
        render(tmp_path / "clip.mp4", tmp_path / "track.mp4", Moment(0, 1), out, overwrite=True)
    assert target.read_bytes() == before


def test_places_where_nothing_can_be_written(tmp_path: Path, shelf: Path) -> None:
    job = shelf / "clip.mp4", shelf / "track.flac", Moment(0, 2)
    with pytest.raises(MediaError, match="folder it should go to does not exist"):
        render(*job, tmp_path / "missing" / "out.mp4")
    with pytest.raises(ConfigError, match=r"end the output's name in \.mp4"):
        render(*job, tmp_path / "out.avi")
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(MediaError, match="a folder of this name"):
        render(*job, tmp_path / "folder.mp4", overwrite=True)
    with pytest.raises(MediaError, match="cannot be written"):
        render(*job, Path("/proc/out.mp4"))
    for bad in ({"loudness": 3.0}, {"true_peak": float("nan")}, {"fade": -1.0}):
        with pytest.raises(ConfigError, match=next(iter(bad))):
            render(*job, tmp_path / "out.mp4", **bad)  # type: ignore[arg-type]
    assert left_in(tmp_path) == {"folder.mp4"}


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
def test_a_folder_that_is_read_only(tmp_path: Path, shelf: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(MediaError, match="Permission denied"):
        render(shelf / "clip.mp4", shelf / "track.flac", Moment(0, 2), tmp_path / "out.mp4")
    tmp_path.chmod(0o700)


FULL_DISK = """
import resource, sys
from mgsv.errors import MediaError
from mgsv.media.render import render
from mgsv.moment import Moment
video, track, output, limit = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
try:
    render(video, track, Moment(0, 2), output)
except MediaError as error:
    print(error)
"""


@pytest.mark.parametrize("room", [10_000, 300_000, 900_000])
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, shelf: Path, room: int) -> None:
    """The first limits stop the work files, the last one the result (noise: 2 MB of packets)."""
    clip = tmp_path / "clip.mp4"
    noise = np.random.default_rng(0)
    paint = Clip(
        seconds=2.0, width=320, height=240,
        paint=lambda _t: noise.integers(0, 256, (240, 320, 3), np.uint8),
    )  # fmt: skip
    write_video(clip, paint)
    assert clip.stat().st_size > 1_500_000
    folder = tmp_path / "out"
    folder.mkdir()
    result = subprocess.run(
        [sys.executable, "-c", FULL_DISK, clip, shelf / "track.flac", folder / "o.mp4", str(room)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "cannot be written (File too large)" in result.stdout
    assert result.stdout.count("\n") == 1
    assert result.stderr == ""
    assert left_in(folder) == set()


def test_an_interrupt_before_writing_leaves_nothing_behind(
    tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = render_module.make_soundtrack

    def interrupted(*arguments: Any, **options: Any) -> None:
        make(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(render_module, "make_soundtrack", interrupted)
    with pytest.raises(KeyboardInterrupt):
        render(shelf / "clip.mp4", shelf / "track.flac", Moment(0, 2), tmp_path / "out.mp4")
    assert left_in(tmp_path) == set()


def test_an_interrupt_while_writing_leaves_nothing_behind(
    tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packets = AacSpool.packets

    def interrupted(spool: AacSpool, stream: av.AudioStream) -> Iterator[av.Packet[av.AudioStream]]:
        for number, packet in enumerate(packets(spool, stream)):
            if number == 50:
                assert len(left_in(tmp_path)) == 1  # the unfinished file, under its passing name
                raise KeyboardInterrupt
            yield packet

    monkeypatch.setattr(AacSpool, "packets", interrupted)
    with pytest.raises(KeyboardInterrupt):
        render(shelf / "clip.mp4", shelf / "track.flac", Moment(0, 2), tmp_path / "out.mp4")
    assert left_in(tmp_path) == set()


def test_strange_names(tmp_path: Path, shelf: Path) -> None:
    names = ["-o 🎵\n.mp4", os.fsdecode(b"caf\xe9.mp4"), "concat:x.mp4"]
    for name in names:
        report = render(shelf / "clip.mp4", shelf / "track.flac", Moment(0, 2), tmp_path / name)
        assert report.path == tmp_path / name
    assert left_in(tmp_path) == set(names)


def test_the_result_has_the_usual_permissions(tmp_path: Path, shelf: Path) -> None:
    out = render(shelf / "clip.mp4", shelf / "track.flac", Moment(0, 2), tmp_path / "o.mp4").path
    (tmp_path / "plain").touch()
    assert out.stat().st_mode == (tmp_path / "plain").stat().st_mode


MEMORY = """
import resource, sys
from mgsv.media.render import render
from mgsv.moment import Moment
video, track, output, seconds = sys.argv[1:]
render(video, track, Moment(0, float(seconds)), output, keep_audio=True)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_clip(tmp_path: Path) -> None:
    peaks: list[int] = []
    for seconds in (20, 80):
        sound = np.tile(music(10, 16_000)[0], seconds // 10)
        clip = write_video(
            tmp_path / f"{seconds}.mp4", Clip(seconds, rate=5, width=64, height=48),
            audio=sound, audio_rate=16_000,
        )  # fmt: skip
        track = write_audio(tmp_path / f"{seconds}.flac", sound, 16_000, "flac")
        command = [
            sys.executable,
            "-c",
            MEMORY,
            clip,
            track,
            tmp_path / f"o{seconds}.mp4",
            str(seconds),
        ]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(int(result.stdout))
    assert peaks[1] - peaks[0] < 10, peaks  # 80 s of stereo floats would be 31 MB
