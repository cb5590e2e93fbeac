"""Shuffled videos: every row gets another one's video and nothing else changes."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from mgsv.data.folder import DataFolder
from mgsv.errors import DataError
from mgsv.evaluation.sources import ShuffledVideos, encoders_of
from tiny_model import TinyPairs


def test_no_row_keeps_its_own_video():
    pairs = TinyPairs(rows=11)
    shuffled = ShuffledVideos(pairs)
    ids = [shuffled.batch(np.array([i])).video_ids[0] for i in range(11)]
    assert sorted(ids) == sorted(pairs.rows.video_ids)
    assert all(wrong != right for wrong, right in zip(ids, pairs.rows.video_ids, strict=True))


def test_track_and_truth_stay_and_the_video_is_whole():
    pairs = TinyPairs(rows=11)
    rows = np.array([4, 2])
    right, wrong = pairs.batch(rows), ShuffledVideos(pairs).batch(rows)
    assert wrong.track_ids == right.track_ids
    assert torch.equal(wrong.spans, right.spans)
    assert torch.equal(wrong.segment_feats, right.segment_feats)
    source = pairs.rows.video_ids.index(wrong.video_ids[0])
    whole = pairs.batch(np.array([source]))
    length = whole.frame_feats.shape[1]
    assert torch.equal(wrong.frame_feats[0, :length], whole.frame_feats[0])
    assert wrong.video_seconds[0] == whole.video_seconds[0]


def test_an_extractions_weights_are_known(tmp_path: Path):
    folder = tmp_path / "features" / "Kuai_feature"
    (folder / "vit_feature1").mkdir(parents=True)
    data = DataFolder.open(tmp_path)
    split: Any = SimpleNamespace(frames=SimpleNamespace(dim=512), segments=SimpleNamespace(dim=768))
    assert encoders_of(data, split).video.fingerprint == ""
    made_by = {"frames": "clip:abc", "segments-2p5": "ast:def"}
    (folder / "encoders.json").write_text(json.dumps(made_by))
    known = encoders_of(data, split)
    assert (known.video.name, known.video.fingerprint) == ("clip", "clip:abc")
    assert (known.music.name, known.music.fingerprint) == ("ast", "ast:def")
    (folder / "encoders.json").write_text("[1]")
    with pytest.raises(DataError, match=r"encoders\.json"):
        encoders_of(data, split)
