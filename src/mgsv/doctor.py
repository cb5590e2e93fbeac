"""What this installation is made of and whether its parts work."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mgsv.errors import MgsvError
from mgsv.library import default_folder

PACKAGES = ("mgsv", "numpy", "torch", "safetensors", "click", "rich")
OPTIONAL = ("transformers", "huggingface_hub", "lightning-fabric")


def examine() -> dict[str, Any]:
    """Versions, device, encoders with their fingerprints, codecs, and `problems`, a list of lines.

    Codecs are tried on a short file, the encoders on a grey picture and a second of noise.
    """
    import torch

    from mgsv.media.codecs import check_codecs, ffmpeg_versions

    encoders: dict[str, dict[str, Any]] = {}
    problems = []
    for role, try_out in (("video", _try_video_encoder), ("music", _try_music_encoder)):
        try:
            encoders[role] = try_out()
        except MgsvError as error:
            problems.append(f"{role} encoder: {error}")
    codecs = check_codecs()
    problems += [f"{name}: {state}" for name, state in codecs.items() if state != "works"]
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": dict(_versions(PACKAGES)),
        "optional": dict(_versions(OPTIONAL)),
        "ffmpeg": ffmpeg_versions(),
        "device": _device(torch),
        "encoders": encoders,
        "codecs": codecs,
        "library": _library_state(default_folder()),
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


def _device(torch: Any) -> str:
    if torch.cuda.is_available():
        return f"cuda ({torch.cuda.get_device_name()})"
    return f"cpu ({torch.get_num_threads()} threads)"


def _library_state(folder: Path) -> str:
    return f"{folder} ({'exists' if folder.exists() else 'not made yet'})"
