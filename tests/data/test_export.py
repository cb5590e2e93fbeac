"""A data set of one's own: nothing private in it, nothing alike in two splits, all of it usable."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mgsv.data.annotations import SPLITS, Row, read_annotations, write_annotations
from mgsv.data.check import check_folder
from mgsv.data.dataset import CardDataset
from mgsv.data.export import export_data
from mgsv.data.features import FeatureFolder
from mgsv.data.folder import FEATURE_FOLDER, DataFolder, read_licence
from mgsv.errors import ConfigError, DataError, OutputError

VIDEOS, TRACKS = 40, 12
COPY_OF_FIRST = 11


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder as `extract` leaves it, and annotations as `annotate` writes them. The last track is
    nearly the first.
    """
    rng = np.random.default_rng(0)
    frames = FeatureFolder.frames(tmp_path / "mine" / FEATURE_FOLDER)
    segments = FeatureFolder.segments(tmp_path / "mine" / FEATURE_FOLDER)
    music = [rng.normal(size=(30, 768)).astype(np.float32) for _ in range(TRACKS)]
    music[COPY_OF_FIRST] = music[0] + 0.01 * rng.normal(size=music[0].shape).astype(np.float32)
    for n, features in enumerate(music):
        segments.write(f"Secret Song {n}", features, np.ones(30, bool))
    rows = []
    for n in range(VIDEOS):
        frames.write(f"my wedding {n}", rng.normal(size=(12, 512)), np.ones(12, bool))
        rows.append(row(n, n % TRACKS))
    write_annotations(tmp_path / "uses.csv", rows)
    return tmp_path


def row(video: int, track: int) -> Row:
    return Row(
        video_id=f"my wedding {video}",
        music_id=f"Secret Song {track}",
        video_start=0.0,
        video_end=12.0,
        music_start=5.0,
        music_end=17.0,
        music_total_duration=75.0,
        video_segment_duration=12.0,
        music_segment_duration=12.0,
        music_path=f"/home/jane/Music/Secret Song {track}.flac",
        video_total_duration=12.0,
        video_width=320,
        video_height=180,
        video_total_frames=300,
        video_frame_rate=25.0,
        video_category="",
    )


def exported(mine: Path, name: str = "set", **more: object) -> Path:
    export_data(mine / "uses.csv", mine / name, features=mine / "mine", licence="cc-by-4.0", **more)  # type: ignore[arg-type]
    return mine / name


@pytest.mark.slow
def test_it_is_whole_and_good(mine: Path) -> None:
    folder = exported(mine)
    report = check_folder(folder)
    assert report.problems == [] and (report.rows, report.files) == (VIDEOS, VIDEOS + TRACKS)
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert read_licence(folder) == "cc-by-4.0"
    assert (folder / "README.md").read_text().startswith("---\nlicense: cc-by-4.0\n")


@pytest.mark.slow
def test_each_sample_is_what_it_was(mine: Path) -> None:
    folder = exported(mine)
    with (mine / "set.key.csv").open() as file:
        was = {line["id"]: line["was"] for line in csv.DictReader(file)}
    before = {one.video_id: one for one in read_annotations(mine / "uses.csv")}
    source = FeatureFolder.frames(mine / "mine" / FEATURE_FOLDER)
    seen = 0
    for split in SPLITS:
        samples = CardDataset.open(folder, split)
        for n, one in enumerate(samples.rows):
            old = before[was[one.video_id]]
            assert was[one.music_id] == old.music_id
            assert replace(one, video_id="", music_id="", music_path="") == replace(
                old, video_id="", music_id="", music_path=""
            )
            expected = torch.from_numpy(source.read(old.video_id).features)
            assert torch.equal(samples[n][0]["frame_feats"], expected)
            seen += 1
    assert seen == VIDEOS


@pytest.mark.slow
def test_nothing_private_is_in_it(mine: Path) -> None:
    folder = exported(mine)
    for path in folder.rglob("*"):
        assert "Secret" not in path.name and "wedding" not in path.name
        if path.is_file():
            data = path.read_bytes()
            assert b"Secret" not in data and b"wedding" not in data and b"/home" not in data


def test_what_sounds_alike_is_in_one_split(mine: Path) -> None:
    folder = exported(mine, seed=3)
    with (mine / "set.key.csv").open() as file:
        new = {line["was"]: line["id"] for line in csv.DictReader(file)}
    data = DataFolder.open(folder)
    splits = {
        one.music_id: split
        for split in SPLITS
        if data.find_csv(split)
        for one in data.annotations(split)
    }
    assert splits[new["Secret Song 0"]] == splits[new[f"Secret Song {COPY_OF_FIRST}"]]
    assert set(splits.values()) == set(SPLITS)


@pytest.mark.slow
def test_the_seed_decides(mine: Path) -> None:
    once, again, other = (exported(mine, f"s{n}", seed=n // 2) for n in range(3))
    sums = [(folder / "SHA256SUMS").read_text() for folder in (once, again, other)]
    assert sums[0] != sums[2]
    assert sorted(line.split()[0] for line in sums[0].splitlines() if "README" not in line) == (
        sorted(line.split()[0] for line in sums[1].splitlines() if "README" not in line)
    )


@pytest.mark.slow
def test_rows_without_features_are_left_out_and_named(mine: Path) -> None:
    (mine / "mine" / FEATURE_FOLDER / "vit_feature1" / "vit_feature" / "my wedding 7.pt").unlink()
    report = export_data(
        mine / "uses.csv", mine / "set", features=mine / "mine", licence="cc-by-4.0"
    )
    assert [video for video, _ in report.left] == ["my wedding 7"]
    assert sum(report.rows.values()) == VIDEOS - 1


def test_what_cannot_be_is_refused_and_nothing_is_left(mine: Path) -> None:
    with pytest.raises(ConfigError, match="`licence`"):
        export_data(
            mine / "uses.csv", mine / "set", features=mine / "mine", licence="mine: all of it"
        )
    with pytest.raises(ConfigError, match="`shares`"):
        exported(mine, shares=(0.5, 0.5))
    with pytest.raises(DataError, match="no such folder"):
        export_data(mine / "uses.csv", mine / "set", features=mine / "nowhere", licence="cc0-1.0")
    (mine / "there").mkdir()
    (mine / "there" / "file").write_text("mine")
    with pytest.raises(OutputError):
        exported(mine, "there")
    assert not (mine / "set").exists() and not list(mine.glob("*.key.csv"))
