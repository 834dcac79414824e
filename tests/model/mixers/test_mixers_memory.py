"""What mixers keep for the backward pass, in maps of the size of their input, and how many parameters they have."""

from __future__ import annotations

import contextlib

import pytest
import torch
from torch import Tensor, nn

from swincli.model.mixers.registry import MIXERS
from swincli.ops import cpu_tiles
from swincli.ops.cpu_tiles import as_on_a_gpu
from swincli.recipe.schema import ModelSection

SIDE, CHANNELS, HEADS, LATENT_DIM = 32, 32, 4, 8
LATENTS = 4 * (SIDE // 8) ** 2
KEPT = {
    "double": 5.1,
    "single": 5.1,
    "grid": 5.1,
    "na": 6.9,
    "na-all": 6.9,
    "kv2": 3.9,
    "strided": 5.5,
    "axial": 11.1,
    "latent": 9.2,
    "latent-kmeans": 10.2,
    "dw7": 1.0,
    "dw7+1x1": 2.0,
    "sepconv": 7.0,
    "gnconv2": 7.0,
    "gnconv3": 8.0,
    "pool": 1.0,
    "identity": 0.0,
    "random": 0.1,
}
"""Of double attention: its input, q, k, v and what the projection reads; the biases are a little more.

Those of neighbourhoods do not grow with the map, but are as large as this small one, as is the index of their table.
gnConv keeps its input, the gates before and after the convolution, and both factors of each product.
"""

PARAMETERS = {
    "grid": 4 * CHANNELS**2 + 4 * CHANNELS + 15**2 * HEADS,
    "na": 4 * CHANNELS**2 + 4 * CHANNELS + 13**2 * HEADS,
    "na-all": 4 * CHANNELS**2 + 4 * CHANNELS + 13**2 * HEADS,
    "kv2": 4 * CHANNELS**2 + 13 * CHANNELS + 14**2 * HEADS,
    "strided": 4 * CHANNELS**2 + 62 * CHANNELS + 31**2 * HEADS,
    "axial": 4 * CHANNELS**2 + 30 * CHANNELS,
    "latent": (4 + 15) * CHANNELS**2 + (4 + 15) * CHANNELS + 15**2 * HEADS + 4 * CHANNELS * (LATENT_DIM + 1) + HEADS,
}


def made(name: str) -> nn.Module:
    config = ModelSection(size=SIDE, latent_dim=LATENT_DIM, g_channels=[CHANNELS] * 4, mixer=name)
    return MIXERS[name].build(config, SIDE, CHANNELS, 1)


def kept_maps(mixer: nn.Module, *given: Tensor) -> float:
    """Bytes that autograd keeps, without the weights, as a multiple of those of the first tensor."""
    weights = {parameter.untyped_storage()._cdata for parameter in mixer.parameters()}
    kept: dict[int, int] = {}
    alive: list[Tensor] = []  # so that no memory is used twice

    def pack(value: Tensor) -> Tensor:
        alive.append(value)
        memory = value.untyped_storage()
        if memory._cdata not in weights:
            kept[memory._cdata] = memory.nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        mixer(*given)
    return sum(kept.values()) / given[0].nbytes


@pytest.mark.parametrize("way", ["CPU", "GPU"])
@pytest.mark.parametrize("name", KEPT)
def test_no_logits_are_kept(monkeypatch: pytest.MonkeyPatch, name: str, way: str) -> None:
    monkeypatch.setattr(cpu_tiles, "LARGE_BYTES", 0)
    mixer, x = made(name), torch.randn(8, SIDE, SIDE, CHANNELS, requires_grad=True)
    given = (x, torch.randn(8, LATENT_DIM)) if MIXERS[name].takes_w else (x,)
    with as_on_a_gpu() if way == "GPU" else contextlib.nullcontext():
        assert kept_maps(mixer, *given) <= KEPT[name]


def test_every_mixer_has_a_bound() -> None:
    assert KEPT.keys() == MIXERS.keys()


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_those_of_the_page(name: str) -> None:
    assert sum(parameter.numel() for parameter in made(name).parameters()) == PARAMETERS[name]
