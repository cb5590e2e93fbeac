"""Messages between processes: what is sent arrives, and what is no message is refused."""

from __future__ import annotations

import io
import json
import os
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgsv.media.audio import Audio
from mgsv.media.video import Frame, VideoCurves, VideoInfo
from mgsv.media.wire import MAX_HEADER, Channel, Garbled
from mgsv.moment import Moment


def sent(kind: str, value: object) -> bytes:
    buffer = io.BytesIO()
    Channel(io.BytesIO(), buffer).send(kind, value)  # type: ignore[arg-type]
    return buffer.getvalue()


def received(data: bytes) -> tuple[str, Any]:
    return Channel(io.BytesIO(data), io.BytesIO()).receive()  # type: ignore[arg-type]


def message(header: object, rest: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack(">I", len(text)) + text + rest


@pytest.mark.slow
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63)
        | st.floats(allow_nan=False)
        | st.text()
        | st.fractions()
        | st.builds(Path, st.text(st.characters(exclude_characters="\0"))),
        lambda inner: st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_values_arrive_as_they_were(value: object) -> None:
    assert received(sent("x", value)) == ("x", value)


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "u1", "?", "<i2"])
@pytest.mark.parametrize("shape", [(0,), (3,), (2, 0, 3), (2, 3, 4), ()])
def test_arrays_arrive_as_they_were(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    _, (one, two) = received(sent("x", [array, array.T]))
    for there, here in ((one, array), (two, array.T)):
        assert (there.dtype, there.shape) == (here.dtype, here.shape)
        assert np.array_equal(there, here)


def test_what_decoding_gives() -> None:
    numbers = np.arange(4, dtype=np.float32)
    curves = VideoCurves(0.4, numbers, numbers, numbers[:0])
    info = VideoInfo(Path("a\udcff\n.mp4"), 1.5, 64, 48, 90, 29.97, "h264", True)
    audio = Audio(numbers, 16_000, ("one", "two"))
    image = np.zeros((2, 3, 3), np.uint8)
    _, value = received(sent("x", (curves, info, audio, Frame(1.0, image), Moment(1, 2))))
    assert value[1] == info and value[4] == Moment(1, 2)
    assert np.array_equal(value[0].motion, numbers) and len(value[0].cuts) == 0
    assert (value[2].rate, value[2].warnings) == (16_000, ("one", "two"))
    assert np.array_equal(value[3].image, image)


def test_what_is_of_no_known_type_is_not_sent() -> None:
    for value in (object(), {1, 2}, b"bytes", np.float32(1)):
        with pytest.raises(TypeError, match="cannot be sent"):
            sent("x", value)


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">I", MAX_HEADER + 1) + b"{}",
        struct.pack(">I", 4) + b"nope",
        struct.pack(">I", 1) + b"\xff",
        message([]),
        message({"kind": "x", "value": 1}),
        message({"kind": "x", "arrays": [], "value": {"array": 0}}),
        message({"kind": "x", "arrays": [], "value": {"pickle": "cos"}}),
        message({"kind": "x", "arrays": [], "value": {"type": "Popen", "fields": ["true"]}}),
        message({"kind": "x", "arrays": [], "value": {"type": "Moment", "fields": [1, 2, 3]}}),
        message({"kind": "x", "arrays": [], "value": {"fraction": [1, "0"]}}),
        message({"kind": "x", "arrays": [["O", [1]]], "value": None}, bytes(8)),
        message({"kind": "x", "arrays": [["V8", [1]]], "value": None}, bytes(8)),
        message({"kind": "x", "arrays": [["<f4", [-1]]], "value": None}, bytes(8)),
        message({"kind": "x", "arrays": [["<f4", [2**30, 2**30]]], "value": None}, bytes(8)),
        message({"kind": "x", "arrays": [["<f4", 3]], "value": None}, bytes(12)),
        struct.pack(">I", 200_000) + b"[" * 200_000,
    ],
)
def test_garbage(data: bytes) -> None:
    with pytest.raises(Garbled):
        received(data)


def test_an_end_in_the_middle() -> None:
    whole = sent("x", np.zeros(10))
    for length in range(len(whole)):
        with pytest.raises(EOFError):
            received(whole[:length])


def test_many_bytes_go_through_a_small_pipe() -> None:
    """A pipe takes 64 KB at a time."""
    import threading

    reader, writer = os.pipe()
    array = np.random.default_rng(0).integers(0, 256, 3_000_000, np.uint8)
    sender = Channel(io.FileIO(os.open(os.devnull, os.O_RDONLY)), io.FileIO(writer, "wb"))
    thread = threading.Thread(target=sender.send, args=("x", [array, Fraction(1, 3)]))
    thread.start()
    receiver = Channel(io.FileIO(reader), io.FileIO(os.open(os.devnull, os.O_WRONLY), "wb"))
    _, (there, third) = receiver.receive()
    thread.join()
    assert np.array_equal(there, array) and third == Fraction(1, 3)
    sender.close()
    receiver.close()
