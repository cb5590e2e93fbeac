"""The table of answers: file and back, selections, breakdowns."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mgsv.errors import ConfigError
from mgsv.evaluation.results import Results, breakdown


def answers(count: int = 12, *, ranked: bool = True) -> Results:
    rng = np.random.default_rng(3)
    start = rng.uniform(0, 100, count)
    return Results(
        videos=tuple(str(i) for i in range(count)),
        tracks=tuple(f"a+b ü {i}" for i in range(count)),
        categories=tuple("dance" if i % 3 else "food" for i in range(count)),
        video_seconds=rng.uniform(5, 40, count),
        track_seconds=rng.uniform(130, 300, count),
        true=np.stack([start, start + 20], axis=1),
        predicted=np.stack([start + 4, start + 24], axis=1),
        confidence=rng.random(count),
        rank=np.arange(1, count + 1) if ranked else None,
        best_track=("t",) * count if ranked else None,
    )


@pytest.mark.parametrize("ranked", [True, False])
def test_a_file_gives_back_every_figure(tmp_path: Path, ranked: bool):
    results = answers(ranked=ranked)
    results.save(tmp_path / "r.jsonl")
    again = Results.load(tmp_path / "r.jsonl")
    assert again.measures() == results.measures()
    assert list(again.records()) == list(results.records())
    assert [p.name for p in tmp_path.iterdir()] == ["r.jsonl"]


def test_a_line_that_is_no_result_is_named(tmp_path: Path):
    path = tmp_path / "r.jsonl"
    answers(2).save(path)
    path.write_text(path.read_text() + json.dumps({"video": "x"}) + "\n")
    with pytest.raises(ConfigError, match=r"r\.jsonl, line 3"):
        Results.load(path)


def test_parts_of_a_breakdown_add_up_to_the_whole():
    results = answers()
    whole = results.measures()["mIoU"]
    for by in ("category", "video length", "track length"):
        parts = [part for part in breakdown(results) if part.by == by]
        assert sum(part.queries for part in parts) == len(results)
        mean = sum(part.queries * part.measures["mIoU"] for part in parts) / len(results)
        assert mean == pytest.approx(whole)


def test_ranks_in_a_part_stay_those_among_all_tracks():
    food = next(part for part in breakdown(answers()) if part.label == "food")
    assert food.queries == 4
    assert food.measures["MedianR"] == np.median([1, 4, 7, 10])
