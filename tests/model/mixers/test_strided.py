"""Attention on a map of half the side, against its definition, pixel by pixel."""

from __future__ import annotations

import contextlib

import pytest
import torch
import torch.nn.functional as F
from float32_twins import check_float32
from torch import Tensor

from swincli.model.mixers.strided import StridedAttention, side_on_the_small_map
from swincli.ops import cpu_tiles
from swincli.ops.cpu_tiles import as_on_a_gpu

CHANNELS, HEADS = 8, 4


def mixer(side: int, resolution: int, kv_heads: int | None = None) -> StridedAttention:
    random = torch.Generator().manual_seed(1)
    module = StridedAttention(CHANNELS, HEADS, side, resolution, kv_heads=kv_heads).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=random)
    return module


def pixels(resolution: int, batch: int = 2) -> Tensor:
    torch.manual_seed(0)
    return torch.randn(batch, resolution, resolution, CHANNELS, dtype=torch.float64, requires_grad=True)


def convolved(x: Tensor, kernel: Tensor, stride: int) -> Tensor:
    size = kernel.shape[-1]
    reach = size // 2
    padded = F.pad(x, (0, 0, reach, reach, reach, reach))
    height, width = x.shape[1:3]
    taps = [padded[:, y : y + height : stride, z : z + width : stride] for y in range(size) for z in range(size)]
    return (torch.stack(taps, dim=-1) * kernel.flatten(1)).sum(dim=-1)


def doubled(x: Tensor) -> Tensor:
    """Bilinear upsampling: three quarters of the nearest pixel and a quarter of the next, along both axes."""
    for axis in (1, 2):
        before = torch.cat([x.narrow(axis, 0, 1), x.narrow(axis, 0, x.shape[axis] - 1)], dim=axis)
        after = torch.cat([x.narrow(axis, 1, x.shape[axis] - 1), x.narrow(axis, x.shape[axis] - 1, 1)], dim=axis)
        x = torch.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], dim=axis + 1).flatten(axis, axis + 1)
    return x


def plain(module: StridedAttention, x: Tensor) -> Tensor:
    windows = module.windows
    small = convolved(x, module.reduce, 2)
    kept = windows.proj
    try:
        windows.proj = torch.nn.Identity()
        attended = windows(small)
    finally:
        windows.proj = kept
    detail = convolved(x, module.detail, 1)
    return kept(F.gelu(doubled(attended) + detail))


def everything(function: object, module: StridedAttention, x: Tensor) -> list[Tensor]:
    inputs = [x, *module.parameters()]
    out = function(x)  # type: ignore[operator]
    first = torch.autograd.grad(out.tanh().square().sum(), inputs, create_graph=True)
    length = torch.stack([one.square().sum() for one in first]).sum()
    return [out, *first, *torch.autograd.grad(length, inputs)]


@pytest.mark.parametrize("way", ["CPU", "GPU"])
@pytest.mark.parametrize(("side", "resolution", "kv_heads"), [(4, 16, None), (4, 8, None), (4, 16, 2)])
def test_it_is_the_plain_one_with_both_gradients(way: str, side: int, resolution: int, kv_heads: int | None) -> None:
    module, x = mixer(side, resolution, kv_heads), pixels(resolution)
    with as_on_a_gpu() if way == "GPU" else contextlib.nullcontext():
        found = everything(module, module, x)
    for one, other in zip(found, everything(lambda x: plain(module, x), module, x), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9 * max(1, other.abs().max().item()))


@pytest.mark.parametrize("size", [1, 2**13, 2**21])
@pytest.mark.parametrize("side", [4, 8])
def test_in_tiles_it_is_the_same(monkeypatch: pytest.MonkeyPatch, size: int, side: int) -> None:
    module, x = mixer(side, 16), pixels(16).detach()
    with torch.no_grad():
        expected = x + module(2 * x + 1)
        monkeypatch.setattr(cpu_tiles, "TILE_BYTES", size)
        out = torch.empty_like(x)
        module.add_tiled(x, lambda values, images: 2 * values + 1, out)  # noqa: ARG005
    torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-10)


def test_the_detail_is_local_and_the_rest_is_not() -> None:
    module, x = mixer(8, 16), pixels(16, batch=1)

    def reached() -> set[tuple[int, int]]:
        (gradient,) = torch.autograd.grad(module(x)[0, 8, 7].sum(), x)
        return {(int(y), int(x)) for y, x in gradient[0].abs().sum(dim=-1).nonzero()}

    assert reached() == {(y, x) for y in range(16) for x in range(16)}
    with torch.no_grad():
        module.windows.qkv.weight.zero_()
    assert reached() == {(y, x) for y in range(5, 12) for x in range(4, 11)}


def test_it_commutes_with_shifts_by_two_windows_away_from_the_border() -> None:
    module, x = mixer(4, 32), pixels(32, batch=1).detach()

    def difference(step: int) -> float:
        moved = module(x.roll((step, step), (1, 2))).roll((-step, -step), (1, 2))
        inner = slice(13, 15)
        return (moved - module(x))[:, inner, inner].abs().max().item()

    assert difference(8) < 1e-12
    assert difference(4) > 1e-3
    assert difference(1) > 1e-3


def test_small_maps_attend_as_a_whole() -> None:
    sides = {resolution: side_on_the_small_map(resolution, 8) for resolution in (16, 32, 64, 256)}
    assert sides == {16: 8, 32: 16, 64: 8, 256: 8}


def test_in_float32_it_is_the_plain_one_to_1e_5() -> None:
    module, x = mixer(8, 16), pixels(16)
    check_float32(module, (x,), plain(module, x))
