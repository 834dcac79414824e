"""The MLP with modulated weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from swincli.model.blocks.mlp import ModulatedLinear


def test_the_norm_of_modulated_weights_is_float32_under_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layer, x, w = ModulatedLinear(64, 32, 8), torch.randn(2, 4, 4, 64), torch.randn(2, 8)
    norms: list[Tensor] = []
    addcmul: Any = torch.addcmul
    monkeypatch.setattr(torch, "addcmul", lambda bias, out, norm: norms.append(norm) or addcmul(bias, out, norm))
    layer(x, w)
    with torch.autocast("cpu", torch.bfloat16):
        layer(x, w)
    assert torch.equal(*norms)
