"""Attention in the tiles of a lattice, on every path, against plain attention over all positions of the map."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor

from swincli.model.mixers.neighbourhood import neighbour_index
from swincli.ops import cpu_tiles, fused_lattice, lattice_attention
from swincli.ops.cpu_tiles import as_on_a_gpu
from swincli.ops.fused_attention import TOLERANCE
from swincli.ops.fused_lattice import kernel_is_right, largest_difference
from swincli.ops.lattice import Lattice, plain_lattice_attention

CPU = torch.device("cpu")
SIDE, KERNEL, HEADS, DIM = 4, 3, 2, 3
MAPS = {  # height, width, dilation: one tile, two, three with an inner one, and interleaved maps of each
    "one tile": (4, 4, 1),
    "the first and the last tile": (8, 8, 1),
    "inner tiles": (12, 16, 1),
    "dilated, one tile": (8, 8, 2),
    "dilated, inner tiles": (24, 24, 2),
}
PATHS = ("plain", "tiled with autograd", "as on a GPU")


def entries(length: int, dilation: int) -> Tensor:
    """Along one axis: the table's entry for every query and key, -1 outside the neighbourhood. By the definition."""
    table = torch.full((length, length), -1)
    radius, last = KERNEL // 2, length // dilation - 1
    for query in range(length):
        i = query // dilation
        centre = min(max(i, radius), last - radius)
        for j in range(centre - radius, centre + radius + 1):
            table[query, j * dilation + query % dilation] = j - i + KERNEL - 1
    return table


def neighbours(height: int, width: int, dilation: int) -> tuple[Tensor, Tensor, Tensor]:
    """Which pairs attend, bool `[H W, H W]`, and their entries along both axes."""
    y, x = entries(height, dilation), entries(width, dilation)
    y, x = y[:, None, :, None].expand(-1, width, -1, width), x[None, :, None, :].expand(height, -1, height, -1)
    y, x = (entry.reshape(height * width, height * width) for entry in (y, x))
    return (y >= 0) & (x >= 0), y, x


def attention_twin(qkv: Tensor, bias: Tensor) -> Tensor:
    """Attention of all positions, with a bias `[h, H W, H W]`: `[B, H, W, 3, h, d] -> [B, H, W, h, d]`."""
    q, k, v = qkv.flatten(1, 2).permute(2, 0, 3, 1, 4)
    weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + bias).softmax(dim=-1)
    return (weights @ v).transpose(1, 2).reshape(*qkv.shape[:3], *qkv.shape[4:])


def neighbourhood_twin(qkv: Tensor, table: Tensor, dilation: int) -> Tensor:
    inside, y, x = neighbours(qkv.shape[1], qkv.shape[2], dilation)
    return attention_twin(qkv, table[:, y.clamp(min=0), x.clamp(min=0)].masked_fill(~inside, float("-inf")))


def lattice_of(height: int, dilation: int) -> Lattice:
    return Lattice(SIDE, dilation, 0 if height == SIDE * dilation else KERNEL // 2)


def bias_of(table: Tensor, lattice: Lattice) -> Tensor:
    index = neighbour_index(KERNEL, SIDE, not lattice.halo)
    bias = table.flatten(1)[:, index.clamp(min=0)].permute(1, 2, 0, 3, 4)
    return bias.masked_fill((index < 0)[:, :, None], float("-inf"))


def material(height: int, width: int, batch: int = 2) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    length = 2 * KERNEL - 1
    qkv = torch.randn(batch, height, width, 3, HEADS, DIM, dtype=torch.float64, requires_grad=True)
    return qkv, torch.randn(HEADS, length, length, dtype=torch.float64, requires_grad=True)


def everything(attend: Callable[[Tensor, Tensor], Tensor], qkv: Tensor, table: Tensor) -> list[Tensor]:
    """Output, gradients, and second gradients of a nonlinear function."""
    inputs = (qkv, table)
    out = attend(qkv, table)
    first = torch.autograd.grad(out.tanh().square().sum(), inputs)
    again = torch.autograd.grad(attend(qkv, table).tanh().square().sum(), inputs, create_graph=True)
    second = torch.autograd.grad(torch.stack([one.square().sum() for one in again]).sum(), inputs)
    return [out, *first, *again, *second]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", MAPS)
def test_neighbourhoods_are_the_definition_with_both_gradients(
    monkeypatch: pytest.MonkeyPatch, name: str, path: str
) -> None:
    height, width, dilation = MAPS[name]
    qkv, table = material(height, width)
    lattice = lattice_of(height, dilation)
    if path == "tiled with autograd":
        monkeypatch.setattr(cpu_tiles, "LARGE_BYTES", 0)
        monkeypatch.setattr(lattice_attention, "TILE_BYTES", 1)  # one image at a time
    monkeypatch.setattr(fused_lattice, "BIAS_GRADIENT_BYTES", 1)  # the bias' gradient line by line

    def attend(qkv: Tensor, table: Tensor) -> Tensor:
        return lattice_attention.lattice_attention(qkv, lattice, bias_of(table, lattice))

    with as_on_a_gpu() if path == "as on a GPU" else nullcontext():
        found = everything(attend, qkv, table)
    wanted = everything(lambda qkv, table: neighbourhood_twin(qkv, table, dilation), qkv, table)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12 * other.abs().max().item())


@pytest.mark.parametrize("name", MAPS)
def test_bands_without_autograd_are_the_definition(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    height, width, dilation = MAPS[name]
    qkv, table = material(height, width, batch=3)
    lattice = lattice_of(height, dilation)
    wanted = neighbourhood_twin(qkv, table, dilation)
    with torch.no_grad():
        bias = bias_of(table, lattice)
        torch.testing.assert_close(lattice_attention.lattice_attention(qkv, lattice, bias), wanted)
        for band in (2**20, 1):  # all lines at once, and one line of one image
            monkeypatch.setattr(lattice_attention, "BAND_BYTES", band)
            out = torch.empty_like(wanted)
            x = qkv.flatten(3)
            lattice_attention.attend_tiled(x, lambda rows, _: rows.unflatten(3, (3, HEADS, DIM)), lattice, bias, out)
            torch.testing.assert_close(out, wanted)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("learned", [True, False])
def test_a_strided_grid_is_attention_over_every_third_position(
    monkeypatch: pytest.MonkeyPatch, path: str, learned: bool
) -> None:
    torch.manual_seed(0)
    qkv = torch.randn(2, 12, 12, 3, HEADS, DIM, dtype=torch.float64, requires_grad=True)
    table = torch.randn(HEADS, 16, 16, dtype=torch.float64, requires_grad=learned)
    position = torch.arange(12)
    together, place = position % 3 == position[:, None] % 3, position // 3
    both = (together[:, None, :, None] & together[None, :, None]).reshape(144, 144)
    inside = (4 * place[:, None] + place).flatten()
    if path == "tiled with autograd":
        monkeypatch.setattr(cpu_tiles, "LARGE_BYTES", 0)
    with as_on_a_gpu() if path == "as on a GPU" else nullcontext():
        out = lattice_attention.lattice_attention(qkv, Lattice(4, 3), table[None, None])
    pairs = table[:, inside[:, None], inside].masked_fill(~both, float("-inf"))
    twin = attention_twin(qkv, pairs)
    torch.testing.assert_close(out, twin)
    inputs = (qkv, table) if learned else (qkv,)
    gradients = (torch.autograd.grad(result.tanh().sum(), inputs) for result in (out, twin))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("lattice", [Lattice(4), Lattice(4, 3), Lattice(4, 2, 1)])
def test_queries_and_their_assembly_are_inverse(lattice: Lattice) -> None:
    x = torch.randn(2, 24, 24, 2, 3)
    assert torch.equal(lattice.assemble(lattice.queries(x), 2), x)
    line = lattice.line_of_queries(x[:, :: lattice.dilation][:, :4])
    out = torch.empty(2, 4, 24, 2, 3)
    lattice.write_line(line, out)
    assert torch.equal(out, x[:, :: lattice.dilation][:, :4])


def test_only_qkv_and_the_bias_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    qkv, table = material(12, 12)
    lattice = lattice_of(12, 1)
    bias = bias_of(table, lattice)
    monkeypatch.setattr(cpu_tiles, "LARGE_BYTES", 0)
    for context in (nullcontext(), as_on_a_gpu()):
        kept: list[int] = []
        with context, torch.autograd.graph.saved_tensors_hooks(lambda value, kept=kept: kept.append(value.numel()), id):
            lattice_attention.lattice_attention(qkv, lattice, bias)
        assert sorted(kept) == sorted([qkv.numel(), bias.numel()])


@pytest.mark.parametrize("lattice", [Lattice(4, 2), Lattice(4, 2, 1)])
def test_the_self_test_passes_in_every_precision(lattice: Lattice) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        assert largest_difference(CPU, dtype, 4, lattice) < TOLERANCE[dtype] / 4
        assert kernel_is_right(CPU, dtype, 4, lattice.side, lattice.halo)


def test_the_self_test_finds_a_wrong_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    right = fused_lattice.scaled_dot_product
    for wrong in (
        lambda q, k, v, bias, scale: right(q, k, v, None, scale),  # noqa: ARG005
        lambda q, k, v, bias, scale: right(q, k, v, bias.detach() + 0.5 * (bias - bias.detach()), scale),
        lambda *given: right(*given) * float("nan"),
    ):
        fused_lattice._passes.cache_clear()
        monkeypatch.setattr(fused_lattice, "scaled_dot_product", wrong)
        assert not kernel_is_right(CPU, torch.float32, 4, 4, 1)
    fused_lattice._passes.cache_clear()


def test_rows_of_the_bias_are_aligned_for_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    right, strides = fused_lattice.scaled_dot_product, set()

    def seen(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, scale: float) -> Tensor:
        strides.add(bias.stride(2) % 8)
        return right(q, k, v, bias, scale)

    monkeypatch.setattr(fused_lattice, "scaled_dot_product", seen)
    qkv, table = material(12, 12)  # 36 keys
    with as_on_a_gpu():
        out = lattice_attention.lattice_attention(qkv, lattice_of(12, 1), bias_of(table, lattice_of(12, 1)))
        torch.autograd.grad(out.sum(), table)
    assert strides == {0}


def test_bfloat16_is_near() -> None:
    qkv, table = material(12, 12)
    lattice = lattice_of(12, 1)
    bias = bias_of(table, lattice).float()
    wanted = plain_lattice_attention(qkv.float(), lattice, bias)
    for context in (nullcontext(), as_on_a_gpu()):
        with context:
            out = lattice_attention.lattice_attention(qkv.bfloat16(), lattice, bias)
        assert out.dtype == torch.bfloat16
        assert (out - wanted).abs().max() < 0.05
