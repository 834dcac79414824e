"""Window attention to strided keys, against double attention and against attention over all pixels with a mask."""

from __future__ import annotations

import contextlib

import pytest
import torch
import torch.nn.functional as F
from float32_twins import check_float32
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from swincli.model.blocks.attention import GroupedAttention
from swincli.model.mixers.kv2 import StridedKeyAttention, StridedKeyWindows
from swincli.ops import cpu_tiles
from swincli.ops.cpu_tiles import as_on_a_gpu

CHANNELS, HEADS = 8, 4


def filled(module: torch.nn.Module) -> torch.nn.Module:
    random = torch.Generator().manual_seed(1)
    for parameter in module.double().parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=random)
    return module


def mixer(side: int, resolution: int, *, relative_bias: bool = True) -> StridedKeyAttention:
    module = filled(StridedKeyAttention(CHANNELS, HEADS, side, resolution, relative_bias=relative_bias))
    assert isinstance(module, StridedKeyAttention)
    return module


def pixels(resolution: int, batch: int = 2) -> Tensor:
    torch.manual_seed(0)
    return torch.randn(batch, resolution, resolution, CHANNELS, dtype=torch.float64, requires_grad=True)


def everything(module: torch.nn.Module, x: Tensor) -> list[Tensor]:
    """The output, gradients and second gradients."""
    inputs = [x, *module.parameters()]
    out = module(x)
    first = torch.autograd.grad(out.tanh().square().sum(), inputs)
    again = torch.autograd.grad(module(x).tanh().square().sum(), inputs, create_graph=True)
    length = torch.stack([one.square().sum() for one in again]).sum()
    return [out, *first, *torch.autograd.grad(length, inputs)]


@pytest.mark.parametrize(("side", "resolution"), [(4, 8), (4, 4)])
def test_without_a_stride_and_with_a_kernel_that_does_nothing_it_is_double_attention(
    side: int, resolution: int
) -> None:
    double = filled(GroupedAttention(CHANNELS, HEADS, side, resolution))
    module = StridedKeyAttention(CHANNELS, HEADS, side, resolution, stride=1).double()
    state = double.state_dict()
    with torch.no_grad():
        module.reduce.zero_()[:, :, 1, 1] = 1
        for ours, theirs in (("weight", "qkv.weight"), ("bias", "qkv.bias")):
            rows = state.pop(theirs)
            state |= {f"q.{ours}": rows[:CHANNELS], f"kv.{ours}": rows[CHANNELS:]}
        module.load_state_dict(state | {"reduce": module.reduce})
    x = pixels(resolution)
    out, expected = module(x), double(x)
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)
    found, wanted = (torch.autograd.grad(each.square().sum(), x)[0] for each in (out, expected))
    torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-11)


def plain_group(group: StridedKeyWindows, q: Tensor, kv: Tensor) -> Tensor:
    """Attention over all pixels and keys; those outside the (shifted) window are masked. `[B, H, W, h, d]`."""
    height, width, dim = q.shape[1], q.shape[2], q.shape[-1]
    side, stride, shift = group.side, group.stride, group.shift

    def places(step: int) -> tuple[Tensor, Tensor]:
        lines = torch.arange(0, height, step), torch.arange(0, width, step)
        y, x = torch.meshgrid(*lines, indexing="ij")
        return y.flatten(), x.flatten()

    (y, x), (key_y, key_x) = places(1), places(stride)
    together = ((y - shift) // side)[:, None] == (key_y - shift) // side
    together &= ((x - shift) // side)[:, None] == (key_x - shift) // side
    logits = torch.einsum("bihd,bjhd->bhij", q.flatten(1, 2), kv[:, :, :, 0].flatten(1, 2)) * dim**-0.5
    if group.position_bias is not None:
        reach = side - stride
        dy, dx = (y[:, None] - key_y).clamp(-reach, side - 1), (x[:, None] - key_x).clamp(-reach, side - 1)
        table = group.position_bias.unflatten(0, (2 * side - stride, -1))
        logits = logits + table[dy + reach, dx + reach].permute(2, 0, 1)
    weights = logits.masked_fill(~together, float("-inf")).softmax(dim=-1)
    return torch.einsum("bhij,bjhd->bihd", weights, kv[:, :, :, 1].flatten(1, 2)).reshape(q.shape)


def plain(module: StridedKeyAttention, x: Tensor) -> Tensor:
    heads = (2, HEADS // 2, CHANNELS // HEADS)
    padded = F.pad(x, (0, 0, 1, 1, 1, 1))
    taps = [padded[:, y : y + x.shape[1] : 2, z : z + x.shape[2] : 2] for y in range(3) for z in range(3)]
    strided = (torch.stack(taps, dim=-1) * module.reduce.flatten(1)).sum(dim=-1)
    q, kv = module.q(x).unflatten(-1, heads), module.kv(strided).unflatten(-1, (2, *heads))
    groups = [
        plain_group(group, q[:, :, :, number], kv[:, :, :, :, number])
        for number, group in enumerate(module.head_groups)
    ]
    return module.proj(torch.cat(groups, dim=3).flatten(3))


@pytest.mark.parametrize("relative_bias", [True, False])
@pytest.mark.parametrize(("side", "resolution"), [(4, 8), (8, 16), (8, 8)])
@pytest.mark.parametrize("way", ["whole", "pieces", "GPU"])
def test_it_is_the_plain_one_with_both_gradients(
    monkeypatch: pytest.MonkeyPatch, way: str, side: int, resolution: int, relative_bias: bool
) -> None:
    module, x = mixer(side, resolution, relative_bias=relative_bias), pixels(resolution)
    if way == "pieces":
        monkeypatch.setattr(cpu_tiles, "LARGE_BYTES", 0)
        monkeypatch.setattr(cpu_tiles, "TILE_BYTES", 1)
    with as_on_a_gpu() if way == "GPU" else contextlib.nullcontext():
        found = everything(module, x)
    out = plain(module, x)
    first = torch.autograd.grad(out.tanh().square().sum(), [x, *module.parameters()], create_graph=True)
    length = torch.stack([one.square().sum() for one in first]).sum()
    expected = [out, *first, *torch.autograd.grad(length, [x, *module.parameters()])]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9 * max(1, other.abs().max().item()))


@pytest.mark.parametrize("size", [1, 2**12, 2**21])
@pytest.mark.parametrize(("side", "resolution"), [(4, 16), (8, 8), (8, 16)])
def test_in_tiles_it_is_the_same(monkeypatch: pytest.MonkeyPatch, size: int, side: int, resolution: int) -> None:
    module, x = mixer(side, resolution), pixels(resolution).detach()
    with torch.no_grad():
        expected = x + module(2 * x + 1)
        monkeypatch.setattr(cpu_tiles, "TILE_BYTES", size)
        out = torch.empty_like(x)
        module.add_tiled(x, lambda values, images: 2 * values + 1, out)  # noqa: ARG005
    torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("side", [4, 8])
def test_a_pixel_reads_its_window_and_one_pixel_before_it(side: int) -> None:
    module, x = mixer(side, 4 * side), pixels(4 * side, batch=1)
    for number, shift in enumerate((0, side // 2)):
        with torch.no_grad():
            module.proj.weight.zero_().fill_diagonal_(1)
        width = CHANNELS // 2
        place = shift + side, shift + side + 1
        out = module(x)[0, place[0], place[1], number * width : (number + 1) * width].sum()
        (gradient,) = torch.autograd.grad(out, x)
        rows, columns = gradient[0].abs().sum(dim=-1).nonzero().unbind(1)
        first = shift + side - 1  # the 3x3 kernel of the first key of the window
        for line in (rows, columns):
            assert sorted(set(line.tolist())) == list(range(first, first + side + 1))


def test_it_commutes_with_shifts_by_a_window_away_from_the_border() -> None:
    module, x = mixer(4, 16), pixels(16).detach()

    def difference(step: int) -> float:
        moved = module(x.roll((step, step), (1, 2))).roll((-step, -step), (1, 2))
        inner = slice(4, 8)  # neither way at the border
        return (moved - module(x))[:, inner, inner].abs().max().item()

    assert difference(4) < 1e-12
    assert difference(1) > 1e-3
    assert difference(2) > 1e-3


def test_its_cost_and_its_parameters() -> None:
    channels, heads, side, resolution = 32, 4, 8, 16
    module = StridedKeyAttention(channels, heads, side, resolution)
    with FlopCounterMode(display=False) as counter:
        module(torch.randn(1, resolution, resolution, channels, requires_grad=True))
    of_a_pixel = counter.get_total_flops() / 2 / resolution**2
    assert of_a_pixel == pytest.approx(2.5 * channels**2 + 2.25 * channels + 32 * channels, rel=0.02)
    count = sum(parameter.numel() for parameter in module.parameters())
    assert count == 4 * channels**2 + 4 * channels + 9 * channels + 14**2 * heads


def test_in_float32_it_is_the_plain_one_to_1e_5() -> None:
    module, x = mixer(8, 16), pixels(16)
    check_float32(module, (x,), plain(module, x))
