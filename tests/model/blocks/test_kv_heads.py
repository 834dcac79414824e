"""Fewer heads for keys and values: attention with repeated heads of the weights is the twin."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from swincli.model.blocks.attention import GroupedAttention
from swincli.ops.cpu_tiles import as_on_a_gpu

CHANNELS, HEADS, SIDE = 16, 4, 4
CASES = [("double", 2), ("double", 4), ("single", 1), ("single", 2)]


def attention_of(kind: str, kv_heads: int | None) -> GroupedAttention:
    torch.manual_seed(0)
    module = GroupedAttention(CHANNELS, HEADS, SIDE, 8, kind=kind, block=1, kv_heads=kv_heads).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module


def repeated(values: Tensor, kv_heads: int) -> Tensor:
    """Rows of the projection with every head of k and v repeated for the heads that it serves."""
    dim = CHANNELS // HEADS
    q, k, v = values.split([CHANNELS, kv_heads * dim, kv_heads * dim])
    k, v = (part.unflatten(0, (kv_heads, dim)).repeat_interleave(HEADS // kv_heads, 0).flatten(0, 1) for part in (k, v))
    return torch.cat([q, k, v])


def twin_of(module: GroupedAttention, kind: str, kv_heads: int) -> GroupedAttention:
    twin = attention_of(kind, None)
    state = module.state_dict()
    for name in ("qkv.weight", "qkv.bias"):
        state[name] = repeated(state[name], kv_heads)
    twin.load_state_dict(state)
    return twin


def everything(module: GroupedAttention, x: Tensor) -> list[Tensor]:
    """The output, its gradient and a second gradient."""
    out = module(x)
    (first,) = torch.autograd.grad(out.tanh().square().sum(), x, create_graph=True)
    return [out, first, torch.autograd.grad(first.square().sum(), x)[0]]


@pytest.mark.parametrize(("kind", "kv_heads"), CASES)
def test_it_is_attention_with_repeated_heads(kind: str, kv_heads: int) -> None:
    module = attention_of(kind, kv_heads)
    twin, x = twin_of(module, kind, kv_heads), torch.randn(2, 8, 8, CHANNELS, dtype=torch.float64, requires_grad=True)
    expected = everything(twin, x)
    with as_on_a_gpu():
        on_gpu = everything(module, x)
    for found in (everything(module, x), on_gpu):
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("kind", "kv_heads"), CASES)
def test_in_tiles_it_is_the_same(kind: str, kv_heads: int) -> None:
    module, x = attention_of(kind, kv_heads), torch.randn(2, 8, 8, CHANNELS, dtype=torch.float64)
    with torch.no_grad():
        out = torch.empty_like(x)
        module.add_tiled(x, lambda values, images: 2 * values, out)  # noqa: ARG005
        torch.testing.assert_close(out, x + module(2 * x), rtol=1e-10, atol=1e-12)


def test_the_projection_has_as_many_rows_as_said() -> None:
    features = {kv_heads: attention_of("double", kv_heads).qkv.out_features for kv_heads in (None, 4, 2)}
    assert features == {None: 48, 4: 48, 2: 32}  # C + 2 kv_heads d


def test_every_weight_has_a_gradient() -> None:
    module = attention_of("double", 2)
    module(torch.randn(1, 8, 8, CHANNELS, dtype=torch.float64)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in module.parameters())
