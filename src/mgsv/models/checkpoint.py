"""A model on disk: one safetensors file with its weights and everything needed to use them.

The metadata holds the model's name and config, the encoders its features must come from, the
training record and the licence, as JSON text. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor, nn

from mgsv.config import from_dict, to_dict
from mgsv.errors import ConfigError, shown
from mgsv.files import refuse_special, write_file
from mgsv.models.registry import Config, build, config_of
from mgsv.runtime.model import Encoders

FORMAT = "mgsv-checkpoint-1"


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint; the model is in evaluation mode, on the CPU."""

    name: str
    model: nn.Module
    encoders: Encoders
    record: dict[str, Any]
    licence: str

    @property
    def settings(self) -> Config:
        """The model's config."""
        return cast(Config, self.model.config)

    @property
    def fingerprint(self) -> str:
        """Of the weights."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(name.encode() + tensor.float().numpy().tobytes())
        return digest.hexdigest()[:12]

    def require(self, encoders: Encoders) -> None:
        """EncoderMismatch unless features of `encoders` are what the model was made for."""
        self.encoders.require(encoders)


def save(
    path: str | Path,
    name: str,
    model: nn.Module,
    encoders: Encoders,
    *,
    record: Mapping[str, Any],
    licence: str,
    half: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write `model`, registered as `name`, to `path`, whole or not at all.

    `record` is JSON-ready: what the model was trained on and how. `half` stores 16 bits a weight;
    they are read as 32 again. Raises OutputError where `path` exists, unless `overwrite`, or cannot
    be written.
    """
    path = Path(path)
    described = {
        "format": FORMAT,
        "model": name,
        "config": json.dumps(to_dict(model.config)),  # type: ignore[arg-type]
        "encoders": json.dumps(to_dict(encoders)),
        "record": json.dumps(dict(record)),
        "licence": licence,
    }
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    if half:
        tensors = {k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}
    write_file(path, tensors_to_bytes(tensors, described), overwrite=overwrite, parents=True)
    return path


def load(path: str | Path, encoders: Encoders | None = None) -> Checkpoint:
    """Read a checkpoint written by :func:`save`.

    With `encoders`, EncoderMismatch where the model was made for others. ConfigError for a file
    that is missing, truncated, no checkpoint of this project, or at odds with its own config.
    """
    path = Path(path)
    refuse_special(path)
    try:
        with safe_open(path, framework="pt") as file:
            described = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise ConfigError(f"{shown(path)}: no such file") from None
    except (SafetensorError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0][:120]
        raise ConfigError(
            f"{shown(path)}: truncated or not a checkpoint ({reason})",
            "an authors' .pt or .bin file is read with `mgsv import`",
        ) from None
    if described.get("format") != FORMAT:
        raise ConfigError(f"{shown(path)}: not a checkpoint of this project")
    try:
        name, licence = described["model"], described["licence"]
        config, kinds, record = (
            json.loads(described[key]) for key in ("config", "encoders", "record")
        )
        settings = config_of(name, config)
        with torch.device("meta"):  # a config may claim any size: compare before memory is taken
            require_weights(build(name, settings), tensors)
        model = build(name, settings)
        model.load_state_dict(tensors, strict=False)
        made_for = from_dict(Encoders, kinds, "encoders.")
    except (KeyError, ValueError) as error:
        raise ConfigError(f"{shown(path)}: damaged metadata ({error})") from None
    except ConfigError as error:
        raise ConfigError(f"{shown(path)}: {error.problem}", error.remedy) from None
    loaded = Checkpoint(name, model.eval(), made_for, record, licence)
    if encoders is not None:
        loaded.require(encoders)
    return loaded


_COUNTER = "num_batches_tracked"
"""Of batch norms; nothing reads it where momentum is fixed, and the authors' files may lack it."""


def require_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """ConfigError that names what is missing, left over or misshapen among a model's `weights`."""
    own = {k: v.shape for k, v in model.state_dict().items() if not k.endswith(_COUNTER)}
    given = {k: v.shape for k, v in weights.items() if not k.endswith(_COUNTER)}
    for problem, names in (
        ("are missing", own.keys() - given.keys()),
        ("are unknown", given.keys() - own.keys()),
    ):
        if names:
            first = ", ".join(sorted(names)[:3])
            raise ConfigError(f"{len(names)} weights {problem} (first: {first})")
    for name, shape in given.items():
        if shape != own[name]:
            raise ConfigError(f"weight {name} is {[*shape]}, the config says {[*own[name]]}")
