"""The tiled MLP: each input has its gradient, whichever others are frozen."""

from __future__ import annotations

import contextlib
import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from swincli.ops import cpu_tiles
from swincli.ops import mlp as fast_mlp
from swincli.ops.mlp import mlp

SHAPES = ((2, 5, 3), (6, 3), (6,), (4, 6), (4,))
NAMES = ("x", "expand", "expand_bias", "contract", "contract_bias")
SUBSETS = [names for count in (1, 2, 5) for names in itertools.combinations(NAMES, count)]


def plain_mlp(x: Tensor, expand: Tensor, expand_bias: Tensor, contract: Tensor, contract_bias: Tensor) -> Tensor:
    return F.linear(F.gelu(F.linear(x, expand, expand_bias)), contract, contract_bias)


@pytest.mark.parametrize("way", ["tiles", "whole", "whole, wide"])
@pytest.mark.parametrize("trained", SUBSETS, ids=",".join)
def test_gradients_of_any_inputs_are_the_plain_ones(
    monkeypatch: pytest.MonkeyPatch, trained: tuple[str, ...], way: str
) -> None:
    monkeypatch.setattr(cpu_tiles, "LARGE_BYTES", 0)
    monkeypatch.setattr(fast_mlp, "NARROW", 0 if "wide" in way else 64)
    random = torch.Generator().manual_seed(0)
    inputs = [torch.randn(shape, generator=random, dtype=torch.float64) for shape in SHAPES]
    for name, value in zip(NAMES, inputs, strict=True):
        value.requires_grad_(name in trained)
    asked = [value for value in inputs if value.requires_grad]
    with contextlib.nullcontext() if way == "tiles" else cpu_tiles.as_on_a_gpu():
        ours, plain = (torch.autograd.grad(layer(*inputs).square().sum(), asked) for layer in (mlp, plain_mlp))
    for one, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
