"""A perceptual distance: shift-tolerant LPIPS (Ghildyal and Liu, ECCV 2022) on VGG-16.

LPIPS (Zhang et al., CVPR 2018) compares the features of two pictures at five depths of a network for classification,
weighted to agree with people. In the shift-tolerant one the pooling is smoothed, so that moving a picture by a pixel
counts for little, and the network was trained again for that. Its distances are not LPIPS's, and what is computed with
them, such as perceptual path length, cannot be compared with published figures.

Weights are those of the pip package `stlpips-pytorch`.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.metrics.networks.weight_packages import PackagedWeights

WEIGHTS = PackagedWeights(
    "shift-tolerant LPIPS on VGG-16",
    "stlpips-pytorch",
    "0.0.2",
    "stlpips_pytorch",
    "weights/vST0.0/vgg_shift_tolerant.pth",
    "44597da68f49c1837c100ff52299050f274d102eb102e5837178c79be6f0e250",
)
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # ImageNet's mean and deviation, for -1 to 1
STAGES = ((3, 64, 64), (64, 128, 128), (128, 256, 256, 256), (256, 512, 512, 512), (512, 512, 512, 512))
SMALLEST = 32  # side in pixels: below, nothing is left for the last stage


class Stage(nn.Module):
    """Convolutions of 3 x 3 at one resolution, each followed by a ReLU; from the second stage on, pooled before.

    Pooling takes the maximum of 2 x 2 at every pixel, then every second pixel of that blurred by [1, 2, 1] (Zhang,
    ICML 2019, "Making convolutional networks shift-invariant again"), reflected by 2 px at the borders.
    """

    def __init__(self, channels: tuple[int, ...], pooled: bool) -> None:
        super().__init__()
        self.pooled = pooled
        self.convolutions = nn.ModuleList(nn.Conv2d(one, next_, 3, padding=1) for one, next_ in pairwise(channels))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W] -> [B, C', H', W']`, H' = H, or about H / 2 with pooling."""
        if self.pooled:
            row = x.new_tensor([0.25, 0.5, 0.25])
            kernel = torch.outer(row, row).expand(x.shape[1], 1, 3, 3)
            x = F.pad(F.max_pool2d(x, 2, stride=1), (2, 2, 2, 2), mode="reflect")
            x = F.conv2d(x, kernel, stride=2, groups=x.shape[1])
        for convolution in self.convolutions:
            x = F.relu(convolution(x))
        return x


class PerceptualDistance(nn.Module):
    """VGG-16's convolutions in five stages, and a weight for every channel of what each of them gives."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList(Stage(channels, pooled=index > 0) for index, channels in enumerate(STAGES))
        self.weights = nn.ParameterList(torch.empty(channels[-1]) for channels in STAGES)

    def features(self, images: Tensor) -> list[Tensor]:
        """Images [B, 3, H, W] of -1 to 1, H and W at least 32 -> five maps [B, C, H', W'], of length 1 over C."""
        x = (images - images.new_tensor(SHIFT)[:, None, None]) / images.new_tensor(SCALE)[:, None, None]
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x / (x.square().sum(dim=1, keepdim=True).add(1e-20).sqrt() + 1e-10))
        return maps

    def between(self, one: list[Tensor], other: list[Tensor]) -> Tensor:
        """The distance of two images from their features, [B], at least 0."""
        parts = [
            torch.einsum("bchw,c->bhw", (a - b).square(), weight).mean(dim=(1, 2))
            for a, b, weight in zip(one, other, self.weights, strict=True)
        ]
        return torch.stack(parts).sum(dim=0)

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """How different two images [B, 3, H, W] of -1 to 1 look, [B]: 0 where they are equal."""
        return self.between(self.features(one), self.features(other))


def load_perceptual(path: Path, device: torch.device) -> PerceptualDistance:
    """Build the distance with the weights of a file, without gradients of these.

    Raises:
        ResourceError: the file is damaged or holds something else.
    """
    return WEIGHTS.load(PerceptualDistance, path, _ours, device)


def _ours(found: dict[str, Any]) -> dict[str, Tensor]:
    """`net.slice3.14.weight` -> `stages.2.convolutions.1.weight`, and `lin2.model.1.weight` -> `weights.2`."""
    ours: dict[str, Tensor] = {}
    for index, channels in enumerate(STAGES):
        ours[f"weights.{index}"] = found[f"lin{index}.model.1.weight"].flatten()
        prefix = f"net.slice{index + 1}."
        layers = sorted({int(name.removeprefix(prefix).split(".")[0]) for name in found if _is_layer(name, prefix)})
        assert len(layers) == len(channels) - 1
        for place, layer in enumerate(layers):
            for part in ("weight", "bias"):
                ours[f"stages.{index}.convolutions.{place}.{part}"] = found[f"{prefix}{layer}.{part}"]
    return ours


def _is_layer(name: str, prefix: str) -> bool:
    return name.startswith(prefix) and name.endswith(".weight")
