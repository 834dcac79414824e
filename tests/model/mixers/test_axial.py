"""Attention along the axes, against its definition."""

from __future__ import annotations

import contextlib

import pytest
import torch
import torch.nn.functional as F
from float32_twins import check_float32
from torch import Tensor

from swincli.model.mixers import axial
from swincli.model.mixers.axial import AxialAttention, axis_decay, rotated
from swincli.ops import cpu_tiles
from swincli.ops.cpu_tiles import as_on_a_gpu

CHANNELS, HEADS = 12, 2


def mixer(block: int = 0) -> AxialAttention:
    random = torch.Generator().manual_seed(1)
    module = AxialAttention(CHANNELS, HEADS, block=block).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=random)
    return module


def pixels(height: int = 4, width: int = 8) -> Tensor:
    torch.manual_seed(0)
    return torch.randn(2, height, width, CHANNELS, dtype=torch.float64, requires_grad=True)


def turned(x: Tensor, place: Tensor) -> Tensor:
    """Pairs of channels as complex numbers, times `exp(i angle)`; `x` is `[..., d]`, `place` as x without d."""
    pairs = x.shape[-1] // 2
    angle = place[..., None] / 10_000 ** (torch.arange(pairs) / max(pairs - 1, 1))
    number = torch.complex(x[..., :pairs], x[..., pairs:]) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat([number.real, number.imag], dim=-1)


def plain(module: AxialAttention, x: Tensor, *, rotates: bool = True, decays: bool = True) -> Tensor:
    height, width = x.shape[1:3]
    q, k, v = module.qkv(x).unflatten(-1, (3, HEADS, -1)).unbind(3)
    taps = F.pad(v.flatten(3), (0, 0, 2, 2, 2, 2)).unfold(1, height, 1).unfold(2, width, 1)  # [B, 5, 5, C, H, W]
    local = torch.einsum("byzchw,cyz->bhwc", taps, module.local[:, 0]) + module.local_bias
    for lines in module.order:
        rows = lines == axial.ROWS
        length = width if rows else height
        place = torch.arange(length, dtype=torch.float64)
        where = place if rows else place[:, None]
        places = where.expand(height, width)[None, :, :, None].expand(q.shape[:-1])
        one, other = (turned(each, places) if rotates else each for each in (q, k))
        pattern = "byihd,byjhd->byhij" if rows else "bixhd,bjxhd->bxhij"
        logits = torch.einsum(pattern, one, other) / (CHANNELS // HEADS) ** 0.5
        if decays:
            rate = torch.tensor([1 - 2 ** -(2 + 4 * head / HEADS) for head in range(HEADS)], dtype=torch.float64).log()
            logits = logits + rate[:, None, None] * (place[:, None] - place).abs()
        weights = logits.softmax(dim=-1)
        v = torch.einsum("byhij,byjhd->byihd" if rows else "bxhij,bjxhd->bixhd", weights, v)
    return module.proj(v.flatten(3) + local)


def everything(function: object, module: AxialAttention, x: Tensor) -> list[Tensor]:
    inputs = [x, *module.parameters()]
    out = function(x)  # type: ignore[operator]
    first = torch.autograd.grad(out.tanh().square().sum(), inputs, create_graph=True)
    length = torch.stack([one.square().sum() for one in first]).sum()
    return [out, *first, *torch.autograd.grad(length, inputs)]


@pytest.mark.parametrize("block", [0, 1])
@pytest.mark.parametrize("way", ["whole", "pieces", "GPU"])
def test_it_is_the_plain_one_with_both_gradients(monkeypatch: pytest.MonkeyPatch, way: str, block: int) -> None:
    module, x = mixer(block), pixels()
    if way == "pieces":
        monkeypatch.setattr(cpu_tiles, "LARGE_BYTES", 0)
        monkeypatch.setattr(cpu_tiles, "TILE_BYTES", 1)
    with as_on_a_gpu() if way == "GPU" else contextlib.nullcontext():
        found = everything(module, module, x)
    for one, other in zip(found, everything(lambda x: plain(module, x), module, x), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7 * max(1, other.abs().max().item()))


def test_without_decay_and_rotation_it_is_row_then_column_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(axial, "axis_decay", lambda *sizes, device: torch.zeros(1, dtype=torch.float64, device=device))  # noqa: ARG005
    monkeypatch.setattr(axial, "rotated", lambda x: x)
    module, x = mixer(), pixels()
    torch.testing.assert_close(module(x), plain(module, x, rotates=False, decays=False), rtol=1e-11, atol=1e-11)


def test_the_other_order_is_that_of_the_transposed_map() -> None:
    rows, columns, x = mixer(0), mixer(1), pixels()
    with torch.no_grad():
        columns.local.copy_(rows.local.transpose(2, 3))
        there = columns(x.transpose(1, 2)).transpose(1, 2)
        torch.testing.assert_close(there, rows(x), rtol=1e-11, atol=1e-11)
        assert (columns(x) - rows(x)).abs().max() > 1e-3


def test_a_position_reaches_the_whole_map() -> None:
    module, x = mixer(), pixels()
    (gradient,) = torch.autograd.grad(module(x)[0, 3, 0].sum(), x)
    assert (gradient.abs().sum(dim=-1) > 0).flatten(1).all(dim=1).tolist() == [True, False]  # of its own image


def test_decay_is_the_same_both_ways_and_falls_with_the_distance() -> None:
    decay = axis_decay(2, 5)
    assert torch.equal(decay, decay.transpose(1, 2))
    torch.testing.assert_close(decay[:, 0, 3], 3 * torch.tensor([0.75, 0.9375]).log())


def test_a_rotation_keeps_lengths_and_depends_on_the_offset_only() -> None:
    x, y = torch.randn(2, 1, 1, 1, 5, dtype=torch.float64).expand(-1, -1, -1, 6, -1)  # an odd width
    torch.testing.assert_close(rotated(x).norm(dim=-1), x.norm(dim=-1), rtol=1e-6, atol=0)
    products = (rotated(x) @ rotated(y).transpose(-1, -2))[0, 0]
    torch.testing.assert_close(products[:-1, :-1], products[1:, 1:], rtol=1e-5, atol=1e-6)
    assert (products[0, 1:] - products[0, :-1]).abs().min() > 1e-6


@pytest.mark.parametrize("block", [0, 1])
def test_in_float32_it_is_the_plain_one_to_1e_5(block: int) -> None:
    module, x = mixer(block), pixels(16, 16)
    check_float32(module, (x,), plain(module, x))
