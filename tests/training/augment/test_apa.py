"""APA: generated images among the reals, with labels of their own, without gradients, at the controller's rate."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from plain_losses import plain_losses
from torch import Tensor, nn

from swincli.errors import RecipeError
from swincli.recipe import Recipe
from swincli.recipe.objective import AugmentSection, LossSection
from swincli.recipe.schema import ModelSection
from swincli.training.losses.apa import swapped
from swincli.training.losses.batch import Batch

MODEL = ModelSection(size=16)


def batch(**others: object) -> Batch:
    """Reals of 1; latents of 2 for D and of 3 for G; images 1 and 3 are to be replaced at p = 0.5."""
    latents = (torch.full((4, 3, 2, 2), value) for value in (1.0, 2.0, 3.0))
    draws = {"apa": torch.tensor([0.6, 0.4, 0.9, 0.1])}
    return Batch(*latents, draws=draws, **others)  # type: ignore[arg-type]


def as_images(latents: Tensor, labels: Tensor | None) -> Tensor:  # noqa: ARG001
    return latents


def test_reals_are_replaced_by_images_of_g_s_phase() -> None:
    images, labels = swapped(as_images, batch(), 0.5)
    assert images[:, 0, 0, 0].tolist() == [1, 3, 1, 3]
    assert labels is None


def test_a_replaced_image_brings_its_own_label() -> None:
    labelled = batch(labels=torch.arange(4), d_labels=torch.full((4,), 8), g_labels=torch.arange(10, 14))
    _, labels = swapped(as_images, labelled, 0.5)
    assert labels is not None
    assert labels.tolist() == [0, 11, 2, 13]


def test_without_a_replaced_image_g_is_not_asked() -> None:
    def never(*_: object) -> Tensor:
        raise AssertionError

    given = batch()
    assert swapped(never, given, 0.0)[0] is given.reals


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x


class Mean(nn.Module):
    """The mean pixel, as the logit."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x.mean(dim=(1, 2, 3))[:, None]


def test_d_takes_them_for_real_in_both_phases_and_g_gets_no_gradient() -> None:
    section = AugmentSection(apa=True, p=0.5)
    generator, discriminator = Scaled(), Mean()
    losses = plain_losses(generator, discriminator, LossSection(), section, model=MODEL)
    scalars = losses.d_loss(batch())
    assert scalars["d/real_logit"] == pytest.approx((1 + 3 + 1 + 3) / 4)
    assert scalars["d/fake_logit"] == pytest.approx(2)
    assert scalars["augment/p"] == 0.5
    losses.d_penalties(batch())
    assert generator.scale.grad is None
    assert discriminator.weight.grad is not None


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["augment.apa=true"], "augment.p"),
        (["augment.apa=true", "augment.transforms=ada"], "augment.p"),
        (
            ["augment.apa=true", "augment.control=scheduled", "augment.p_end=1", "augment.p_until=8"],
            "augment.p_end",
        ),
        (["augment.apa=true", "augment.control=adaptive", "augment.p_max=1"], "augment.p_max"),
    ],
)
def test_a_probability_that_leaves_no_real_image_is_refused(
    tiny_recipe: Callable[..., Recipe], overrides: list[str], key: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        tiny_recipe(*overrides)
    assert f"{key} " in str(caught.value)
    assert "no real image" in str(caught.value)
    assert tiny_recipe("augment.apa=true", "augment.control=adaptive").augment.start == 0
