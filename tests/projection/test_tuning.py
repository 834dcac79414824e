"""Tuning brings images closer to their pictures and leaves other images mostly as they were."""

from __future__ import annotations

import torch
from swincli.projection.quality import psnr
from torch import Tensor

from swincli.model.files.model_file import Model
from swincli.model.files.tuned import with_changes
from swincli.projection.inversion import Plan, draw_samples, invert
from swincli.projection.losses import Objective
from swincli.projection.targets import Target
from swincli.projection.tuning import TuningPlan, tune
from swincli.synthesis.latents.codes import w_of_seeds
from swincli.synthesis.sampling import render


def silent(step: int, codes: Tensor, losses: Tensor) -> None:
    pass


def found(model: Model, objective: Objective, targets: list[Target]) -> Tensor:
    samples = draw_samples(model, 10)
    return invert(model, objective, targets, samples, Plan(space="w+", steps=15), silent)


def closeness(model: Model, codes: Tensor, targets: list[Target]) -> list[float]:
    return [psnr(picture, target.picture) for picture, target in zip(render(model, codes), targets, strict=True)]


def test_tuned_is_closer(model: Model, objective: Objective, foreign: list[Target]) -> None:
    codes = found(model, objective, foreign)
    before = [value.clone() for value in model.generator.parameters()]
    changes = tune(model, objective, foreign, codes, TuningPlan(steps=15), 2, silent)
    assert all(torch.equal(a, b) for a, b in zip(before, model.generator.parameters(), strict=True))
    assert {value.dtype for value in changes.values()} == {torch.float16}
    plain, bent = closeness(model, codes, foreign), closeness(with_changes(model, changes), codes, foreign)
    assert all(b > a + 0.5 for a, b in zip(plain, bent, strict=True))


def test_locality_keeps_other_images(model: Model, objective: Objective, foreign: list[Target]) -> None:
    codes = found(model, objective, foreign)
    others = model.generator.broadcast(w_of_seeds(model, range(8)))
    moved = []
    for locality in (0.0, 10.0):
        changes = tune(model, objective, foreign, codes, TuningPlan(steps=15, locality=locality), 2, silent)
        difference = render(model, others).float() - render(with_changes(model, changes), others).float()
        moved.append(difference.abs().mean().item())
    assert moved[1] < 0.8 * moved[0]
