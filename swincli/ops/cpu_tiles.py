"""Tiling on the CPU: work on a feature map tile by tile, so that intermediate results fit in the cache.

A tile is several whole images if images are small, or some rows of one image if it is large. Tiling also keeps the
memory of intermediate results at a few MiB. `on_gpu_path` is the one place that tells a CPU's path from a GPU's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import torch
from torch import Tensor

TILE_BYTES = 2**21
"""Bytes of a tile's largest intermediate result: less than a core's share of the cache, but enough work to outweigh the
overhead of starting the operations."""


LARGE_BYTES = 2**23
"""Maps of at least this size save less for the backward pass and recompute it. For smaller maps this costs time."""


_AS_ON_A_GPU: ContextVar[bool] = ContextVar("as_on_a_gpu", default=False)


@contextmanager
def as_on_a_gpu() -> Iterator[None]:
    """In the block, a CPU takes the path of a GPU. It is for tests and for counting; nothing in the package uses it."""
    token = _AS_ON_A_GPU.set(True)
    try:
        yield
    finally:
        _AS_ON_A_GPU.reset(token)


def on_gpu_path(x: Tensor) -> bool:
    """Whether x is on another device than the CPU, or the block is `as_on_a_gpu`."""
    return x.device.type != "cpu" or (not torch.compiler.is_compiling() and _AS_ON_A_GPU.get())


def use_tiles(x: Tensor) -> bool:
    """Whether to work in tiles: only in float32 or float64 on the CPU.

    GPUs, the compiler and autocast work on whole maps.
    """
    if on_gpu_path(x) or x.dtype not in (torch.float32, torch.float64):
        return False
    return not torch.compiler.is_compiling() and not torch.is_autocast_enabled("cpu")


def use_tiles_without_grad(x: Tensor) -> bool:
    """`use_tiles` with autograd off: tiles may then be written into memory that is allocated already."""
    return use_tiles(x) and not torch.is_grad_enabled()


def use_tiles_with_grad(x: Tensor) -> bool:
    """`use_tiles` with autograd on and `x` of at least `LARGE_BYTES`: forward and backward both run in tiles."""
    return use_tiles(x) and save_less(x)


def save_less(x: Tensor) -> bool:
    """Whether autograd is on and `x` has at least `LARGE_BYTES`: what is cheap is then recomputed, on every device.

    The compiler decides for itself what to recompute.
    """
    return torch.is_grad_enabled() and x.nbytes >= LARGE_BYTES and not torch.compiler.is_compiling()


def positions_per_tile(x: Tensor, channels: int) -> int:
    """Number of positions in one tile if the largest intermediate has `channels` values per position."""
    return max(1, TILE_BYTES // (channels * x.element_size()))


class Tile(NamedTuple):
    """A range of images of `[B, H, W, ...]` and a range of their rows.

    Attributes:
        images: The images.
        rows: The rows.
        at_bottom: Whether `rows` ends at the lower border of the map.
    """

    images: slice
    rows: slice
    at_bottom: bool

    def read(self, x: Tensor, shift: int = 0) -> Tensor:
        """This tile of x, moved down by `shift` rows (fewer than the tile has). Rows wrap around at the border."""
        x, top, bottom = x[self.images], self.rows.start + shift, self.rows.stop + shift
        height = x.shape[1]
        return x[:, top:bottom] if bottom <= height else torch.cat([x[:, top:], x[:, : bottom - height]], dim=1)

    def write(self, x: Tensor, values: Tensor, shift: int = 0) -> None:
        """Write values to the positions of x that `read` returns."""
        x, top, bottom = x[self.images], self.rows.start + shift, self.rows.stop + shift
        height = x.shape[1]
        x[:, top:bottom] = values[:, : height - top]
        if bottom > height:
            x[:, : bottom - height] = values[:, height - top :]


def tiles(x: Tensor, channels: int, multiple: int = 1) -> Iterator[Tile]:
    """Divide `[B, H, W, ...]` into tiles.

    Args:
        x: The feature map.
        channels: Values per position of the largest intermediate result.
        multiple: The rows of every tile are a multiple of this; H must be one too.
    """
    images, height, width = x.shape[:3]
    positions = positions_per_tile(x, channels)
    if positions >= height * width:
        step = positions // (height * width)
        for first in range(0, images, step):
            yield Tile(slice(first, min(first + step, images)), slice(0, height), True)
        return
    step = max(1, positions // (width * multiple)) * multiple
    for image in range(images):
        for top in range(0, height, step):
            bottom = min(top + step, height)
            yield Tile(slice(image, image + 1), slice(top, bottom), bottom == height)
