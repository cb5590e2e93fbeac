"""Errors as they cross between processes."""

from __future__ import annotations

import pickle

import pytest

from mgsv.errors import (
    ConfigError,
    DataError,
    EncoderMismatch,
    LibraryError,
    MediaError,
    MgsvError,
    OutputError,
)


@pytest.mark.parametrize(
    "error",
    [
        *(MediaError("a/b.mp4", "damaged", "another"), DataError("x.csv", "no rows")),
        OutputError("out.mp4", "it exists already", "choose another"),
        *(LibraryError("no music", "add some"), ConfigError("--top 0: too few")),
        *(EncoderMismatch("a, not b", "use a"), MgsvError("x: y", "z")),
    ],
)
def test_an_error_is_the_same_in_another_process(error: MgsvError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error) and vars(again) == vars(error)
