"""Depthwise convolution with a stride, against its definition, with both gradients and in tiles."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from swincli.ops import cpu_tiles, strided_depthwise
from swincli.ops.cpu_tiles import as_on_a_gpu
from swincli.ops.strided_depthwise import depthwise_tiled


def inputs(size: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    x, kernel = torch.randn(2, 8, 4, 3, dtype=torch.float64), torch.randn(3, 1, size, size, dtype=torch.float64)
    return x.requires_grad_(), kernel.requires_grad_()


def plain(x: Tensor, kernel: Tensor, stride: int) -> Tensor:
    size = kernel.shape[-1]
    padded = F.pad(x, (0, 0, *4 * (size // 2,)))
    taps = [
        padded[:, y : y + x.shape[1] : stride, z : z + x.shape[2] : stride] for y in range(size) for z in range(size)
    ]
    return (torch.stack(taps, dim=-1) * kernel.flatten(1)).sum(dim=-1)


def everything(function: object, x: Tensor, kernel: Tensor, stride: int) -> list[Tensor]:
    out = function(x, kernel, stride)  # type: ignore[operator]
    first = torch.autograd.grad(out.tanh().square().sum(), (x, kernel))
    again = torch.autograd.grad(
        function(x, kernel, stride).tanh().square().sum(),  # type: ignore[operator]
        (x, kernel),
        create_graph=True,
    )
    length = torch.stack([one.square().sum() for one in again]).sum()
    return [out, *first, *torch.autograd.grad(length, (x, kernel))]


@pytest.mark.parametrize("way", ["tiles", "one tile", "GPU, large", "GPU, small"])
@pytest.mark.parametrize(("size", "stride"), [(3, 2), (5, 2), (7, 1), (3, 4)])
def test_it_is_the_plain_one_with_both_gradients(
    monkeypatch: pytest.MonkeyPatch, size: int, stride: int, way: str
) -> None:
    x, kernel = inputs(size)
    expected = everything(plain, x, kernel, stride)
    monkeypatch.setattr(cpu_tiles, "TILE_BYTES", 1 if way == "tiles" else 2**21)
    monkeypatch.setattr(cpu_tiles, "LARGE_BYTES", 0 if way == "GPU, large" else 2**23)
    if "GPU" in way:
        with as_on_a_gpu():
            found = everything(strided_depthwise.strided_depthwise, x, kernel, stride)
    else:
        found = everything(strided_depthwise.strided_depthwise, x, kernel, stride)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("bytes_of_a_tile", [1, 2**21])
@pytest.mark.parametrize(("size", "stride"), [(3, 2), (7, 1)])
def test_in_tiles_without_autograd_it_is_the_same(
    monkeypatch: pytest.MonkeyPatch, size: int, stride: int, bytes_of_a_tile: int
) -> None:
    monkeypatch.setattr(cpu_tiles, "TILE_BYTES", bytes_of_a_tile)
    x, kernel = inputs(size)
    with torch.no_grad():
        out = depthwise_tiled(x, lambda values, images: values + 1, kernel, stride)  # noqa: ARG005
        torch.testing.assert_close(out, plain(x + 1, kernel, stride), rtol=1e-10, atol=1e-10)


def test_it_keeps_its_input_as_it_is() -> None:
    x, kernel = (value.detach().float().requires_grad_() for value in inputs(3))
    kept: list[Tensor] = []

    def pack(value: Tensor) -> Tensor:
        kept.append(value)
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        strided_depthwise.strided_depthwise(x, kernel, 2)
    assert [value.shape for value in kept] == [x.shape, kernel.shape]
    assert all(value.is_contiguous() for value in kept)
