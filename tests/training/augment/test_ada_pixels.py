"""ADA's colours, filter, noise and cutout."""

from __future__ import annotations

import math

import numpy as np
import pytest
import pywt
import torch
from torch import Tensor

from swincli.recipe.objective import AugmentSection
from swincli.training.augment.ada import band_filters, change, color_matrices, filter_gains, filtered, plan
from swincli.training.augment.ada_draws import Drawn, draw
from swincli.training.rng import derive

LUMA = torch.full((3,), 1 / math.sqrt(3), dtype=torch.float64)


def only(group: str) -> AugmentSection:
    return AugmentSection(transforms="ada", groups=[group])


def drawn(group: str, count: int, p: float = 1.0, size: int = 8) -> Drawn:
    section = only(group)
    return Drawn(draw(section, size, count, derive(0, group)), p, section)


def changed(images: Tensor, group: str, p: float = 1.0) -> Tensor:
    section = only(group)
    draws = draw(section, images.shape[-1], len(images), derive(0, group))
    return change(images, plan(draws, p, images.shape[-1], section), section)


def images(count: int = 4, size: int = 8) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_colours_at_p_of_1_keep_the_luma_axis() -> None:
    matrices = color_matrices(drawn("color", 200))
    on_luma = matrices[:, :, :3] @ LUMA
    torch.testing.assert_close(on_luma, (on_luma @ LUMA)[:, None] * LUMA)
    assert (on_luma @ LUMA < 0).double().mean() == pytest.approx(0.5, abs=0.1)  # luma flips
    offsets = matrices[:, :, 3]
    torch.testing.assert_close(offsets, offsets.mean(dim=1, keepdim=True).expand(-1, 3), atol=1e-12, rtol=0)


def test_colours_have_the_spreads_of_the_paper() -> None:
    matrices = color_matrices(drawn("color", 20_000))
    contrast = (matrices[:, :, :3] @ LUMA).norm(dim=1).log2()
    assert contrast.std() == pytest.approx(0.5, abs=0.01)
    saturation = (torch.linalg.det(matrices[:, :, :3]).abs().log2() - 3 * contrast) / 2
    assert saturation.std() == pytest.approx(1.0, abs=0.02)
    brightness = matrices[:, 0, 3] / (matrices[:, 0, :3].sum(dim=1))
    assert brightness.std() == pytest.approx(0.2, abs=0.005)


def test_colours_equal_the_transforms_one_after_another() -> None:
    numbers, before = drawn("color", 3), images(3)
    for image, after, row in zip(before, changed(before, "color"), range(3), strict=True):
        x = image + 0.2 * numbers.normal("brightness")[row, 0]
        x = x * 2 ** (0.5 * numbers.normal("contrast")[row, 0])
        gray = x.mean(dim=0, keepdim=True)
        if numbers.uniform("luma_flip")[row, 0] >= 0.5:
            x, gray = x - 2 * gray, -gray
        angle = (numbers.uniform("hue")[row, 0] * 2 - 1) * math.pi
        across = torch.stack([x[2] - x[1], x[0] - x[2], x[1] - x[0]]) / math.sqrt(3)  # v x colour
        x = gray + angle.cos() * (x - gray) + angle.sin() * across
        torch.testing.assert_close(after, gray + (x - gray) * 2 ** numbers.normal("saturation")[row, 0])


def test_the_filters_add_up_to_the_identity() -> None:
    for size in (4, 16, 64):
        torch.testing.assert_close(band_filters(size).sum(dim=0), torch.eye(size, dtype=torch.float64))
    flat = torch.ones(1, 3, 16, 16, dtype=torch.float64)
    only_low = torch.tensor([[1.0, 0, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(filtered(flat, only_low), flat)


def test_the_lowest_band_is_three_times_the_low_pass() -> None:
    taps = np.array(pywt.Wavelet("sym2").dec_lo)
    low = np.convolve(taps, taps[::-1]) / 2
    rest = np.ones(1)
    for factor in (1, 2, 4):
        stretched = np.zeros((len(low) - 1) * factor + 1)
        stretched[::factor] = low
        rest = np.convolve(rest, stretched)
    row = band_filters(64)[0, 32].numpy()
    np.testing.assert_allclose(row[32 - 21 : 32 + 22], rest, atol=1e-12)


def test_gains_keep_the_expected_power() -> None:
    power = torch.tensor([10.0, 1, 1, 1], dtype=torch.float64) / 13
    one = Drawn(drawn("filter", 500).draws, 0.2, only("filter"))
    once = torch.stack([one.happens(f"filter_{band}") for band in range(4)]).sum(dim=0) == 1
    torch.testing.assert_close(
        (filter_gains(one)[once].square() @ power), torch.ones(int(once.sum()), dtype=torch.float64)
    )


def test_noise_has_a_strength_of_its_own_for_each_image() -> None:
    noise = changed(torch.zeros(400, 3, 8, 8), "noise")
    strengths = noise.flatten(1).std(dim=1)
    assert strengths.square().mean().sqrt() == pytest.approx(0.1, abs=0.01)
    assert strengths.min() < 0.01


def test_cutout_is_half_the_side_at_a_uniform_centre() -> None:
    hidden = changed(torch.ones(400, 3, 16, 16), "cutout")[:, 0] == 0
    sizes = hidden.flatten(1).sum(dim=1)
    assert sizes.max() == 64
    assert 9 <= sizes.min() <= 25  # in a corner
    half = changed(torch.ones(400, 3, 16, 16), "cutout", p=0.5)
    assert (half == 0).flatten(1).any(dim=1).double().mean() == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("group", ["color", "filter", "noise", "cutout"])
def test_second_gradients(group: str) -> None:
    before = images(2, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: changed(x, group).pow(3), before, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda x: changed(x, group).pow(3), before, fast_mode=True)
