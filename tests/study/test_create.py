"""A study's files: what is shown and what is not, and that only the music differs."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mgsv.errors import ConfigError, DataError, OutputError
from mgsv.media.audio import read_audio
from mgsv.portable import lock
from mgsv.study import create as creating
from mgsv.study.create import create_study
from mgsv.study.options import StudyOptions
from mgsv.study.study import open_study, read_key
from study_support import OPTIONS, Made, sound, write_clip


@pytest.mark.slow
def test_what_is_shown_tells_nothing(made: Made) -> None:
    """No name, path, system or track in it or in the files that it names."""
    text = (made.folder / "study.json").read_text()
    for word in ("original", "sync", "made", "known", "other", "tune", str(made.clips)):
        assert word not in text
    study, key = open_study(made.folder), read_key(made.folder)
    assert {clip.id for clip in study.clips} == set(key.clips)
    assert {Path(clip.path).name for clip in key.clips.values()} == {"known.mp4", "other.mp4"}
    for clip in study.clips:
        assert [one.id for one in clip.variants] == sorted(one.id for one in clip.variants)
        for name in (clip.picture, *(one.sound for one in clip.variants)):
            data = study.media(name).read_bytes()
            assert b"tune" not in data and b"known" not in data


def test_the_original_is_found_on_its_track_or_is_the_clips_own_sound(made: Made) -> None:
    clips = {Path(clip.path).stem: clip for clip in made.created.key.clips.values()}
    original = {
        name: next(one for one in clip.variants.values() if "original" in one.systems)
        for name, clip in clips.items()
    }
    assert Path(original["known"].track).name == "tune1.wav"
    assert original["known"].start == pytest.approx(7, abs=0.02)  # a hop of landmarks: 16 ms
    assert not original["known"].own
    assert original["other"].own and Path(original["other"].track).name == "other.mp4"
    heard = next(
        n
        for id, n in clips["other"].sounds.items()
        if "original" in clips["other"].variants[id].systems
    )
    samples = read_audio(made.folder / "media" / heard, 8_000).samples
    wanted = sound(77, 2, 8)[::6]
    size = min(len(samples), len(wanted))
    # AAC of AAC, late by up to a frame of each: 21 ms. Another tune correlates by less than 0.3.
    best = max(
        np.corrcoef(samples[k : size - 400 + k], wanted[200 : size - 200])[0, 1] for k in range(400)
    )
    assert best > 0.85


@pytest.mark.slow
def test_only_the_music_differs(made: Made) -> None:
    """The ffmpeg program's own meter and probe say how loud and how long everything is."""
    if not (shutil.which("ffmpeg") and shutil.which("ffprobe")):
        pytest.skip("ffmpeg is missing: loudness and lengths are measured with it")
    for clip in open_study(made.folder).clips:
        seconds = [_probe(made.folder / "media" / clip.picture, "h264")]
        levels = []
        for one in clip.variants:
            path = made.folder / "media" / one.sound
            seconds.append(_probe(path, "aac"))
            levels.append(_loudness(path))
        assert max(levels) - min(levels) < 0.4
        assert levels[0] == pytest.approx(-23, abs=0.4)
        assert max(seconds) - min(seconds) < 0.11  # a picture of 10 a second
    notes = [v.notes for clip in made.created.key.clips.values() for v in clip.variants.values()]
    assert all(note == () for note in notes)


def _probe(path: Path, codec: str) -> float:
    asked = ["ffprobe", "-v", "error", "-show_streams", "-of", "json", str(path)]
    (stream,) = json.loads(subprocess.run(asked, capture_output=True, check=True).stdout)["streams"]
    assert stream["codec_name"] == codec and stream.get("pix_fmt", "yuv420p") == "yuv420p"
    return float(stream["duration"])


def _loudness(path: Path) -> float:
    asked = ["ffmpeg", "-nostats", "-i", str(path), "-af", "ebur128", "-f", "null", "-"]
    text = subprocess.run(asked, capture_output=True, text=True, check=True).stderr
    return float(text.rpartition("I:")[2].split()[0])


@pytest.mark.slow
def test_an_ended_run_is_gone_on_with(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is ended in the second clip; the first is not made again, and nothing is left over."""
    options = replace(OPTIONS, systems=("original", "sync"))
    arguments = ([made.clips], [made.music], tmp_path / "study", options)
    whole = creating._write_picture
    calls: list[Path] = []

    def ended(clip: Path, target: Path, height: int) -> None:
        calls.append(clip)
        if len(calls) == 2:
            raise KeyboardInterrupt
        whole(clip, target, height)

    monkeypatch.setattr(creating, "_write_picture", ended)
    with pytest.raises(KeyboardInterrupt):
        create_study(*arguments, library=made.library)
    with pytest.raises(ConfigError, match="not finished: run `mgsv study create` again"):
        open_study(tmp_path / "study")
    with pytest.raises(OutputError, match="a study of seed 5 was begun there"):
        create_study(*arguments[:3], replace(options, seed=6), library=made.library)
    first = {path.name for path in (tmp_path / "study" / "media").iterdir()}
    (tmp_path / "study" / "media" / "orphan.m4a").write_bytes(b"half a clip")
    created = create_study(*arguments, library=made.library)
    assert calls == [calls[0], calls[1], calls[1]] and created.earlier == 1
    now = {path.name for path in (tmp_path / "study" / "media").iterdir()}
    assert first < now and "orphan.m4a" not in now
    assert len(open_study(tmp_path / "study").clips) == 2
    with pytest.raises(OutputError, match="there is a study already"):
        create_study(*arguments, library=made.library)


def test_two_processes_do_not_make_one_study(made: Made, tmp_path: Path) -> None:
    study = tmp_path / "study"
    study.mkdir()
    with (study / creating.LOCK).open("ab") as file:
        assert lock(file.fileno())
        with pytest.raises(OutputError, match="another process is making this study"):
            create_study([made.clips], [made.music], study, OPTIONS, library=made.library)
    assert [path.name for path in study.iterdir()] == [creating.LOCK]


@pytest.mark.slow
def test_clips_that_cannot_be_used_are_named(made: Made, tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    write_clip(clips / "mute.mp4", None)
    write_clip(clips / "long.mp4", sound(1, 0, 9), 9)
    (clips / "broken.mp4").write_bytes(b"no video")
    shutil.copy(made.clips / "known.mp4", clips / "a.mp4")
    shutil.copy(made.clips / "known.mp4", clips / "b.mp4")
    options = StudyOptions(systems=("original", "sync"), longest=8)
    created = create_study([clips], [made.music], tmp_path / "study", options, library=made.library)
    reasons = {path.name: reason for path, reason in created.failed}
    assert set(reasons) == {"mute.mp4", "long.mp4", "broken.mp4", "b.mp4"}
    assert reasons["mute.mp4"] == "it has no sound of its own, so there is no original"
    assert reasons["long.mp4"] == "9.0 s are more than 8 s: cut it, or allow `longest`"
    assert reasons["b.mp4"] == f"the same file as {clips / 'a.mp4'}"
    with pytest.raises(DataError, match=r"mute\.mp4: it has no sound.*no clip is left"):
        create_study(
            [clips / "mute.mp4"], [made.music], tmp_path / "no", options, library=made.library
        )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"systems": ("made",)}, "`systems` made: two are needed"),
        ({"systems": ("made", "made")}, "stands there twice"),
        ({"trials": 0}, "`trials` 0: needs at least 1"),
        ({"longest": 700.0}, "`longest` 700: no length"),
    ],
)
def test_options_that_make_no_sense(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        StudyOptions(**fields)  # type: ignore[arg-type]


def test_an_unknown_system_is_found_before_anything_is_made(made: Made, tmp_path: Path) -> None:
    options = StudyOptions(systems=("original", "mad"))
    with pytest.raises(ConfigError, match="mad: no such method"):
        create_study([made.clips], [made.music], tmp_path / "study", options)
    assert not (tmp_path / "study").exists()


def test_other_peoples_folders_stay(made: Made, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="the folder is not empty"):
        create_study([made.clips], [made.music], tmp_path, OPTIONS)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("damage", ["{", "[]", '{"schema": "mgsv.study/1"}'])
def test_a_damaged_study_is_said_so(own_study: Path, damage: str) -> None:
    for name, reader in (("study.json", open_study), ("key.json", read_key)):
        (own_study / name).write_text(damage)
        with pytest.raises(DataError, match=f"{name}: the document is damaged"):
            reader(own_study)
