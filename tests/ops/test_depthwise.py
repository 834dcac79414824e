"""Depthwise convolution: values, first and second gradients against a plain one, in tiles and on a GPU's path."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from swincli.ops import cpu_tiles
from swincli.ops.depthwise import Padding, depthwise, halos

PADDINGS: list[Padding] = ["zeros", "reflect", "circular"]


def naive(x: Tensor, weight: Tensor, bias: Tensor, padding: Padding) -> Tensor:
    """Every neighbourhood as a vector, and its product with the kernel."""
    size = weight.shape[-1]
    mode = "constant" if padding == "zeros" else padding
    padded = F.pad(x.permute(0, 3, 1, 2), 4 * [size // 2], mode=mode)
    return torch.einsum("bchwij,cij->bhwc", padded.unfold(2, size, 1).unfold(3, size, 1), weight[:, 0]) + bias


def drawn(dtype: torch.dtype = torch.float64, height: int = 9) -> list[Tensor]:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, height, 8, 5), torch.randn(5, 1, 7, 7), torch.randn(5)
    return [value.to(dtype).requires_grad_() for value in (x, weight, bias)]


def with_gradients(result: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    """The result, the gradients of a sum of it, and second gradients of all of them, as of path length."""
    (slope,) = torch.autograd.grad(result.sin().sum(), inputs[:1], create_graph=True)
    second = torch.autograd.grad(slope.square().sum(), inputs[:2], retain_graph=True)
    first = torch.autograd.grad(result.sin().sum(), inputs)
    return [result, *first, *second]


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("as_on_a_gpu", [False, True])
def test_values_and_gradients_are_those_of_a_plain_one(
    padding: Padding, as_on_a_gpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_tiles, "LARGE_BYTES", 1)
    inputs = drawn()
    with cpu_tiles.as_on_a_gpu() if as_on_a_gpu else nullcontext():
        fast = with_gradients(depthwise(*inputs, padding), inputs)
    for one, other in zip(fast, with_gradients(naive(*inputs, padding), inputs), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


@pytest.mark.parametrize("padding", PADDINGS)
def test_float32_and_no_bias(padding: Padding) -> None:
    x, weight, bias = drawn(torch.float32)
    expected = naive(x, weight, torch.zeros_like(bias), padding)
    grad = torch.randn_like(x)
    fast = torch.autograd.grad(depthwise(x, weight, None, padding), (x, weight), grad)
    for one, other in zip(fast, torch.autograd.grad(expected, (x, weight), grad), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-4)


def test_in_bfloat16_the_gradients_are_those_of_float64_but_for_the_last_rounding() -> None:
    """Under autocast no map is worked on in tiles, whose sums would be in bfloat16."""
    torch.manual_seed(0)
    x, weight = torch.rand(2, 128, 128, 3, requires_grad=True), torch.rand(3, 1, 7, 7, requires_grad=True)
    grad = torch.rand(2, 128, 128, 3).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        out = depthwise(x, weight, None)
    found = torch.autograd.grad(out, (x, weight), grad)
    exact = [value.detach().bfloat16().double().requires_grad_() for value in (x, weight)]
    expected = torch.autograd.grad(naive(*exact, torch.zeros(3).double(), "zeros"), exact, grad.double())
    for one, other in zip(found, expected, strict=True):
        assert ((one - other).abs() / other).max() < 2**-8  # all terms are positive


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("rows", [1, 2, 4, 9])
def test_tiles_with_halos_make_the_whole_map(padding: Padding, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, bias = drawn()
    monkeypatch.setattr(cpu_tiles, "TILE_BYTES", rows * x[0, 0].nbytes)
    out = torch.empty_like(x)
    with torch.no_grad():
        for halo in halos(x, x.shape[-1], 3, padding):
            values = halo.read(x)
            halo.tile.write(out, halo.convolve(values, weight, bias))
            if padding == "zeros":
                assert torch.equal(halo.inside(values), halo.tile.read(x))
    torch.testing.assert_close(out, depthwise(x, weight, bias, padding), rtol=0, atol=1e-12)


def test_only_the_input_is_saved_and_it_is_contiguous() -> None:
    x, weight, bias = drawn(torch.float32)
    saved: list[Tensor] = []

    def pack(value: Tensor) -> Tensor:
        saved.append(value)
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        depthwise(x, weight, bias)
    assert [value.shape for value in saved] == [x.shape, weight.shape, bias.shape]
    assert saved[0].is_contiguous()


def test_meta_tensors_and_autocast() -> None:
    x, weight, bias = (value.detach() for value in drawn(torch.float32))
    assert depthwise(x.to("meta"), weight.to("meta"), bias.to("meta")).shape == x.shape
    with torch.autocast("cpu", torch.bfloat16):
        rounded = depthwise(x, weight, bias)
    assert rounded.dtype == torch.bfloat16
    assert (rounded - depthwise(x, weight, bias)).abs().max() < 0.3
