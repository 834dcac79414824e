"""Recomputing saved tensors in the backward pass."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from swincli.model.generator import Generator
from swincli.ops import checkpointing, cpu_tiles
from swincli.recipe.schema import ModelSection


def test_the_gradient_is_that_of_a_map_that_was_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_tiles, "LARGE_BYTES", 1)
    x, weight = torch.randn(4, 6, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    made = []

    def make() -> Tensor:
        made.append(1)
        return x.exp()

    large = make()
    with checkpointing.recompute_saved(large, make):
        out = (large @ weight).sin()
    (got,) = torch.autograd.grad(out.sum(), weight)
    assert len(made) == 2
    (expected,) = torch.autograd.grad((x.exp() @ weight).sin().sum(), weight)
    assert torch.equal(got, expected)


def test_other_tensors_are_kept_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_tiles, "LARGE_BYTES", 1)
    x, other = torch.randn(4), torch.randn(4, requires_grad=True)

    def never() -> Tensor:
        raise AssertionError

    with checkpointing.recompute_saved(x, never):
        out = other * other
    torch.testing.assert_close(torch.autograd.grad(out.sum(), other)[0], 2 * other)


def test_small_maps_and_those_without_a_graph_are_left_alone() -> None:
    def never() -> Tensor:
        raise AssertionError

    x, weight = torch.randn(3), torch.randn(3, requires_grad=True)
    with checkpointing.recompute_saved(x, never):
        (x * weight).sum().backward()
    with torch.no_grad(), checkpointing.recompute_saved(torch.empty(2**22), never):
        pass
    torch.testing.assert_close(weight.grad, x)


def test_the_memory_is_free_before_the_backward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_tiles, "LARGE_BYTES", 1)
    x, weight = torch.randn(4, 6), torch.randn(6, 3, requires_grad=True)

    def alive(context: Callable[[Tensor], contextlib.AbstractContextManager[object]]) -> bool:
        large = x.exp()
        with context(large):
            out = large @ weight
        reference = weakref.ref(large)
        del large
        assert out.requires_grad
        return reference() is not None

    assert alive(lambda large: contextlib.nullcontext())  # noqa: ARG005
    assert not alive(lambda large: checkpointing.recompute_saved(large, x.exp))


def test_a_generators_gradient_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    generator = Generator(ModelSection(size=32, latent_dim=16, mapping_layers=2, g_width=32)).double()
    z, weights = torch.randn(2, 16, dtype=torch.float64), list(generator.parameters())
    gradients = torch.autograd.grad(generator(z).square().sum(), weights)
    monkeypatch.setattr(cpu_tiles, "LARGE_BYTES", 1)
    twins = torch.autograd.grad(generator(z).square().sum(), weights)
    for got, expected in zip(twins, gradients, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-10 * expected.abs().max().item())
