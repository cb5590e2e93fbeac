"""The default encoders' networks, made by tools/export_encoders.py from what was published."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mgsv.runtime.onnx import OnnxModel, open_onnx

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Weights:
    """One network's file."""

    file: str
    published: str
    """SHA-256 of the published weights that the file computes with, which encoders' fingerprints
    are made of: in another form or runtime the same weights give the same features, but for
    rounding. It stands in the file's metadata, too."""

    @property
    def path(self) -> Path:
        return _FOLDER / self.file

    def open(self, *, threads: int) -> OnnxModel:
        return open_onnx(self.path, threads=threads)


EFFICIENTNET = Weights(
    "efficientnet_lite0.onnx", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
)
"""EfficientNet-Lite0 without its classifier (Apache-2.0, see `efficientnet_lite0.LICENSE`)."""
MUSICNN = Weights(
    "musicnn_msd.onnx", "161801c02c285ee4cea006c473131de9857a91230aaf1fc8da4dc807fac254ed"
)
"""MSD MusiCNN (ISC licence, see `musicnn_msd.LICENSE`)."""
