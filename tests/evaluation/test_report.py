"""The page people look at: whole, without other files, and safe whatever ids hold."""

from __future__ import annotations

import base64
import re
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from mgsv.errors import ConfigError
from mgsv.evaluation.evaluate import best_blind, pick_device
from mgsv.evaluation.measures import confidence_intervals
from mgsv.evaluation.report import CASES, surest_mistakes, write_report
from mgsv.evaluation.results import Results, breakdown


def results(count: int = 60, *, ranked: bool = True) -> Results:
    rng = np.random.default_rng(5)
    start = rng.uniform(0, 150, count)
    guess = np.where(rng.random(count) < 0.5, start, rng.uniform(0, 150, count))
    return Results(
        videos=tuple(f"<b>{i}" for i in range(count)),
        tracks=tuple(f'"><script>alert({i})</script>' for i in range(count)),
        categories=tuple("a & b" if i % 3 else "<i>" for i in range(count)),
        video_seconds=rng.uniform(5, 45, count),
        track_seconds=np.full(count, 200.0),
        true=np.stack([start, start + 20], axis=1),
        predicted=np.stack([guess, guess + 20], axis=1),
        confidence=rng.random(count),
        rank=rng.integers(1, count + 1, count) if ranked else None,
        best_track=("t",) * count if ranked else None,
    )


def page(tmp_path: Path, answers: Results) -> str:
    document = {
        "model": "made",
        "split": "test",
        "queries": len(answers),
        "tracks": len(answers),
        "measures": answers.measures(),
        "intervals": confidence_intervals(
            answers.iou if answers.places else None, answers.rank, resamples=50
        ),
        "shuffled": answers.measures(),
        "baselines": {"start 0": replace(answers, rank=None, places=True).measures()},
        "breakdown": [asdict(part) for part in breakdown(answers)],
    }
    write_report(tmp_path / "index.html", document, answers, highlight=answers.true)
    return (tmp_path / "index.html").read_text()


class Tags(HTMLParser):
    """Collects tags, and checks that they close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, _: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, _: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.slow
def test_ids_and_categories_stay_text(tmp_path: Path):
    tags = Tags()
    tags.feed(page(tmp_path, results()))
    assert not tags.open
    assert "script" not in tags.seen and "b" not in tags.seen and "i" not in tags.seen


@pytest.mark.slow
def test_every_picture_is_in_the_page_and_readable(tmp_path: Path):
    pictures = re.findall(
        r'src="data:image/(png|svg\+xml);base64,([^"]+)"', page(tmp_path, results())
    )
    assert sorted(kind for kind, _ in pictures) == ["png"] * 2 + ["svg+xml"] * 3
    for kind, text in pictures:
        data = base64.b64decode(text)
        assert data.startswith(b"\x89PNG" if kind == "png" else b"<?xml")
    assert 'src="http' not in page(tmp_path, results())


@pytest.mark.slow
@pytest.mark.parametrize("change", ["single-music", "only matching", "one query"])
def test_answers_of_every_kind_make_a_page(tmp_path: Path, change: str):
    answers = results(1 if change == "one query" else 60, ranked=change != "single-music")
    if change == "only matching":
        answers = replace(answers, predicted=np.full((60, 2), np.nan), places=False)
    assert "Best answers" in page(tmp_path, answers)


def test_the_worst_answers_are_wrong_and_sure():
    answers = results()
    at = surest_mistakes(answers)
    assert 0 < len(at) <= CASES
    assert (answers.iou[at] < 0.1).all()
    left = np.setdiff1d(np.flatnonzero(answers.iou < 0.1), at)
    assert not len(left) or answers.confidence[at].min() >= answers.confidence[left].max()


@pytest.mark.slow
def test_the_same_answers_give_the_same_page(tmp_path: Path):
    assert page(tmp_path, results()) == page(tmp_path, results())


def test_the_oracle_is_not_blind():
    rows = {"start 0": {"mIoU": 0.4}, "highlight": {"mIoU": 0.2}, "oracle": {"mIoU": 0.9}}
    assert best_blind({"baselines": rows}) == 0.4


def test_a_device_that_is_not_there_is_named():
    assert pick_device("cpu") == torch.device("cpu")
    for name in ("cuda:99", "toaster"):
        with pytest.raises(ConfigError, match=name):
            pick_device(name)
