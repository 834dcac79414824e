from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from swincli.errors import RecipeError
from swincli.recipe import load_recipe
from swincli.recipe.objective import AugmentSection
from swincli.training.augment.blur import blur_sigma, gaussian_blur


def naive(images: Tensor, sigma: float) -> Tensor:
    """Every pixel is a sum over its neighbours, mirrored at the borders."""
    reach, out = math.floor(3 * sigma), torch.zeros_like(images)
    weights = {offset: math.exp(-0.5 * (offset / sigma) ** 2) for offset in range(-reach, reach + 1)}
    total, size = sum(weights.values()), images.shape[-1]

    def mirrored(place: int) -> int:
        return -place if place < 0 else 2 * (size - 1) - place if place >= size else place

    for y in range(size):
        for x in range(size):
            for dy, wy in weights.items():
                for dx, wx in weights.items():
                    out[..., y, x] += wy * wx / total**2 * images[..., mirrored(y + dy), mirrored(x + dx)]
    return out


@pytest.mark.parametrize("sigma", [0.5, 1.0, 1.7])
def test_it_is_a_gaussian_with_mirrored_borders(sigma: float) -> None:
    images = torch.randn(1, 2, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(gaussian_blur(images, sigma), naive(images, sigma), atol=1e-6, rtol=1e-6)


def test_a_flat_image_stays_and_a_narrow_kernel_changes_nothing() -> None:
    flat, images = torch.full((1, 3, 8, 8), 0.3), torch.randn(1, 3, 8, 8)
    torch.testing.assert_close(gaussian_blur(flat, 2.0), flat)
    assert gaussian_blur(images, 0.2) is images


def test_it_can_be_differentiated_twice() -> None:
    images = torch.randn(1, 1, 6, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: gaussian_blur(x, 1.0).square(), (images,))


def test_it_fades() -> None:
    section = AugmentSection(blur=2.0, blur_until=1000)
    assert [blur_sigma(seen, section) for seen in (0, 500, 1000, 5000)] == [2.0, 1.0, 0.0, 0.0]
    assert blur_sigma(0, AugmentSection()) == 0.0


@pytest.mark.parametrize(
    "keys", [["augment.blur=2"], ["augment.blur_until=10"], ["augment.blur=2", "augment.blur_until=2M"]]
)
def test_a_blur_without_an_end_is_refused(keys: list[str]) -> None:
    with pytest.raises(RecipeError, match=r"augment\.blur"):
        load_recipe("emoji64", [*keys, "train.total=1M"])
