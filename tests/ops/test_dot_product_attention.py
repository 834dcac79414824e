"""Attention of queries to other keys: in pieces and by a GPU's kernel it is the plain one, with both gradients."""

from __future__ import annotations

import contextlib

import pytest
import torch
from torch import Tensor

from swincli.ops import cpu_tiles
from swincli.ops import dot_product_attention as operation
from swincli.ops.cpu_tiles import as_on_a_gpu
from swincli.ops.dot_product_attention import dot_product_attention, kernel_is_right, largest_difference

CPU = torch.device("cpu")


def inputs(*, biased: bool) -> list[Tensor]:
    torch.manual_seed(0)
    shapes = [(3, 2, 5, 4), (3, 2, 7, 4), (3, 2, 7, 4), *([(2, 5, 7)] if biased else [])]
    return [torch.randn(shape, dtype=torch.float64) for shape in shapes]


def plain(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """The definition, for one query after the other."""
    rows = []
    for number in range(q.shape[2]):
        logits = (q[:, :, number, None] * k).sum(dim=-1) / q.shape[-1] ** 0.5
        logits = logits if bias is None else logits + bias[:, number]
        weights = logits.exp() / logits.exp().sum(dim=-1, keepdim=True)
        rows.append((weights[..., None] * v).sum(dim=2))
    return torch.stack(rows, dim=2)


def everything(attention: object, given: list[Tensor], trained: int) -> list[Tensor]:
    """The output, its gradients and second gradients, of the inputs from `trained` on."""
    leaves = [value.clone().requires_grad_(number >= trained) for number, value in enumerate(given)]
    asked = leaves[trained:]
    out = attention(*leaves)  # type: ignore[operator]
    first = torch.autograd.grad(out.tanh().square().sum(), asked)
    again = torch.autograd.grad(attention(*leaves).tanh().square().sum(), asked, create_graph=True)  # type: ignore[operator]
    length = torch.stack([gradient.square().sum() for gradient in again]).sum()
    return [out, *first, *again, *torch.autograd.grad(length, asked)]


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("way", ["whole", "pieces", "GPU", "GPU, bias in pieces"])
def test_it_is_the_plain_one_with_both_gradients(monkeypatch: pytest.MonkeyPatch, way: str, biased: bool) -> None:
    given = inputs(biased=biased)
    expected = everything(plain, given, 0)
    if way == "pieces":
        monkeypatch.setattr(cpu_tiles, "LARGE_BYTES", 0)
        monkeypatch.setattr(cpu_tiles, "TILE_BYTES", 2 * 2 * 5 * 7 * 8)  # two of the three elements
    monkeypatch.setattr(operation, "BIAS_GRADIENT_BYTES", 1 if "pieces" in way else 2**28)
    with as_on_a_gpu() if "GPU" in way else contextlib.nullcontext():
        found = everything(dot_product_attention, given, 0)
        with torch.no_grad():
            found.append(dot_product_attention(*given))
    for one, other in zip(found, [*expected, expected[0]], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


def test_a_bias_that_is_not_learned_has_no_gradient_and_hides_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_tiles, "LARGE_BYTES", 0)
    q, k, v, bias = inputs(biased=True)
    bias[:, :, 3:] = float("-inf")
    v.requires_grad_()
    out = dot_product_attention(q, k, v, bias)
    torch.testing.assert_close(out, plain(q, k[:, :, :3], v[:, :, :3], bias[:, :, :3]))
    (gradient,) = torch.autograd.grad(out.sum(), v)
    assert torch.equal(gradient[:, :, 3:], torch.zeros_like(gradient[:, :, 3:]))


def test_only_the_inputs_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_tiles, "LARGE_BYTES", 0)
    given = [value.float().requires_grad_() for value in inputs(biased=True)]
    kept: list[Tensor] = []

    def pack(value: Tensor) -> Tensor:
        kept.append(value)
        return value

    for way in (contextlib.nullcontext(), as_on_a_gpu()):
        kept.clear()
        with way, torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
            dot_product_attention(*given)
        assert [value.shape for value in kept] == [value.shape for value in given]


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("dim", [4, 8])
def test_the_self_test_passes_in_every_precision(dim: int, biased: bool) -> None:
    with as_on_a_gpu():
        for dtype in (torch.float32, torch.bfloat16):
            assert largest_difference(CPU, dtype, dim, 16, 4, biased=biased) < operation.TOLERANCE[dtype] / 2


def test_the_self_test_finds_a_wrong_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    right = operation.scaled_dot_product
    for wrong in (
        lambda q, k, v, bias, scale: right(q, k, v, None, scale),  # noqa: ARG005
        lambda *given: right(*given) * float("nan"),
    ):
        operation._passes.cache_clear()
        monkeypatch.setattr(operation, "scaled_dot_product", wrong)
        with as_on_a_gpu():
            assert not kernel_is_right(CPU, torch.float32, 8, 16, 4, True)
    operation._passes.cache_clear()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("queries", "keys"), [(64, 16), (256, 64), (4, 64), (64, 4), (64, 64)])
def test_cudas_kernel_passes_the_self_test(queries: int, keys: int, dtype: torch.dtype) -> None:
    for dim in (4, 8, 16, 32):
        found = largest_difference(torch.device("cuda"), dtype, dim, queries, keys, biased=True)
        assert found < operation.TOLERANCE[dtype], dim
