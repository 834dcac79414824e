"""Double attention with a few latents for every cell of the map, which are mixed over the whole map.

The latents of a cell read its pixels (write), all latents attend to each other under the style (mix), and every pixel
attends to the latents of its cell (read). So a block reaches the whole map at little cost. The scheme is FIT's (Chen
and Li, 2023). The soft clustering is that of GANformer (Hudson and Zitnick, 2021); kMaX (Yu et al., 2022) assigns hard,
which needs a segmentation loss to learn.

The read has a softmax of its own, times a gate for every head that starts at 0: the block starts as double attention,
equal bit for bit. With the latents among the keys of a window they would dilute its softmax.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.model.blocks.adaptive_norm import AdaptiveInstanceNorm
from swincli.model.blocks.attention import GroupedAttention
from swincli.model.blocks.mlp import Mlp
from swincli.model.blocks.position import padded_sine_table
from swincli.ops.cpu_tiles import Tile, tiles
from swincli.ops.dot_product_attention import dot_product_attention
from swincli.ops.instance_norm import NormaliseTile
from swincli.ops.windows import WindowGrid
from swincli.recipe.networks import ModelSection

LATENTS = 4
"""Latents of a cell."""

MLP_RATIO = 4
"""Hidden channels of the MLP of latents, as a multiple of their channels."""

LARGE_MAP = 256
"""From this side on, cells are large: the latents of a map stay few."""

Write = Callable[[Tensor, Tensor, Tensor], Tensor]


def cell_side(resolution: int) -> int:
    """Side of a cell in pixels: 8, and 32 from 256 px, so that a map of 1024 px has 4,096 latents."""
    return 8 if resolution < LARGE_MAP else 32


def soft_clusters(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Means of the values of clusters with soft assignments: `[N, h, m, d], 2 of [N, h, K, d] -> [N, h, m, d]`.

    Every key divides itself among the m queries by a softmax over them. `softmax` attention instead divides every query
    among the keys.
    """
    logits: Tensor = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    shares = (logits.float() if logits.element_size() == 2 else logits).softmax(dim=-2)
    weights = shares / shares.sum(dim=-1, keepdim=True).clamp_min(1e-6)  # a cluster that no key chose
    return weights.to(v.dtype) @ v


ASSIGNMENTS: dict[str, Write] = {"softmax": dot_product_attention, "kmeans-soft": soft_clusters}
"""How latents read the pixels of their cell, from queries, keys and values."""


class LatentLayer(nn.Module):
    """Attention of all latents to each other and an MLP, with two residual connections and AdaIN by w.

    Args:
        channels: Channels of a latent.
        heads: Number of heads.
        latent_dim: Length of w.
        gamma_init: Initial scale of AdaIN.
    """

    def __init__(self, channels: int, heads: int, latent_dim: int, gamma_init: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = AdaptiveInstanceNorm(channels, latent_dim, gamma_init)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.norm2 = AdaptiveInstanceNorm(channels, latent_dim, gamma_init)
        self.mlp = Mlp(channels, MLP_RATIO * channels)

    def forward(self, latents: Tensor, w: Tensor) -> Tensor:
        """`[B, cells, m, C], [B, latent_dim] -> [B, cells, m, C]`."""
        qkv = self.qkv(self.norm1(latents, w)).flatten(1, 2).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4).contiguous()
        attended = dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        latents = latents + self.proj(attended).view(latents.shape)
        out: Tensor = latents + self.mlp(self.norm2(latents, w), w)
        return out


class LatentAttention(nn.Module):
    """Mixer `latent`: double attention, and attention to the latents of the pixel's cell behind a gate.

    A pixel reads the latents of its own cell, in regular and in shifted windows alike: the centre of a shifted window
    is the corner of four cells. State dicts have the names of double attention, and those of the latents.

    Args:
        windows: The double attention.
        channels: Channels in and out.
        heads: Number of heads.
        latent_dim: Length of w.
        gamma_init: Initial scale of AdaIN.
        assign: A key of `ASSIGNMENTS`.
        cell: Side of a cell in pixels.
    """

    def __init__(
        self,
        windows: GroupedAttention,
        channels: int,
        heads: int,
        latent_dim: int,
        *,
        gamma_init: float = 0.0,
        assign: str = "softmax",
        cell: int = 8,
    ) -> None:
        super().__init__()
        self.heads, self.write_by = heads, ASSIGNMENTS[assign]
        self.cells = WindowGrid(cell, 0)
        self.qkv, self.proj, self.halves = windows.qkv, windows.proj, windows.halves  # named as in double attention
        self._windows = (windows,)  # in a tuple it is no submodule, so its parameters have one name
        self.table = nn.Parameter(nn.init.trunc_normal_(torch.empty(LATENTS, channels), std=0.02))
        self.write_q = nn.Linear(channels, channels, bias=False)  # soft clusters do not depend on a bias
        self.mix = LatentLayer(channels, heads, latent_dim, gamma_init)
        self.read_kv = nn.Linear(channels, 2 * channels)
        self.gate = nn.Parameter(torch.zeros(heads))

    @property
    def windows(self) -> GroupedAttention:
        """The double attention."""
        return self._windows[0]

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """`[B, H, W, C], [B, latent_dim] -> [B, H, W, C]`."""
        qkv = self.windows.project(x)
        q, k, v = self._by_cells(qkv.flatten(4, 5))
        start = self._start(x)
        written = self._write(start, k, v).unflatten(0, (x.shape[0], -1))
        keys, values = self._to_read(self.mix(start + written, w))
        read = self.cells.reverse(dot_product_attention(q, keys, values).unflatten(0, self._grid(x)))
        out: Tensor = self.windows.proj(self.windows.attend(qkv) + read.flatten(3))
        return out

    def add_tiled(self, x: Tensor, normalise: NormaliseTile, out: Tensor, w: Tensor) -> None:
        """`out = x + forward(normalise(x), w)`, tile by tile and without autograd.

        Args:
            x: `[B, H, W, C]`.
            normalise: Normalises one tile of x.
            out: Memory for the result, of the shape of x.
            w: `[B, latent_dim]`.
        """
        start = self._start(x)
        written = start.new_empty(len(x), *start.shape)
        for tile in tiles(x, 2 * x.shape[-1], multiple=self.cells.side):
            k, v = self._by_cells(self._keys_values(normalise(tile.read(x), tile.images)))
            here = self._cells_of(tile, x)
            written[tile.images, here] = self._write(start[here], k, v).view_as(written[tile.images, here])
        keys, values = (part.unflatten(0, (len(x), -1)) for part in self._to_read(self.mix(start + written, w)))
        self.windows.attend_tiled(x, normalise, out)
        for tile in tiles(x, x.shape[-1], multiple=self.cells.side):
            rows, place = tile.read(x), (tile.images, self._cells_of(tile, x))
            (q,) = self._by_cells(self._queries(normalise(rows, tile.images)))
            read = dot_product_attention(q, keys[place].flatten(0, 1), values[place].flatten(0, 1))
            read = self.cells.reverse(read.unflatten(0, self._grid(rows))).flatten(3)
            tile.write(out, tile.read(out) + read)
        self.windows.project_tiled(x, out)

    def _cells_of(self, tile: Tile, x: Tensor) -> slice:
        """The cells of the rows of a tile, whole rows of cells."""
        columns = x.shape[2] // self.cells.side
        return slice(*(row // self.cells.side * columns for row in (tile.rows.start, tile.rows.stop)))

    def _start(self, x: Tensor) -> Tensor:
        """Latents before the write: a learned table and the position of the cell, `[cells, m, C]`."""
        rows, columns = (length // self.cells.side for length in x.shape[1:3])
        across, down = (
            padded_sine_table(length, x.shape[3], second, device=x.device, dtype=self.table.dtype)
            for length, second in ((columns, False), (rows, True))
        )
        return (self.table + across[:, None] + down[:, None, None]).flatten(0, 1)

    def _write(self, start: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """What latents read of their cells: `[cells, m, C], 2 of [B cells, h, cell², d] -> [B cells, m, C]`."""
        q = self.write_q(start).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        q = q.repeat(k.shape[0] // q.shape[0], 1, 1, 1)
        return self.write_by(q, k, v).transpose(1, 2).flatten(2)

    def _to_read(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Keys, and values times the gate, of mixed latents: `[B, cells, m, C] -> 2 of [B cells, h, m, d]`."""
        kv = self.read_kv(latents.flatten(0, 1)).unflatten(-1, (2, self.heads, -1))
        keys, values = kv.permute(2, 0, 3, 1, 4).contiguous()
        return keys, values * self.gate.tanh().to(values.dtype)[:, None, None]

    def _by_cells(self, x: Tensor) -> Tensor:
        """Divide maps into cells: `[B, H, W, n, h, d] -> [n, B cells, h, cell², d]`."""
        return self.cells.partition(x).flatten(1, 3)

    def _grid(self, x: Tensor) -> tuple[int, int, int]:
        """Images, rows of cells and columns of cells of `[B, H, W, C]`."""
        return x.shape[0], x.shape[1] // self.cells.side, x.shape[2] // self.cells.side

    def _queries(self, normal: Tensor) -> Tensor:
        """q of all heads: `[b, rows, W, C] -> [b, rows, W, 1, h, d]`."""
        layer, channels = self.windows.qkv, normal.shape[-1]
        out: Tensor = F.linear(normal, layer.weight[:channels], layer.bias[:channels]).unflatten(
            -1, (1, self.heads, -1)
        )
        return out

    def _keys_values(self, normal: Tensor) -> Tensor:
        """k and v of all heads: `[b, rows, W, C] -> [b, rows, W, 2, h, d]`."""
        layer, channels = self.windows.qkv, normal.shape[-1]
        kv = F.linear(normal, layer.weight[channels:], layer.bias[channels:])
        kv = kv.unflatten(-1, (2, -1, self.windows.head_dim))
        out: Tensor = kv.repeat_interleave(self.heads // kv.shape[-2], dim=-2)
        return out


class WithoutLatents(nn.Module):
    """Double attention in the place of `LatentAttention`, for the first block of a resolution. It does not use w.

    Args:
        windows: The attention.
    """

    def __init__(self, windows: GroupedAttention) -> None:
        super().__init__()
        self.qkv, self.proj, self.halves = windows.qkv, windows.proj, windows.halves
        self._windows = (windows,)  # as in `LatentAttention`

    def forward(self, x: Tensor, w: Tensor) -> Tensor:  # noqa: ARG002
        """`[B, H, W, C], [B, latent_dim] -> [B, H, W, C]`."""
        out: Tensor = self._windows[0](x)
        return out

    def add_tiled(self, x: Tensor, normalise: NormaliseTile, out: Tensor, w: Tensor) -> None:  # noqa: ARG002
        """As of `LatentAttention`."""
        self._windows[0].add_tiled(x, normalise, out)


def build(config: ModelSection, resolution: int, channels: int, index: int, assign: str) -> nn.Module:
    """The mixer by a recipe's [model] section: the second block of a resolution has latents."""
    windows = GroupedAttention(
        channels,
        config.heads_at(resolution),
        config.window_at(resolution),
        resolution,
        relative_bias=config.relative_bias,
        kv_heads=config.kv_heads_at(resolution),
        bias_init=config.bias_init,
        score_mask=config.score_mask,
    )
    if index % 2 == 0:
        return WithoutLatents(windows)
    return LatentAttention(
        windows,
        channels,
        config.heads_at(resolution),
        config.latent_dim,
        gamma_init=config.adain_gamma,
        assign=assign,
        cell=cell_side(resolution),
    )


def added_multiply_adds(config: ModelSection, resolution: int) -> int:
    """What latents add to the window attention of a block: write and read, their own layers, and their styles."""
    channels, latents = config.width_at(resolution), LATENTS * (resolution // cell_side(resolution)) ** 2
    linear = channels * (7 + 2 * MLP_RATIO) * channels  # write q; mix q, k, v, proj, MLP; read k, v
    of_pixels = resolution**2 * 4 * LATENTS * channels
    styles = 2 * config.latent_dim * 2 * channels
    return of_pixels + latents * (linear + 2 * latents * channels) + styles
