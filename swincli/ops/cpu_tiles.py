"""A map in parts, on the CPU: what lies between two operations then stays in the cache and takes a few MiB of memory.

Parts are some whole images where these are small, and some rows of one image where it is large.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

PART_BYTES = 2**21
"""What the largest intermediate result of a part takes: less than a core's share of the cache, and enough work to be
worth the start of the operations."""


LARGE = 2**23
"""Bytes of a map from which on it pays to keep less of it for its gradient, and to compute that again."""


def is_due(x: Tensor) -> bool:
    """Whether to work in parts: on the CPU and in one precision; GPUs and compilers want operations as they are."""
    exact = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
    return exact and not torch.compiler.is_compiling() and not torch.is_autocast_enabled("cpu")


def is_due_without_graph(x: Tensor) -> bool:
    """Whether, besides, no gradient will be asked for: results may then be written where there is memory for them."""
    return is_due(x) and not torch.is_grad_enabled()


def is_due_with_graph(x: Tensor) -> bool:
    """Whether, besides, a gradient may be asked for, and the map is large: small ones lose more time than they save."""
    return is_due(x) and torch.is_grad_enabled() and x.nbytes >= LARGE


def positions_at_once(x: Tensor, channels: int) -> int:
    """Positions of a part, where the largest intermediate result holds so many numbers of x's kind for each."""
    return max(1, PART_BYTES // (channels * x.element_size()))


class Part(NamedTuple):
    """Some images of `[B, H, W, ...]`, and some of their rows.

    Attributes:
        images: Which images.
        rows: Which rows.
        last: Whether the rows reach the lower border.
    """

    images: slice
    rows: slice
    last: bool

    def of(self, x: Tensor, shift: int = 0) -> Tensor:
        """This part of x, from `shift` rows further down (fewer than it has), the map taken as a torus."""
        x, top, bottom = x[self.images], self.rows.start + shift, self.rows.stop + shift
        height = x.shape[1]
        return x[:, top:bottom] if bottom <= height else torch.cat([x[:, top:], x[:, : bottom - height]], dim=1)

    def put(self, x: Tensor, values: Tensor, shift: int = 0) -> None:
        """Write where `of` has read."""
        x, top, bottom = x[self.images], self.rows.start + shift, self.rows.stop + shift
        height = x.shape[1]
        x[:, top:bottom] = values[:, : height - top]
        if bottom > height:
            x[:, : bottom - height] = values[:, height - top :]


def parts(x: Tensor, channels: int, multiple: int = 1) -> Iterator[Part]:
    """Divide `[B, H, W, ...]`.

    Args:
        x: The map.
        channels: Numbers that the largest intermediate result holds for a position.
        multiple: What the rows of a part are a multiple of, and H itself.
    """
    images, height, width = x.shape[:3]
    positions = positions_at_once(x, channels)
    if positions >= height * width:
        step = positions // (height * width)
        for first in range(0, images, step):
            yield Part(slice(first, min(first + step, images)), slice(0, height), True)
        return
    step = max(1, positions // (width * multiple)) * multiple
    for image in range(images):
        for top in range(0, height, step):
            bottom = min(top + step, height)
            yield Part(slice(image, image + 1), slice(top, bottom), bottom == height)
