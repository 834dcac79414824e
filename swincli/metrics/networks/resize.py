"""Resize of images to the detector's input size, as in clean-fid (Parmar, Zhang and Zhu, CVPR 2022).

Another filter, or rounding in between, changes FID by whole points. So the resize is in float32 without rounding, and
the protocol names it. There are two implementations: clean-fid's with Pillow, and the same filter as two matrix
products on the detector's device. They agree to 1e-3 of 255 at any size (largest difference seen: 3e-4), so they share
one name in the protocol.
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

INCEPTION_SIDE = 299  # input of Inception v3, in pixels
SUPPORT, SHARPNESS = 2.0, -0.5  # Pillow's bicubic filter (Keys 1981): half its width in pixels, and its parameter a


@dataclass(frozen=True)
class Resize:
    """A resize to the detector's input size in two steps.

    Attributes:
        name: Name in the protocol.
        single: First step, of one image in a worker thread: uint8 [H, W, 3] to any array.
        batch: Second step, of the results of `single` on a device: to float32 [B, 3, side, side] of 0 to 255.
    """

    name: str
    single: Callable[[NDArray[np.uint8]], NDArray[Any]]
    batch: Callable[[Sequence[NDArray[Any]], torch.device], Tensor]


def choose_resize(device: torch.device, side: int = INCEPTION_SIDE) -> Resize:
    """The Pillow resize for a detector on the CPU or MPS; the torch resize on CUDA, on the detector's device."""
    return torch_resize(side) if device.type == "cuda" else pillow_resize(side)


def pillow_resize(side: int = INCEPTION_SIDE) -> Resize:
    """clean-fid's resize: Pillow's bicubic filter on each channel as float32, clipped, never rounded."""
    with warnings.catch_warnings():  # clean-fid changes the warning filters for good
        from cleanfid.resize import make_resizer

        resize = make_resizer("PIL", False, "bicubic", (side, side))

    def single(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.ascontiguousarray(resize(image).transpose(2, 0, 1), dtype=np.float32)

    def batch(images: Sequence[NDArray[Any]], device: torch.device) -> Tensor:
        return torch.from_numpy(np.stack(images)).to(device)

    return Resize(_name(side), single, batch)


def torch_resize(side: int = INCEPTION_SIDE) -> Resize:
    """Pillow's bicubic filter in torch; neighbouring images of one size are resized together."""

    def batch(images: Sequence[NDArray[Any]], device: torch.device) -> Tensor:
        groups = groupby(images, key=lambda image: image.shape)
        return torch.cat([_filter(np.stack(list(group)), device, side) for _, group in groups])

    return Resize(_name(side), lambda image: image, batch)


def _name(side: int) -> str:
    return f"clean-fid (Pillow bicubic, float32, {side}x{side})"


def _filter(images: NDArray[np.uint8], device: torch.device, side: int) -> Tensor:
    """uint8 [B, H, W, 3] to float32 [B, 3, side, side]; rows first, then columns, as in Pillow."""
    pixels = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float()
    height, width = pixels.shape[2:]
    with exact_float32(device):
        rows = pixels @ filter_weights(width, side, device=device).T
        return (filter_weights(height, side, device=device) @ rows).clamp_(0, 255)


@cached_constant
def filter_weights(size: int, side: int, *, device: torch.device) -> Tensor:
    """Pillow's bicubic filter from `size` pixels to `side` as a matrix, float32 [side, size]; computed in float64.

    Output pixel i is centred at (i + 1/2) size / side. To shrink an image the filter is widened by size / side. Weights
    beyond the border are dropped, and each row is normalised to 1.
    """
    scale = size / side
    wider = max(scale, 1.0)
    reach = SUPPORT * wider
    centres = (np.arange(side)[:, None] + 0.5) * scale
    first = np.maximum(centres - reach + 0.5, 0.0).astype(int)  # the pixels inside the filter, rounded as in Pillow
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
