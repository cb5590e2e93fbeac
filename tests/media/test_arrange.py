"""Music of another length than its track's, on a song of four chords whose bars are known."""

from __future__ import annotations

import io
import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from chords import BAR, SLOW, song
from media_files import Clip, write_audio, write_video
from mgsv.errors import ConfigError, MediaError
from mgsv.media.arrange import arrange
from mgsv.media.music import music_sound
from mgsv.media.pieces import Arrangement, Piece
from mgsv.media.render import render
from mgsv.media.sound import RATE
from mgsv.media.timeline import write_timeline
from mgsv.moment import Moment
from render_support import read_sound
from subprocesses import mgsv_here
from timeline_support import read

BARS = 12
NEAR = 0.07
"""Seconds by which a beat may be missed, as in the field."""


@pytest.fixture(scope="module")
def track(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bar lines at 0, 2 … 24 s; the last chord sounds from 24 s on, and is gone by 28 s."""
    return write_audio(tmp_path_factory.mktemp("song") / "song.wav", song(BARS), SLOW)


def follow(music: Arrangement) -> None:
    """That the pieces follow one another without a gap."""
    for before, after in itertools.pairwise(music.pieces):
        assert after.at == pytest.approx(before.at + before.seconds)


def test_a_longer_clip_is_filled_by_joins_at_like_bars(track: Path) -> None:
    music = arrange(track, Moment(4.0, 28.0), 60.0, fit="loop")
    assert music.seconds == pytest.approx(60.0) and music.start == 4.0
    follow(music)
    assert len(music.pieces) > 2
    for before, after in itertools.pairwise(music.pieces):
        left, entered = before.end / BAR, after.start / BAR
        assert abs(left - round(left)) * BAR < NEAR and abs(entered - round(entered)) * BAR < NEAR
        assert round(left) % 4 == round(entered) % 4  # the chord that would have followed
    assert len(music.notes) == len(music.pieces) - 1


@pytest.mark.slow
def test_the_joined_sound_is_that_of_a_longer_song(track: Path) -> None:
    """The song repeats, so that a longer one of its own is what perfect joins make of it."""
    music = arrange(track, Moment(4.0, 28.0), 40.0, fit="loop")
    made, _ = music_sound(track, music, 40 * RATE, 0.1, io.BytesIO)
    heard = made.between(0, made.samples).mean(axis=1)[::3][: 39 * SLOW]
    heard *= np.sqrt(2)  # one channel on two sides, 3 dB softer on each
    longer = song(30, close=False)[4 * SLOW :][: len(heard)]
    for join in music.pieces[1:]:
        part = slice(round((join.at - 1) * SLOW), round((join.at + 1) * SLOW))
        assert np.corrcoef(heard[part], longer[part])[0, 1] > 0.98
        rms = [np.sqrt(np.mean(x[part] ** 2)) for x in (heard, longer)]
        assert abs(20 * np.log10(rms[0] / rms[1])) < 0.5


@pytest.mark.slow
def test_natural_music_ends_with_the_track(track: Path) -> None:
    for seconds in (19.5, 20.0, 35.5):  # in steps of four bars
        music = arrange(track, Moment(0.0, seconds), seconds, fit="natural")
        follow(music)
        last = music.pieces[-1]
        assert last.start < 24.0 < last.end  # the last chord is in it
        assert -2.0 <= music.seconds - seconds <= 0.01 and music.ring > 0
        assert "ends with the track" in music.notes[-1]
    assert len(arrange(track, Moment(8.0, 28.0), 20.0, fit="natural").pieces) == 1


@pytest.mark.slow
def test_what_was_found_is_heard_before_any_join(track: Path) -> None:
    """A clip of three bars gets one of them at least, and not the end of the track alone."""
    for seconds in (5.5, 6.5, 7.6):
        first, *_ = arrange(track, Moment(0.0, seconds), seconds, fit="natural").pieces
        assert first.start == 0.0 and first.seconds >= BAR - NEAR


def test_a_natural_end_where_there_is_one(track: Path) -> None:
    plain = arrange(track, Moment(0.0, 17.5), 17.5)
    assert plain == Arrangement((Piece(0.0, 17.5),))
    ended = arrange(track, Moment(0.0, 17.5), 17.5, end="natural")
    (piece,) = ended.pieces
    line = piece.end - ended.ring  # the chord on a bar line is the last one heard
    assert abs(line - round(line / BAR) * BAR) < NEAR and 0.5 <= ended.ring <= BAR
    assert 0 <= 17.5 - piece.end <= 1.5
    faded = arrange(track, Moment(0.0, 14.0), 14.0, end="natural")
    assert faded.ring == 0 and "fades out" in faded.notes[0]
    short = arrange(track, Moment(20.0, 28.0), 30.0, end="natural")
    assert short == Arrangement((Piece(20.0, 28.0),))  # it ends with the track anyway


@pytest.mark.slow
def test_the_last_note_rings(tmp_path: Path, track: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", Clip(seconds=17.5, rate=2.0, width=32, height=32))
    music = arrange(track, Moment(0.0, 17.5), 17.5, end="natural")
    sound = read_sound(render(clip, track, music, tmp_path / "out.mp4").path).mean(axis=0)
    line = music.seconds - music.ring
    level = [
        10 * np.log10(np.mean(sound[round((line + at) * RATE) :][: RATE // 5] ** 2) + 1e-12)
        for at in (0.0, 0.5, 1.0)
    ]
    assert level[0] - level[1] > 6 and level[1] - level[2] > 6
    assert level[2] > -70  # and was not cut


@pytest.mark.slow
def test_a_clip_of_an_hour(track: Path) -> None:
    music = arrange(track, Moment(0.0, 28.0), 3600.0, fit="loop")
    follow(music)
    assert music.seconds == pytest.approx(3600.0) and len(music.pieces) > 100


def test_bad_input_is_one_line(tmp_path: Path, track: Path) -> None:
    short = write_audio(tmp_path / "short.wav", song(1, close=False)[: 3 * SLOW], SLOW)
    with pytest.raises(MediaError, match=r"short\.wav: it is shorter than two bars.*`fit`"):
        arrange(short, Moment(0.0, 3.0), 20.0, fit="loop")
    with pytest.raises(MediaError, match="but the track ends at 00:28"):
        arrange(track, Moment(40.0, 50.0), 10.0, fit="natural")
    with pytest.raises(ConfigError, match="`fit` longer: unknown: choose exact, natural or loop"):
        arrange(track, Moment(0.0, 3.0), 20.0, fit="longer")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="`end` now: unknown: choose fade or natural"):
        arrange(track, Moment(0.0, 3.0), 20.0, end="now")  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".otio", ".edl", ".xml"])
def test_a_timeline_has_the_pieces_as_clips(tmp_path: Path, track: Path, suffix: str) -> None:
    clip = write_video(tmp_path / "clip.mp4", Clip(seconds=12, rate=25.0, width=32, height=32))
    music = Arrangement((Piece(4.0, 10.0), Piece(2.0, 5.0, 6.0), Piece(12.0, 15.0, 9.0)))
    report = write_timeline(clip, track, music, tmp_path / f"cut{suffix}")
    picture, *pieces = read(report.path, Fraction(25))
    assert picture.seconds == 12
    assert [(p.start, p.seconds, p.at) for p in pieces] == [(4, 6, 0), (2, 3, 6), (12, 3, 9)]


def test_the_command(tmp_path: Path, track: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", Clip(seconds=30, rate=1.0, width=32, height=32))
    words = ["render", str(clip), str(track), "--start", "4", "--timeline", str(clip) + ".otio"]
    done = mgsv_here(*words, "--fit", "loop")
    assert done.returncode == 0, done.stderr
    _, *pieces = read(Path(f"{clip}.otio"), Fraction(1))
    assert done.stderr.count("note: the music goes on from") == len(pieces) - 1 > 0
    assert float(pieces[-1].at + pieces[-1].seconds) == pytest.approx(30.0)
    done = mgsv_here(*words, "--fit", "loop", "--end", "20", "--overwrite")
    assert done.returncode == 1 and "--end 20 with --fit loop: leave one of them out" in done.stderr
