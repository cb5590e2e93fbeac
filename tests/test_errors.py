"""Errors as they cross between processes, and as they stand beside the file they are about."""

from __future__ import annotations

import errno
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
    needs_extra,
    reason_of,
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


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MediaError("a\nb.mp4", "damaged", "get another"), "damaged: get another"),
        (MediaError("other.mp4", "damaged"), "other.mp4: damaged"),
        (LibraryError("no music"), "no music"),
        (OSError(errno.EIO, "Input/output error", "a\nb.mp4"), "input/output error"),
        (OSError("a word"), "OSError: a word"),
        (MemoryError(), "not enough memory"),
        (KeyError("a\nb"), r"KeyError: 'a\nb'"),
        (RuntimeError("two\nlines"), r"RuntimeError: two\nlines"),
    ],
)
def test_a_reason_is_one_line_without_the_file(error: Exception, line: str) -> None:
    assert reason_of(error, "a\nb.mp4") == line


@pytest.mark.parametrize(
    ("module", "extra"),
    [("torch", "research"), ("fastapi.routing", "studio"), ("uvicorn", "studio"), ("mcp", "mcp")],
)
def test_what_is_missing_is_named_with_its_extra(module: str, extra: str) -> None:
    missing = ModuleNotFoundError(f"No module named {module!r}", name=module)
    assert f"pip install 'mgsv[{extra}]'" in str(needs_extra("this command", missing))


def test_what_is_no_extra_is_raised_again() -> None:
    with pytest.raises(ModuleNotFoundError):
        needs_extra("this command", ModuleNotFoundError("No module named 'x'", name="x"))
