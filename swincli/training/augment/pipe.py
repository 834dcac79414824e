"""What D sees: sets of random transforms, each applied to each image with a probability, drawn by (seed, images seen).

A set draws random numbers for a whole batch as one tensor and applies them to images in [-1, 1]. So a micro-batch takes
its rows, and every rank gets the numbers of its images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from swincli.model.pixels import from_signed, to_signed
from swincli.recipe.objective import AugmentSection
from swincli.recipe.schema import ModelSection
from swincli.training.augment import ada, ada_draws, diffaugment


@dataclass(frozen=True)
class TransformSet:
    """A set of random transforms.

    Attributes:
        draw: `(section, size, count, random)` -> random numbers, float32 `[count, K]` on the CPU.
        plan: `(draws, p, size, section)` -> what happens to each image, from draws `[B, K]` on the CPU and the
            probability p of each transform. All decisions are made here, so that nothing waits for a device. The plan
            is a dataclass: its tensors may be copied to the device, its numbers stay on the host.
        change: `(images, plan, section)` -> images; `[B, 3, S, S]` in [-1, 1]. Differentiable twice with respect to the
            images. What happens to an image depends on its own numbers alone.
    """

    draw: Callable[[AugmentSection, int, int, torch.Generator], Tensor]
    plan: Callable[[Tensor, float, int, AugmentSection], Any]
    change: Callable[[Tensor, Any, AugmentSection], Tensor]


TRANSFORM_SETS: dict[str, TransformSet] = {
    "diffaugment": TransformSet(diffaugment.draw, diffaugment.plan, diffaugment.change),
    "ada": TransformSet(ada_draws.draw, ada.plan, ada.change),
}


@dataclass(frozen=True)
class Augmentation:
    """The recipe's transforms of everything that D sees.

    Attributes:
        section: The recipe's [augment] section.
        model: Gives the pixel range of the networks.
    """

    section: AugmentSection
    model: ModelSection

    @property
    def is_on(self) -> bool:
        """Whether images are changed at all."""
        return self.section.transforms != "none"

    def draw(self, count: int, random: torch.Generator) -> Tensor:
        """Random numbers for `count` images, float32 `[count, K]`."""
        return TRANSFORM_SETS[self.section.transforms].draw(self.section, self.model.size, count, random)

    def plan(self, draws: Tensor, p: float) -> Any:
        """What happens to images, a plan of the recipe's set; None for nothing, where the probability is 0.

        Args:
            draws: Their random numbers, `[B, K]` on the CPU.
            p: Probability of each transform.
        """
        if p == 0:
            return None
        return TRANSFORM_SETS[self.section.transforms].plan(draws, p, self.model.size, self.section)

    def apply(self, images: Tensor, plan: Any) -> Tensor:
        """The images as D sees them.

        Args:
            images: `[B, 3, S, S]` in the networks' range; bfloat16 becomes float32.
            plan: What happens to them; None for nothing, which returns the very images: a change of the pixel range and
                back would change their last bits.
        """
        if plan is None:
            return images
        change = TRANSFORM_SETS[self.section.transforms].change
        images = images.float() if images.dtype == torch.bfloat16 else images
        pixels = self.model.pixel_mean, self.model.pixel_std
        return from_signed(change(to_signed(images, *pixels), plan, self.section), *pixels)
