"""DiffAugment against a plain twin: values, gates, ranges, and the numbers that AugSelf-GAN predicts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from swincli.recipe.objective import AugmentSection
from swincli.training.augment.diffaugment import GATES, WIDTH, change, draw, parameters, plan
from swincli.training.rng import derive

SECTION = AugmentSection(transforms="diffaugment")
WIDER = AugmentSection(transforms="diffaugment", color=0.5, translation=0.25, cutout=0.4)


def apply(images: Tensor, draws: Tensor, p: float, section: AugmentSection) -> Tensor:
    return change(images, plan(draws, p, images.shape[-1], section), section)


def only(group: str) -> AugmentSection:
    return AugmentSection(transforms="diffaugment", groups=[group])


def images(count: int = 6, size: int = 8) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def numbers(count: int = 6, name: str = "a") -> Tensor:
    return draw(SECTION, 8, count, derive(0, name))


def plain(image: Tensor, draws: list[float], section: AugmentSection) -> Tensor:
    """One image, as the paper's code does it: color, translation, cutout, pixel by pixel."""
    brightness, saturation, contrast, down, across, row, column = draws[:7]
    x = image + (brightness - 0.5) * section.color
    gray = x.mean(dim=0)
    x = torch.stack([gray + (channel - gray) * (1 + (2 * saturation - 1) * section.color) for channel in x])
    x = x.mean() + (x - x.mean()) * (1 + (contrast - 0.5) * section.color)
    size = image.shape[-1]
    reach, hole = int(size * section.translation + 0.5), int(size * section.cutout + 0.5)
    shift = [int(number * (2 * reach + 1)) - reach for number in (down, across)]
    centre = [int(number * (size + 1 - hole % 2)) for number in (row, column)]
    out = torch.zeros_like(x)
    for i in range(size):
        for j in range(size):
            source = i + shift[0], j + shift[1]  # as in the paper's code, a positive shift is upwards
            hidden = all(c - hole // 2 <= at < c - hole // 2 + hole for c, at in zip(centre, (i, j), strict=True))
            if min(source) >= 0 and max(source) < size and not hidden:
                out[:, i, j] = x[:, source[0], source[1]]
    return out


@pytest.mark.parametrize("section", [SECTION, WIDER])
def test_it_equals_the_plain_twin(section: AugmentSection) -> None:
    before, draws = images(), numbers()
    after = apply(before, draws, 1.0, section)
    for image, row, result in zip(before, draws.tolist(), after, strict=True):
        torch.testing.assert_close(result, plain(image, row, section))


def test_a_group_is_left_out_above_its_number() -> None:
    before, draws = images(), numbers()
    assert apply(before, draws, 0.0, SECTION) is before
    for group, column in GATES.items():
        after = apply(before, draws, 0.4, only(group))
        for image, result, always, number in zip(
            before, after, apply(before, draws, 1.0, only(group)), draws[:, column], strict=True
        ):
            assert torch.equal(result, always if number < 0.4 else image)


def test_the_rate_of_each_group_is_p() -> None:
    many = numbers(20_000)
    for column in GATES.values():
        assert (many[:, column] < 0.3).double().mean() == pytest.approx(0.3, abs=0.012)


def test_p_and_strength_1_reach_both_ends_of_every_range() -> None:
    low, high = torch.zeros(1, WIDTH), torch.full((1, WIDTH), 1 - 2**-24)
    flat, ramp = torch.zeros(1, 3, 8, 8), torch.arange(3.0).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    color = only("color")
    assert apply(flat, low, 1.0, color).mean() == -0.5
    assert apply(flat, high, 1.0, color).mean() == pytest.approx(0.5)
    assert apply(ramp, low, 1.0, color).std() == 0  # no saturation
    assert apply(ramp, high, 1.0, color).std() == pytest.approx(3 * float(ramp.std()), rel=1e-5)  # 2 times 1.5
    marked = torch.zeros(1, 3, 16, 16)
    marked[..., 8, 8] = 1
    for draws, at in ((low, 10), (high, 6)):  # an eighth
        assert apply(marked, draws, 1.0, only("translation"))[0, 0, at, at] == 1


@pytest.mark.parametrize("size", [8, 10, 15, 16])
def test_the_numbers_to_predict_lie_in_0_to_1_and_reach_both(size: int) -> None:
    ends = torch.stack([torch.zeros(WIDTH), torch.full((WIDTH,), 1 - 2**-24)])
    for group, columns in (("color", 3), ("translation", 2), ("cutout", 2)):
        of_ends = parameters(group, ends, size, SECTION)
        assert of_ends.shape == (2, columns)
        torch.testing.assert_close(of_ends, torch.stack([torch.zeros(columns), torch.ones(columns)]))
        many = parameters(group, numbers(5000), size, SECTION)
        assert many.min() >= 0
        assert many.max() <= 1
        assert many.mean() == pytest.approx(0.5, abs=0.03)


def test_a_shift_of_less_than_a_pixel_is_none() -> None:
    before, small = images(2, 3), AugmentSection(transforms="diffaugment", groups=["translation"], translation=0.1)
    assert torch.equal(apply(before, numbers(2), 1.0, small), before)
    assert parameters("translation", numbers(2), 3, small).tolist() == [[0.5, 0.5]] * 2


def test_second_gradients() -> None:
    before, draws = images(2, 4).requires_grad_(), numbers(2)
    assert torch.autograd.gradcheck(lambda x: apply(x, draws, 1.0, SECTION).pow(3), before, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda x: apply(x, draws, 1.0, SECTION).pow(3), before, fast_mode=True)
