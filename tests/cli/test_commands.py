"""The command as a person or a script meets it: arguments, streams and a status."""

from __future__ import annotations

import dataclasses
import inspect
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

import mgsv as package
import real_media
from media_files import Clip, write_audio, write_video
from mgsv.cli import app
from mgsv.media.audio import read_audio
from mgsv.media.soundtrack import SoundOptions
from old_catalogues import downgrade
from subprocesses import Run, mgsv_here


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """A folder with three real tracks, one under an awkward name."""
    folder = tmp_path / "my music"
    folder.mkdir()
    for number, source in enumerate(real_media.bgm_tracks()[:3]):
        name = "-Ünïcode 🎵\n1.opus" if number == 1 else source.name
        (folder / name).write_bytes(source.read_bytes())
    return folder


def test_ground_writes_the_video_and_prints_a_table(mgsv: Run, music: Path, tmp_path: Path) -> None:
    clip = tmp_path / "-clip.mp4"
    clip.write_bytes(real_media.bikes().read_bytes())
    (music / "licences.csv").write_text("file,artist,licence\n*,Ada,cc by 4.0\ngone.mp3,,cc0\n")
    how = ("--timeline", "cut.otio", "--credits", "credits.txt", "--strip-metadata")
    done = mgsv("ground", "--music", music, *how, "--", "-clip.mp4")
    assert done.returncode == 0, done.stderr
    header, _, first, *_ = [line for line in done.stdout.splitlines() if line.strip()]
    assert header.split() == ["rank", "track", "moment", "score", "music", "why", "or"]
    assert first.split()[0] == "1"
    assert (tmp_path / "cut.otio").exists()
    credits = (tmp_path / "credits.txt").read_text()
    assert credits.endswith("by Ada, licence: CC-BY-4.0\n") and f"credits: {credits}" in done.stdout
    assert "it names 1 file that is not there: gone.mp3" in done.stderr
    with av.open(str(tmp_path / "-clip.mgsv.mp4")) as written:
        assert written.metadata["comment"] == f"Music: {credits.strip()}"
        assert [stream.type for stream in written.streams] == ["video", "audio"]


@pytest.mark.slow
def test_json_is_one_document_and_alone_on_stdout(mgsv_process: Run, music: Path) -> None:
    """Of the process: libraries may write where Python's streams do not see it."""
    clip = real_media.bikes()
    done = mgsv_process("ground", clip, "--music", music, "--json", "--no-render", "--top", "2")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["schema"] == "mgsv.grounding/1"
    assert document["video"]["duration"] == pytest.approx(10.0, abs=0.05)
    assert [moment["rank"] for moment in document["moments"]] == [1, 2]
    for moment in document["moments"]:
        names = "rank track also_as start end pieces score why credits runner_up evidence"
        assert set(moment) == set(names.split())
        assert Path(moment["track"]).parent == music
        assert moment["end"] - moment["start"] == pytest.approx(10.0, abs=0.05)
    assert document["model"]["fingerprint"] and document["library"]["fingerprint"]


def test_json_lists_the_pieces_of_an_extended_track(mgsv: Run, tmp_path: Path) -> None:
    clip = write_video(tmp_path / "long.mp4", Clip(seconds=40.0, rate=2.0, width=32, height=32))
    how = ("--method", "sync", "--music", real_media.bgm_tracks()[0], "--json", "--no-render")
    plain = mgsv("ground", clip, *how)
    looped = mgsv("ground", clip, *how, "--fit", "loop")
    several = mgsv("ground", clip, real_media.bikes(), *how, "--fit", "loop")
    assert (plain.returncode, looped.returncode, several.returncode) == (0, 0, 0), looped.stderr
    assert json.loads(plain.stdout)["moments"][0]["pieces"] is None
    (moment,) = json.loads(looped.stdout)["moments"]
    (long, short) = (one["choice"] for one in json.loads(several.stdout)["clips"])
    assert long["pieces"] == moment["pieces"] and len(short["pieces"]) == 1
    place, pieces = 0.0, moment["pieces"]
    assert len(pieces) > 1 and pieces[0]["start"] == moment["start"]
    for piece in pieces:
        assert piece["at"] == pytest.approx(place, abs=0.001)
        place += piece["end"] - piece["start"]
    assert place == pytest.approx(40.0, abs=0.01)


@pytest.mark.slow
def test_the_second_run_indexes_nothing(mgsv: Run, music: Path) -> None:
    arguments = ("ground", real_media.bikes(), "--music", music, "--no-render")
    assert "3 moved or copied" in mgsv(*arguments).stderr
    again = mgsv(*arguments, "--progress", "machine")
    assert "copied" not in again.stderr and '"event"' not in again.stderr


@pytest.mark.slow
def test_tracks_of_an_earlier_version_are_said_and_brought_up_to_date(
    mgsv: Run, music: Path, tmp_path: Path
) -> None:
    track, folder = sorted(music.iterdir())[0], tmp_path / "mine"
    assert mgsv("library", "add", track, "--library", folder).stdout.startswith("1 added, ")
    downgrade(folder, 3)
    said = "1 of 1 tracks were analysed by an earlier version; `mgsv library add FOLDER` finds"
    checked = mgsv("library", "check", "--library", folder)
    assert said in checked.stderr and checked.returncode == 0
    clip = real_media.bikes()
    assert said in mgsv("ground", clip, "-m", track, "--library", folder, "--no-render").stderr
    added = mgsv("library", "add", track, "--library", folder)
    assert added.stdout.strip() == "0 added, 1 updated, 0 unchanged, 0 moved"
    assert said not in mgsv("library", "check", "--library", folder).stderr


def test_one_track_is_the_single_music_mode(mgsv: Run) -> None:
    track = real_media.bgm_tracks()[4]
    done = mgsv("ground", real_media.bikes(), "--music", track, "--no-render", "--json")
    moments = json.loads(done.stdout)["moments"]
    assert [Path(moment["track"]) for moment in moments] == [track]


@pytest.mark.slow
def test_several_tracks_may_follow_music(mgsv: Run) -> None:
    tracks = real_media.bgm_tracks()[:3]
    done = mgsv("ground", real_media.bikes(), "--music", *tracks, "--no-render", "--json")
    assert {Path(m["track"]) for m in json.loads(done.stdout)["moments"]} == set(tracks)


@pytest.mark.slow
def test_an_existing_result_is_kept_without_overwrite(
    mgsv: Run, music: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.mp4"
    target.write_bytes(b"precious")
    arguments = ("ground", real_media.bikes(), "--music", music, "--output", target)
    refused = mgsv(*arguments)
    assert refused.returncode == 1 and "--overwrite" in refused.stderr
    assert target.read_bytes() == b"precious"
    assert mgsv(*arguments, "--overwrite").returncode == 0
    assert target.read_bytes() != b"precious"


def test_one_bad_file_is_named_and_the_rest_is_indexed(mgsv: Run, music: Path) -> None:
    (music / "broken.mp3").write_bytes(b"no music at all")
    added = mgsv("library", "add", music)
    assert added.returncode == 1
    assert "broken.mp3" in added.stderr and "3 moved" in added.stdout
    done = mgsv("ground", real_media.bikes(), "--music", music, "--no-render")
    assert done.returncode == 0 and "broken.mp3" in done.stderr


@pytest.mark.slow
def test_one_recording_in_several_files_is_one_answer(mgsv: Run, tmp_path: Path) -> None:
    """The best of them stands for all, and the others are named."""
    music = tmp_path / "music"
    music.mkdir()
    for track, name in zip(real_media.bgm_tracks(), ("song.opus", "other.opus"), strict=False):
        (music / name).write_bytes(track.read_bytes())
    whole = read_audio(music / "song.opus", 48_000).samples
    for name, codec, gain in (("song.mp3", "mp3", 1.0), ("song.flac", "flac", 0.5)):
        write_audio(music / name, gain * whole, 48_000, codec)
    how = ("ground", real_media.bikes(), "--music", music, "--method", "sync", "--no-render")
    done = mgsv(*how, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["moments"]
    assert [moment["rank"] for moment in found] == [1, 2]
    files = [sorted(Path(p).name for p in (m["track"], *m["also_as"])) for m in found]
    assert sorted(files) == [["other.opus"], ["song.flac", "song.mp3", "song.opus"]]
    table = mgsv(*how).stdout.split()
    assert table.count("(also") == 1
    assert {"song.mp3", "song.flac", "song.opus"} <= {word.strip(",)") for word in table}


@pytest.mark.slow
def test_what_is_no_music_is_counted(mgsv: Run, music: Path) -> None:
    (music / "tune.mid").write_bytes(b"x")
    (music / "clip.mp4").write_bytes(real_media.bikes().read_bytes())
    line = "left out: 2 files that are not music: 1 .mid, 1 .mp4 (name a file itself to use it)"
    added = mgsv("library", "add", music, "--json")
    assert added.returncode == 0 and added.stderr.splitlines() == [line]
    assert json.loads(added.stdout)["ignored"] == {"mid": 1, "mp4": 1}
    assert line in mgsv("ground", real_media.bikes(), "--music", music, "--no-render").stderr


def test_the_library_is_listed_checked_and_emptied(mgsv: Run, music: Path) -> None:
    mgsv("library", "add", music)
    listed = mgsv("library", "list", music)
    assert len(listed.stdout.splitlines()) == 3, "a name with a newline stays one line"
    assert mgsv("library", "list", music.parent / "elsewhere").stdout == ""
    checked = mgsv("library", "check", music, "--recall", real_media.bikes()).stdout.splitlines()
    assert "shortlist, and of the ten best 100%" in checked[0], "a library of any size up to 100"
    assert checked[1] == "3 tracks checked, 0 with problems"
    assert mgsv("library", "remove", music).stdout == "3 files forgotten\n"
    assert mgsv("library", "list", music).stdout == ""
    assert len(list(music.iterdir())) == 3


def test_the_doctor_finds_everything_working(mgsv: Run) -> None:
    done = mgsv("doctor", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0, found["problems"]
    assert set(found["encoders"]) == {"video", "music"}
    assert found["codecs"]["decode h264"] == found["codecs"]["encode aac"] == "works"


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["ground", "{clip}"], 1, "--music"),
        (["ground", "{clip}", "--music", "{music}", "--top", "0"], 1, "--top"),
        (["ground", "{clip}", "--music", "{music}", "--method", "magic"], 1, "sync"),
        (["ground", "{clip}", "--music", "{music}", "--output", "a.txt"], 1, ".mp4"),
        (["ground", "{clip}", "--music", "{music}", "--fit", "loose"], 2, "free"),
        (["ground", "{clip}", "--music", "{music}", "--weights", "cut=1"], 1, "cuts?"),
        (["ground", "{clip}", "--music", "{music}", "--timeline", "a.txt"], 1, ".otio"),
        (["ground", "{clip}", "--music", "no/such/folder"], 1, "no/such/folder"),
        (["ground", "no-such.mp4", "--music", "{music}"], 1, "no-such.mp4"),
        (["ground", "{music}", "--music", "{music}", "--no-render"], 1, "folder"),
        (["library", "remove", "nothing-here"], 1, "nothing-here"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_wrong_use_is_one_clear_line(
    arguments: list[str], status: int, words: str, mgsv: Run, music: Path, tmp_path: Path
) -> None:
    places = {"{clip}": str(real_media.bikes()), "{music}": str(music)}
    done = mgsv(*(places.get(argument, argument) for argument in arguments))
    assert done.returncode == status
    assert done.stdout == "" and words in done.stderr
    assert "Traceback" not in done.stderr
    assert len([line for line in done.stderr.splitlines() if "left out" not in line]) <= 4
    assert not list(tmp_path.glob("*.mp4"))


@pytest.mark.slow
def test_debug_shows_where(mgsv_process: Run, music: Path) -> None:
    done = mgsv_process("ground", "no-such.mp4", "--music", music, "--debug")
    assert done.returncode != 0 and "Traceback" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "delay",
    [
        pytest.param(0.3, marks=pytest.mark.thorough),
        0.9,
        pytest.param(1.8, marks=pytest.mark.thorough),
    ],
)
def test_ctrl_c_ends_it_in_any_phase(delay: float, tmp_path: Path) -> None:
    """Indexing eight tracks takes longer than the longest delay."""
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(real_media.bikes().read_bytes())
    tracks = real_media.bgm_tracks()[:8]
    command = [sys.executable, "-m", "mgsv", "ground", str(clip), "--library", str(tmp_path / "l")]
    process = subprocess.Popen(
        [*command, "--music", *map(str, tracks)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    if process.returncode == 0:
        pytest.skip("it was done before the signal came")
    assert process.returncode in (130, -signal.SIGINT), errors
    assert delay < 0.5 or "Traceback" not in errors
    assert not (tmp_path / "clip.mgsv.mp4").exists()
    assert not list(tmp_path.glob(".mgsv-*"))
    again = mgsv_here(*command[3:], "--music", tracks[0])
    assert again.returncode == 0, again.stderr


def test_the_command_is_the_function() -> None:
    """`mgsv ground` and `mgsv.ground` with `mgsv.render` share names and defaults."""
    command = app.commands["ground"]
    parsed = command.make_context("ground", ["clip.mp4"]).params
    offered = {p.name: parsed[p.name] for p in command.params if p.expose_value}
    for function in (package.ground, package.render):
        for name, parameter in inspect.signature(function).parameters.items():
            if parameter.kind is parameter.KEYWORD_ONLY and name != "progress":
                assert offered[name] == parameter.default, name
    for field in dataclasses.fields(SoundOptions):
        if field.name in offered:
            assert offered[field.name] == field.default, field.name
    assert {"keep_audio", "music_at"} <= offered.keys()


@pytest.mark.slow
def test_the_rendered_sound_is_the_reported_moment(mgsv: Run, music: Path, tmp_path: Path) -> None:
    """In-point within 5 ms: the video's sound against the track's, by cross-correlation."""

    target = tmp_path / "out.mp4"
    done = mgsv("ground", real_media.bikes(), "--music", music, "--json", "--output", target)
    best = json.loads(done.stdout)["moments"][0]
    track, heard = read_audio(best["track"]).samples, read_audio(target).samples
    first = round(best["start"] * 16_000)
    piece = heard[16_000 : 9 * 16_000]
    window = np.concatenate([np.zeros(8000, np.float32), track, np.zeros(8000, np.float32)])
    window = window[first + 16_000 : first + 16_000 + len(piece) + 16_000]
    size = 1 << (len(window) + len(piece)).bit_length()
    spectrum = np.fft.rfft(window, size) * np.conj(np.fft.rfft(piece, size))
    lag = int(np.argmax(np.fft.irfft(spectrum)[:16_000]))
    assert abs(lag - 8000) <= 0.005 * 16_000


def test_a_chosen_moment_is_rendered(mgsv: Run, tmp_path: Path) -> None:
    clip, track = real_media.bikes(), real_media.long_tracks()[1]
    arguments = ("render", clip, track, "--start", "43.21", "--output", "out.mp4")
    done = mgsv(*arguments, "--timeline", "cut.edl")
    assert done.returncode == 0, done.stderr
    assert "video: out.mp4" in done.stderr and (tmp_path / "cut.edl").exists()
    heard = read_audio(tmp_path / "out.mp4", 16_000).samples[16_000 : 3 * 16_000]
    music = read_audio(track, 16_000).samples[round(44.21 * 16_000) :][: len(heard)]
    assert np.corrcoef(heard, music)[0, 1] > 0.9
    assert "it exists already" in mgsv(*arguments).stderr
    wrong = mgsv("render", clip, track, "--start", "5", "--end", "4")
    assert wrong.stderr == "mgsv: --start 5, --end 4: no moment: end after the start\n"
    for start in ("-1", "nan", "inf"):
        wrong = mgsv("render", clip, track, f"--start={start}")
        assert wrong.stderr == (
            f"mgsv: --start {start}: no place on a track: give seconds from its start\n"
        )
