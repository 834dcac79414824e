"""Checkpoints as StyleNAT writes them, with filled weights, and its generator by its definition."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from plain_networks import EPS, adain, equalised, fir_upsample, position_encoding, scaled_leaky_relu, to_rgb
from release_skeleton import fir
from torch import Tensor

LATENT, LAYERS, HEADS, KERNEL = 8, 2, 4, 7
Weights = dict[str, Tensor]


def dilations_at(level: int, *, growing: bool = False) -> list[int]:
    """StyleNAT's published dilations at 8, 16, 32, ... px (levels from 1): 1 and side / 8, or all powers up to that."""
    most = 1 << (level - 1)
    return [1 << power for power in range(level)] if growing else sorted({1, most})


def shapes(widths: list[int], *, growing: bool = False) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the generator's parameters. `growing`: without the older class of two groups."""
    for layer in range(1, LAYERS + 1):
        yield from pair(f"style.{layer}", LATENT, LATENT)
    yield "input.input", (1, widths[0], 4, 4)
    for level, width in enumerate(widths):
        for number in range(2):
            block = f"layers.{level}.blocks.{number}"
            yield from pair(f"{block}.norm1.style", 2 * width, LATENT)
            yield from tables(f"{block}.attn", level, growing)
            yield from pair(f"{block}.attn.qkv", 3 * width, width)
            yield from pair(f"{block}.attn.proj", width, width)
            yield from pair(f"{block}.norm2.style", 2 * width, LATENT)
            yield from pair(f"{block}.mlp.fc1", 4 * width, width)
            yield from pair(f"{block}.mlp.fc2", width, 4 * width)
        last = level == len(widths) - 1
        following = width if last else widths[level + 1]
        if not last:
            yield f"layers.{level}.upsample.alpha", (1,)
            yield from pair(f"layers.{level}.upsample.norm", width)
            yield f"layers.{level}.upsample.reduction.weight", (following, width)
        yield f"to_rgbs.{level}.bias", (1, 3, 1, 1)
        yield f"to_rgbs.{level}.conv.weight", (3, following, 1, 1)
        yield f"to_rgbs.{level}.conv.bias", (3,)


def pair(name: str, outputs: int, *inputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (outputs, *inputs)
    yield f"{name}.bias", (outputs,)


def tables(attention: str, level: int, growing: bool) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Full attention at 4 px; two equal groups under older names; else a list of groups, the last ones larger."""
    length = 2 * KERNEL - 1
    if level == 0:
        yield f"{attention}.rpb", (HEADS, 7, 7)
        return
    count = len(dilations_at(level, growing=growing))
    if count <= 2:
        yield from ((f"{attention}.rpb{half}", (HEADS // 2, length, length)) for half in range(2))
        return
    for group in range(count):
        more = group >= count - HEADS % count
        yield f"{attention}.rpb.{group}", (HEADS // count + more, length, length)


def filled(shape: tuple[int, ...], name: str) -> Tensor:
    """Values that are the same on every machine, of the size of trained weights."""
    salt = sum(place * ord(letter) for place, letter in enumerate(name, start=1))
    count = torch.Size(shape).numel()
    values = ((torch.arange(count) * 7919 + salt * 104_729) % 1009).double() / 1009 - 0.5
    scale = 3.0 / shape[1] ** 0.5 if len(shape) == 2 or name.endswith("conv.weight") else 1.0
    if name.startswith("style."):
        scale = 300.0 / LATENT**0.5 if len(shape) == 2 else 10.0
    elif ".style." in name:
        scale = 3.5
    elif "rpb" in name:
        scale = 4.0
    offset = 1.0 if name.endswith(("norm.weight", "alpha")) else 0.0
    return (values * scale + offset).float().view(shape)


def generator_weights(widths: list[int], *, growing: bool = False) -> Weights:
    """The state dict of a generator; `widths` are the channels at 4, 8, ... px."""
    weights = {name: filled(shape, name) for name, shape in shapes(widths, growing=growing)}
    for level in range(len(widths) - 1):  # buffers
        weights[f"layers.{level}.upsample.sin_pos_embed._float_tensor"] = torch.full((1,), 1e30)
        weights[f"to_rgbs.{level}.upsample.kernel"] = fir(4.0).kernel
    for number in range(2):
        weights[f"layers.0.blocks.{number}.attn.relative_position_index"] = torch.zeros(16, 16, dtype=torch.int64)
    return weights


class PlainStyleNat:
    """z `[B, LATENT]` -> image `[B, 3, size, size]` in float64, from the state dict alone."""

    def __init__(self, weights: Weights, widths: list[int], *, growing: bool = False) -> None:
        self.weights = {name: value.double() for name, value in weights.items() if value.is_floating_point()}
        self.widths, self.growing = widths, growing

    def layer(self, name: str) -> Any:
        """The weight and the bias of a layer."""
        return SimpleNamespace(weight=self.weights[f"{name}.weight"], bias=self.weights.get(f"{name}.bias"))

    def linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.layer(name).weight, self.layer(name).bias)

    def __call__(self, z: Tensor) -> Tensor:
        w = z / torch.sqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)
        for number in range(1, LAYERS + 1):
            w = scaled_leaky_relu(equalised(w, self.layer(f"style.{number}"), 0.01))
        x = self.weights["input.input"].permute(0, 2, 3, 1).expand(len(z), -1, -1, -1)
        image: Tensor | None = None
        for level in range(len(self.widths)):
            for number in range(2):
                x = self.block(x, w, level, f"layers.{level}.blocks.{number}")
            doubling = level < len(self.widths) - 1
            if doubling:
                x = self.doubled(x, f"layers.{level}.upsample")
            name = f"to_rgbs.{level}"
            colours = to_rgb(SimpleNamespace(conv=self.layer(f"{name}.conv"), bias=self.weights[f"{name}.bias"]), x)
            if image is not None:
                colours = (fir_upsample(image) if doubling else image) + colours
            image = colours
        assert image is not None
        return image

    def block(self, x: Tensor, w: Tensor, level: int, name: str) -> Tensor:
        x = x + self.attend(adain(x, equalised(w, self.layer(f"{name}.norm1.style"))), level, f"{name}.attn")
        hidden = F.gelu(self.linear(adain(x, equalised(w, self.layer(f"{name}.norm2.style"))), f"{name}.mlp.fc1"))
        return x + self.linear(hidden, f"{name}.mlp.fc2")

    def doubled(self, x: Tensor, name: str) -> Tensor:
        x = F.interpolate(x.permute(0, 3, 1, 2), scale_factor=2, mode="bilinear").permute(0, 2, 3, 1)
        norm = self.layer(f"{name}.norm")
        x = self.linear(F.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, EPS), f"{name}.reduction")
        return x + self.weights[f"{name}.alpha"] * position_encoding(x.shape[1], x.shape[-1]).to(x)

    def attend(self, x: Tensor, level: int, name: str) -> Tensor:
        """Attention by its definition: every position, every neighbour."""
        batch, side, _, channels = x.shape
        q, k, v = self.linear(x, f"{name}.qkv").view(batch, side, side, 3, HEADS, channels // HEADS).unbind(3)
        if level == 0:
            groups = [(1, self.weights[f"{name}.rpb"])]
        elif f"{name}.rpb0" in self.weights:
            dilations = dilations_at(level, growing=self.growing)
            pairs = zip([dilations[0], dilations[-1]], range(2), strict=True)
            groups = [(dilation, self.weights[f"{name}.rpb{half}"]) for dilation, half in pairs]
        else:
            dilations = dilations_at(level, growing=self.growing)
            groups = [(dilation, self.weights[f"{name}.rpb.{number}"]) for number, dilation in enumerate(dilations)]
        results, first = [], 0
        for dilation, table in groups:
            own = slice(first, first + len(table))
            first += len(table)
            results.append(neighbourhood(q[..., own, :], k[..., own, :], v[..., own, :], table, dilation))
        return self.linear(torch.cat(results, dim=3).flatten(3), f"{name}.proj")


def neighbourhood(q: Tensor, k: Tensor, v: Tensor, table: Tensor, dilation: int) -> Tensor:
    """Of `[B, H, W, h, d]`, with a table `[h, 2k - 1, 2k - 1]`; a kernel as wide as the map is full attention."""
    side, kernel = q.shape[1], (table.shape[1] + 1) // 2
    lines = torch.tensor([line(position, side, kernel, dilation) for position in range(side)])
    keys, entries = lines.unbind(1)  # [side, kernel] each
    rows, columns = keys[:, None, :, None], keys[None, :, None, :]
    near_k, near_v = (part[:, rows, columns].flatten(3, 4) for part in (k, v))  # [B, H, W, kernel², h, d]
    bias = table[:, entries[:, None, :, None], entries[None, :, None, :]].flatten(3)
    logits = torch.einsum("byxhd,byxnhd->byxhn", q, near_k) * q.shape[-1] ** -0.5
    return torch.einsum("byxhn,byxnhd->byxhd", (logits + bias.permute(1, 2, 0, 3)).softmax(dim=-1), near_v)


def line(position: int, side: int, kernel: int, dilation: int) -> tuple[list[int], list[int]]:
    """The keys of a query along one axis and their entries of the table. At a border the window moves inwards."""
    places = list(range(position % dilation, side, dilation))
    own = places.index(position)
    start = min(max(own - kernel // 2, 0), len(places) - kernel)
    near = range(start, start + kernel)
    return [places[place] for place in near], [place - own + kernel - 1 for place in near]
