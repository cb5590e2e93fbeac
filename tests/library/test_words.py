"""Music narrowed by words, tempo, licence and genre."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from library_support import TinyEncoder, opened
from media_files import Clip, write_video
from mgsv import GroundOptions, Library, Session
from mgsv.encoders.musicnn import TAGS
from mgsv.errors import ConfigError, LibraryError
from mgsv.library.credits import Credits
from mgsv.library.track import Track, TrackCurves
from mgsv.library.words import Wanted, narrow, vocabulary
from mgsv.library.words.fit import Fit
from mgsv.library.words.vocabulary import MEASURED
from subprocesses import Run


def test_every_sign_exists_and_no_synonym_has_two_words() -> None:
    known = {*TAGS, *MEASURED}
    words = vocabulary().words
    assert len(words) >= 50
    for word in words:
        assert word.signs.keys() <= known, word
        assert word.kind in ("mood", "sound", "instrument", "genre")
    names = [name for word in words for name in (word.name, *word.synonyms)]
    taken = {word.name for word in words}
    for name in set(names):
        assert names.count(name) == 1 or name in taken, name


def test_the_page_lists_the_words() -> None:
    page = Path(__file__).parents[2] / "docs/words.md"
    head = "| word | kind | the same |\n|---|---|---|\n"
    table = page.read_text(encoding="utf-8").partition(head)[2].partition("\n\n")[0]
    words = vocabulary().words
    assert table.splitlines() == [
        f"| {word.name} | {word.kind} | {', '.join(word.synonyms)} |" for word in words
    ]


def test_the_longest_known_words_are_read() -> None:
    def read(text: str) -> list[str]:
        return [word.name for word in vocabulary().read(text, "like")]

    assert read("calm piano") == ["calm", "piano"]
    assert read("Peaceful and some Drum and Bass, female voice") == [
        "calm", "drum and bass", "female vocals",
    ]  # fmt: skip
    assert read("calm, relaxed") == ["calm"]


@pytest.mark.parametrize(
    ("field", "value", "line"),
    [
        ("like", "energtic", "`like` energtic: an unknown word: the nearest are energetic"),
        ("like", "glücklich", "`like` glücklich: an unknown word: words are English"),
        (
            "like",
            "静か",
            "`like` 静か: an unknown word: words are English, for example calm, energetic",
        ),
        ("without", ",", "`without`: no word"),
        ("genre", "mettal", "`genre` mettal: an unknown word: the nearest are metal"),
        ("tempo", "fast", "`tempo` fast: no tempo: give one as 90-110, 120- or 120"),
        ("tempo", "110-90", "`tempo` 110-90: no tempo: give the slower one first"),
        ("tempo", "-", "`tempo` -: no tempo"),
        ("licence", "cc0,", "`licence` cc0,: a name is missing"),
    ],
)
def test_what_makes_no_sense_is_one_line(field: str, value: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        GroundOptions(**{field: value})  # type: ignore[arg-type]
    assert str(caught.value).startswith(line) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [("90-110", 89.5, 110.5), ("120-", 119.5, np.inf), ("-90", -0.5, 90.5), ("120", 117, 123)],
)
def test_a_tempo_is_a_range(text: str, low: float, high: float) -> None:
    """What is listed as 110 is within 90-110."""
    assert Wanted(tempo=text).tempo_range() == (low, high)


def tracks(count: int, **fields: list[object]) -> list[Track]:
    return [
        Track(str(n), Path(f"{n}.wav"), 30.0, **{k: v[n] for k, v in fields.items()})  # type: ignore[arg-type]
        for n in range(count)
    ]


def level(track: Track) -> TrackCurves:
    """The same loudness for all."""
    return TrackCurves(track, *(np.ones(4, np.float16) for _ in range(2)), np.zeros(0, np.float32))


def test_a_place_is_the_share_of_tracks_with_less() -> None:
    made = tracks(5, tempo=[60.0, 0.0, 120.0, 120.0, 180.0])
    fit = Fit(made, lambda: [{"sad": p} for p in (0.1, 0.5, 0.3, 0.2, 0.9)], level)
    np.testing.assert_allclose(fit.place("tempo"), [0, 0.5, 0.5, 0.5, 1])
    np.testing.assert_allclose(fit.place("sad"), [0, 0.75, 0.5, 0.25, 1])
    np.testing.assert_allclose(fit.place("energy"), 0.5, err_msg="all alike")
    np.testing.assert_allclose(fit.place("happy"), 0.5, err_msg="of no track it is known")
    slow = vocabulary().get("slow")
    assert slow is not None
    np.testing.assert_allclose(fit.of(slow), [1, 0.5, 0.5, 0.5, 0])


def test_a_files_own_genre_counts_most() -> None:
    made = tracks(3, tempo=[0.0] * 3, credits=[Credits(genre=g) for g in ("Death Metal", "", "x")])
    metal = vocabulary().get("heavy metal")
    assert metal is not None and metal.name == "metal"
    fit = Fit(made, lambda: [{"metal": 0.1}, {"metal": 0.9}, {"metal": 0.5}], level)
    assert fit.of(metal).argmax() == 0 and fit.of(metal)[0] == 1


def test_tags_count_by_how_much_there_is_of_them() -> None:
    """A tag that is rare everywhere does not weigh like one that is plain to hear."""
    made = tracks(3, tempo=[0.0] * 3, credits=[Credits()] * 3)
    heard = [
        {"happy": 0.5, "catchy": 0.001, "party": 0.001, "pop": 0.0, "sad": 0.0, "ambient": 0.0},
        {"happy": 0.1, "catchy": 0.002, "party": 0.002, "pop": 0.0, "sad": 0.0, "ambient": 0.0},
        {"happy": 0.0, "catchy": 0.003, "party": 0.003, "pop": 0.0, "sad": 0.0, "ambient": 0.0},
    ]
    happy = vocabulary().get("happy")
    assert happy is not None
    assert np.argsort(-Fit(made, lambda: heard, level).of(happy)).tolist() == [0, 1, 2]


def test_conditions_leave_out_and_are_counted(bundled: Library) -> None:
    every = bundled.tracks()
    kept = narrow(bundled, every, Wanted(tempo="90-120"))
    assert {t.id for t in kept.tracks} == {t.id for t in every if 89.5 <= t.tempo <= 120.5}
    out = len(every) - len(kept.tracks)
    assert kept.notes == (f"left out: {out} of {len(every)} tracks, of another tempo",)
    calm = narrow(bundled, every, Wanted(like="calm", without="vocals"))
    assert len(calm.tracks) == -(-len(every) // 4) == len(calm.fit)
    every_fit = narrow(bundled, every, Wanted(like="calm")).fit.values()
    assert min(every_fit) > 0.5, "the best quarter is calmer than half of the tracks"
    assert all(0 <= fit <= 1 for fit in calm.fit.values())
    for count, left in ((6, 3), (20, 8), (28, 8)):
        few = narrow(bundled, every[:count], Wanted(like="calm"))
        assert len(few.tracks) == left and few.notes[0].startswith(f"looked at: the {left} of")
    with pytest.raises(LibraryError, match=r"no track is left: .*\(\d+ unknown\): ask for less"):
        narrow(bundled, every, Wanted(licence="cc-by-nd"))


def test_words_choose_and_the_picture_decides(bundled: Library, tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", Clip(seconds=2))
    session = Session(bundled, method="sync")
    found = session.ground(clip, GroundOptions(top=3, like="energetic"))
    chosen = narrow(bundled, bundled.tracks(), Wanted(like="energetic"))
    for moment in found:
        assert moment.evidence["words"] == chosen.fit[moment.track.id]
        assert moment.evidence["words_of"] == len(chosen.tracks)
    assert any("looked at: the 8 of 30 tracks" in note for note in found.notes), found.notes
    alone = session.ground(clip, GroundOptions(top=3), within=chosen.ids)
    assert [m.track.id for m in alone] == [m.track.id for m in found], "words add to no score"


def test_licences_are_kept_by_name(music: Path, folder: Path, encoder: TinyEncoder) -> None:
    from library_support import write_tones

    write_tones(music, 3)
    (music / "licences.csv").write_text("file,licence\n000.wav,cc by 4.0\n001.wav,GPL\n")
    with opened(music, folder, encoder) as library:
        kept = narrow(library, library.tracks(), Wanted(licence="cc-by,cc0"))
    assert [track.path.name for track in kept.tracks] == ["000.wav"]
    assert kept.notes == (
        "left out: 2 of 3 tracks, under another licence or an unknown one (1 unknown)",
    )


def test_the_library_is_listed_by_words(mgsv: Run, own_library: Path) -> None:
    listed = mgsv("library", "list", "--like", "calm", "--tempo", "60-140")
    assert listed.returncode == 0, listed.stderr
    assert "looked at: " in listed.stderr
    assert 0 < len(listed.stdout.splitlines()) <= 8
    refused = mgsv("library", "list", "--not", "vocls")
    assert refused.returncode == 1
    assert refused.stderr.startswith("mgsv: --not vocls: an unknown word: the nearest are vocals")
