"""Attention by PyTorch's fused kernel against the plain way: a GPU's path, run on the CPU."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from swincli.model.blocks.attention import GroupedAttention
from swincli.ops import fused_attention
from swincli.ops.cpu_tiles import as_on_a_gpu
from swincli.ops.fused_attention import fused_window_attention, kernel_is_right, largest_difference, use_fused
from swincli.ops.windows import WindowGrid

CPU, META = torch.device("cpu"), torch.device("meta")
Kernel = Callable[..., Tensor]
WRONG: dict[str, Callable[[Kernel], Kernel]] = {
    "no bias": lambda right: lambda q, k, v, bias, scale: right(q, k, v, None, scale),  # noqa: ARG005
    "wrong gradient of the bias": lambda right: (
        lambda q, k, v, bias, scale: right(q, k, v, bias.detach() + 0.5 * (bias - bias.detach()), scale)
    ),
    "NaN": lambda right: lambda *given: right(*given) * float("nan"),
    "NaN in one gradient": lambda right: lambda *given: right(*given).clone().detach() + given[0] * float("nan") * 0,
}


def attention_of(kind: str, block: int, side: int, *, relative_bias: bool = True) -> GroupedAttention:
    torch.manual_seed(0)
    module = GroupedAttention(16, 4, 4, side, kind=kind, block=block, relative_bias=relative_bias).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module


def everything(module: GroupedAttention, x: Tensor) -> list[Tensor]:
    """Output, gradients, and second gradients of a nonlinear function."""
    inputs = [x, *module.parameters()]
    out = module(x)
    first = torch.autograd.grad(out.tanh().square().sum(), inputs)
    again = torch.autograd.grad(module(x).tanh().square().sum(), inputs, create_graph=True)
    second = torch.autograd.grad(torch.stack([one.square().sum() for one in again]).sum(), inputs)
    return [out, *first, *again, *second]


@pytest.mark.parametrize("relative_bias", [True, False])
@pytest.mark.parametrize(
    ("kind", "block", "side"), [("double", 0, 12), ("double", 0, 4), ("single", 0, 8), ("single", 1, 8)]
)
def test_it_is_the_plain_one_with_both_gradients(
    monkeypatch: pytest.MonkeyPatch, kind: str, block: int, side: int, relative_bias: bool
) -> None:
    module = attention_of(kind, block, side, relative_bias=relative_bias)
    x = torch.randn(2, side, side, 16, dtype=torch.float64, requires_grad=True)
    plain = everything(module, x)
    for largest, whole in ((2**28, 0), (1, 0), (2**28, 2**22)):  # the bias' gradient at once, by row; a map in one call
        monkeypatch.setattr(fused_attention, "BIAS_GRADIENT_BYTES", largest)
        monkeypatch.setattr(fused_attention, "WHOLE_BIAS_BYTES", whole)
        with as_on_a_gpu():
            fused = everything(module, x)
        for one, other in zip(fused, plain, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12 * other.abs().max().item())


def test_only_the_windows_and_the_bias_are_kept() -> None:
    qkv = torch.randn(2, 16, 16, 3, 2, 1, 8, requires_grad=True)
    bias = torch.randn(2, 1, 64, 64, requires_grad=True)
    kept: list[Tensor] = []

    def pack(value: Tensor) -> Tensor:
        kept.append(value)
        return value

    with as_on_a_gpu(), torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        fused_window_attention(qkv, (WindowGrid(8, 0), WindowGrid(8, 4)), bias)
    assert sorted(value.numel() for value in kept) == sorted([qkv.numel(), bias.numel()])


@pytest.mark.parametrize("dim", [4, 8])
def test_the_self_test_passes_in_every_precision(dim: int) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        assert largest_difference(CPU, dtype, dim, side=4) < fused_attention.TOLERANCE[dtype] / 4
        assert kernel_is_right(CPU, dtype, dim, side=4)


@pytest.mark.parametrize("fault", WRONG)
def test_the_self_test_finds_a_wrong_kernel(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    fused_attention._passes.cache_clear()
    monkeypatch.setattr(fused_attention, "scaled_dot_product", WRONG[fault](fused_attention.scaled_dot_product))
    assert not kernel_is_right(CPU, torch.float32, 8, side=4)
    fused_attention._passes.cache_clear()


def test_a_device_without_the_kernel_takes_the_plain_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object) -> Tensor:
        raise RuntimeError("No available kernel")

    fused_attention._passes.cache_clear()
    monkeypatch.setattr(fused_attention, "scaled_dot_product", absent)
    assert not kernel_is_right(CPU, torch.float32, 8, side=4)
    fused_attention._passes.cache_clear()


def test_who_takes_it() -> None:
    grids = (WindowGrid(4, 0), WindowGrid(4, 2))
    qkv = torch.empty(1, 8, 8, 3, 2, 1, 4)
    assert not use_fused(qkv, grids)
    assert use_fused(qkv.to(META), grids)
    with as_on_a_gpu():
        assert use_fused(qkv, grids)
        assert not use_fused(qkv, (WindowGrid(4, 0), WindowGrid(8, 0)))


def test_large_maps_need_no_large_masks() -> None:
    mask = fused_attention.seam_mask(8, 128, (0, 4))
    assert mask.nbytes <= 2**23
    assert torch.equal(mask[:, :-1, 0], torch.zeros_like(mask[:, :-1, 0]))
    assert torch.equal(mask[:, :, 0], torch.zeros_like(mask[:, :, 0]))  # the regular group is not masked
    assert mask[0, :-1].abs().max() == 0
    assert (mask[1, -1, 1].isfinite().sum(dim=-1) == 16).all()  # a quarter of a corner's window


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("side", [4, 8, 16])
def test_cudas_kernel_passes_the_self_test(side: int, dtype: torch.dtype) -> None:
    for dim in (4, 8, 16, 32):
        assert largest_difference(torch.device("cuda"), dtype, dim, side) < fused_attention.TOLERANCE[dtype], dim


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_cuda_runs_the_efficient_kernel() -> None:
    module = GroupedAttention(32, 4, 8, 16).cuda()
    with torch.profiler.profile() as profile:
        module(torch.randn(2, 16, 16, 32, device="cuda", requires_grad=True)).sum().backward()
    assert any("efficient_attention_backward" in event.name for event in profile.events())
