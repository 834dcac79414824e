"""The original release's networks without their forward: modules, parameters and buffers, in its order.

Their state dicts and optimisers are the contents of a released checkpoint. Loading one into them is what the release
does. Dimensions are small. Names and order are checked against the parity manifests.
"""

from __future__ import annotations

import argparse
import copy
import functools
import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import spectral_norm


def with_buffers(module: nn.Module, **buffers: Tensor) -> nn.Module:
    for name, value in buffers.items():
        module.register_buffer(name, value)
    return module


def with_parameters(**shapes: tuple[int, ...]) -> nn.Module:
    module = nn.Module()
    for name, shape in shapes.items():
        module.register_parameter(name, nn.Parameter(torch.randn(shape)))
    return module


def linear(inputs: int, outputs: int) -> nn.Module:
    return with_parameters(weight=(outputs, inputs), bias=(outputs,))


def fir(gain: float) -> nn.Module:
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    kernel = taps[None, :] * taps[:, None]
    return with_buffers(nn.Module(), kernel=kernel / kernel.sum() * gain)


@functools.cache
def region_mask(resolution: int, side: int) -> Tensor:
    """The mask of shifted windows, in plain Python: pairs of pixels from different regions of the rolled map."""
    shift = side // 2

    def region(position: int) -> int:
        return 0 if position < resolution - side else 1 if position < resolution - shift else 2

    windows = []
    for top in range(0, resolution, side):
        for left in range(0, resolution, side):
            cells = [(region(top + y), region(left + x)) for y in range(side) for x in range(side)]
            windows.append([[0.0 if one == other else -100.0 for other in cells] for one in cells])
    return torch.tensor(windows, device="cpu")  # also inside `torch.device("meta")`: the result is cached


@functools.cache
def position_index(side: int) -> Tensor:
    cells = [(y, x) for y in range(side) for x in range(side)]
    index = [[(a - c + side - 1) * (2 * side - 1) + (b - d + side - 1) for c, d in cells] for a, b in cells]
    return torch.tensor(index, device="cpu")


def window_attention(side: int, heads: int) -> nn.Module:
    table = with_parameters(relative_position_bias_table=((2 * side - 1) ** 2, heads))
    return with_buffers(table, relative_position_index=position_index(side).clone())


class Block(nn.Module):
    def __init__(self, width: int, resolution: int, latent: int, heads: int, window: int) -> None:
        super().__init__()
        side = min(resolution, window)
        if side < resolution:
            self.register_buffer("attn_mask2", region_mask(resolution, side).clone())
        self.norm1 = nn.ModuleDict({"style": linear(latent, 2 * width)})
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.attn = nn.ModuleList(window_attention(side, heads // 2) for _ in range(2))
        self.norm2 = nn.ModuleDict({"style": linear(latent, 2 * width)})
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})


class Upsample(nn.Module):
    def __init__(self, width: int, following: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.reduction = nn.Linear(width, following, bias=False)
        self.alpha = nn.Parameter(torch.randn(1))
        self.sin_pos_embed = with_buffers(nn.Module(), _float_tensor=torch.full((1,), 1e30))  # uninitialised there


class ToRGB(nn.Module):
    def __init__(self, width: int, upsample: bool) -> None:
        super().__init__()
        if upsample:
            self.upsample = fir(4.0)
        self.conv = nn.Conv2d(width, 3, 1)
        self.bias = nn.Parameter(torch.randn(1, 3, 1, 1))


class ReleasedGenerator(nn.Module):
    """`widths` are the channels at 4, 8, ... px."""

    def __init__(self, widths: list[int], latent: int = 16, layers: int = 8, window: int = 8) -> None:
        super().__init__()
        self.style = nn.Sequential(nn.Identity(), *(linear(latent, latent) for _ in range(layers)))
        self.input = with_parameters(input=(1, widths[0], 4, 4))
        self.layers, self.to_rgbs = nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(widths):
            last = level == len(widths) - 1
            heads, resolution = max(width // 32, 4), 4 << level
            blocks = nn.ModuleList(Block(width, resolution, latent, heads, window) for _ in range(2))
            following = width if last else widths[level + 1]
            parts: dict[str, nn.Module] = {"blocks": blocks}
            self.layers.append(nn.ModuleDict(parts if last else {**parts, "upsample": Upsample(width, following)}))
            self.to_rgbs.append(ToRGB(following, upsample=not last))


def haar(inverse: bool) -> nn.Module:
    low = 1 / (2**0.5) * torch.ones(1, 2)
    high = low * torch.tensor([[-1.0, 1.0]])
    sign = -1 if inverse else 1
    bands = {"ll": low.T * low, "lh": sign * high.T * low, "hl": sign * low.T * high, "hh": high.T * high}
    return with_buffers(nn.Module(), **bands)


def conv_layer(inputs: int, outputs: int, size: int, spectral: bool, *before: nn.Module) -> nn.Module:
    shape = (outputs, inputs, size, size)
    conv = spectral_norm(nn.Conv2d(inputs, outputs, size, bias=False)) if spectral else with_parameters(weight=shape)
    return nn.Sequential(*before, conv, with_parameters(bias=(outputs,)))


class ReleasedDiscriminator(nn.Module):
    """`widths` are the channels at 4, 8, ... px; those at half the size are not used."""

    def __init__(self, widths: list[int], spectral: bool) -> None:
        super().__init__()
        self.dwt = haar(inverse=False)
        trunk = [widths[-1], *widths[-3::-1]]
        self.from_rgbs, self.convs = nn.ModuleList(), nn.ModuleList()
        for scale, width in enumerate(trunk):
            above: dict[str, nn.Module] = {
                "iwt": haar(inverse=True),
                "downsample": fir(1.0),
                "dwt": haar(inverse=False),
            }
            conv = conv_layer(12, width, 1, spectral)
            self.from_rgbs.append(nn.ModuleDict({**(above if scale else {}), "conv": conv}))
        for width, following in itertools.pairwise(trunk):
            conv1 = conv_layer(width, width, 3, spectral)
            conv2 = conv_layer(width, following, 3, spectral, fir(1.0))
            self.convs.append(nn.ModuleDict({"conv1": conv1, "conv2": conv2}))
        width = widths[0]
        self.final_conv = conv_layer(width + 1, width, 3, spectral)
        if spectral:
            hidden, logit = (spectral_norm(nn.Linear(*shape)) for shape in ((16 * width, width), (width, 1)))
            self.final_linear = nn.Sequential(hidden, with_parameters(bias=(width,)), logit)
        else:
            self.final_linear = nn.Sequential(linear(16 * width, width), linear(width, 1))


def optimizer(network: nn.Module, steps: int, ratio: float) -> torch.optim.Adam:
    """Adam after some steps along random gradients, at the release's corrected rates."""
    adam = torch.optim.Adam(network.parameters(), lr=2e-4 * ratio, betas=(0.0, 0.99**ratio))
    for _ in range(steps):
        for parameter in network.parameters():
            parameter.grad = torch.randn_like(parameter)
        adam.step()
    return adam


def released_checkpoint(
    g_widths: list[int], d_widths: list[int], *, spectral: bool = True, steps: int = 2, **arguments: Any
) -> dict[str, Any]:
    """What the release would save of small networks after a few steps; a copy that the caller may change."""
    content = copy.deepcopy(_networks_and_optimizers(tuple(g_widths), tuple(d_widths), spectral, steps))
    size = 4 << (len(g_widths) - 1)
    named = {"size": size, "batch": 4, "D_sn": spectral, "path": "/data", **arguments}
    return {**content, "args": argparse.Namespace(**named)}


@functools.cache
def _networks_and_optimizers(
    g_widths: tuple[int, ...], d_widths: tuple[int, ...], spectral: bool, steps: int
) -> dict[str, Any]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = ReleasedGenerator(list(g_widths))
        discriminator = ReleasedDiscriminator(list(d_widths), spectral)
        average = copy.deepcopy(generator)
        g_optim, d_optim = optimizer(generator, steps, 1.0), optimizer(discriminator, steps, 16 / 17)
    return {
        "g": generator.state_dict(),
        "d": discriminator.state_dict(),
        "g_ema": average.state_dict(),
        "g_optim": g_optim.state_dict(),
        "d_optim": d_optim.state_dict(),
    }
