"""Mixers in float32 beside their definition in float64."""

from __future__ import annotations

import copy
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from swincli.ops.cpu_tiles import as_on_a_gpu

TOLERANCE = 1e-5
"""Largest difference, in parts of the largest value."""


def check_float32(module: nn.Module, inputs: tuple[Tensor, ...], exact: Tensor) -> None:
    """Check every way of a mixer in float32 against the result of its plain twin in float64.

    Args:
        module: The mixer, in float64. It stays as it is.
        inputs: The map, and w if the mixer takes it, in float64.
        exact: The result of the twin.
    """
    single = copy.deepcopy(module).float()
    x, *others = (each.detach().float() for each in inputs)
    limit = TOLERANCE * exact.abs().max()
    for way in (nullcontext(), as_on_a_gpu()):
        with way:
            assert (single(x, *others) - exact).abs().max() < limit
    with torch.no_grad():
        assert (single(x, *others) - exact).abs().max() < limit
        if hasattr(single, "add_tiled"):
            out = torch.empty_like(x)
            single.add_tiled(x, lambda values, images: values, out, *others)  # noqa: ARG005
            assert (out - x - exact).abs().max() < limit
