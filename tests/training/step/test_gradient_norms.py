"""The gradient norm of a phase: reported always, and the gradients are touched only where they are clipped."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from swincli.training.losses.batch import Batch
from swincli.training.losses.losses import Scalars
from swincli.training.step.phases import Phase

GRADIENTS = [torch.tensor([3.0, 0.0]), torch.tensor(4.0)]


def run(clip: float, gradients: list[Tensor], micro_batches: int = 1) -> tuple[Scalars, list[Tensor]]:
    """What a phase reports whose loss has these gradients, and by how much a step of size 1 moves the parameters."""
    parameters = [nn.Parameter(torch.zeros_like(gradient)) for gradient in gradients]

    def loss(batch: Batch) -> Scalars:  # noqa: ARG001
        total = sum(
            ((parameter * gradient).sum() for parameter, gradient in zip(parameters, gradients, strict=True)),
            torch.zeros(()),
        )
        total.backward()
        return {"loss/d": torch.tensor(2.0)}

    phase = Phase("D", parameters, torch.optim.SGD(parameters, lr=1.0), 1, loss, clip=clip, norm_key="grad/d")
    empty = torch.zeros(0)
    reported = phase.run(micro_batches * [Batch(empty, empty, empty)])
    return reported, [-parameter.detach() for parameter in parameters]


@pytest.mark.parametrize(("clip", "factor"), [(0.0, 1.0), (10.0, 1.0), (2.5, 0.5)])
@pytest.mark.parametrize("micro_batches", [1, 2])
def test_the_norm_before_clipping_and_what_is_stepped(clip: float, factor: float, micro_batches: int) -> None:
    reported, steps = run(clip, GRADIENTS, micro_batches)
    assert {name: float(value) for name, value in reported.items()} == {"loss/d": 2.0, "grad/d": 5.0}
    for step, gradient in zip(steps, GRADIENTS, strict=True):
        torch.testing.assert_close(step, factor * gradient, rtol=1e-6, atol=0)


def test_without_clipping_nothing_is_multiplied() -> None:
    """Clipping to an infinite norm would make NaN of an infinite gradient."""
    reported, steps = run(0.0, [torch.tensor([torch.inf, 1.0])])
    assert float(reported["grad/d"]) == torch.inf
    assert steps[0].tolist() == [torch.inf, 1.0]
