"""Inversion: finds the codes of generated images, and does not depend on the batch."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from swincli.errors import SwincliError
from swincli.model.files.model_file import Model
from swincli.projection.inversion import (
    InversionSettings,
    default_inversion_batch,
    draw_start_points,
    invert,
    nearest_start_points,
)
from swincli.projection.losses import Objective
from swincli.projection.psnr_ssim import psnr
from swincli.projection.targets import Target
from swincli.synthesis.sampling import render

STEPS, SAMPLES = 15, 20


def silent(step: int, codes: Tensor, losses: Tensor) -> None:
    pass


def seek(
    model: Model, objective: Objective, targets: Sequence[Target], space: str = "w", steps: int = STEPS
) -> tuple[Tensor, list[float]]:
    """Codes, and the PSNR of their images."""
    samples = draw_start_points(model, SAMPLES)
    plan = InversionSettings(space=space, steps=steps, samples=SAMPLES)  # type: ignore[arg-type]
    codes = invert(model, objective, targets, samples, plan, silent)
    pictures = render(model, codes if codes.ndim == 3 else model.generator.broadcast(codes))
    return codes, [psnr(picture, target.picture) for picture, target in zip(pictures, targets, strict=True)]


def test_generated_images_are_found_again(model: Model, objective: Objective, generated: list[Target]) -> None:
    mean = render(model, model.generator.broadcast(model.w_mean[None]))[0]
    codes, reached = seek(model, objective, generated)
    assert codes.shape == (3, 16)
    gained = [value - psnr(mean, target.picture) for target, value in zip(generated, reached, strict=True)]
    assert min(gained) > 4
    assert max(gained) > 8


def test_w_plus_comes_closer(model: Model, objective: Objective, foreign: list[Target], foreign_w_plus: Tensor) -> None:
    _, one = seek(model, objective, foreign)
    assert foreign_w_plus.shape == (2, model.generator.num_ws, 16)
    pictures = render(model, foreign_w_plus)
    several = [psnr(picture, target.picture) for picture, target in zip(pictures, foreign, strict=True)]
    assert all(b > a for a, b in zip(one, several, strict=True))


@pytest.mark.parametrize("space", ["w", "w+"])
def test_an_image_does_not_depend_on_those_beside_it(
    model: Model, objective: Objective, generated: list[Target], space: str
) -> None:
    together, _ = seek(model, objective, generated, space, steps=4)
    alone, _ = seek(model, objective, generated[1:2], space, steps=4)
    torch.testing.assert_close(alone[0], together[1], rtol=1e-3, atol=1e-3)


def test_descent_starts_from_the_nearest_sample(model: Model, objective: Objective) -> None:
    samples = draw_start_points(model, 40)
    assert samples.w.shape == (41, 16)
    torch.testing.assert_close(samples.w[0], model.w_mean)
    some = samples.w[[0, 7, 39]]
    wanted = objective.features(model.generator.synthesise(model.generator.broadcast(some)))
    torch.testing.assert_close(nearest_start_points(model, objective, wanted, samples), some)


def test_a_single_step_is_no_worse_than_the_start(model: Model, objective: Objective, generated: list[Target]) -> None:
    samples = draw_start_points(model, SAMPLES)
    seen: list[float] = []
    plan = InversionSettings(steps=1, noise=0.0)

    def watch(step: int, codes: Tensor, losses: Tensor) -> None:  # noqa: ARG001
        seen.extend(losses.tolist())

    codes = invert(model, objective, generated, samples, plan, watch)
    wanted = objective.features(torch.stack([target.picture for target in generated]).permute(0, 3, 1, 2) / 127.5 - 1)
    image = model.generator.synthesise(model.generator.broadcast(codes))
    after = objective.distance(objective.features(image), wanted)
    assert (after <= torch.tensor(seen) + 1e-6).all()


def test_rates_rise_and_fall_and_noise_ends() -> None:
    plan = InversionSettings(steps=100)
    rates = [plan.rate_at(step) for step in range(100)]
    assert max(rates) == pytest.approx(plan.rate)
    assert 0 < rates[0] < rates[3] < rates[4] == pytest.approx(plan.rate)
    assert rates[76] > rates[90] > rates[99] > 0
    assert plan.noise_at(0) == plan.noise > plan.noise_at(50) > plan.noise_at(75) == 0
    assert math.isfinite(InversionSettings(steps=1).rate_at(0))


def test_a_loss_that_is_no_number_names_picture_and_step(
    model: Model, objective: Objective, generated: list[Target]
) -> None:
    samples = draw_start_points(model, SAMPLES)
    damaged = replace(model, generator=copy.deepcopy(model.generator))
    damaged.generator.levels[0].to_rgb.bias.data.fill_(math.nan)  # type: ignore[union-attr]
    with pytest.raises(SwincliError, match="seed 7: the loss is not finite at step 1"):
        invert(damaged, objective, generated, samples, InversionSettings(steps=3), silent)


def test_batches_shrink_with_the_size() -> None:
    assert [default_inversion_batch(size) for size in (32, 128, 256, 1024)] == [16, 16, 4, 1]
