"""What a timeline has beside its clips: markers, a gain curve; and a CapCut draft."""

from __future__ import annotations

import json
import math
import re
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import pytest

from chords import BAR, SLOW, song
from media_files import Clip, sine, write_audio, write_video
from mgsv.errors import ConfigError
from mgsv.media import ducking, voices
from mgsv.media.pieces import Arrangement, Piece
from mgsv.media.soundtrack import SoundOptions
from mgsv.media.timeline import FORMATS, write_timeline
from mgsv.moment import Moment
from timeline_support import frame_of

RATE = 25
SECONDS = 12
LEVEL = re.compile(r"\* AUDIO LEVEL AT (\S+) IS (\S+) DB  \(REEL AX (\S+)\)")


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A clip of 12 s with cuts at 3 and 7.4 s, and a song with bars at even seconds."""
    folder = tmp_path_factory.mktemp("job")
    clip = Clip(seconds=SECONDS, rate=RATE, width=64, height=48, cuts=(3.0, 7.4))
    video = write_video(folder / "clip.mp4", clip, audio=sine(SECONDS, 48_000))
    return video, write_audio(folder / "song.wav", song(12), SLOW)


def markers_in(path: Path) -> list[tuple[float, str]]:
    if path.suffix == ".otio":
        found = json.loads(path.read_text())["tracks"]["markers"]
        return [(m["marked_range"]["start_time"]["value"] / RATE, m["name"]) for m in found]
    if path.suffix == ".xml":
        found = ElementTree.parse(path).getroot().findall("sequence/marker")
        return [(int(m.findtext("in", "")) / RATE, m.findtext("name", "")) for m in found]
    lines = re.findall(r"\* LOC: (\S+) [A-Z]+ +(\S+)", path.read_text())
    return [(frame_of(code, RATE) / RATE, name.lower()) for code, name in lines]


def gain_in(path: Path) -> list[tuple[float, float]]:
    """(seconds on the timeline, dB) of the music's lane, whose stretch begins at 0."""
    if path.suffix == ".otio":
        (*_, lane) = json.loads(path.read_text())["tracks"]["children"]
        (clip,) = lane["children"]
        return [(at, gain) for at, gain in clip["effects"][0]["metadata"]["mgsv"]["keyframes"]]
    if path.suffix == ".xml":
        (*_, track) = ElementTree.parse(path).getroot().findall("sequence/media/audio/track")
        keys = track.findall("clipitem/filter/effect/parameter/keyframe")
        first = int(track.findtext("clipitem/in", ""))
        values = [(int(k.findtext("when", "")), float(k.findtext("value", ""))) for k in keys]
        return [((when - first) / RATE, decibels(value)) for when, value in values]
    found = LEVEL.findall(path.read_text())
    assert {channel for *_, channel in found} == {"A2"}
    return [(frame_of(code, RATE) / RATE, float(gain)) for code, gain, _ in found]


def decibels(factor: float) -> float:
    return 20 * math.log10(factor)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", FORMATS)
def test_markers_of_cuts_bars_and_beats(
    tmp_path: Path, job: tuple[Path, Path], suffix: str
) -> None:
    """The second piece begins 6 s in, on a bar, and so goes on in step."""
    music = Arrangement((Piece(4.0, 10.0), Piece(2.0, 8.0, 6.0)))
    path = tmp_path / f"cut{suffix}"
    write_timeline(*job, music, path, markers=("cuts", "bars", "beats"))
    found = markers_in(path)
    assert [at for at, _ in found] == sorted(at for at, _ in found)
    cuts = [at for at, name in found if name == "cut"]
    assert cuts == pytest.approx([3.0, 7.4], abs=1 / RATE)
    for kind, every in (("bar", BAR), ("beat", BAR / 4)):
        times = [at for at, name in found if name == kind]
        assert all(abs(at - round(at / every) * every) < 0.07 for at in times)
    assert [round(at) for at, name in found if name == "bar"] == [0, 2, 4, 6, 8, 10]
    assert sum(name == "beat" for _, name in found) == 3 * SECONDS / BAR


def test_an_unknown_marker(tmp_path: Path, job: tuple[Path, Path]) -> None:
    with pytest.raises(ConfigError, match="`markers` faces: unknown: choose from cuts, bars"):
        write_timeline(*job, Moment(0, 12), tmp_path / "a.otio", markers=("faces",))  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.fixture
def spoken(monkeypatch: pytest.MonkeyPatch) -> SoundOptions:
    """Somebody speaks from 4 to 6 s."""
    monkeypatch.setattr(voices, "is_installed", lambda: True)
    monkeypatch.setattr(ducking, "find_speech", lambda _: (voices.Speech(4.0, 6.0),))
    return SoundOptions(keep_audio=True, duck="deep")


CURVE = [(0.0, 0.0), (3.6, 0.0), (3.9, -14.0), (6.2, -14.0), (7.0, 0.0), (12.0, 0.0)]


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_music_lane_has_the_gain_curve(
    tmp_path: Path, job: tuple[Path, Path], suffix: str, spoken: SoundOptions
) -> None:
    path = tmp_path / f"cut{suffix}"
    write_timeline(*job, Moment(2.0, 14.0), path, sound=spoken)
    found = gain_in(path)
    assert [at for at, _ in found] == pytest.approx([at for at, _ in CURVE], abs=1 / RATE)
    assert [gain for _, gain in found] == pytest.approx([gain for _, gain in CURVE], abs=0.01)


def test_a_capcut_draft_read_back(
    tmp_path: Path, job: tuple[Path, Path], spoken: SoundOptions
) -> None:
    music = Arrangement((Piece(4.0, 10.0), Piece(2.0, 8.0, 6.0)))
    path = tmp_path / "draft_content.json"
    report = write_timeline(*job, music, path, sound=spoken)
    draft = json.loads(path.read_text())
    assert draft["duration"] == SECONDS * 1_000_000 and draft["fps"] == RATE
    files = {m["id"]: m["path"] for kind in ("videos", "audios") for m in draft["materials"][kind]}
    assert sorted(files.values()) == sorted(str(one) for one in job)
    picture, sound = draft["tracks"]
    (shot,) = picture["segments"]
    assert files[shot["material_id"]] == str(job[0]) and shot["volume"] == 1
    micro = Fraction(1, 1_000_000)
    places = [
        tuple(
            float(one[which][part] * micro)
            for which, part in (
                ("source_timerange", "start"),
                ("source_timerange", "duration"),
                ("target_timerange", "start"),
            )
        )
        for one in sound["segments"]
    ]
    assert places == [(4.0, 6.0, 0.0), (2.0, 6.0, 6.0)]
    keys = [
        (one["target_timerange"]["start"] - one["source_timerange"]["start"] + key["time_offset"])
        for one in sound["segments"]
        for key in one["common_keyframes"][0]["keyframe_list"]
    ]
    assert [at / 1e6 for at in keys] == pytest.approx([0, 3.6, 3.9, 6, 6, 6.2, 7, 12])
    assert any("experimental" in note for note in report.notes)
    write_timeline(*job, music, path, overwrite=True)
    assert json.loads(path.read_text())["tracks"][0]["segments"][0]["volume"] == 0


def test_opentimelineio_finds_markers_and_effects(
    tmp_path: Path, job: tuple[Path, Path], spoken: SoundOptions
) -> None:
    library = pytest.importorskip("opentimelineio", reason="a reader for timelines")
    path = tmp_path / "cut.otio"
    write_timeline(*job, Moment(2.0, 14.0), path, sound=spoken, markers=("cuts",))
    timeline = library.adapters.read_from_file(str(path))
    assert [marker.name for marker in timeline.tracks.markers] == ["cut", "cut"]
    (clip,) = timeline.audio_tracks()[-1].find_clips()
    (effect,) = clip.effects
    assert effect.effect_name == "gain" and effect.metadata["mgsv"]["unit"] == "dB"
