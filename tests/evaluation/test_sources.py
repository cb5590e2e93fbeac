"""Shuffled videos: every row gets another one's video and nothing else changes."""

from __future__ import annotations

import numpy as np
import torch

from mgsv.evaluation.sources import ShuffledVideos
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
