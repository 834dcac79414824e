"""A pretrained network that takes no time: stands in for EfficientNet where a test is not about its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.model.discriminators import frozen_features
from swincli.model.discriminators.frozen_features import Backbone

CHANNELS = (4, 4, 6, 8)
TINY_RUN = (
    "model.size=32",
    "model.g_channels=[8,8,8,8]",
    "model.d_channels=[8,8,8,8]",
    "train.total=400",
    "train.batch=4",
    "loss.r1_interval=2",
)
"""Of recipes whose D looks at frozen features."""


class TinyBackbone(nn.Module):
    """Four strided convolutions, at strides 4, 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            widths = (3, *CHANNELS)
            strides = (4, 2, 2, 2)
            self.layers = nn.ModuleList(
                nn.Conv2d(widths[index], widths[index + 1], strides[index], strides[index]) for index in range(4)
            )
        self.eval().requires_grad_(False)


class NoFile:
    """Weights that are always there."""

    network = "a tiny network"
    sha256 = "0" * 64

    def require(self) -> Path:
        return Path()


def _maps(network: Any, images: Tensor) -> list[Tensor]:
    maps: list[Tensor] = []
    for layer in network.layers:
        maps.append(F.softplus(layer(maps[-1] if maps else images)))
    return maps


def install_tiny_backbone(patch: pytest.MonkeyPatch) -> TinyBackbone:
    """Put the network in EfficientNet's place; its input is 128 px."""
    network = TinyBackbone()

    def build(device: torch.device) -> nn.Module:  # noqa: ARG001
        return network

    tiny = Backbone(NoFile(), build, _maps, CHANNELS, 128, "nothing")  # type: ignore[arg-type]
    patch.setitem(frozen_features.BACKBONES, "efficientnet", tiny)
    return network
