"""The mixer `na`: neighbourhood attention with a dilation for each head group."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from float32_twins import check_float32
from torch import Tensor, nn

from swincli.model.mixers.neighbourhood import NeighbourhoodAttention, Neighbourhoods
from swincli.ops.cpu_tiles import as_on_a_gpu


def neighbourhood(dilations: tuple[int, ...] = (1, 2), heads: int = 4, **options: bool) -> NeighbourhoodAttention:
    torch.manual_seed(0)
    module = NeighbourhoodAttention(4 * heads, heads, 8, dilations, **options).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module


def along(length: int, dilation: int, kernel: int = 7) -> tuple[Tensor, Tensor]:
    """The k keys of every query along one axis, and their entries of the table: int64 `[length, k]` each."""
    keys, entries = [], []
    for query in range(length):
        place, last = query // dilation, length // dilation - 1
        centre = min(max(place, kernel // 2), last - kernel // 2)
        near = range(centre - kernel // 2, centre + kernel // 2 + 1)
        keys.append([j * dilation + query % dilation for j in near])
        entries.append([j - place + kernel - 1 for j in near])
    return torch.tensor(keys), torch.tensor(entries)


def twin(module: NeighbourhoodAttention, x: Tensor) -> Tensor:
    """Gather the k² neighbours of every position, and attend to them."""
    batch, side, _, channels = x.shape
    heads = sum(group.heads for group in module.groups)
    q, k, v = F.linear(x, module.qkv.weight, module.qkv.bias).view(batch, side, side, 3, heads, -1).unbind(3)
    results, first = [], 0
    for group in module.groups:
        own = slice(first, first + group.heads)
        first += group.heads
        keys, entries = along(side, group.dilation)
        near_k, near_v = (
            part[:, keys[:, None, :, None], keys[None, :, None, :], own].flatten(3, 4) for part in (k, v)
        )  # [B, H, W, k², h, d]
        bias = group.position_bias[:, entries[:, None, :, None], entries[None, :, None, :]].flatten(3)
        logits = torch.einsum("byxhd,byxnhd->byxhn", q[..., own, :], near_k) * q.shape[-1] ** -0.5
        weights = (logits + bias.permute(1, 2, 0, 3)).softmax(dim=-1)
        results.append(torch.einsum("byxhn,byxnhd->byxhd", weights, near_v))
    return F.linear(
        torch.cat(results, dim=3).reshape(batch, side, side, channels), module.proj.weight, module.proj.bias
    )


@pytest.mark.parametrize(
    ("side", "dilations", "heads"),
    [(8, (1,), 2), (16, (1, 2), 2), (16, (1,), 2), (24, (1, 3), 2), (32, (1, 2, 4), 4), (32, (1, 2, 4), 2)],
)  # the last one has a group without heads, as na-all at large maps
def test_it_is_its_twin_on_every_path(side: int, dilations: tuple[int, ...], heads: int) -> None:
    module = neighbourhood(dilations, heads)
    x = torch.randn(2, side, side, 4 * heads, dtype=torch.float64)
    wanted = twin(module, x)
    with torch.no_grad():
        out = torch.empty_like(x)
        module.add_tiled(x, lambda values, images: values, out)  # noqa: ARG005
        torch.testing.assert_close(out, x + wanted, rtol=1e-10, atol=1e-10)
    for context in (nullcontext(), as_on_a_gpu()):
        with context:
            torch.testing.assert_close(module(x), wanted, rtol=1e-10, atol=1e-10)


def test_on_a_map_of_the_neighbourhoods_size_it_is_full_attention() -> None:
    module = neighbourhood((1,))
    module.groups = nn.ModuleList([Neighbourhoods(4, 7, 7, 1).double()])
    table = torch.nn.init.normal_(module.groups[0].position_bias)
    x = torch.randn(2, 7, 7, 16, dtype=torch.float64)
    q, k, v = F.linear(x, module.qkv.weight, module.qkv.bias).view(2, 49, 3, 4, 4).permute(2, 0, 3, 1, 4)
    step = torch.arange(7) - torch.arange(7)[:, None] + 6  # from a query to a key along an axis, [7, 7]
    bias = table[:, step[:, None, :, None], step[None, :, None, :]].reshape(4, 49, 49)
    out = F.scaled_dot_product_attention(q, k, v, bias).transpose(1, 2).reshape(2, 7, 7, 16)
    wanted = F.linear(out, module.proj.weight, module.proj.bias)
    for context in (nullcontext(), as_on_a_gpu()):
        with context:
            torch.testing.assert_close(module(x), wanted)


def test_heads_that_do_not_divide_go_to_the_last_dilations() -> None:
    assert [group.heads for group in neighbourhood((1, 2, 4), heads=8).groups] == [2, 3, 3]
    assert [tuple(group.position_bias.shape) for group in neighbourhood((1, 2)).groups] == 2 * [(2, 13, 13)]


@pytest.mark.parametrize("position", [(8, 9), (0, 15)])
def test_each_half_sees_49_positions_of_its_lattice(position: tuple[int, int]) -> None:
    module = neighbourhood()
    torch.nn.init.eye_(module.proj.weight)
    x = torch.randn(1, 16, 16, 16, dtype=torch.float64, requires_grad=True)
    out = module(x)
    for channel, dilation in ((0, 1), (15, 2)):
        (gradient,) = torch.autograd.grad(out[0, *position, channel], x, retain_graph=True)
        keys, _ = along(16, dilation)
        near = torch.zeros(16, 16, dtype=torch.bool)
        near[keys[position[0]][:, None], keys[position[1]]] = True
        assert near.sum() == 49
        assert torch.equal(gradient[0].abs().sum(dim=2) > 0, near)


def test_a_shift_by_one_position_commutes_in_the_interior() -> None:
    module = neighbourhood((1,))
    x = torch.randn(1, 24, 24, 16, dtype=torch.float64)
    shifted, still = module(x.roll((1, 1), (1, 2))), module(x).roll((1, 1), (1, 2))
    torch.testing.assert_close(shifted[:, 5:-4, 5:-4], still[:, 5:-4, 5:-4])
    assert not torch.allclose(shifted[:, :4, :4], still[:, :4, :4])


def test_without_a_table_there_is_no_bias() -> None:
    module, zeros = neighbourhood(relative_bias=False), neighbourhood()
    assert [name for name, _ in module.named_parameters()] == ["qkv.weight", "qkv.bias", "proj.weight", "proj.bias"]
    zeros.load_state_dict(module.state_dict(), strict=False)
    for group in zeros.groups:
        torch.nn.init.zeros_(group.position_bias)
    x = torch.randn(1, 16, 16, 16, dtype=torch.float64)
    wanted = zeros(x)
    with torch.no_grad():
        torch.testing.assert_close(module(x), wanted)
    for context in (nullcontext(), as_on_a_gpu()):
        with context:
            torch.testing.assert_close(module(x), wanted)


def test_in_float32_it_is_its_twin_to_1e_5() -> None:
    module, x = neighbourhood(), torch.randn(2, 16, 16, 16, dtype=torch.float64)
    check_float32(module, (x,), twin(module, x))
