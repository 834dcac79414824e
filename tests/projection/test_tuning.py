"""Tuning brings images closer to their pictures; locality keeps other images."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from swincli.errors import SwincliError
from swincli.model.files.model_file import Model
from swincli.model.files.tuned import Deltas, with_deltas
from swincli.projection.losses import Objective
from swincli.projection.psnr_ssim import psnr
from swincli.projection.targets import Target
from swincli.projection.tuning import TuningSettings, tune
from swincli.synthesis.latents.codes import w_of_seeds
from swincli.synthesis.sampling import render


def silent(step: int, codes: Tensor, losses: Tensor) -> None:
    pass


@pytest.fixture(scope="module")
def tuned(
    model: Model, objective: Objective, foreign: list[Target], foreign_w_plus: Tensor
) -> Callable[..., tuple[Deltas, Model]]:
    """Deltas after eight steps, and the model with them."""

    def make(**settings: float) -> tuple[Deltas, Model]:
        chosen = TuningSettings(steps=8, **settings)  # type: ignore[arg-type]
        changes = tune(model, objective, foreign, foreign_w_plus, chosen, 2, silent)
        return changes, with_deltas(model, changes)

    return make


@pytest.fixture(scope="module")
def usual(tuned: Callable[..., tuple[Deltas, Model]]) -> tuple[Deltas, Model]:
    return tuned()


def closeness(model: Model, codes: Tensor, targets: list[Target]) -> list[float]:
    return [psnr(picture, target.picture) for picture, target in zip(render(model, codes), targets, strict=True)]


def test_tuned_is_closer(
    model: Model, usual: tuple[Deltas, Model], foreign: list[Target], foreign_w_plus: Tensor
) -> None:
    assert {value.dtype for value in usual[0].values()} == {torch.float16}
    before, after = (closeness(one, foreign_w_plus, foreign) for one in (model, usual[1]))
    assert all(b > a + 0.5 for a, b in zip(before, after, strict=True))


def test_locality_keeps_other_images_and_the_model_is_not_modified(
    model: Model, tuned: Callable[..., tuple[Deltas, Model]], usual: tuple[Deltas, Model]
) -> None:
    weights = [value.clone() for value in model.generator.parameters()]
    others = model.generator.broadcast(w_of_seeds(model, range(8)))
    before = render(model, others).float()
    moved = [(before - render(one, others).float()).abs().mean() for one in (usual[1], tuned(locality=10.0)[1])]
    assert moved[1] < 0.8 * moved[0]
    assert all(torch.equal(a, b) for a, b in zip(weights, model.generator.parameters(), strict=True))


def test_a_loss_that_is_not_finite_names_picture_and_step(
    model: Model, objective: Objective, foreign: list[Target], foreign_w_plus: Tensor
) -> None:
    codes = foreign_w_plus.clone()
    codes[1] = math.nan
    with pytest.raises(SwincliError, match="blocks 1: the loss is not finite at step 1"):
        tune(model, objective, foreign, codes, TuningSettings(steps=2), 2, silent)
