"""What the terms of D's and of G's phase see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from swincli.recipe import Recipe
from swincli.system.device_copy import send
from swincli.training.augment.blur import blur_sigma, gaussian_blur
from swincli.training.augment.pipe import Augmentation
from swincli.training.augment.probability import AUGMENT_P, is_adaptive, planned_probability
from swincli.training.losses.batch import Batch
from swincli.training.losses.memory import Memory
from swincli.training.losses.networks import Networks
from swincli.training.losses.views import View


@dataclass(frozen=True)
class Setting:
    """What does not change during a run.

    Attributes:
        recipe: The experiment.
        networks: G and D as the losses call them.
        augmentation: The transforms of what D sees.
        memory: What losses remember; its values change between steps.
    """

    recipe: Recipe
    networks: Networks
    augmentation: Augmentation
    memory: Memory

    def probability(self, images_seen: int) -> float:
        """Probability of each transform, and of a generated image in place of a real one."""
        section = self.recipe.augment
        return self.memory.number(AUGMENT_P) if is_adaptive(section) else planned_probability(section, images_seen)

    def plan(self, batch: Batch, view: str, device: torch.device) -> Any:
        """What the transforms of a view do, with its tensors on a device."""
        if view in batch.plans:
            return batch.plans[view]
        plan = self.augmentation.plan(batch.draws[f"augment/{view}"], self.probability(batch.images_seen))
        return send(plan, device)

    def augment(self, images: Tensor, batch: Batch, view: str) -> Tensor:
        """The images as D sees them: blurred, then transformed.

        Args:
            images: `[B, 3, H, W]` in the networks' range.
            batch: Has the random numbers.
            view: Whose numbers to take; one of `draws.VIEWS`.
        """
        images = self.blur(images, batch)
        if not self.augmentation.is_on:
            return images
        return self.augmentation.apply(images, self.plan(batch, view, images.device))

    def blur(self, images: Tensor, batch: Batch) -> Tensor:
        """The images `[B, 3, H, W]` with the blur of this step, before transforms."""
        sigma = blur_sigma(batch.images_seen, self.recipe.augment)
        return gaussian_blur(images, sigma) if sigma else images


@dataclass(frozen=True)
class DPhase:
    """D's phase after the main forwards.

    Attributes:
        setting: Recipe, networks, augmentation, memory.
        batch: The data.
        reals, fakes: The images without augmentation; some reals may be generated ones (APA).
        real, fake: What D says of the augmented images.
    """

    setting: Setting
    batch: Batch
    reals: Tensor
    fakes: Tensor
    real: View
    fake: View


@dataclass(frozen=True)
class GPhase:
    """G's phase after the main forwards.

    Attributes:
        setting: Recipe, networks, augmentation, memory.
        batch: The data.
        images: G's images without augmentation.
        fake: What D says of the augmented images.
    """

    setting: Setting
    batch: Batch
    images: Tensor
    fake: View
