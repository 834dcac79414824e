"""A second discriminator on frozen features, beside the ordinary one (vision-aided GAN, Kumari et al., CVPR 2022).

Its heads are those of `FrozenFeatureDiscriminator`, and its loss is the hinge loss over patches. It sees the same
augmented images as D. R1 and R2 do not pass through it.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from swincli.recipe import Recipe
from swincli.training.losses.phases import DPhase, GPhase

NAME = "vision_aided"
"""Name of the second discriminator among D's modules."""


def is_used(recipe: Recipe) -> bool:
    """Whether there is a second discriminator."""
    return recipe.loss.features > 0


def features_d(phase: DPhase) -> Tensor:
    """`E relu(1 + F(G)) + E relu(1 - F(x))`: fakes first, then reals, in forwards of their own.

    With `joint_penalty`, the images need gradients for R1 and R2 of the other D. Here they are constants, so that
    nothing of the backbone is kept for a backward pass.
    """
    judge, fake, real = phase.setting.networks.module(NAME), phase.fake, phase.real
    on_fakes, on_reals = judge(fake.images.detach(), fake.labels), judge(real.images.detach(), real.labels)
    return F.relu(1 + on_fakes).mean() + F.relu(1 - on_reals).mean()


def features_g(phase: GPhase) -> Tensor:
    """`-E F(G)`."""
    logits: Tensor = phase.setting.networks.module(NAME)(phase.fake.images, phase.fake.labels)
    return -logits.mean()
