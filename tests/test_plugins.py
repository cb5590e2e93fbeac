"""Parts that other distributions bring: the manual's examples at work, and broken ones."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import real_media
from media_files import write_audio
from mgsv import Library
from mgsv.encoders.registry import encoder_names, encoder_pair, video_encoder
from mgsv.errors import ConfigError, LibraryError
from mgsv.library.stores import default_folder, is_address, open_store
from mgsv.media.audio import read_audio
from mgsv.methods.registry import method_names, open_method
from mgsv.models.registry import build, list_models
from mgsv.plugins import PluginError, find, plugins
from planted_small import planted
from plugin_support import files_of_the_manual, install
from subprocesses import mgsv_here as mgsv

Install = Callable[..., None]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path, where distributions are put."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("MGSV_LIBRARY", str(tmp_path / "library"))
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0].startswith("mgsv_")]:
        del sys.modules[name]


@pytest.fixture
def example(site: Path) -> Path:
    """The distribution that docs/plugins.md builds."""
    files = files_of_the_manual()
    project = tomllib.loads(files.pop("pyproject.toml"))["project"]
    entries, version = project["entry-points"], project["version"]
    install(site, project["name"], entries, {"mgsv_example/__init__.py": "", **files}, version)
    return site


def test_the_manual_registers_one_of_each(example: Path) -> None:
    kinds = ("system", "encoder", "store", "method")
    found = [(plugin.name, plugin.distribution) for kind in kinds for plugin in plugins(kind)]
    assert found == [
        (name, "mgsv-example 1.0")
        for name in ("means", "music.plain", "video.plain", "team", "longest")
    ]
    assert "means" in list_models() and "longest" in method_names()
    assert all("plain" in side for side in encoder_names())


def test_nothing_of_a_plugin_is_imported_before_it_is_named(example: Path) -> None:
    method_names(), encoder_names(), list_models()
    assert not [name for name in sys.modules if name.startswith("mgsv_example")]


def test_the_manuals_method_grounds(example: Path, tmp_path: Path) -> None:
    clip, long, short = real_media.city(), tmp_path / "long.wav", tmp_path / "short.wav"
    sound = read_audio(real_media.bgm_tracks()[0], 16_000).samples
    for path, seconds in ((long, 20), (short, 15)):
        write_audio(path, sound[: seconds * 16_000], 16_000)
    how = ("--library", tmp_path / "library", "--no-render", "--json")
    done = mgsv("ground", clip, "-m", short, long, "--method", "longest", *how)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["model"]["method"] == "longest"
    assert [Path(moment["track"]) for moment in document["moments"]] == [long, short]
    best = document["moments"][0]
    assert (best["start"] + best["end"]) / 2 == pytest.approx(10.0, abs=0.1)
    assert best["score"] == pytest.approx(20 / 60, abs=1e-3)


def test_the_manuals_encoders_index_music(example: Path, tmp_path: Path) -> None:
    track, folder = real_media.bgm_tracks()[0], tmp_path / "library"
    place = ("--library", folder, "--encoders", "plain")
    done = mgsv("library", "add", track, *place)
    assert done.stdout.startswith("1 added"), done.stderr
    with Library.open(folder=folder, encoder="plain") as library:
        (held,) = library.tracks()
        features = library.features(held).segments
    assert features.shape[1] == 1 and np.all(features > 0)
    how = ("--method", "sync", "--no-render")
    found = mgsv("ground", real_media.bikes(), "-m", track, *how, *place)
    assert found.returncode == 0, found.stderr


def test_the_manuals_store_keeps_a_library(
    example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = real_media.bgm_tracks()[0]
    done = mgsv("library", "list", "--library", "team://weddings")
    assert done.returncode == 1
    assert done.stderr == (
        "mgsv: TEAM_MUSIC is not set: set it to the folder of the team's libraries\n"
    )
    monkeypatch.setenv("TEAM_MUSIC", str(tmp_path / "shared"))
    assert mgsv("library", "add", track, "--library", "team://weddings").returncode == 0
    assert (tmp_path / "shared/weddings/catalogue.sqlite").exists()
    monkeypatch.setenv("MGSV_LIBRARY", "team://weddings")
    assert track.name in mgsv("library", "list").stdout
    assert str(default_folder()).startswith("team:")


@pytest.mark.slow
def test_the_manuals_system_trains_and_is_measured(example: Path, tmp_path: Path) -> None:
    data, run = planted(tmp_path / "data"), tmp_path / "run"
    how = ("--preset", "tiny", "--set", "model.width=8", "--set", "train.accelerator=cpu")
    trained = mgsv("train", "means", "--data", data, "--output", run, *how)
    assert trained.returncode == 0, trained.stderr
    (best,) = run.glob("best*.safetensors")
    measured = mgsv("evaluate", best, "--data", data, "--json")
    assert measured.returncode == 0, measured.stderr
    assert "R1" in measured.stdout
    listed = json.loads(mgsv("models", "--json").stdout)["models"]
    (entry,) = (model for model in listed if model["name"] == "means")
    assert entry["abilities"] == ["match"] and entry["paper_parameters"] is None
    assert entry["parameters"] == 64 * (512 + 1) + 64 * (768 + 1)


@pytest.mark.slow
def test_the_doctor_names_them(example: Path) -> None:
    assert "method longest, of mgsv-example 1.0" in mgsv("doctor").stdout
    listed = json.loads(mgsv("doctor", "--json").stdout)["plugins"]
    assert {"kind": "store", "name": "team", "distribution": "mgsv-example 1.0"} in listed


def test_the_doctor_tries_them(site: Path) -> None:
    files = {"mgsv_bad.py": "raise SystemExit('out')"}
    entries = {"mgsv.systems": {"odd": "nowhere:thing"}, "mgsv.methods": {"gone": "mgsv_bad:any"}}
    install(site, "mgsv-bad", entries, files)
    done = mgsv("doctor")
    assert done.returncode == 1 and "everything works" not in done.stdout
    assert "problem: mgsv-bad 1.0: its system odd cannot be loaded" in done.stderr
    assert "its method gone cannot be loaded (SystemExit: out)" in done.stderr


def test_the_doctor_says_that_a_library_is_a_file(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "song.mp3").touch()
    monkeypatch.setenv("MGSV_LIBRARY", str(tmp_path / "song.mp3"))
    done = mgsv("doctor")
    assert done.returncode == 1 and "song.mp3 is a file: name a folder" in done.stderr


BROKEN = {
    "missing": (
        "nowhere:thing",
        "cannot be loaded (ModuleNotFoundError: No module named 'nowhere'",
    ),
    "raises": ("mgsv_bad:raises", "cannot be opened (ValueError: two lines)"),
    "other": ("mgsv_bad:other", "is a int, no Method"),
}
BAD = """
def raises(*_, **__):
    raise ValueError("two\\nlines")

def other(*_, **__):
    return 3
"""


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_one_line_that_names_its_distribution(site: Path, name: str) -> None:
    methods = {name: target for name, (target, _) in BROKEN.items()}
    install(site, "mgsv-bad", {"mgsv.methods": methods}, {"mgsv_bad.py": BAD}, "0.3")
    files = (real_media.bikes(), "-m", real_media.bgm_tracks()[0])
    done = mgsv("ground", *files, "--no-render", "--method", name)
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.startswith(f"mgsv: mgsv-bad 0.3: its method {name} {BROKEN[name][1]}")
    assert done.stderr.count("\n") == 1


def test_broken_parts_of_every_kind_are_told_apart_from_good_ones(site: Path) -> None:
    entries = {
        "mgsv.systems": {"odd": "mgsv_bad:other"},
        "mgsv.encoders": {"video.odd": "mgsv_bad:other"},
        "mgsv.stores": {"odd": "mgsv_bad:other"},
    }
    install(site, "mgsv-bad", entries, {"mgsv_bad.py": BAD})
    for call, problem in (
        (lambda: build("odd"), "its system odd is a function, no ModelEntry"),
        (lambda: video_encoder("odd"), "its encoder video.odd has no name"),
        (lambda: open_store("odd://x"), "its store odd is a int, no Store"),
    ):
        with pytest.raises(PluginError, match=f"mgsv-bad 1.0: {problem}"):
            call()


def test_a_broken_system_does_not_hide_the_others(site: Path) -> None:
    install(site, "mgsv-bad", {"mgsv.systems": {"odd": "nowhere:thing"}}, {})
    done = mgsv("models")
    assert done.returncode == 0 and "moment_detr" in done.stdout
    assert "mgsv-bad 1.0: its system odd cannot be loaded" in done.stderr


def test_own_names_are_never_a_plugins(site: Path) -> None:
    methods = {"sync": "mgsv_bad:other"}
    entries = {"mgsv.methods": methods, "mgsv.encoders": {"video.tiny": "mgsv_bad:other"}}
    install(site, "mgsv-bad", entries, {"mgsv_bad.py": BAD})
    assert open_method("sync").name == "sync" and method_names().count("sync") == 1
    assert video_encoder("tiny").dim > 1


def test_a_name_that_two_distributions_bring_is_refused_with_both(site: Path) -> None:
    for name, target in (("mgsv-one", "mgsv_bad:other"), ("mgsv-two", "mgsv_bad:raises")):
        install(site, name, {"mgsv.methods": {"same": target}}, {"mgsv_bad.py": BAD})
    with pytest.raises(PluginError, match=r"mgsv-one 1.0: its method same is also .*mgsv-two 1.0"):
        find("method", "same")


def test_unknown_names_are_refused_with_those_there_are(example: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no model 'x': choose .*means"):
        build("x")
    with pytest.raises(ConfigError, match=r"no such method: choose from .*longest"):
        open_method("x")
    with pytest.raises(ConfigError, match=r"there is no video encoder 'x': .*plain"):
        video_encoder("x")
    with pytest.raises(
        ConfigError, match=r"`encoders` x: unknown: choose default or paper or plain"
    ):
        encoder_pair("x")
    with pytest.raises(LibraryError, match=r"at mysql://: name .* one of postgresql://, team://"):
        open_store("mysql://host/library")


def test_what_is_an_address_and_what_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("library", "C:/Users/me", "/music:/a", "a b:/c", "Team:/x"):
        assert not is_address(folder) and not is_address(Path(folder))
    for address in ("team://x", "postgresql://me@host/db?features=/x", Path("team://x")):
        assert is_address(address)
    (tmp_path / "team:/x").mkdir(parents=True)
    assert not is_address("team:/x")
