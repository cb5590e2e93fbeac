"""The sound of a rendered file: the music exactly placed and levelled, the clip's own above it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from media_files import clicks, sine, write_audio, write_video
from mgsv.errors import ConfigError, MediaError
from mgsv.media import soundtrack as soundtrack_module
from mgsv.media.render import render
from mgsv.media.soundtrack import SoundOptions
from mgsv.moment import Moment
from real_media import bgm_tracks, big_buck_bunny, bikes, city, long_tracks
from render_support import (
    RATE,
    lag,
    left_in,
    loudness,
    music,
    read_sound,
    read_track,
    true_peak,
)


@pytest.mark.slow
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
def test_the_music_starts_where_it_should(
    tmp_path: Path, shelf: Path, codec: str, suffix: str, rate: int, start: float
) -> None:
    track = write_audio(tmp_path / f"track{suffix}", music(rate=rate), rate=rate, codec=codec)
    report = render(shelf / "clip.mp4", track, Moment(start, start + 2.0), tmp_path / "out.mp4")
    asked = read_track(track)[:, round(start * RATE) : round((start + 2.0) * RATE)]
    assert abs(lag(read_sound(report.path), asked)) <= 0.001


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
def test_the_music_starts_where_it_should_in_other_containers(
    tmp_path: Path, shelf: Path, suffix: str
) -> None:
    track = shelf / "track.flac"
    report = render(shelf / "clip.mp4", track, Moment(3.21, 5.21), tmp_path / f"out{suffix}")
    asked = read_track(track)[:, round(3.21 * RATE) : round(5.21 * RATE)]
    assert abs(lag(read_sound(report.path), asked)) <= 0.002


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("level", [0.02, 1.0, 6.0])
def test_any_level_comes_out_at_the_wanted_loudness(
    tmp_path: Path, shelf: Path, level: float
) -> None:
    track = write_audio(tmp_path / "track.wav", level * music(4), codec="pcm_f32le")
    for asked in (-14.0, -23.0):
        report = render(
            shelf / "clip.mp4",
            track,
            Moment(0.5, 2.5),
            tmp_path / f"{asked}.mp4",
            sound=SoundOptions(loudness=asked),
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


@pytest.mark.slow
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
    report = render(
        clip,
        track,
        Moment(0.0, 5.0),
        tmp_path / "out.mp4",
        sound=SoundOptions(keep_audio=True, duck="sound"),
    )
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
        shelf / "clip.mp4",
        shelf / "track.flac",
        Moment(0, 2),
        tmp_path / "o.mp4",
        sound=SoundOptions(keep_audio=True),
    )
    assert "the clip has no sound of its own" in report.notes
    assert abs(report.loudness + 14) <= 1


@pytest.mark.parametrize("keep_audio", [False, True])
def test_music_may_enter_later(tmp_path: Path, shelf: Path, keep_audio: bool) -> None:
    track, at = shelf / "track.flac", 0.75
    clip = write_video(tmp_path / "clip.mp4", audio=sine(2.0, RATE, 1000.0))
    report = render(
        clip,
        track,
        Moment(3.21, 5.21 - at),
        tmp_path / "out.mp4",
        sound=SoundOptions(music_at=at, keep_audio=keep_audio, duck="sound"),
    )
    assert report.notes == ()
    sound, first = read_sound(report.path), round(at * RATE)
    before = np.abs(sound[:, : first - RATE // 100])
    if keep_audio:
        assert before.max() > 0.05  # the clip's own tone
    else:
        assert before.max() < 1e-3
        asked = read_track(track)[:, round(3.21 * RATE) : round((5.21 - at) * RATE)]
        assert abs(lag(sound[:, first:], asked)) <= 0.001
        assert abs(loudness(sound) + 14) <= 1
    assert abs(sound.shape[1] / RATE - 2.0) < 1 / 25


@pytest.mark.parametrize("at", [2.0, 99.0, -1.0, float("nan"), float("inf")])
def test_music_enters_within_the_clip(tmp_path: Path, shelf: Path, at: float) -> None:
    with pytest.raises(ConfigError, match="`music_at`"):
        render(
            shelf / "clip.mp4",
            shelf / "track.flac",
            Moment(0, 2),
            tmp_path / "out.mp4",
            sound=SoundOptions(music_at=at),
        )
    assert left_in(tmp_path) == set()
