"""Export the default encoders' networks to the ONNX files that come with mgsv.

    python tools/export_encoders.py       # in an environment with mgsv[dev]

EfficientNet-Lite0 takes pictures as they are decoded, uint8 RGB [B, 224, 224, 3], and gives
`features` [B, 1280]; its norms are folded into the convolutions. MusiCNN takes one log-mel `patch`
[187, 96], and gives the `features` [753] and `tags` [50]; it is exported in its folded form.
Weights stay in 32 bits, so that features differ from PyTorch's by rounding alone.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mgsv.encoders.musicnn import MELS, PATCH_FRAMES
from mgsv.encoders.networks.efficientnet import CROP, efficientnet_path, load_efficientnet
from mgsv.encoders.networks.musicnn import WEIGHTS, load_musicnn
from mgsv.encoders.weights import EFFICIENTNET, MUSICNN, Weights
from mgsv.runtime.messages import with_metadata

OPSET = 18


class Pictures(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.network = load_efficientnet()

    def forward(self, pictures: Tensor) -> Tensor:
        features: Tensor = self.network((pictures.float().permute(0, 3, 1, 2) - 127) / 128)
        return features


class Patch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.network = load_musicnn()

    def forward(self, patch: Tensor) -> tuple[Tensor, Tensor]:
        output = self.network(patch[None])
        return output.mean_pool[0], output.tags[0]


def export(
    weights: Weights, published: Path, network: nn.Module, example: Tensor, **options: Any
) -> None:
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sizes that are fixed here are traced as constants
        torch.onnx.export(
            network.eval(), (example,), content, opset_version=OPSET, dynamo=False, **options
        )
    notice = weights.path.with_suffix(".LICENSE").read_text()
    described = {
        "weights": hashlib.sha256(published.read_bytes()).hexdigest(),
        "source": f"{published.name}, exported by tools/export_encoders.py",
        "notice": notice if len(notice) < 2_000 else f"see {weights.path.stem}.LICENSE",
    }
    weights.path.write_bytes(with_metadata(content.getvalue(), described))
    print(
        f"{weights.path.name}: {weights.path.stat().st_size / 1e6:.2f} MB, {described['weights']}"
    )


def main() -> None:
    export(
        EFFICIENTNET,
        efficientnet_path(),
        Pictures(),
        torch.zeros(1, CROP, CROP, 3, dtype=torch.uint8),
        input_names=["pictures"],
        output_names=["features"],
        dynamic_axes={"pictures": {0: "B"}, "features": {0: "B"}},
    )
    example = torch.zeros(PATCH_FRAMES, MELS)
    names = {"input_names": ["patch"], "output_names": ["features", "tags"]}
    export(MUSICNN, WEIGHTS, Patch(), example, **names)


if __name__ == "__main__":
    main()
