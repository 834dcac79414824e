"""The losses: all that the loop knows of the networks.

Each phase's function runs its forwards, calls backward once, and returns scalars to report. The order of D's forwards
is the original release's, since every training forward moves the vectors of spectral norm.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.data.augment import consistency_augment
from swincli.recipe.schema import LossSection


@dataclass(frozen=True)
class Batch:
    """What one step works on.

    Attributes:
        reals: Training images in the networks' range, `[B, 3, H, W]`.
        d_latents: z of D's phase, `[B, latent_dim]`.
        g_latents: z of G's phase, `[B, latent_dim]`.
        augment: Source of bCR's random numbers.
    """

    reals: Tensor
    d_latents: Tensor
    g_latents: Tensor
    augment: torch.Generator


Scalars = dict[str, Tensor]


class Losses:
    """Non-saturating loss (Goodfellow et al., 2014), R1 (Mescheder et al., 2018) and bCR (Zhao et al., 2021)."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module, section: LossSection) -> None:
        self.generator, self.discriminator, self.section = generator, discriminator, section

    def d_logistic(self, batch: Batch) -> Scalars:
        """`softplus(D(fake)) + softplus(-D(real))`, with bCR where the recipe weighs it."""
        with torch.no_grad():
            fakes = self.generator(batch.d_latents)
        fake_logits = self.discriminator(fakes)
        real_logits = self.discriminator(batch.reals)
        loss = F.softplus(fake_logits).mean() + F.softplus(-real_logits).mean()
        scalars = {
            "loss/d": loss.detach(),
            "d/real_accuracy": (real_logits > 0).float().mean(),
            "d/fake_accuracy": (fake_logits < 0).float().mean(),
        }
        if self.section.bcr_real or self.section.bcr_fake:
            on_reals = self._inconsistency(batch.reals, real_logits, batch.augment)
            on_fakes = self._inconsistency(fakes, fake_logits, batch.augment)
            consistency = self.section.bcr_real * on_reals + self.section.bcr_fake * on_fakes
            scalars["loss/bcr"] = consistency.detach()
            loss = loss + consistency
        loss.backward()
        return scalars

    def _inconsistency(self, images: Tensor, logits: Tensor, random: torch.Generator) -> Tensor:
        augmented = self.discriminator(consistency_augment(images, random))
        difference: Tensor = augmented - logits
        return difference.square().mean()

    def d_r1(self, batch: Batch) -> Scalars:
        """`gamma / 2 * interval * E |grad D(real)|²`, lazily: weighed by the steps that it stands for."""
        reals = batch.reals.detach().requires_grad_()
        logits = self.discriminator(reals)
        (gradient,) = torch.autograd.grad(logits.sum(), reals, create_graph=True)
        penalty = gradient.square().sum(dim=(1, 2, 3)).mean()
        (self.section.r1_gamma / 2 * self.section.r1_interval * penalty).backward()
        return {"loss/r1": penalty.detach()}

    def g_nonsaturating(self, batch: Batch) -> Scalars:
        """`softplus(-D(G(z)))`."""
        loss = F.softplus(-self.discriminator(self.generator(batch.g_latents))).mean()
        loss.backward()
        return {"loss/g": loss.detach()}
