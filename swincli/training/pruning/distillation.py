"""Distillation: a smaller generator learns to draw the images of the one that it was made from.

Both take the same w+, from the mapping network that they share, which is not trained: seeds, codes and the mean w keep
their meaning. The loss compares pixels and the features after every level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from swincli.console import Advance
from swincli.model.files.model_file import Model
from swincli.model.generator import Generator
from swincli.synthesis.latents.classes import labels_as_trained
from swincli.synthesis.latents.codes import codes_of_seeds
from swincli.synthesis.sampling import default_sampling_batch

FIRST_SEED = 2**31
"""Seeds of the images, from this one on: other images than those that are measured."""

RATE, BETAS = 5e-4, (0.9, 0.99)
"""Adam's learning rate, which falls to 0 on a half-cosine, and its betas."""


def distillation_batch(size: int) -> int:
    """Images per step, by image side: 16 up to 128 px, 4 at 256 px, 1 from 512 px on."""
    return max(1, default_sampling_batch(size) // 4)


def imitation_loss(student: Generator, teacher: Generator, w_plus: Tensor) -> Tensor:
    """Mean absolute difference of pixels, plus the mean over levels of the features' squared difference.

    The latter is relative to the variance of the teacher's features.
    """
    with torch.no_grad():
        theirs = teacher.begin(w_plus)
    ours, features = student.begin(w_plus), w_plus.new_zeros(())
    for done in range(1, len(teacher.levels) + 1):
        with torch.no_grad():
            theirs = teacher.synthesise_from(theirs, w_plus, done)
        ours = student.synthesise_from(ours, w_plus, done)
        features = features + (ours.x - theirs.x).square().mean() / theirs.x.var().clamp(min=1e-8)
    assert ours.image is not None
    assert theirs.image is not None
    return (ours.image - theirs.image).abs().mean() + features / len(teacher.levels)


def distil(
    student: Model, teacher: Model, images: int, advance: Advance = lambda _=1: None, *, batch: int | None = None
) -> list[float]:
    """Train the student's synthesis network in place.

    Args:
        student: Its generator is trained, and frozen again at the end.
        teacher: The model that it was made from; conditional if the student is.
        images: Images to show; rounded up to whole batches.
        advance: Called with the number of images of each step.
        batch: Images per step. Default: `distillation_batch`.

    Returns:
        The loss of each step.
    """
    batch = batch or distillation_batch(student.recipe.model.size)
    steps = -(-images // batch)
    trained = [value for name, value in student.generator.named_parameters() if not name.startswith(UNTRAINED)]
    optimizer = torch.optim.Adam(trained, lr=RATE, betas=BETAS)
    losses = []
    for parameter in trained:
        parameter.requires_grad_(True)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 + math.cos(math.pi * step / steps)) / 2
        loss = imitation_loss(student.generator, teacher.generator, _codes(teacher, step * batch, batch))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        advance(min(batch, images - step * batch))
    student.generator.requires_grad_(False)
    return losses


UNTRAINED = ("mapping.", "embedding.")


def _codes(teacher: Model, first: int, count: int) -> Tensor:
    seeds: Sequence[int] = range(FIRST_SEED + first, FIRST_SEED + first + count)
    return codes_of_seeds(teacher, seeds, labels=labels_as_trained(teacher, seeds)).clone()
