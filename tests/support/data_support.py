"""Planted benchmarks, and where the real annotations lie, for several rooms' tests."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import pytest

from mgsv.data.annotations import Annotations
from mgsv.synthesis.planted import PlantOptions, plan_rows

SMALL = PlantOptions(train=300, val=40, test=40, tracks=60, seed=3)


@functools.cache
def full_rows() -> dict[str, Annotations]:
    """The annotations of a planted benchmark as large as MGSV-EC."""
    return {split: Annotations(tuple(rows)) for split, rows in plan_rows(PlantOptions()).items()}


def real_annotations() -> Path:
    """The folder of the real val and test annotations; skips the test where they are absent."""
    beside = Path(__file__).parents[2].parent / "shared" / "mgsv-ec"
    folder = Path(os.environ.get("MGSV_EC", beside))
    if not (folder / "test_data.csv").exists():
        pytest.skip(f"the real annotations are not at {folder}; set MGSV_EC")
    return folder
