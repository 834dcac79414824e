"""Shift-tolerant LPIPS, a perceptual distance on VGG-16 (Ghildyal and Liu, ECCV 2022).

LPIPS (Zhang et al., CVPR 2018) compares the features of two images at five depths of a classifier, with weights fitted
to human judgement. The shift-tolerant variant blurs before it subsamples, so that a shift by one pixel changes little,
and was retrained. Its distances differ from LPIPS: values based on them, such as PPL, cannot be compared with published
figures.

The weights are those of the pip package `stlpips-pytorch`.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.model.pretrained.packaged import PackagedWeights
from swincli.ops.constants import cached_constant

WEIGHTS = PackagedWeights(
    "shift-tolerant LPIPS on VGG-16",
    "stlpips-pytorch",
    "0.0.2",
    "stlpips_pytorch",
    "weights/vST0.0/vgg_shift_tolerant.pth",
    "44597da68f49c1837c100ff52299050f274d102eb102e5837178c79be6f0e250",
)
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # ImageNet's mean and standard deviation, for -1 to 1
STAGES = ((3, 64, 64), (64, 128, 128), (128, 256, 256, 256), (256, 512, 512, 512), (512, 512, 512, 512))
SMALLEST = 32  # side in pixels; smaller images leave nothing for the last stage


@cached_constant
def pooling_weight(channels: int, *, device: torch.device | None = None) -> Tensor:
    """The blur of the pooling as a contiguous depthwise weight `[C, 1, 3, 3]`, float32 by default."""
    row = torch.tensor([0.25, 0.5, 0.25], device=device)
    return torch.outer(row, row).repeat(channels, 1, 1, 1)


class Stage(nn.Module):
    """A VGG stage: 3x3 convolutions at one resolution, each with a ReLU; all stages but the first pool before.

    Pooling is a 2x2 maximum at stride 1, then a blur by [1, 2, 1] at stride 2 (Zhang, ICML 2019, "Making convolutional
    networks shift-invariant again") with 2 px of reflection padding.
    """

    def __init__(self, channels: tuple[int, ...], pooled: bool) -> None:
        super().__init__()
        self.pooled = pooled
        self.convolutions = nn.ModuleList(nn.Conv2d(one, next_, 3, padding=1) for one, next_ in pairwise(channels))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W] -> [B, C', H', W']`, H' = H without pooling, about H / 2 with it."""
        if self.pooled:
            weight = pooling_weight(x.shape[1], device=x.device, dtype=x.dtype)
            x = F.pad(F.max_pool2d(x, 2, stride=1), (2, 2, 2, 2), mode="reflect")
            x = F.conv2d(x, weight, stride=2, groups=x.shape[1])
        for convolution in self.convolutions:
            x = F.relu(convolution(x))
        return x


class PerceptualDistance(nn.Module):
    """Shift-tolerant LPIPS: the five stages of VGG-16, and a weight per channel of each stage's output."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList(Stage(channels, pooled=index > 0) for index, channels in enumerate(STAGES))
        self.weights = nn.ParameterList(torch.empty(channels[-1]) for channels in STAGES)

    def features(self, images: Tensor) -> list[Tensor]:
        """Five maps [B, C, H', W'], normalised over C, of images [B, 3, H, W] of -1 to 1, H and W at least 32."""
        x = (images - images.new_tensor(SHIFT)[:, None, None]) / images.new_tensor(SCALE)[:, None, None]
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x / (x.square().sum(dim=1, keepdim=True).add(1e-20).sqrt() + 1e-10))
        return maps

    def between(self, one: list[Tensor], other: list[Tensor]) -> Tensor:
        """Distance [B] of two batches of images from their features; at least 0."""
        parts = [
            torch.einsum("bchw,c->bhw", (a - b).square(), weight).mean(dim=(1, 2))
            for a, b, weight in zip(one, other, self.weights, strict=True)
        ]
        return torch.stack(parts).sum(dim=0)

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """Perceptual distance [B] of images [B, 3, H, W] of -1 to 1; 0 if they are equal."""
        return self.between(self.features(one), self.features(other))


def load_perceptual(path: Path, device: torch.device) -> PerceptualDistance:
    """Build the network with the weights of a file, for inference.

    Raises:
        ResourceError: the file is damaged or has other content.
    """
    return WEIGHTS.load(PerceptualDistance, path, _to_state_dict, device)


def _to_state_dict(content: dict[str, Any]) -> dict[str, Tensor]:
    """`net.slice3.14.weight` -> `stages.2.convolutions.1.weight`, and `lin2.model.1.weight` -> `weights.2`."""
    state: dict[str, Tensor] = {}
    for index, channels in enumerate(STAGES):
        state[f"weights.{index}"] = content[f"lin{index}.model.1.weight"].flatten()
        prefix = f"net.slice{index + 1}."
        layers = sorted({int(name.removeprefix(prefix).split(".")[0]) for name in content if _is_layer(name, prefix)})
        assert len(layers) == len(channels) - 1
        for place, layer in enumerate(layers):
            for part in ("weight", "bias"):
                state[f"stages.{index}.convolutions.{place}.{part}"] = content[f"{prefix}{layer}.{part}"]
    return state


def _is_layer(name: str, prefix: str) -> bool:
    return name.startswith(prefix) and name.endswith(".weight")
