"""ONNX files, opened with ONNX Runtime.

Models are given to it as bytes that were looked into before: what keeps its data in other files, or
brings operators of its own, is refused, so that a model is one file and computes what the ONNX
standard says. How many threads a model may use, and on which device it runs, is decided here alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mgsv.errors import ConfigError, shown
from mgsv.files import refuse_special
from mgsv.portable import available_cores
from mgsv.runtime import messages

Array = npt.NDArray[Any]

MOST_BYTES = 1 << 29
"""A larger file is refused; the largest system of the comparison has 160 MB."""

DEVICE = "MGSV_DEVICE"
"""The environment variable that names the device; "cpu" if it is not set."""
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
}
"""ONNX Runtime's names of the devices."""

_QUIET = 4  # of ONNX Runtime's levels: errors are raised, and need not be printed too
_TYPES = {
    "tensor(float)": np.float32,
    "tensor(bool)": np.bool_,
    "tensor(uint8)": np.uint8,
    "tensor(int64)": np.int64,
}

_limit: int | None = None
_device: str | None = None


def limit_threads(count: int) -> None:
    """Let every model that is opened from now on in this process use at most `count` threads.

    For processes that share the cores with others of their kind.
    """
    global _limit
    _limit = count


def threads() -> int:
    """How many threads a model may use that runs alone: the cores that this process may use."""
    cores = available_cores()
    return cores if _limit is None else min(cores, _limit)


def devices() -> list[str]:
    """The devices that models can run on here, those of `PROVIDERS` whose provider is installed."""
    import onnxruntime

    available = onnxruntime.get_available_providers()
    return [name for name, provider in PROVIDERS.items() if provider in available]


def choose(name: str) -> None:
    """Run every model that is opened from now on in this process on the device `name`.

    Raises ConfigError for one that is not known or not installed.
    """
    _usable(name)
    global _device
    _device = name


def device() -> str:
    """The device that models run on: the one chosen, else $MGSV_DEVICE, else "cpu".

    Raises ConfigError for one that is not known or not installed.
    """
    return _usable((_device or os.environ.get(DEVICE) or "cpu").lower())


def providers() -> list[str]:
    """ONNX Runtime's providers of the device; the CPU takes what it cannot compute."""
    name = device()
    if name == "cuda":
        _load_cuda()
    return list(dict.fromkeys([PROVIDERS[name], PROVIDERS["cpu"]]))


def _load_cuda() -> None:
    """Load CUDA's libraries where they were installed as Python packages, which are not on the
    system's path of libraries. Once loaded, they stay.
    """
    import onnxruntime

    if hasattr(onnxruntime, "preload_dlls"):  # since 1.21
        onnxruntime.preload_dlls()


def _usable(name: str) -> str:
    if name not in PROVIDERS:
        raise ConfigError(f"`device` {shown(name)}: unknown", f"choose {' or '.join(PROVIDERS)}")
    if name not in devices():
        raise ConfigError(
            f"`device` {name}: ONNX Runtime was installed without it",
            f"install its build for {name}, or choose {' or '.join(devices())}",
        )
    return name


class OnnxModel:
    """A model ready to run; several threads may run it at the same time.

    metadata: the named texts in the file. inputs, outputs: their names.
    """

    def __init__(self, data: bytes, name: str, *, threads: int) -> None:
        """
        data: the file's content, a model of the standard's operators that is complete in itself;
        name: what errors call it. Raises ConfigError for any other.
        """
        self.metadata = _examined(data, name)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _QUIET
        # Threads that wait by spinning take the cores from whatever else runs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        chosen = providers()
        try:
            self._session: Any = onnxruntime.InferenceSession(data, options, providers=chosen)
            self._unread = {entry.name: _smallest(entry) for entry in self._session.get_inputs()}
            self.outputs = frozenset(entry.name for entry in self._session.get_outputs())
            self.inputs = frozenset(self._unread)
        except Exception as error:  # its classes have no common base
            raise _damaged(name, error) from None
        # A model may be several networks side by side: only the one that is run is computed.
        self._run_options = onnxruntime.RunOptions()
        self._run_options.log_severity_level = _QUIET
        self._run_options.only_execute_path_to_fetches = True
        self._name = name

    def run(self, outputs: Sequence[str], inputs: Mapping[str, Array]) -> list[Array]:
        """The outputs of these names, for inputs by name; those they do not need may be left out,
        and those the model does not know are not given to it.

        Raises RuntimeError where the model cannot compute them.
        """
        try:
            given = {name: inputs.get(name, least) for name, least in self._unread.items()}
            found: list[Array] = self._session.run(list(outputs), given, self._run_options)
        except Exception as error:
            reason = str(error).splitlines()[0]
            raise RuntimeError(f"{self._name}: {reason}") from error
        return found


def open_onnx(path: Path, *, threads: int) -> OnnxModel:
    """The model in the file `path`. Raises ConfigError where there is none that is usable."""
    return OnnxModel(read_onnx(path), shown(path), threads=threads)


def read_onnx(path: Path) -> bytes:
    """The bytes of an ONNX file. Raises ConfigError for one that is missing or too large."""
    try:
        refuse_special(path)
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise ConfigError(
                f"{shown(path)}: {size / 1e6:.0f} MB is too much for a model",
                f"give a file of at most {MOST_BYTES / 1e6:.0f} MB",
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{shown(path)}: no such file") from None
    except OSError as error:
        raise ConfigError(f"{shown(path)}: {(error.strerror or str(error)).lower()}") from None


def _examined(data: bytes, name: str) -> dict[str, str]:
    """The metadata of a model that may be opened."""
    model = memoryview(data)
    try:
        if not list(messages.parts(model, messages.GRAPH)):
            raise ValueError("there is no graph in it")
        domains = {messages.text(opset, 1) for opset in messages.parts(model, messages.OPSETS)}
        own_functions = bool(list(messages.parts(model, messages.FUNCTIONS)))
        outside = messages.keeps_data_outside(model)
        metadata = messages.metadata(model)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise _damaged(name, error) from None
    if outside:
        raise ConfigError(
            f"{name}: its weights lie in other files", "store the model with its weights inside"
        )
    if own_functions or not domains <= {"", "ai.onnx"}:
        raise ConfigError(
            f"{name}: it uses operators that are not of the ONNX standard",
            "export it with `mgsv export`",
        )
    return metadata


def _damaged(name: str, error: Exception) -> ConfigError:
    reason = " ".join(str(error).split())[:120]
    return ConfigError(f"{name}: damaged or not an ONNX model ({reason})")


def _smallest(entry: Any) -> Array:
    """An input of one value along each axis whose length is free."""
    shape = [size if isinstance(size, int) and size > 0 else 1 for size in entry.shape]
    return np.zeros(shape, _TYPES.get(entry.type, np.float32))
