"""ADA's blits and geometry: exact where they can be, equal to a plain twin, and what is drawn how often."""

from __future__ import annotations

import math

import numpy as np
import pytest
import pywt
import torch
from numpy.typing import NDArray
from torch import Tensor

from swincli.recipe.objective import GROUPS, AugmentSection
from swincli.training.augment import ada
from swincli.training.augment.ada_draws import TRANSFORMS, Drawn, draw
from swincli.training.augment.ada_geometry import (
    blit,
    geometric,
    inverse_maps,
    margin_for,
    plan_geometry,
    reflected,
    rotation_probability,
    upsampling,
    warp,
)
from swincli.training.rng import derive

SECTION = AugmentSection(transforms="ada")
BLIT = AugmentSection(transforms="ada", groups=["blit"])
IDENTITY = torch.eye(3, dtype=torch.float64)[None]
X_FLIP = torch.diag(torch.tensor([-1.0, 1, 1], dtype=torch.float64))[None]


def images(count: int = 2, size: int = 8, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0), dtype=dtype)


def warped(images: Tensor, maps: Tensor) -> Tensor:
    return warp(images, maps, margin_for(maps, images.shape[-1]))


def apply(images: Tensor, draws: Tensor, p: float, section: AugmentSection = SECTION) -> Tensor:
    return ada.change(images, ada.plan(draws, p, images.shape[-1], section), section)


def drawn(p: float, count: int = 16, name: str = "a", size: int = 8) -> Drawn:
    return Drawn(draw(SECTION, size, count, derive(0, name)), p, SECTION)


def turned(quarters: int) -> Tensor:
    cosine, sine = math.cos(quarters * math.pi / 2), math.sin(quarters * math.pi / 2)
    return torch.tensor([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]], dtype=torch.float64)[None]


def shifted(x: float, y: float) -> Tensor:
    return torch.tensor([[1, 0, -x], [0, 1, -y], [0, 0, 1]], dtype=torch.float64)[None]


@pytest.mark.parametrize("size", [4, 7, 16])
def test_through_the_filters_the_identity_returns_the_image(size: int) -> None:
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        before = images(1, size, dtype)
        assert (warped(before, IDENTITY) - before).abs().max() < tolerance
    rows = upsampling(size, 0)
    torch.testing.assert_close(rows.T @ rows / 2, torch.eye(size, dtype=torch.float64), atol=1e-10, rtol=0)


def test_p_of_0_returns_the_very_images() -> None:
    before = images(16)
    assert apply(before, drawn(0.0).draws, 0.0) is before


def test_blits_alone_are_exact() -> None:
    before = images(1)
    assert torch.equal(blit(before, X_FLIP), before.flip(3))
    for quarters in range(4):
        assert torch.equal(blit(before, turned(quarters)), torch.rot90(before, quarters, (2, 3)))
    down = blit(before, shifted(0, 2))
    assert torch.equal(down[:, :, 2:], before[:, :, :-2])
    assert torch.equal(down[:, :, :2], before[:, :, 1:3].flip(2))  # the image's reflection moves in
    assert torch.equal(blit(before, shifted(-1, 0))[..., :-1], before[..., 1:])


def test_the_way_through_the_filters_agrees_with_the_blits() -> None:
    angle = torch.arange(32, dtype=torch.float64) * (2 * math.pi / 16)
    before = ((angle + 0.3).sin() * (angle[:, None] + 1).cos()).expand(1, 3, 32, 32)
    for maps, tolerance in ((shifted(2, -1), 1e-10), (X_FLIP, 0.05), (turned(1), 0.05)):  # sym6 is not quite symmetric
        apart = (warped(before, maps) - blit(before, maps))[..., 6:-6, 6:-6]
        assert apart.square().mean().sqrt() < tolerance * before.std()


def test_reflection_of_any_length() -> None:
    row = np.arange(5)
    expected = np.pad(row, 17, mode="reflect")
    np.testing.assert_array_equal(reflected(torch.arange(-17, 22), 5).numpy(), expected)
    assert reflected(torch.arange(-3, 4), 1).tolist() == [0] * 7


def plain_warp(image: NDArray[np.float64], inverse: NDArray[np.float64]) -> NDArray[np.float64]:
    """One channel, as in the paper: reflect as far as possible, filter, look up, filter; step by step."""
    size = len(image)
    taps = np.array(pywt.Wavelet("sym6").dec_lo)
    padded = np.pad(image, size - 1, mode="reflect")
    doubled = _filter_both(np.kron(padded, [[1, 0], [0, 0]])[:-1, :-1], taps * math.sqrt(2))
    length = len(padded)
    sampled = np.zeros((2 * size + 10, 2 * size + 10))
    for row in range(len(sampled)):
        for column in range(len(sampled)):
            place = np.array([(column - 4) / 2 - size / 2, (row - 4) / 2 - size / 2, 1])  # pixel i is on sample 2 i + 5
            x, y, _ = inverse @ place
            sampled[row, column] = _look_up(doubled, (y + length / 2) * 2 + 4, (x + length / 2) * 2 + 4)
    return _filter_both(sampled, taps[::-1] / math.sqrt(2))[11:-11:2, 11:-11:2]


def _filter_both(image: NDArray[np.float64], taps: NDArray[np.float64]) -> NDArray[np.float64]:
    image = np.stack([np.convolve(row, taps) for row in image])
    return np.stack([np.convolve(column, taps) for column in image.T]).T


def _look_up(image: NDArray[np.float64], y: float, x: float) -> float:
    value = 0.0
    for i in (math.floor(y), math.floor(y) + 1):
        for j in (math.floor(x), math.floor(x) + 1):
            if 0 <= i < len(image) and 0 <= j < len(image):
                value += image[i, j] * (1 - abs(y - i)) * (1 - abs(x - j))
    return value


def test_the_warp_equals_a_plain_twin() -> None:
    before, maps = images(3, 6), inverse_maps(drawn(1.0, 40), 6)
    maps = torch.stack([maps[0], shifted(0.3, -0.8)[0], (turned(1) @ shifted(9, 0))[0]])  # the last leaves the padding
    after = warped(before, maps)
    for image, result, inverse in zip(before, after, maps, strict=True):
        for channel in range(3):
            expected = plain_warp(image[channel].numpy(), inverse.numpy())
            np.testing.assert_allclose(result[channel].numpy(), expected, atol=1e-9)


def test_an_image_is_changed_alone_as_among_others() -> None:
    before, draws = images(12), drawn(0.7, 12).draws
    chosen = torch.tensor([7, 0, 11])
    alone, among = apply(before[chosen], draws[chosen], 0.7), apply(before, draws, 0.7)
    torch.testing.assert_close(alone, among[chosen])


def test_margins_are_as_large_as_needed_and_possible() -> None:
    assert margin_for(IDENTITY, 64) == 16  # the filters alone need some
    assert margin_for(shifted(20, 0), 64) == 32
    assert margin_for(shifted(200, 0), 64) == 63


def test_the_rate_of_any_rotation_is_p() -> None:
    assert rotation_probability(0.6) == pytest.approx(0.3675, abs=1e-4)
    many = drawn(0.6, 20_000)
    rotations = [many.happens(name, rotation_probability(0.6)) for name in ("rotate_before", "rotate_after")]
    for rate, expected in ((rotations[0], 0.3675), (rotations[1], 0.3675), (rotations[0] | rotations[1], 0.6)):
        assert rate.double().mean() == pytest.approx(expected, abs=0.012)


def test_every_transform_happens_with_probability_p() -> None:
    many = Drawn(drawn(0.0, 20_000).draws, 0.3, AugmentSection(transforms="ada", groups=list(GROUPS["ada"])))
    for name in TRANSFORMS:
        assert many.happens(name).double().mean() == pytest.approx(0.3, abs=0.012)
    assert not Drawn(many.draws, 1.0, BLIT).happens("hue").any()


def test_the_ranges_of_what_is_drawn() -> None:
    section = AugmentSection(transforms="ada", groups=["blit"])
    maps = inverse_maps(Drawn(draw(section, 16, 4000, derive(0, "b")), 1.0, section), 16)
    linear, offset = maps[:, :2, :2], maps[:, :2, 2]
    torch.testing.assert_close(linear.det().abs(), torch.ones(4000, dtype=torch.float64))
    kinds = {tuple(each) for each in linear.round().int().flatten(1).tolist()}
    assert len(kinds) == 8  # four turns, mirrored or not
    assert sorted(set(offset.abs().round().int().flatten().tolist())) == [0, 1, 2]
    geometry = AugmentSection(transforms="ada", groups=["geometry"])
    maps = inverse_maps(Drawn(draw(geometry, 16, 20_000, derive(0, "g")), 1.0, geometry), 16)
    areas = maps[:, :2, :2].det().log2() / 2
    assert areas.mean() == pytest.approx(0, abs=0.005)
    assert areas.std() == pytest.approx(0.2, abs=0.005)  # the stretch keeps the area
    ratios = torch.linalg.svdvals(maps[:, :2, :2]).log2().diff(dim=1)[:, 0].abs() / 2
    assert ratios.square().mean().sqrt() == pytest.approx(0.2, abs=0.005)


def test_whole_shifts_of_an_eighth_are_shifts_of_pixels() -> None:
    only_shift = Drawn(drawn(0.0, 400).draws, 1.0, BLIT)
    before = images(400, 16)
    after = geometric(before, plan_geometry(only_shift, 16))
    values = [set(image.flatten().tolist()) for image in before]
    assert all(set(image.flatten().tolist()) <= own for image, own in zip(after, values, strict=True))


def test_second_gradients() -> None:
    before = images(2, 4).requires_grad_()
    draws = draw(SECTION, 4, 2, derive(0, "d"))

    def change(x: Tensor) -> Tensor:
        return apply(x, draws, 1.0).pow(3)

    assert torch.autograd.gradcheck(change, before)
    assert torch.autograd.gradgradcheck(change, before, fast_mode=True)


def test_a_blit_can_be_differentiated_twice() -> None:
    before = images(1, 4).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: blit(x, turned(1) @ shifted(2, 1)).pow(3), before, fast_mode=True)
