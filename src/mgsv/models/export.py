"""A checkpoint as one ONNX file, which grounds without PyTorch (`mgsv.runtime.exported` reads it).

Each function of each network (`mgsv.models.traced`) is traced by its plain formula. All graphs are
put side by side into one, and what that one computes is compared with PyTorch on made-up features
before anything is written.
"""

from __future__ import annotations

import io
import itertools
import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mgsv.config import to_dict
from mgsv.errors import ConfigError, shown
from mgsv.files import write_file
from mgsv.models import cpu
from mgsv.models.adapter import TorchNetwork, grounding_model
from mgsv.models.system import System
from mgsv.models.traced import Function, functions_of
from mgsv.runtime.exported import ENDING, FORMAT, ROLES, OnnxNetwork
from mgsv.runtime.messages import with_metadata
from mgsv.runtime.model import Floats, GroundingModel, Network, TrackBatch, VideoBatch
from mgsv.runtime.onnx import OnnxModel

OPSET = 18
TOLERANCE = 1e-4
"""By which an exported score or span, of the order of 1, may differ from PyTorch's: a hundred
times what sums in another order come to in networks of this depth."""


def export(system: System, output: Path, *, overwrite: bool = False) -> Path:
    """Write the system as one ONNX file.

    Its metadata holds the limits of what it takes, the encoders it was made for with their
    fingerprints, its record (a survey included), and its licence. Raises ConfigError for a system
    that cannot be exported, OutputError where `output` exists, unless `overwrite`.
    """
    output = Path(output)
    if output.suffix.lower() != ENDING:
        raise ConfigError(f"`output` {shown(output)}: a model's name ends in {ENDING}")
    model = grounding_model(system.open(), system.fingerprint)
    write_file(output, exported_bytes(model), overwrite=overwrite, parents=True)
    return output


def exported_bytes(model: GroundingModel) -> bytes:
    """The file's content, compared with the model."""
    networks: dict[TorchNetwork, str] = {}
    roles: dict[str, str] = {}
    for role in ROLES:
        if (part := getattr(model, role)) is not None:
            roles[role] = networks.setdefault(part, role)
    with cpu.plain_formulas(), torch.no_grad():
        graphs = [
            (prefix := f"{name}.{function}.", _traced(traced, prefix))
            for part, name in networks.items()
            for function, traced in functions_of(part.network).items()
        ]
    described = {
        "format": FORMAT,
        "model": model.name,
        "roles": json.dumps(roles),
        "limits": json.dumps(asdict(model.limits)),
        "encoders": json.dumps(to_dict(model.encoders)),
        "score_meaning": model.score_meaning,
        "record": json.dumps(dict(model.record)),
        "licence": model.licence,
        "fingerprint": model.fingerprint,
    }
    data = with_metadata(_side_by_side(graphs), described)
    _compare(model, data, roles)
    return data


def _traced(function: Function, prefix: str) -> bytes:
    """The graph of a function; its free lengths have names with `prefix`, as others may differ."""
    content = io.BytesIO()
    outputs = {
        name: {0: "rows", **({1: "places"} if name == "tokens" else {})}
        for name in function.outputs
    }
    axes = {
        name: {axis: prefix + length for axis, length in lengths.items()}
        for name, lengths in {**function.free, **outputs}.items()
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sizes of the network are traced as constants
        torch.onnx.export(
            function.module.eval(),
            tuple(function.inputs.values()),
            content,  # type: ignore[arg-type]  # any file will do
            input_names=list(function.inputs),
            output_names=list(function.outputs),
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    return content.getvalue()


def _side_by_side(graphs: list[tuple[str, bytes]]) -> bytes:
    """One model of all graphs, with the prefix of each before its inputs' and outputs' names.

    Equal weights are stored once. All other names are numbers: a quarter of a small model's size.
    """
    import onnx
    from onnx import helper, numpy_helper

    nodes: list[Any] = []
    inputs: list[Any] = []
    outputs: list[Any] = []
    weights: dict[bytes, Any] = {}
    count = itertools.count()
    for prefix, data in graphs:
        graph = onnx.load_from_string(data).graph
        names = {"": ""}
        for entry in (*graph.input, *graph.output):
            names[entry.name] = entry.name = prefix + entry.name
        for tensor in graph.initializer:
            value = numpy_helper.to_array(tensor)
            key = f"{value.dtype} {value.shape} ".encode() + value.tobytes()
            if key not in weights:
                weights[key] = numpy_helper.from_array(value, f"{next(count)}")
            names[tensor.name] = weights[key].name
        for node in graph.node:
            for made in node.output:
                names.setdefault(made, f"{next(count)}")
            node.input[:] = [names[name] for name in node.input]
            node.output[:] = [names[name] for name in node.output]
            node.name = node.doc_string = ""
            del node.metadata_props[:]
        nodes += graph.node
        inputs += graph.input
        outputs += graph.output
    stored, casts = _halved(list(weights.values()))
    graph = helper.make_graph(casts + nodes, "mgsv", inputs, outputs, stored)
    whole = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="mgsv", ir_version=10
    )
    onnx.checker.check_model(whole)
    content: bytes = whole.SerializeToString()
    return content


def _halved(tensors: list[Any]) -> tuple[list[Any], list[Any]]:
    """Weights in 16 bits where they are no finer, and the nodes that make 32 of them again."""
    from onnx import TensorProto, helper, numpy_helper

    stored, casts = [], []
    for tensor in tensors:
        value = numpy_helper.to_array(tensor)
        small = value.astype(np.float16) if value.dtype == np.float32 else value
        if value.size < 64 or not np.array_equal(small.astype(value.dtype), value):
            stored.append(tensor)
            continue
        short = f"{tensor.name}.half"
        stored.append(numpy_helper.from_array(small, short))
        casts.append(helper.make_node("Cast", [short], [tensor.name], to=TensorProto.FLOAT))
    return stored, casts


def _compare(model: GroundingModel, data: bytes, roles: Mapping[str, str]) -> None:
    """ConfigError where the file computes anything else than the model."""
    opened = OnnxModel(data, model.name, threads=1)
    for role, name in roles.items():
        own, exported = getattr(model, role), OnnxNetwork(opened, name)
        for rows, frames, segments in ((5, 1, 1.0), (2, 0.5, 0.4), (1, 1, 0.1)):
            given = _made_up(own, rows, frames, segments)
            for x, y in zip(
                _answers(own, role, *given), _answers(exported, role, *given), strict=True
            ):
                apart = _apart(x, y) if x.ndim == 3 else float(np.abs(x - y).max())
                if not apart <= TOLERANCE:
                    raise ConfigError(
                        f"the exported {role} differs from the checkpoint by {apart:.1g}",
                        "ground with the checkpoint",
                    )


def _made_up(
    network: Any, rows: int, frames: float, segments: float
) -> tuple[VideoBatch, TrackBatch]:
    """A video and tracks of random features; rows of tracks have different lengths."""
    config = network.network.config
    rng = np.random.default_rng(rows)
    count = max(1, round(frames * config.max_frames))
    length = max(1, round(segments * config.max_segments))
    seen = rng.normal(size=(1, count, config.frame_dim)).astype(np.float32)
    heard = rng.normal(size=(rows, length, config.segment_dim)).astype(np.float32)
    lengths = np.linspace(length, max(1, length // 3), rows).round()
    mask = np.arange(length) < lengths[:, None]
    seconds = np.array([count], np.float32)
    return VideoBatch(seen, np.ones((1, count), bool), seconds), TrackBatch(heard, mask)


def _answers(network: Network, role: str, video: VideoBatch, tracks: TrackBatch) -> list[Any]:
    if role == "detector":
        return [network.detect(video, tracks)]
    clip, music = network.embed_videos(video), network.embed_tracks(tracks)
    scores = [network.rerank(clip, music)]
    return [*scores, network.score_all(clip, music)] if role == "matcher" else scores


def _apart(own: Floats, exported: Floats) -> float:
    """How far spans [M, Q, 3] are from others, each from the nearest of its track.

    By their order alone they may differ as they like: queries of one score have no order.
    """
    pairs = np.abs(own[:, :, None] - exported[:, None]).max(axis=3)
    return float(max(pairs.min(axis=1).max(), pairs.min(axis=2).max()))
