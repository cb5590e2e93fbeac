"""What this installation is made of and whether its parts work."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mgsv.errors import MgsvError
from mgsv.library import default_folder

PACKAGES = ("mgsv", "numpy", "torch", "safetensors", "opentimelineio", "click", "rich")
OPTIONAL = ("transformers", "huggingface_hub", "lightning-fabric", "opentimelineio-plugins")


def examine() -> dict[str, Any]:
    """Versions, device, encoders with their fingerprints, codecs, and `problems`, a list of lines.

    Every codec named is tried on a short file, and the encoders are loaded with their weights.
    """
    import torch

    from mgsv.encoders.registry import music_encoder, video_encoder
    from mgsv.media.codecs import check_codecs, ffmpeg_versions

    encoders, problems = {}, []
    for role, load in (("video", video_encoder), ("music", music_encoder)):
        try:
            encoder = load()
            encoders[role] = {
                "name": encoder.name,
                "dim": encoder.dim,
                "fingerprint": encoder.fingerprint,
            }
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
