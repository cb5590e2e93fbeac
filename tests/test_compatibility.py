"""Files that mgsv 0.1 wrote are read: checkpoints, libraries and JSON answers.

`tools/make_0_1_files.py` made them with the code of that version, the outputs of its networks too.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

import real_media
from mgsv import Library
from mgsv.data.batch import Batch
from mgsv.grounding.acceptance import accept_result
from mgsv.models.checkpoint import load
from subprocesses import mgsv_here as mgsv
from tolerances import NETWORK, apart

OLD = Path(__file__).parent / "golden/0.1"
TRACK = "2bba7cd30476fc8cc47ab4f5d9ddb365"


@pytest.fixture
def track() -> Path:
    (path,) = (p for p in real_media.bgm_tracks() if p.name == "calm_acoustic_s411.opus")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the library."""
    return Path(shutil.copytree(OLD / "library", tmp_path / "library"))


@pytest.mark.parametrize("name", ["made", "mvpt", "moment_detr"])
def test_a_checkpoint_computes_what_it_did(name: str) -> None:
    recorded = load_file(OLD / "networks.safetensors")
    frames, segments = (torch.from_numpy(recorded[f"in.{kind}"]) for kind in ("frames", "segments"))
    batch = Batch(
        *(frames, torch.ones(3, 6), segments, torch.ones(3, 9)),
        *(torch.full((3,), 6.0), torch.full((3,), 22.5), tuple("abc"), tuple("xyz")),
    )
    checkpoint = load(OLD / f"{name}.safetensors")
    model: Any = checkpoint.model
    assert checkpoint.record == {"epochs": 1} and checkpoint.licence == "CC0-1.0"
    assert checkpoint.encoders.video.fingerprint == "clip:1"
    expected = {key: value for key, value in recorded.items() if key.startswith(f"out.{name}.")}
    assert expected
    with torch.no_grad():
        for key, value in expected.items():
            if key.endswith("scores"):
                found = model.pair_scores(model.embed_videos(batch), model.embed_tracks(batch))
            else:
                found = model.detect(batch)
            assert apart(found, value) < NETWORK, key


def test_a_library_is_read_without_decoding_its_music_again(folder: Path, track: Path) -> None:
    (file,) = folder.rglob("*.safetensors")
    before = load_file(file)["segments"]
    with Library.open(track, folder=folder) as library:
        report = library.report
        assert (report.added, report.updated, report.moved, report.failed) == (0, 0, 1, ())
        (held,) = library.tracks()
        assert (held.id, held.path) == (TRACK, track)
        assert held.duration == pytest.approx(31.95, abs=0.01)
        np.testing.assert_array_equal(library.features(held).segments, before)


def test_what_was_accepted_is_remembered(folder: Path) -> None:
    answer = json.loads((OLD / "answer.json").read_text())
    with Library.open(folder=folder) as library:
        ((_, use),) = library.uses.all()
    assert (use.track, use.category) == (TRACK, "sport")
    chosen = answer["moments"][0]
    assert (use.start, use.end) == pytest.approx((chosen["start"], chosen["end"]), abs=1e-3)


def test_an_answer_can_still_be_accepted(folder: Path) -> None:
    with Library.open(folder=folder) as library:
        use, _ = accept_result(library, OLD / "answer.json", category="travel")
        assert use.track == TRACK
        assert {kept.category for _, kept in library.uses.all()} == {"sport", "travel"}


@pytest.mark.slow
def test_answers_have_all_that_they_had(folder: Path, track: Path) -> None:
    where = ("--library", folder, "--json")
    found = mgsv("ground", real_media.bikes(), "--music", track, "--no-render", *where)
    listed = mgsv("library", "list", *where)
    for done, old in ((found, "answer.json"), (listed, "library.json")):
        assert done.returncode == 0, done.stderr
        before, now = json.loads((OLD / old).read_text()), json.loads(done.stdout)
        assert before["schema"] == now["schema"]
        missing = set(kinds(before)) - set(kinds(now))
        assert not missing


def kinds(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """(place, JSON type) of all that a document has; quantities of evidence are the method's."""
    name = {int: "number", float: "number"}.get(type(value), type(value).__name__)
    yield place, name
    if isinstance(value, dict) and not place.endswith(".evidence"):
        for key, held in value.items():
            yield from kinds(held, f"{place}.{key}")
    elif isinstance(value, list):
        for held in value:
            yield from kinds(held, f"{place}[]")
