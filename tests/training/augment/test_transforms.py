"""The training flip and bCR's augmentation."""

from __future__ import annotations

import torch

from swincli.training.augment.bcr import (
    bcr_augment,
    cutout,
    draw_bcr_params,
    draw_flips,
    flip,
    translate,
)
from swincli.training.rng import derive


def images(count: int = 64, side: int = 16) -> torch.Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_flip_mirrors_about_half_and_nothing_else() -> None:
    before = images()
    after = flip(before, draw_flips(64, derive(0, "flip")))
    mirrored = (after == before.flip(3)).flatten(1).all(dim=1)
    same = (after == before).flatten(1).all(dim=1)
    assert (mirrored ^ same).all()
    assert 16 < mirrored.sum() < 48


def augmented(name: str, before: torch.Tensor) -> torch.Tensor:
    return bcr_augment(before, draw_bcr_params(len(before), before.shape[2], derive(0, name)))


def test_same_generator_same_augmentation() -> None:
    assert torch.equal(augmented("a", images()), augmented("a", images()))
    assert not torch.equal(augmented("a", images()), augmented("b", images()))


def test_an_image_is_augmented_alone_as_among_others() -> None:
    before, draws = images(12), draw_bcr_params(12, 16, derive(0, "a"))
    chosen = torch.tensor([7, 0, 11])
    torch.testing.assert_close(bcr_augment(before[chosen], draws.take(chosen)), bcr_augment(before, draws)[chosen])


def test_what_is_drawn_stays_within_its_ranges() -> None:
    draws = draw_bcr_params(5000, 16, derive(0, "a"))
    ranges = {"brightness": (-0.5, 0.5), "saturation": (0, 2), "contrast": (0.5, 1.5)}
    for name, (low, high) in ranges.items():
        values = getattr(draws, name)
        assert low <= values.min() < low + 0.01
        assert high - 0.01 < values.max() <= high
    for name in ("rows", "columns"):
        assert set(getattr(draws, name)[:, 8].tolist()) == set(range(7, 12))  # of pixel 8, with a padding of 1
    for name in ("hidden_rows", "hidden_columns"):
        assert {*getattr(draws, name).sum(dim=1).tolist()} == {4, 5, 6, 7, 8}


def test_translation_is_a_shift_of_at_most_an_eighth_with_black_moving_in() -> None:
    before = images(200)
    draws = draw_bcr_params(200, 16, derive(0, "t"))
    after = translate(before, draws.rows, draws.columns)
    shifts = set()
    for image, moved in zip(before, after, strict=True):
        found = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3) if torch.equal(_shift(image, dy, dx), moved)]
        assert len(found) == 1
        shifts.update(found)
    assert len(shifts) == 25


def _shift(image: torch.Tensor, dy: int, dx: int) -> torch.Tensor:
    out = torch.zeros_like(image)
    _, h, w = image.shape
    out[:, max(dy, 0) : h + min(dy, 0), max(dx, 0) : w + min(dx, 0)] = image[
        :, max(-dy, 0) : h + min(-dy, 0), max(-dx, 0) : w + min(-dx, 0)
    ]
    return out


def test_cutout_blackens_at_most_a_square_of_half_the_side() -> None:
    draws = draw_bcr_params(300, 16, derive(0, "c"))
    after = cutout(torch.ones(300, 3, 16, 16), draws.hidden_rows, draws.hidden_columns)
    hidden = (after[:, 0] == 0).flatten(1).sum(dim=1)
    assert hidden.max() == 64
    assert 16 <= hidden.min() < 64


def test_gradients_reach_the_images() -> None:
    x = images(4).requires_grad_()
    (gradient,) = torch.autograd.grad(augmented("g", x).square().sum(), x)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().sum() > 0
