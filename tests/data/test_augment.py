"""The training flip and bCR's augmentation."""

from __future__ import annotations

import torch

from swincli.data.augment import _cutout, _translate, consistency_augment, flip
from swincli.training.randomness import derive


def images(count: int = 64, side: int = 16) -> torch.Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_flip_mirrors_about_half_and_nothing_else() -> None:
    before = images()
    after = flip(before, derive(0, "flip"))
    mirrored = (after == before.flip(3)).flatten(1).all(dim=1)
    same = (after == before).flatten(1).all(dim=1)
    assert (mirrored ^ same).all()
    assert 16 < mirrored.sum() < 48


def test_same_generator_same_augmentation() -> None:
    assert torch.equal(consistency_augment(images(), derive(0, "a")), consistency_augment(images(), derive(0, "a")))
    assert not torch.equal(consistency_augment(images(), derive(0, "a")), consistency_augment(images(), derive(0, "b")))


def test_translation_is_a_shift_of_at_most_an_eighth_with_black_moving_in() -> None:
    before = images(200)
    after = _translate(before, derive(0, "t"))
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
    after = _cutout(torch.ones(300, 3, 16, 16), derive(0, "c"))
    hidden = (after[:, 0] == 0).flatten(1).sum(dim=1)
    assert hidden.max() == 64
    assert 16 <= hidden.min() < 64


def test_gradients_reach_the_images() -> None:
    x = images(4).requires_grad_()
    (gradient,) = torch.autograd.grad(consistency_augment(x, derive(0, "g")).square().sum(), x)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().sum() > 0
