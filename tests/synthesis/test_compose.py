"""Composed edits from files to a trained model, and the equality of features and rendered file."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from composed import PICTURES, write_corpus
from mgsv.data.annotations import SPLITS
from mgsv.data.dataset import SplitData
from mgsv.data.folder import COMPOSED, PACKED_FOLDER
from mgsv.encoders.networks.efficientnet import picture_features
from mgsv.encoders.registry import encoder_pair, video_encoder
from mgsv.errors import ConfigError, DataError, OutputError
from mgsv.media.pictures import read_still
from mgsv.media.video import VideoScan
from mgsv.models import checkpoint
from mgsv.synthesis.composed import PLANS, ComposeInputs, ComposeOptions, compose, worker_processes
from mgsv.synthesis.composed.corpus import Item
from mgsv.synthesis.composed.features import video_curves, video_features
from mgsv.synthesis.composed.footage import Bank, Footage
from mgsv.synthesis.composed.plan import LIGHTS, Plan, Shot, read_plans
from mgsv.synthesis.composed.render import film
from planted_small import TINY
from subprocesses import mgsv_here as mgsv


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def data(corpus: Path) -> Path:
    done = mgsv(
        *("data", "compose", corpus / "data", "--music", corpus / "music"),
        *("--pictures", corpus / "pictures", "--clips", corpus / "clips"),
        *("--cache", corpus / "cache", "--train", "32", "--val", "8", "--test", "8"),
        *("--licence", "CC0-1.0", "--noise", "1", "--half"),
    )
    assert done.returncode == 0, done.stderr
    assert "left out: " in done.stderr
    assert "broken.png" in done.stderr
    return corpus / "data"


@pytest.fixture(scope="module")
def bank(corpus: Path) -> dict[str, Footage]:
    """The coffee and the clip, in full precision."""
    made = Bank(corpus / "cache")
    items = (
        Item("coffee", "picture", corpus / "pictures" / "coffee.png"),
        Item("tiles", "clip", corpus / "clips" / "tiles.mp4"),
    )
    return {item.id: made.footage(item) for item in items}


@pytest.mark.slow
def test_a_model_can_be_trained_and_measured_on_composed_data(data: Path, tmp_path: Path) -> None:
    assert mgsv("data", "check", data).returncode == 0
    assert mgsv("data", "stats", data).returncode == 0
    changes = [word for change in TINY for word in ("--set", change)]
    trained = mgsv("train", "made", "--data", data, "--output", tmp_path / "run", *changes)
    assert trained.returncode == 0, trained.stderr
    file = tmp_path / "run" / "last.safetensors"
    loaded = checkpoint.load(file)
    assert loaded.licence == "CC0-1.0"
    pair = encoder_pair()
    for kind, own in (("video", pair.video), ("music", pair.music)):
        noted = getattr(loaded.encoders, kind)
        assert (noted.name, noted.dim, noted.fingerprint) == (own.name, own.dim, own.fingerprint)
    done = mgsv("evaluate", file, "--data", data, "--json")
    assert done.returncode == 0, done.stderr


def test_no_track_and_no_picture_stands_in_two_splits(data: Path) -> None:
    used: dict[str, set[str]] = {split: set() for split in SPLITS}
    for plan in read_plans(data / PLANS):
        used[plan.split] |= {plan.track} | {shot.source for shot in plan.shots}
    assert all(used[a].isdisjoint(used[b]) for a in SPLITS for b in SPLITS if a < b)
    noted = json.loads((data / COMPOSED).read_text())["items"]
    assert sorted(name for split in SPLITS for name in noted[split]["picture"]) == sorted(PICTURES)


def test_rows_agree_with_plans_and_features(data: Path) -> None:
    plans = {plan.video_id: plan for plan in read_plans(data / PLANS)}
    for split in SPLITS:
        rows = SplitData.open(data, split)
        for row, place in zip(rows.rows, rows._frame_places, strict=True):
            plan = plans[row.video_id]
            assert (row.music_id, row.music_start) == (plan.track, plan.music_start)
            assert rows.frames.lengths[place] == np.ceil(row.video_end - 0.002)
    assert len(plans) == 48


@pytest.mark.slow
def test_the_same_call_gives_the_same_bytes_over_any_number_of_processes(
    data: Path, corpus: Path, tmp_path: Path
) -> None:
    options = ComposeOptions(train=32, val=8, test=8, noise=1, half=True)
    compose(
        tmp_path / "again",
        ComposeInputs(corpus / "music", corpus / "pictures", corpus / "clips"),
        cache=corpus / "cache",
        options=options,
    )
    for name in ("frames/features.f32", "segments-2p5/features.f32"):
        first, again = (folder / PACKED_FOLDER / name for folder in (data, tmp_path / "again"))
        assert first.read_bytes() == again.read_bytes()


def test_what_cannot_be_composed_is_refused_and_leaves_nothing(
    corpus: Path, data: Path, tmp_path: Path
) -> None:
    music, pictures, empty = corpus / "music", corpus / "pictures", tmp_path / "empty"
    with pytest.raises(OutputError, match="exists already"):
        compose(data, ComposeInputs(music, pictures))
    empty.mkdir()
    with pytest.raises(DataError, match="holds no music files"):
        compose(tmp_path / "out", ComposeInputs(empty, pictures))
    for name in ("a.png", "b.png", "c.png"):
        (empty / name).write_bytes(name.encode())
    with pytest.raises(ConfigError, match="no pictures are left for the train split"):
        compose(tmp_path / "out", ComposeInputs(music, empty), cache=corpus / "cache")
    with pytest.raises(ConfigError, match="`jobs` 0: needs at least 1"):
        worker_processes(0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty"]


@pytest.mark.parametrize(
    "options", [{"train": -1}, {"train": 0, "val": 0, "test": 0}, {"composer": "x"}, {"plain": 2}]
)
def test_options_that_make_no_sense_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="`"):
        ComposeOptions(**options)  # type: ignore[arg-type]


@pytest.mark.slow
def test_between_two_known_lights_a_row_is_nearly_the_encoders(bank: dict[str, Footage]) -> None:
    path = bank["coffee"].item.path
    picture = read_still(path, 896, 512).reshape(256, 2, 448, 2, 3).mean((1, 3))
    for light in (*LIGHTS, 0.6, 0.85):
        seen = picture_features([np.round(picture * light).astype(np.uint8)])[0]
        assert cosine(bank["coffee"].row(0, float(light)), seen) > 0.99


PLAN = Plan(
    video_id="1",
    split="train",
    composer="editor",
    track="none",
    music_start=0.0,
    seconds=4.0,
    offset=0.0,
    synced=True,
    shots=(
        Shot("coffee", 0.0, 1.6, (0, 3, 3), sway=0.02, sway_rate=2),
        Shot("tiles", 1.6, 2.7, (0, 2, 4)),
        Shot("coffee", 2.7, 4.0, (7, 8, 2)),
    ),
    light=(0.9, 0.6, 0.8, 1.0, 0.5),
    punches=(0.5, 3.4),
    punch=0.08,
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("crf", "mean"), [(None, 0.99), pytest.param(23, 0.93, marks=pytest.mark.thorough)]
)
def test_the_rendered_file_has_the_features_that_were_computed_without_it(
    bank: dict[str, Footage], tmp_path: Path, crf: int | None, mean: float
) -> None:
    file = tmp_path / ("film.mkv" if crf is None else "film.mp4")
    film(PLAN, bank, file, crf=crf)
    encoder = video_encoder()
    scan = VideoScan(file, encoder.image_size)
    seen = encoder.encode(scan, lambda: scan.curves)
    told = video_features(PLAN, bank)
    assert seen.shape == told.shape
    cosines = [cosine(a, b) for a, b in zip(seen, told, strict=True)]
    assert np.mean(cosines) > mean
    if crf is None:
        assert min(cosines) > mean
    np.testing.assert_allclose(scan.curves.cuts, PLAN.cuts, atol=0.01)
    np.testing.assert_allclose(video_curves(PLAN, bank).cuts, PLAN.cuts, atol=0.01)


@pytest.mark.slow
def test_a_soft_transition_is_rendered_as_its_curves_say(
    bank: dict[str, Footage], tmp_path: Path
) -> None:
    *shots, last = PLAN.shots
    plan = replace(PLAN, shots=(*shots, replace(last, soft=0.8)))
    film(plan, bank, tmp_path / "film.mkv", crf=None)
    scan = VideoScan(tmp_path / "film.mkv", 64)
    for _ in scan:
        pass
    told = video_curves(plan, bank)
    for curves in (scan.curves, told):
        np.testing.assert_allclose(curves.cuts, [last.start for last in plan.shots[1:2]], atol=0.01)
    assert np.corrcoef(scan.curves.motion, told.motion)[0, 1] > 0.95


def test_a_film_needs_a_new_name(bank: dict[str, Footage], tmp_path: Path) -> None:
    shutil.copy(bank["tiles"].item.path, tmp_path / "film.mp4")
    with pytest.raises(OutputError, match="exists already"):
        film(PLAN, bank, tmp_path / "film.mp4")


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
