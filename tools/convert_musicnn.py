"""Convert the MSD MusiCNN checkpoint into the safetensors file that the network is made from.

    pip download musicnn==0.1.0 --no-deps
    python tools/convert_musicnn.py musicnn-0.1.0-py3-none-any.whl

The wheel itself cannot be a dependency: it pins numpy < 1.17 and TensorFlow. It need not be one:
a TensorFlow V2 checkpoint is two plain files. `.index` is a table in LevelDB's format whose values
are `BundleEntryProto` messages (dtype, shape, offset and size of a tensor); the `.data` file holds
the tensors' bytes, little-endian. Reading both takes the hundred lines below, and TensorFlow none.

The network's variables are copied unchanged as float32 under the names of
`mgsv.encoders.networks.musicnn`; the optimiser's are left behind. Kernels are transposed from
TensorFlow's layout to torch's.
"""

from __future__ import annotations

import argparse
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

Tensors = dict[str, npt.NDArray[np.float32]]

FOLDER = "musicnn/MSD_musicnn/"
OUTPUT = Path(__file__).parents[1] / "src/mgsv/encoders/networks/musicnn_msd.safetensors"
NOTICE = Path(__file__).parents[1] / "src/mgsv/encoders/weights/musicnn_msd.LICENSE"
TABLE_MAGIC = 0xDB4775248B80FB57
TABLE_FOOTER = 48  # two block handles, padded to 40 bytes, then the magic number
DT_FLOAT = 1

# TensorFlow numbers the layers of a graph in the order they were built: see the network's picture
# in mgsv.encoders.networks.musicnn.
LAYERS = {
    "input_norm": "batch_normalization",
    "timbral.0.conv": "conv2d",
    "timbral.0.norm": "batch_normalization_1",
    "timbral.1.conv": "conv2d_1",
    "timbral.1.norm": "batch_normalization_2",
    "temporal.0.conv": "conv2d_2",
    "temporal.0.norm": "batch_normalization_3",
    "temporal.1.conv": "conv2d_3",
    "temporal.1.norm": "batch_normalization_4",
    "temporal.2.conv": "conv2d_4",
    "temporal.2.norm": "batch_normalization_5",
    "dense.0.conv": "conv2d_5",
    "dense.0.norm": "batch_normalization_6",
    "dense.1.conv": "conv2d_6",
    "dense.1.norm": "batch_normalization_7",
    "dense.2.conv": "conv2d_7",
    "dense.2.norm": "batch_normalization_8",
    "pool_norm": "batch_normalization_9",
    "penultimate": "dense",
    "penultimate_norm": "batch_normalization_10",
    "tags": "dense_1",
}
NORM_VARIABLES = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A base-128 integer at `at`, and the position after it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def block_entries(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of one table block; keys share prefixes with the key before them."""
    if table[offset + size] != 0:
        raise ValueError("the index is compressed; only plain tables are read here")
    block = table[offset : offset + size]
    (restarts,) = struct.unpack("<I", block[-4:])
    end = len(block) - 4 * (restarts + 1)
    at, key = 0, b""
    while at < end:
        shared, at = varint(block, at)
        fresh, at = varint(block, at)
        length, at = varint(block, at)
        key = key[:shared] + block[at : at + fresh]
        at += fresh
        yield key, block[at : at + length]
        at += length


def table_entries(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a whole table: its footer names the index block, that one the others."""
    footer = table[-TABLE_FOOTER:]
    if struct.unpack("<Q", footer[-8:])[0] != TABLE_MAGIC:
        raise ValueError("not a TensorFlow checkpoint index")
    _, at = varint(footer, 0)  # the meta-index block's handle is of no use here
    _, at = varint(footer, at)
    offset, at = varint(footer, at)
    size, _ = varint(footer, at)
    for _, handle in block_entries(table, offset, size):
        block_offset, at = varint(handle, 0)
        block_size, _ = varint(handle, at)
        yield from block_entries(table, block_offset, block_size)


def message_fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, value) pairs of a protocol-buffer message."""
    at = 0
    while at < len(message):
        tag, at = varint(message, at)
        value: int | bytes
        match tag & 7:
            case 0:
                value, at = varint(message, at)
            case 2:
                length, at = varint(message, at)
                value, at = message[at : at + length], at + length
            case 5:
                value, at = message[at : at + 4], at + 4
            case kind:
                raise ValueError(f"unexpected wire type {kind}")
        yield tag >> 3, value


def read_checkpoint(index: bytes, data: bytes) -> Tensors:
    """All float32 variables of a checkpoint, by TensorFlow's names, in TensorFlow's layout."""
    tensors = {}
    for key, value in table_entries(index):
        if not key:  # the header, which tells the number of shards
            continue
        entry = dict(message_fields(value))
        shape = []
        for number, dim in message_fields(bytes(entry.get(2, b""))):
            if number == 2:
                shape.append(int(dict(message_fields(bytes(dim))).get(1, 0)))
        if entry.get(1) != DT_FLOAT:
            continue
        offset, size = int(entry.get(4, 0)), int(entry[5])
        array = np.frombuffer(data[offset : offset + size], dtype="<f4")
        tensors[key.decode()] = array.reshape(shape)
    return tensors


def convert(variables: Tensors) -> Tensors:
    """TensorFlow's variables → the state dict of `mgsv.encoders.networks.musicnn.Musicnn`."""
    state: Tensors = {}
    for ours, theirs in LAYERS.items():
        if ours.endswith("norm"):
            for name, variable in NORM_VARIABLES.items():
                state[f"{ours}.{name}"] = variables[f"{theirs}/{variable}"]
            continue
        state[f"{ours}.bias"] = variables[f"{theirs}/bias"]
        kernel = variables[f"{theirs}/kernel"]
        if kernel.ndim == 2:  # [in, out] → [out, in]
            kernel = kernel.T
        elif ours.startswith("dense"):  # [time, in, 1, out] → [out, in, time]
            kernel = kernel[:, :, 0].transpose(2, 1, 0)
        else:  # [time, mel, 1, out] → [out, 1, time, mel]
            kernel = kernel.transpose(3, 2, 0, 1)
        state[f"{ours}.weight"] = kernel
    return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in state.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("wheel", type=Path, help="musicnn-0.1.0-py3-none-any.whl")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()

    with zipfile.ZipFile(arguments.wheel) as wheel:
        variables = read_checkpoint(
            wheel.read(FOLDER + ".index"), wheel.read(FOLDER + ".data-00000-of-00001")
        )
        notice = wheel.read("musicnn-0.1.0.dist-info/LICENSE.md").decode().strip()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    metadata = {
        "source": "musicnn 0.1.0 (PyPI), MSD_musicnn, converted by tools/convert_musicnn.py",
        "license": "ISC",
        "notice": notice,
    }
    temporary = arguments.output.with_suffix(".tmp")
    save_file(convert(variables), temporary, metadata)
    temporary.replace(arguments.output)
    NOTICE.write_text(notice + "\n")


if __name__ == "__main__":
    main()
