"""Transforms in the networks' pixel range, in low precision, and R1 through them."""

from __future__ import annotations

import pytest
import torch
from plain_losses import plain_losses
from torch import Tensor, nn

from swincli.recipe.objective import AugmentSection, LossSection
from swincli.recipe.schema import ModelSection
from swincli.training.augment.pipe import TRANSFORM_SETS, Augmentation
from swincli.training.losses.batch import Batch
from swincli.training.rng import derive

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGENET = ModelSection(size=16, pixel_mean=MEAN, pixel_std=STD)


def images(dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)).to(dtype)


def augmentation(transforms: str, model: ModelSection) -> Augmentation:
    return Augmentation(AugmentSection.model_validate({"transforms": transforms}), model)


@pytest.mark.parametrize("transforms", sorted(TRANSFORM_SETS))
def test_an_imported_pixel_range_sees_the_same_transforms(transforms: str) -> None:
    pixels = images()
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    own, imported = (augmentation(transforms, model) for model in (ModelSection(size=16), IMAGENET))
    draws = own.draw(4, derive(0, "a"))
    assert torch.equal(imported.draw(4, derive(0, "a")), draws)
    expected = (own.apply(pixels * 2 - 1, own.plan(draws, 0.7)) + 1) / 2
    torch.testing.assert_close(imported.apply((pixels - mean) / std, imported.plan(draws, 0.7)) * std + mean, expected)


def test_what_moves_in_is_mid_gray_in_every_pixel_range() -> None:
    section = AugmentSection(transforms="diffaugment", groups=["cutout"], cutout=1.0)
    imported = Augmentation(section, IMAGENET)
    draws = torch.full((1, 10), 0.5)
    hidden = imported.apply(torch.zeros(1, 3, 16, 16), imported.plan(draws, 1.0))[0, :, 8, 8]
    torch.testing.assert_close(hidden, (0.5 - torch.tensor(MEAN)) / torch.tensor(STD))


@pytest.mark.parametrize("transforms", sorted(TRANSFORM_SETS))
def test_bfloat16_images_are_transformed_in_float32(transforms: str) -> None:
    change, half = augmentation(transforms, ModelSection(size=16)), images(torch.bfloat16)
    draws = change.draw(4, derive(0, "a"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        after = change.apply(half, change.plan(draws, 0.7))
    assert after.dtype == torch.float32
    torch.testing.assert_close(after, change.apply(half.float(), change.plan(draws, 0.7)))


class Sum(nn.Module):
    """`weight` times the sum of the squares of the pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x.square().sum(dim=(1, 2, 3))[:, None]


@pytest.mark.parametrize("transforms", sorted(TRANSFORM_SETS))
def test_r1_is_the_gradient_at_the_images_before_the_transforms(transforms: str) -> None:
    section, model = AugmentSection.model_validate({"transforms": transforms, "p": 0.7}), ModelSection(size=16)
    reals, change = images() * 2 - 1, Augmentation(section, model)
    draws = change.draw(4, derive(0, "augment/r1"))
    discriminator = Sum()
    losses = plain_losses(nn.Identity(), discriminator, LossSection(r1_gamma=2.0, r1_interval=1), section, model=model)
    scalars = losses.d_penalties(Batch(reals, reals, reals, draws={"augment/r1": draws}))
    leaf = reals.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(change.apply(leaf, change.plan(draws, 0.7))).sum(), leaf)
    expected = gradient.square().sum(dim=(1, 2, 3)).mean()
    torch.testing.assert_close(scalars["loss/r1"], expected)
    assert discriminator.weight.grad is not None  # R1 is quadratic in the weight
    torch.testing.assert_close(discriminator.weight.grad, 2 * expected.detach() / 0.5)
