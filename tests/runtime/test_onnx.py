"""What is given to ONNX Runtime: whole models of standard operators, whatever the file's name says.

The models are made with the package `onnx`, another reader and writer of the format.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mgsv.errors import ConfigError
from mgsv.runtime import onnx as runtime
from mgsv.runtime.messages import metadata, with_metadata
from mgsv.runtime.onnx import OnnxModel, open_onnx

WEIGHT = np.arange(6, dtype=np.float32).reshape(3, 2)


def model(
    operator: str = "MatMul", domain: str = "", weight: np.ndarray = WEIGHT
) -> onnx.ModelProto:
    """y = x W, and beside it z = -u: two networks in one graph."""
    free, kind = helper.make_tensor_value_info, TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node(operator, ["x", "W"], ["y"], domain=domain),
            helper.make_node("Neg", ["u"], ["z"]),
        ],
        "two",
        [free("x", kind, ["N", 3]), free("u", kind, ["M"])],
        [free("y", kind, ["N", 2]), free("z", kind, ["M"])],
        [numpy_helper.from_array(weight, "W")],
    )
    opsets = [helper.make_opsetid("", 18)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def opened(content: onnx.ModelProto | bytes) -> OnnxModel:
    data = content if isinstance(content, bytes) else content.SerializeToString()
    return OnnxModel(data, "model.onnx", threads=1)


def test_one_of_two_networks_in_a_file_runs_without_the_others_input() -> None:
    both = opened(model())
    x = np.array([[1, 2, 3]], np.float32)
    (y,) = both.run(["y"], {"x": x})
    np.testing.assert_array_equal(y, x @ WEIGHT)
    (z,) = both.run(["z"], {"u": np.array([1, -2], np.float32)})
    np.testing.assert_array_equal(z, [-1, 2])
    assert both.outputs == {"y", "z"}


def test_metadata_is_written_and_read_as_the_onnx_package_does() -> None:
    named = {"model": "made", "config": '{"a": "ü"}', "long": "x" * 70_000}
    data = with_metadata(model().SerializeToString(), named)
    assert {p.key: p.value for p in onnx.load_from_string(data).metadata_props} == named
    assert metadata(memoryview(data)) == named == opened(data).metadata


def test_weights_in_another_file_are_refused_before_anything_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where that file is there: a model must not read what lies beside it."""
    monkeypatch.chdir(tmp_path)
    big = model(weight=np.zeros((3, 2_000), np.float32))
    onnx.save(big, "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    assert Path("w.bin").exists()
    with pytest.raises(ConfigError, match=r"m\.onnx: its weights lie in other files"):
        open_onnx(Path("m.onnx"), threads=1)
    inner = helper.make_graph(
        big.graph.node,
        "inner",
        [],
        [],
        onnx.load("m.onnx", load_external_data=False).graph.initializer,
    )
    outer = model()
    outer.graph.node.append(
        helper.make_node("If", ["c"], ["d"], then_branch=inner, else_branch=inner)
    )
    with pytest.raises(ConfigError, match="its weights lie in other files"):
        opened(outer)


@pytest.mark.parametrize("domain", ["com.example", "com.microsoft", "ai.onnx.ml"])
def test_operators_beyond_the_standard_are_refused(domain: str) -> None:
    with pytest.raises(ConfigError, match="operators that are not of the ONNX standard"):
        opened(model("Mine", domain))


def test_functions_of_its_own_are_refused() -> None:
    own = model()
    own.functions.append(
        helper.make_function(
            "mine",
            "F",
            ["a"],
            ["b"],
            [helper.make_node("Neg", ["a"], ["b"])],
            [helper.make_opsetid("", 18)],
        )
    )
    with pytest.raises(ConfigError, match="operators that are not of the ONNX standard"):
        opened(own)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a model",
        b"\x93NUMPY\x01\x00v\x00",
        b"PK\x03\x04" + bytes(30),
        bytes(10_000_000),  # read as fields of two bytes each, this would take many seconds
        b"\xff" * 1_000,
        model().SerializeToString()[:-20],
        model("NoSuchOperator").SerializeToString(),
    ],
)
def test_damaged_and_foreign_files_get_one_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=r"m\.onnx: damaged or not an ONNX model") as caught:
        open_onnx(path, threads=1)
    assert "\n" not in str(caught.value)


def test_every_truncation_and_flipped_byte_is_an_error_or_a_model() -> None:
    whole = model().SerializeToString()
    rng = np.random.default_rng(0)
    for n in range(0, len(whole), 7):
        flipped = bytearray(whole)
        flipped[n] ^= int(rng.integers(1, 256))
        for data in (whole[:n], bytes(flipped)):
            try:
                opened(data)
            except ConfigError as error:
                assert "\n" not in str(error)


def test_files_that_are_missing_or_too_large_get_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        open_onnx(tmp_path / "none.onnx", threads=1)
    with pytest.raises(ConfigError, match="is a directory"):
        open_onnx(tmp_path, threads=1)
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(ConfigError, match="is not a regular file"):
        open_onnx(tmp_path / "pipe.onnx", threads=1)
    monkeypatch.setattr(runtime, "MOST_BYTES", 10)
    (tmp_path / "m.onnx").write_bytes(bytes(11))
    with pytest.raises(ConfigError, match="too much for a model"):
        open_onnx(tmp_path / "m.onnx", threads=1)


def test_inputs_of_another_shape_are_a_runtime_error() -> None:
    with pytest.raises(RuntimeError, match=r"model\.onnx: ") as caught:
        opened(model()).run(["y"], {"x": np.zeros((1, 5), np.float32)})
    assert "\n" not in str(caught.value)


def test_the_device_is_one_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "cpu" in runtime.devices()
    monkeypatch.setenv(runtime.DEVICE, "abacus")
    with pytest.raises(ConfigError, match="`device` abacus: unknown"):
        opened(model())
    missing = next(name for name in runtime.PROVIDERS if name not in runtime.devices())
    monkeypatch.setenv(runtime.DEVICE, missing)
    with pytest.raises(ConfigError, match=f"`device` {missing}: .* installed without it"):
        opened(model())


def test_cudas_libraries_are_loaded_for_cuda_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """They come as Python packages, where ONNX Runtime does not look by itself."""
    import onnxruntime

    calls: list[str] = []
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: calls.append("cuda"), raising=False)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: runtime.PROVIDERS.values())
    monkeypatch.setenv(runtime.DEVICE, "cpu")
    assert runtime.providers() == ["CPUExecutionProvider"] and calls == []
    monkeypatch.setenv(runtime.DEVICE, "cuda")
    assert runtime.providers() == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert calls == ["cuda"]


def test_processes_that_share_the_cores_limit_their_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runtime, "available_cores", lambda: 8)
    monkeypatch.setattr(runtime, "_limit", None)
    assert runtime.threads() == 8
    runtime.limit_threads(1)
    assert runtime.threads() == 1
