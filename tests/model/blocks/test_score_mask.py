"""Masks that multiply the logits, and initial values of the relative position bias."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch import Tensor

from swincli.model.blocks.attention import GroupedAttention
from swincli.model.blocks.score_mask import GaussianMask, manhattan
from swincli.ops import cpu_tiles
from swincli.ops.cpu_tiles import as_on_a_gpu


def attention(score_mask: str = "gaussian", kind: str = "double", **options: object) -> GroupedAttention:
    torch.manual_seed(0)
    block = 1  # shifted windows
    module = GroupedAttention(16, 4, 4, 8, kind=kind, block=block, score_mask=score_mask, **options)  # type: ignore[arg-type]
    for name, parameter in module.named_parameters():
        if ".mask." not in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return module.double()


def disturbed(module: GroupedAttention) -> GroupedAttention:
    with torch.no_grad():
        for group in module.head_groups:
            group.mask.weights += torch.randn_like(group.mask.weights)  # type: ignore[union-attr, arg-type]
            group.mask.precisions += torch.rand_like(group.mask.precisions)  # type: ignore[union-attr, arg-type]
    return module


def plain_factors(mask: GaussianMask, side: int) -> Tensor:
    """Pair by pair."""
    cells = [(y, x) for y in range(side) for x in range(side)]
    factors = torch.zeros(len(mask.weights), side**2, side**2, dtype=mask.weights.dtype)
    for one, (y, x) in enumerate(cells):
        for other, (v, u) in enumerate(cells):
            squared = ((y - v) ** 2 + (x - u) ** 2) / side**2
            factors[:, one, other] = (mask.weights * torch.exp(-mask.precisions * squared)).sum(dim=1)
    return factors


@pytest.mark.parametrize("kind", ["double", "single"])
def test_in_the_beginning_it_changes_nothing(kind: str) -> None:
    module, without = attention(kind=kind), attention("none", kind)
    assert {name for name in module.state_dict() if ".mask." not in name} == set(without.state_dict())
    without.load_state_dict(module.state_dict(), strict=False)
    x = torch.randn(2, 8, 8, 16, dtype=torch.float64)
    torch.testing.assert_close(module(x), without(x), rtol=1e-12, atol=1e-12)


def test_factors_are_those_of_the_formula_and_have_gradients() -> None:
    mask = GaussianMask(2, 3).double()
    assert torch.equal(mask(), torch.ones(2, 9, 9, dtype=torch.float64))
    torch.nn.init.normal_(mask.weights)
    torch.testing.assert_close(mask(), plain_factors(mask, 3))

    def factors(weights: Tensor, precisions: Tensor) -> Tensor:
        return torch.func.functional_call(mask, {"weights": weights, "precisions": precisions})

    assert torch.autograd.gradcheck(factors, (mask.weights, mask.precisions), fast_mode=True)


def test_a_constant_gaussian_is_a_temperature() -> None:
    module, hotter = attention(relative_bias=False), attention("none", relative_bias=False)
    hotter.load_state_dict(module.state_dict(), strict=False)
    with torch.no_grad():
        for group in module.head_groups:
            group.mask.weights[:, 0] = 3.0  # type: ignore[union-attr, operator, index]
        hotter.qkv.weight[:16] *= 3
        hotter.qkv.bias[:16] *= 3
    x = torch.randn(2, 8, 8, 16, dtype=torch.float64)
    torch.testing.assert_close(module(x), hotter(x))


@pytest.mark.parametrize("relative_bias", [True, False])
def test_every_path_multiplies_the_logits(monkeypatch: pytest.MonkeyPatch, relative_bias: bool) -> None:
    module = disturbed(attention(relative_bias=relative_bias))
    x = torch.randn(2, 8, 8, 16, dtype=torch.float64)
    wanted = module(x)
    with torch.no_grad():
        out = torch.empty_like(x)
        module.add_tiled(x, lambda values, images: values, out)  # noqa: ARG005
        torch.testing.assert_close(out, x + wanted)
        torch.testing.assert_close(module(x), wanted)
    monkeypatch.setattr(cpu_tiles, "LARGE_BYTES", 0)
    for context in (nullcontext(), as_on_a_gpu()):
        with context:
            torch.testing.assert_close(module(x), wanted)


def test_the_mask_learns_with_both_gradients() -> None:
    module = disturbed(attention())
    x = torch.randn(1, 8, 8, 16, dtype=torch.float64, requires_grad=True)
    gradients = torch.autograd.grad(module(x).tanh().sum(), [x, *module.parameters()], create_graph=True)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)
    again = torch.autograd.grad(gradients[0].square().sum(), list(module.head_groups[1].mask.parameters()))  # type: ignore[union-attr]
    assert all(gradient.abs().sum() > 0 for gradient in again)


def test_the_attention_of_a_position_is_that_of_the_mask() -> None:
    module = disturbed(attention())
    x = torch.randn(1, 8, 8, 16, dtype=torch.float64)
    group, qkv = module.groups_with_qkv(x)[0]
    weights = group.weights_of(qkv, 5, 2)
    assert torch.equal(weights[0, 0, 4:, :4] > 0, torch.ones(4, 4, dtype=torch.bool))
    q, k, _ = qkv[0, 4:, :4].flatten(0, 1).permute(1, 2, 0, 3)
    logits = torch.einsum("hd,hnd->hn", q[:, 6], k) / 2
    logits = logits * group.factors()[:, 6] + group.bias()[:, 6]  # type: ignore[index]
    torch.testing.assert_close(weights[0, :, 4:, :4].flatten(1), logits.softmax(dim=-1))


def test_a_manhattan_bias_decays_with_the_distance() -> None:
    table = manhattan(4, 8).view(15, 15, 4)
    assert torch.equal(table[7, 7], torch.zeros(4))
    torch.testing.assert_close(table[7, 9], 2 * table[7, 8])
    torch.testing.assert_close(table[5, 6], 3 * table[7, 8])
    assert torch.equal(table, table.flip(0).transpose(0, 1))
    torch.testing.assert_close(table[7, 8], torch.tensor([1 - 2.0**-2, 1 - 2.0**-3, 1 - 2.0**-4, 1 - 2.0**-5]).log())
    module = GroupedAttention(16, 4, 4, 8, bias_init="manhattan")
    assert torch.equal(module.head_groups[0].position_bias, manhattan(2, 4))  # type: ignore[arg-type]
