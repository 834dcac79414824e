"""Bringing pictures to the detector's size as clean-fid does (Parmar, Zhang and Zhu, CVPR 2022).

The filter, and rounding in between, move FID by whole points; so the resize is float32 throughout and the protocol
names it. Two implementations: clean-fid's own in Pillow, and the same filter as two matrix products, which runs where
the detector does. They agree to 1e-3 of 255 at any size (at most 3e-4 was seen), so they are one protocol and share its
name.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swincli.ops.constants import cached_constant
from swincli.ops.precision import exact_float32

INCEPTION_SIDE = 299  # of Inception v3's input, in pixels
SUPPORT, SHARPNESS = 2.0, -0.5  # of Pillow's bicubic filter (Keys 1981): half its width in pixels, and its parameter


@dataclass(frozen=True)
class Resize:
    """A way to the detector's size, in two halves.

    Attributes:
        name: What the protocol calls it.
        single: What a worker thread does to one picture: uint8 [H, W, 3] to an array of its choice.
        batch: What is done to the results of `single` at once, on a device: to float32 [B, 3, side, side] of 0 to 255.
    """

    name: str
    single: Callable[[NDArray[np.uint8]], NDArray[Any]]
    batch: Callable[[Sequence[NDArray[Any]], torch.device], Tensor]


def choose_resize(device: torch.device, side: int = INCEPTION_SIDE) -> Resize:
    """Pillow beside a detector on the CPU, whose threads it shares; on CUDA the resize runs on the device as well."""
    return torch_resize(side) if device.type == "cuda" else pillow_resize(side)


def pillow_resize(side: int = INCEPTION_SIDE) -> Resize:
    """clean-fid's resize: Pillow's bicubic filter on each channel as float32, clipped, never rounded."""
    with warnings.catch_warnings():  # some of its branches change the filters for good
        from cleanfid.resize import make_resizer

        resize = make_resizer("PIL", False, "bicubic", (side, side))

    def single(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.ascontiguousarray(resize(picture).transpose(2, 0, 1), dtype=np.float32)

    def batch(pictures: Sequence[NDArray[Any]], device: torch.device) -> Tensor:
        return torch.from_numpy(np.stack(pictures)).to(device)

    return Resize(_name(side), single, batch)


def torch_resize(side: int = INCEPTION_SIDE) -> Resize:
    """The same filter in torch; pictures of one size are resized together."""

    def batch(pictures: Sequence[NDArray[Any]], device: torch.device) -> Tensor:
        groups = groupby(pictures, key=lambda picture: picture.shape)
        return torch.cat([_filter(np.stack(list(group)), device, side) for _, group in groups])

    return Resize(_name(side), lambda picture: picture, batch)


def _name(side: int) -> str:
    return f"clean-fid (Pillow bicubic, float32, {side}x{side})"


def _filter(pictures: NDArray[np.uint8], device: torch.device, side: int) -> Tensor:
    """uint8 [B, H, W, 3] to float32 [B, 3, side, side]; rows first, then columns, as Pillow does."""
    pixels = torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).float()
    height, width = pixels.shape[2:]
    with exact_float32(device):
        rows = pixels @ filter_weights(width, side, device=device).T
        return (filter_weights(height, side, device=device) @ rows).clamp_(0, 255)


@cached_constant
def filter_weights(size: int, side: int, *, device: torch.device) -> Tensor:
    """Pillow's bicubic filter from `size` pixels to `side`, float32 [side, size]; computed in float64, as there.

    Pixel i of the outcome lies at (i + 1/2) size / side; where pixels are lost the filter is as much wider. What would
    reach beyond the border is left out, and each row is normalised to 1.
    """
    scale = size / side
    wider = max(scale, 1.0)
    reach = SUPPORT * wider
    centres = (np.arange(side)[:, None] + 0.5) * scale
    first = np.maximum(centres - reach + 0.5, 0.0).astype(int)  # the pixels that count, as Pillow rounds them
    last = np.minimum(centres + reach + 0.5, size).astype(int)
    pixels = np.arange(size)[None]
    weights = _bicubic((pixels - centres + 0.5) / wider) * ((pixels >= first) & (pixels < last))
    weights /= weights.sum(axis=1, keepdims=True)
    return torch.from_numpy(weights).to(device, torch.float32)


def _bicubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    x, a = np.abs(x), SHARPNESS
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    far = (((x - 5.0) * x + 8.0) * x - 4.0) * a
    return np.where(x < 1.0, near, np.where(x < SUPPORT, far, 0.0))
