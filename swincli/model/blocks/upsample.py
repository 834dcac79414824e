"""The step from one resolution of G to the next: upsampling by 2, another width, a position encoding."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.model.blocks.position import POSITIONS
from swincli.ops import cpu_tiles
from swincli.ops.checkpointing import recompute_saved
from swincli.ops.precision import as_autocast
from swincli.recipe.schema import ModelSection

UPSAMPLINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "bilinear": functools.partial(F.interpolate, scale_factor=2, mode="bilinear", align_corners=False),
    "nearest": functools.partial(F.interpolate, scale_factor=2, mode="nearest"),
}
"""Ways to upsample features `[B, C, H, W]` by 2."""


class Upsample(nn.Module):
    """Upsampling by 2, layer norm, a linear layer that changes the width, and a position encoding.

    The position encoding has a learned strength, which starts at 0.

    Args:
        config: The recipe's [model] section.
        resolution: Side of the upsampled map.
        inputs: Channels in.
        outputs: Channels out.
    """

    def __init__(self, config: ModelSection, resolution: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.interpolate = UPSAMPLINGS[config.upsampling]
        self.norm = nn.LayerNorm(inputs)
        self.reduction = nn.Linear(inputs, outputs, bias=False)
        encoding = POSITIONS[config.position]
        self.position_strength = nn.Parameter(torch.zeros(1)) if encoding else None
        self.position = encoding(resolution, outputs) if encoding else None

    def forward(self, x: Tensor, *, recompute_norm: bool = True) -> Tensor:
        """`[B, H, W, C] -> [B, 2H, 2W, C']`; `recompute_norm` as in `Block`."""
        tiled = cpu_tiles.use_tiles_without_grad(x)
        x = self._upsample_tiled(x) if tiled else self._upsample(x, recompute=recompute_norm)
        return x if self.position is None else self.position(x, self.position_strength)

    def _upsample(self, x: Tensor, *, recompute: bool = True) -> Tensor:
        """All but the position encoding; with `recompute`, the two large maps are recomputed in the backward pass."""

        def upsampled() -> Tensor:
            return self.interpolate(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

        large = upsampled()
        with recompute_saved(large, upsampled) if recompute else contextlib.nullcontext():
            (normal,) = as_autocast(self.norm(large))

        def remake() -> Tensor:
            made: Tensor = self.norm(upsampled())
            return made.to(normal.dtype)

        with recompute_saved(normal, remake) if recompute else contextlib.nullcontext():
            out: Tensor = self.reduction(normal)
        return out

    def _upsample_tiled(self, x: Tensor) -> Tensor:
        """`_upsample` tile by tile, without autograd. A tile includes one row above and below, for interpolation."""
        batch, height, width, channels = x.shape
        out = x.new_empty(batch, 2 * height, 2 * width, self.reduction.out_features)
        for tile in cpu_tiles.tiles(x, 4 * channels):
            top, bottom = max(0, tile.rows.start - 1), min(height, tile.rows.stop + 1)
            upsampled = self._upsample(x[tile.images, top:bottom])
            skipped, rows = 2 * (tile.rows.start - top), 2 * (tile.rows.stop - tile.rows.start)
            out[tile.images, 2 * tile.rows.start : 2 * tile.rows.stop] = upsampled[:, skipped : skipped + rows]
        return out
