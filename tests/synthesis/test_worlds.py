"""The small world: the planted benchmark's questions at a size that two cores learn to the end."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from mgsv.data.check import check_folder
from mgsv.data.dataset import CardDataset, SplitData
from mgsv.data.folder import DataFolder
from mgsv.errors import ConfigError
from mgsv.evaluation.sources import ShuffledVideos
from mgsv.methods.blind import blind_answers
from mgsv.models.registry import list_models
from mgsv.moment import iou, spans_to_moments
from mgsv.synthesis.planted import PlantOptions, plan_rows, plant, predict_oracle, read_recipe
from mgsv.synthesis.planted.options import recipe_fingerprint
from mgsv.synthesis.planted.songs import song
from mgsv.synthesis.planted.worlds import WORLDS
from mgsv.training.fit import train
from subprocesses import mgsv_here
from tolerances import FEW32

SIZES = {"train": 200, "val": 8, "test": 80, "tracks": 100}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant(tmp_path_factory.mktemp("data") / "small", PlantOptions.of("small", **SIZES))


def test_the_oracle_is_nearly_right_and_blind_rules_are_not(small: Path) -> None:
    data = DataFolder.open(small)
    test = SplitData.from_folder(data, "test")
    assert iou(predict_oracle(data, test.rows), test.rows.moments).mean() >= 0.95
    for name, moments in blind_answers(test.rows, test.segments, data.annotations("train")).items():
        assert iou(moments, test.rows.moments).mean() <= 0.5, name


def test_rows_and_features_have_the_size_of_the_world(small: Path) -> None:
    world, test = WORLDS["small"], SplitData.open(small, "test")
    batch = test.batch(np.arange(len(test)), trim=False)
    assert batch.frame_feats.shape == (80, world.frames, world.frame_dim)
    assert batch.segment_feats.shape == (80, world.segments, world.segment_dim)
    assert test.canvas_seconds == 80.0 == world.segments * 2.5
    rows = test.rows
    assert (rows.track_seconds <= 80).all() and (rows.video_seconds <= world.frames).all()
    assert (rows.moments[:, 1] <= rows.track_seconds + 1e-6).all()
    assert check_folder(small).problems == []


def test_spans_are_relative_to_the_canvas_of_the_data(small: Path) -> None:
    test = SplitData.open(small, "test")
    spans = test.batch(np.arange(5)).spans
    assert spans is not None
    got = spans_to_moments(spans.double().numpy(), 80.0)
    np.testing.assert_allclose(got, test.rows.moments[:5], rtol=FEW32, atol=80 * FEW32)
    np.testing.assert_array_equal(CardDataset.open(small, "test")[3][2], spans[3:4])


def test_sections_return_within_a_track() -> None:
    options, world = PlantOptions.of("small"), WORLDS["small"]
    assert song(0, 0, options).shape == (world.segments, options.latent_dim)
    longest = sum(most for _, most in world.section_states.values())
    assert longest < world.segments, "a whole track of different sections would fit"


def test_the_same_options_give_the_same_rows_and_another_seed_does_not(small: Path) -> None:
    options = read_recipe(small)
    assert options == PlantOptions.of("small", **SIZES)
    assert plan_rows(options) == plan_rows(PlantOptions.of("small", **SIZES))
    assert plan_rows(options) != plan_rows(PlantOptions.of("small", **SIZES, seed=1))


def test_worlds_are_encoders_of_their_own(small: Path, tmp_path: Path) -> None:
    """Benchmarks made before there were worlds keep the fingerprint that checkpoints name."""
    before = asdict(PlantOptions())
    (tmp_path / "planted.json").write_text(json.dumps(before))
    now = recipe_fingerprint(tmp_path)
    del before["world"]
    (tmp_path / "planted.json").write_text(json.dumps(before))
    assert recipe_fingerprint(tmp_path) == now != recipe_fingerprint(small)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["conquer", "made", "tr_detr"])
def test_a_model_gets_the_size_of_the_world(small: Path, tmp_path: Path, model: str) -> None:
    assert model in list_models()
    words = ("model.hidden_dim=8", "model.heads=2", "train.epochs=1", "train.rows=32")
    done = train(model, data=small, output=tmp_path / "run", preset="small-world", set=words)
    assert 0 <= done.best["mIoU"] <= 1
    with pytest.raises(ConfigError, match=r"model\.canvas_seconds=240.*80"):
        train(
            model,
            data=small,
            output=tmp_path / "x",
            preset="tiny",
            set=["model.canvas_seconds=240"],
        )


def test_shuffled_videos_keep_the_canvas(small: Path) -> None:
    test = SplitData.open(small, "test")
    right, wrong = test.batch(np.arange(4)), ShuffledVideos(test).batch(np.arange(4))
    assert right.spans is not None and wrong.spans is not None
    np.testing.assert_array_equal(right.spans, wrong.spans)


def test_what_no_world_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`world` tiny: no such world"):
        PlantOptions.of("tiny")
    with pytest.raises(ConfigError, match="`files` with `world` small"):
        plant(tmp_path / "x", PlantOptions.of("small", **SIZES), files=True)
    assert not (tmp_path / "x").exists()


def test_the_command_plants_it(tmp_path: Path) -> None:
    words = ["--world", "small", "--train", "9", "--test", "4", "--val", "3", "--tracks", "5"]
    done = mgsv_here("data", "plant", tmp_path / "x", *words, "--style", "0.4")
    assert done.returncode == 0, done.stderr
    sizes = {"train": 9, "test": 4, "val": 3, "tracks": 5}
    assert read_recipe(tmp_path / "x") == PlantOptions.of("small", **sizes, style=0.4)
    done = mgsv_here("data", "plant", tmp_path / "y", "--world", "tiny")
    assert done.returncode != 0 and "--world tiny: no such world: choose full or small" in (
        " ".join(done.stderr.split())
    )
