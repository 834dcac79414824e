"""Bringing pictures to the detector's size as clean-fid does (Parmar, Zhang and Zhu, CVPR 2022).

The filter, and rounding in between, move FID by whole points; so the resize is float32 throughout and the protocol
names it. Two implementations: clean-fid's own in Pillow, and an equal one (to 0.01 of 255) that runs where the detector
does.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

INCEPTION_SIDE = 299  # of Inception v3's input, in pixels


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

    return Resize(f"clean-fid (Pillow bicubic, float32, {side}x{side})", single, batch)


def torch_resize(side: int = INCEPTION_SIDE) -> Resize:
    """The same filter in torch; pictures of one size are resized together."""

    def batch(pictures: Sequence[NDArray[Any]], device: torch.device) -> Tensor:
        groups = groupby(pictures, key=lambda picture: picture.shape)
        return torch.cat([_interpolate(np.stack(list(group)), device, side) for _, group in groups])

    return Resize(f"clean-fid (torch antialiased bicubic, float32, {side}x{side})", lambda picture: picture, batch)


def _interpolate(pictures: NDArray[np.uint8], device: torch.device, side: int) -> Tensor:
    """uint8 [B, H, W, 3] to float32 [B, 3, side, side]."""
    pixels = torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).float().contiguous()
    resized = F.interpolate(pixels, size=(side, side), mode="bicubic", antialias=True, align_corners=False)
    return resized.clamp_(0, 255)
