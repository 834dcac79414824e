"""Style channels: the gamma and beta of every adaptive norm, StyleSwin's S space (StyleSpace: Wu et al., CVPR 2021).

A generator computes them from w by linear layers. To move single channels, the layers get one more input an edit: then
codes with one more number move the channel, image by image, and all that works on codes works on such edits.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from swincli.model.blocks.layers import EqualLinear
from swincli.model.blocks.style import LatentProjection
from swincli.model.generator import Block, Generator

PARTS = ("gamma", "beta")


@dataclass(frozen=True)
class StyleChannel:
    """One channel: "5.1.gamma.37".

    Attributes:
        code: Number of the code of w+ that its block reads.
        norm: 1 before the attention, 2 before the MLP.
        part: "gamma" or "beta".
        channel: Number of the map's channel.
    """

    code: int
    norm: int
    part: str
    channel: int

    def __str__(self) -> str:
        return f"{self.code}.{self.norm}.{self.part}.{self.channel}"

    @classmethod
    def parse(cls, text: str) -> StyleChannel:
        """The channel that `str` writes.

        Raises:
            ValueError: the text is none.
        """
        match = re.fullmatch(r"(\d{1,3})\.([12])\.(gamma|beta)\.(\d{1,5})", text)
        if match is None:
            raise ValueError(f"{text!r} is no style channel, such as 5.1.gamma.37")
        return cls(int(match[1]), int(match[2]), match[3], int(match[4]))


@dataclass(frozen=True)
class StyleLayer:
    """The layer that computes gamma and beta of one norm: outputs `[gamma, beta]` of C channels each."""

    code: int
    norm: int
    layer: EqualLinear

    @property
    def width(self) -> int:
        """Channels C."""
        return len(self.layer.bias) // 2

    def row(self, channel: StyleChannel) -> int:
        """The output that is a channel."""
        return PARTS.index(channel.part) * self.width + channel.channel


def style_layers(generator: Generator) -> list[StyleLayer]:
    """The style layers in the order of the synthesis; none for a model without adaptive norms."""
    found = []
    for code, block in enumerate(_blocks(generator)):
        for number, norm in enumerate((block.norm1, block.norm2), start=1):
            layer = getattr(norm, "style", None)
            if isinstance(layer, EqualLinear):
                found.append(StyleLayer(code, number, layer))
    return found


def all_channels(generator: Generator) -> list[StyleChannel]:
    """All style channels, in the order of `style_values`."""
    return [
        StyleChannel(layer.code, layer.norm, part, channel)
        for layer in style_layers(generator)
        for part in PARTS
        for channel in range(layer.width)
    ]


def missing_channels(generator: Generator, channels: Sequence[StyleChannel]) -> list[StyleChannel]:
    """Those of some channels that the generator does not have."""
    widths = {(layer.code, layer.norm): layer.width for layer in style_layers(generator)}
    return [one for one in channels if one.channel >= widths.get((one.code, one.norm), 0)]


@torch.inference_mode()
def style_values(generator: Generator, w_plus: Tensor) -> Tensor:
    """Values of all style channels of w+: `[B, L, latent_dim] -> [B, S]`."""
    return torch.cat([layer.layer(w_plus[:, layer.code]) for layer in style_layers(generator)], dim=1)


def with_channel_inputs(generator: Generator, moves: Sequence[Sequence[tuple[StyleChannel, float]]]) -> Generator:
    """A copy of a generator whose synthesis takes codes `[B, L, latent_dim + K]`.

    Number latent_dim + k of a code moves the channels of move k, each by its step times that number. With zeros there
    the images are those of the generator, beyond rounding.

    Args:
        generator: Stays as it is.
        moves: K lists of channels with their steps.
    """
    widened = copy.deepcopy(generator)
    for module in widened.levels.modules():
        if isinstance(module, EqualLinear):
            module.weight = _widened(module.weight, len(moves))
    if isinstance(widened.start, LatentProjection):
        widened.start.weight = _widened(widened.start.weight, len(moves))
    layers = {(layer.code, layer.norm): layer for layer in style_layers(widened)}
    with torch.no_grad():
        for number, move in enumerate(moves):
            for channel, step in move:
                layer = layers[channel.code, channel.norm]
                layer.layer.weight[layer.row(channel), generator.latent_dim + number] = step / layer.layer.scale
    return widened.requires_grad_(False).eval()


def _widened(weight: Tensor, inputs: int) -> nn.Parameter:
    return nn.Parameter(torch.cat([weight.detach(), weight.new_zeros(*weight.shape[:-1], inputs)], dim=-1))


def _blocks(generator: Generator) -> list[Block]:
    return [block for level in generator.levels for block in level.blocks]  # type: ignore[union-attr]
