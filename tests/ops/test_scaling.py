"""Tensors times numbers, together."""

from __future__ import annotations

import torch
from torch import Tensor

from swincli.ops.scaling import scaled_together


def test_each_tensor_has_its_factor_in_values_and_gradients() -> None:
    first, second, fixed = torch.randn(2, 3, dtype=torch.float64), torch.randn(4, dtype=torch.float64), torch.ones(2)

    def run(*tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(scaled_together([*tensors, fixed], [2.0, -0.5, 3.0])[:2])

    leaves = (first.requires_grad_(), second.requires_grad_())
    assert torch.autograd.gradcheck(run, leaves)
    assert torch.autograd.gradgradcheck(run, leaves)
    scaled = scaled_together([first, fixed, second], [2.0, 3.0, -0.5])
    assert [value.requires_grad for value in scaled] == [True, False, True]
    torch.testing.assert_close(scaled, [2.0 * first, 3.0 * fixed, -0.5 * second], rtol=0, atol=0)


def test_what_is_not_used_has_no_gradient() -> None:
    used, unused = torch.ones(2, requires_grad=True), torch.ones(3, requires_grad=True)
    gradients = torch.autograd.grad(
        scaled_together([used, unused], [2.0, 3.0])[0].sum(), (used, unused), allow_unused=True
    )
    assert torch.equal(gradients[0], torch.full((2,), 2.0))
    assert gradients[1] is None
