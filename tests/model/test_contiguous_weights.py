"""Weights of convolutions are contiguous: PyTorch on MPS reads others wrongly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from swincli.metrics.networks.stlpips import PerceptualDistance
from swincli.model.discriminators.registry import DISCRIMINATORS, make_discriminator
from swincli.model.generator import Generator
from swincli.recipe.schema import ModelSection

CONVOLUTIONS = (torch.conv2d, torch.conv_transpose2d)
SMALL = {"size": 32, "latent_dim": 8, "g_width": 16, "d_width": 8, "mapping_layers": 1}


class ConvolutionWeights(TorchFunctionMode):
    """Collects the weights of all convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[Tensor] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in CONVOLUTIONS:
            self.weights.append(args[1])
        return func(*args, **(kwargs or {}))


def networks() -> dict[str, tuple[nn.Module, Tensor]]:
    """Networks by name, each with an input."""
    image = torch.zeros(4, 3, 32, 32)
    discriminators = {
        name: (make_discriminator(ModelSection(**SMALL, discriminator=name)), image)  # type: ignore[arg-type]
        for name in DISCRIMINATORS
    }
    upsampled = ModelSection(**SMALL)  # type: ignore[arg-type]
    return {"generator": (Generator(upsampled), torch.zeros(1, 8)), **discriminators}


@pytest.mark.parametrize("name", ["generator", *DISCRIMINATORS])
def test_weights_of_convolutions_are_contiguous(name: str) -> None:
    network, x = networks()[name]
    with ConvolutionWeights() as seen:
        network(x)
    assert seen.weights
    assert all(weight.is_contiguous() for weight in seen.weights)


def test_weights_of_the_perceptual_network_are_contiguous() -> None:
    with ConvolutionWeights() as seen:
        PerceptualDistance().features(torch.zeros(1, 3, 64, 64))
    assert seen.weights
    assert all(weight.is_contiguous() for weight in seen.weights)
