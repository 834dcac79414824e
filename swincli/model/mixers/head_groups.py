"""How one projection to q, k and v is divided into head groups, with fewer heads of k and v on request.

With fewer of them, several heads of q share k and v: grouped-query attention (Ainslie et al., 2023), or multi-query
attention (Shazeer, 2019) with one in each group.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class HeadGroups(NamedTuple):
    """The head groups of an attention layer. The projection gives q of all heads, then k, then v.

    Attributes:
        dim: Channels of a head.
        heads: Heads of q in every group.
        shared: Heads of q that share one of k and v; 1 for none.
    """

    dim: int
    heads: tuple[int, ...]
    shared: int = 1

    @property
    def width(self) -> int:
        """Channels out of the projection."""
        heads = sum(self.heads)
        return self.dim * (heads + 2 * (heads // self.shared))

    def split(self, qkv: Tensor) -> list[Tensor]:
        """The result of the projection for every group: `[B, H, W, width] -> [B, H, W, 3, h, d]` each."""
        if self.shared == 1:
            return list(qkv.unflatten(-1, (3, -1, self.dim)).split(self.heads, dim=4))
        heads = sum(self.heads)
        q, k, v = qkv.unflatten(-1, (-1, self.dim)).split([heads, heads // self.shared, heads // self.shared], dim=3)
        whole = torch.stack([q, *(values.repeat_interleave(self.shared, dim=3) for values in (k, v))], dim=3)
        return list(whole.split(self.heads, dim=4))

    def projection_of(self, layer: nn.Linear, group: int) -> Callable[[Tensor], Tensor]:
        """The part of the projection that makes one group's q, k and v: `[b, rows, W, C] -> [b, rows, W, 3, h, d]`."""
        weight, bias = (
            torch.cat([values[part] for part in self._rows(group)]) for values in (layer.weight, layer.bias)
        )
        alone = HeadGroups(self.dim, (self.heads[group],), self.shared)
        return lambda x: alone.split(F.linear(x, weight, bias))[0]

    def _rows(self, group: int) -> list[slice]:
        """Rows of the projection's weight that make a group's q, k and v."""
        heads, first = sum(self.heads), sum(self.heads[:group])
        last, starts = first + self.heads[group], (0, heads, heads + heads // self.shared)
        ranges = [(first, last), *2 * [(first // self.shared, last // self.shared)]]
        return [
            slice(self.dim * (start + begin), self.dim * (start + end))
            for start, (begin, end) in zip(starts, ranges, strict=True)
        ]
