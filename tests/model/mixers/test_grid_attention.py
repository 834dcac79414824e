"""The mixer `grid`: half of the heads in windows, half on a strided grid."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from float32_twins import check_float32
from plain_networks import window_attention
from torch import Tensor

from swincli.model.blocks.attention import GroupedAttention
from swincli.model.mixers.grid import GridAttention
from swincli.ops.cpu_tiles import as_on_a_gpu


def grid_attention(side: int = 16, *, seed: int = 0, **options: object) -> GridAttention:
    torch.manual_seed(seed)
    module = GridAttention(16, 4, 8, side, **options).double()  # type: ignore[arg-type]
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module


def permuted(x: Tensor, side: int) -> Tensor:
    """The map with its rows and columns in the order in which a grid's positions lie side by side."""
    step = x.shape[1] // side
    order = torch.arange(x.shape[1]).view(side, step).t().flatten()
    return x[:, order][:, :, order]


def twin(module: GridAttention, x: Tensor, kv_heads: int = 4) -> Tensor:
    """Windows on the map, and windows on the map that is rearranged so that a grid is a window."""
    batch, side, _, channels = x.shape
    qkv = F.linear(x, module.qkv.weight, module.qkv.bias).view(batch, side, side, -1, 4)
    q, k, v = qkv.split([4, kv_heads, kv_heads], dim=3)
    k, v = (part[..., torch.arange(4) * kv_heads // 4, :] for part in (k, v))
    windows, grid = module.halves
    first = window_attention(*(part[..., :2, :] for part in (q, k, v)), windows.position_bias, 8, windows.shift)
    rearranged = window_attention(*(permuted(part[..., 2:, :], 8) for part in (q, k, v)), grid.position_bias, 8, 0)
    back = torch.arange(side).view(8, side // 8).t().flatten().argsort()
    second = rearranged[:, back][:, :, back]
    joined = torch.cat([first, second], dim=3).reshape(batch, side, side, channels)
    return F.linear(joined, module.proj.weight, module.proj.bias)


@pytest.mark.parametrize("block", [0, 1])
@pytest.mark.parametrize("kv_heads", [4, 2])
def test_it_is_its_twin_on_every_path(block: int, kv_heads: int) -> None:
    module = grid_attention(block=block, kv_heads=kv_heads)
    x = torch.randn(2, 16, 16, 16, dtype=torch.float64)
    wanted = twin(module, x, kv_heads)
    with torch.no_grad():
        out = torch.empty_like(x)
        module.add_tiled(x, lambda values, images: values, out)  # noqa: ARG005
        torch.testing.assert_close(out, x + wanted, rtol=1e-10, atol=1e-10)
    for context in (nullcontext(), as_on_a_gpu()):
        with context:
            torch.testing.assert_close(module(x), wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("block", [0, 1])
def test_windows_move_in_the_second_block(block: int) -> None:
    assert [half.shift for half in grid_attention(block=block).halves] == [4 * block, 0]
    assert [half.shift for half in grid_attention(8, block=block).halves] == [0, 0]  # full attention


def test_at_the_size_of_a_window_it_is_double_attention() -> None:
    module, double = grid_attention(8), GroupedAttention(16, 4, 8, 8).double()
    double.load_state_dict(module.state_dict())  # the same names and shapes
    x = torch.randn(2, 8, 8, 16, dtype=torch.float64)
    torch.testing.assert_close(module(x), double(x), rtol=1e-10, atol=1e-12)


def test_each_half_sees_its_own_positions() -> None:
    module = grid_attention()
    torch.nn.init.eye_(module.proj.weight)
    x = torch.randn(1, 16, 16, 16, dtype=torch.float64, requires_grad=True)
    out = module(x)
    (in_window,) = torch.autograd.grad(out[0, 5, 10, 0], x, retain_graph=True)
    (on_grid,) = torch.autograd.grad(out[0, 5, 10, 15], x)
    window, lattice = torch.zeros(2, 16, 16, dtype=torch.bool)
    window[:8, 8:] = True
    lattice[5 % 2 :: 2, 10 % 2 :: 2] = True  # a step of 16 / 8
    assert torch.equal(in_window[0].abs().sum(dim=2) > 0, window)
    assert torch.equal(on_grid[0].abs().sum(dim=2) > 0, lattice)


def test_the_grid_commutes_with_permutations_of_positions_inside_a_cell() -> None:
    module = grid_attention(32)
    torch.nn.init.eye_(module.proj.weight)
    torch.nn.init.zeros_(module.proj.bias)
    x = torch.randn(1, 32, 32, 16, dtype=torch.float64)
    inner = torch.tensor([2, 0, 3, 1])
    order = (4 * torch.arange(8)[:, None] + inner).flatten()
    moved = module(x[:, order][:, :, order])
    wanted = module(x)[:, order][:, :, order]
    torch.testing.assert_close(moved[..., 8:], wanted[..., 8:])
    assert not torch.allclose(moved[..., :8], wanted[..., :8])


def test_fewer_heads_of_keys_and_values_have_fewer_weights() -> None:
    shared, full = grid_attention(kv_heads=2), grid_attention()
    assert shared.qkv.weight.shape == (16 + 2 * 2 * 4, 16)
    rows = torch.arange(8).view(2, 4)[[0, 0, 1, 1]].flatten()  # heads 0 and 1 of q share head 0 of k
    weights = dict(shared.state_dict())
    for name in ("qkv.weight", "qkv.bias"):
        q, k, v = weights[name].split([16, 8, 8])
        weights[name] = torch.cat([q, k[rows], v[rows]])
    full.load_state_dict(weights)
    x = torch.randn(1, 16, 16, 16, dtype=torch.float64)
    torch.testing.assert_close(shared(x), full(x))


def test_without_a_table_there_is_no_bias() -> None:
    module = grid_attention(relative_bias=False)
    assert [name for name, _ in module.named_parameters()] == ["qkv.weight", "qkv.bias", "proj.weight", "proj.bias"]
    x = torch.randn(1, 16, 16, 16, dtype=torch.float64)
    out = module(x)
    with as_on_a_gpu():
        torch.testing.assert_close(module(x), out)
    with torch.no_grad():
        torch.testing.assert_close(module(x), out)


def test_in_float32_it_is_its_twin_to_1e_5() -> None:
    module, x = grid_attention(block=1), torch.randn(2, 16, 16, 16, dtype=torch.float64)
    check_float32(module, (x,), twin(module, x))
