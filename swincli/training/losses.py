"""The losses: all that the loop knows of the networks.

Each phase's function runs its forwards, calls backward once, and returns scalars to report. The order of D's forwards
is the original release's, since every training forward moves the vectors of spectral norm. D's logits are `[B, ...]`:
one an image, or one for each of its patches.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.data.augment import consistency_augment
from swincli.recipe.schema import LossSection
from swincli.training.schedules import tv_weight


@dataclass(frozen=True)
class Batch:
    """What one step works on.

    Attributes:
        reals: Training images in the networks' range, `[B, 3, H, W]`.
        d_latents: z of D's phase, `[B, latent_dim]`.
        g_latents: z of G's phase, `[B, latent_dim]`.
        augment: Source of bCR's random numbers.
        images_seen: Images shown before this step.
        labels: Labels of the reals, int64 `[B]`; None, like the next two, where the networks are unconditional.
        d_labels: Labels of D's latents.
        g_labels: Labels of G's latents.
    """

    reals: Tensor
    d_latents: Tensor
    g_latents: Tensor
    augment: torch.Generator
    images_seen: int = 0
    labels: Tensor | None = None
    d_labels: Tensor | None = None
    g_labels: Tensor | None = None


Scalars = dict[str, Tensor]


def conditioned(network: nn.Module, x: Tensor, labels: Tensor | None) -> Tensor:
    """A network's output for x, told the labels where there are any."""
    out: Tensor = network(x) if labels is None else network(x, labels)
    return out


class Losses:
    """Non-saturating loss (Goodfellow et al., 2014), R1 (Mescheder et al., 2018) and bCR (Zhao et al., 2021)."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module, section: LossSection) -> None:
        self.generator, self.discriminator, self.section = generator, discriminator, section

    def d_logistic(self, batch: Batch) -> Scalars:
        """`softplus(D(fake)) + softplus(-D(real))`, with bCR where the recipe weighs it."""
        with torch.no_grad():
            fakes = conditioned(self.generator, batch.d_latents, batch.d_labels)
        fake_logits = conditioned(self.discriminator, fakes, batch.d_labels)
        real_logits = conditioned(self.discriminator, batch.reals, batch.labels)
        loss = F.softplus(fake_logits).mean() + F.softplus(-real_logits).mean()
        scalars = {
            "loss/d": loss.detach(),
            "d/real_accuracy": (real_logits > 0).float().mean(),
            "d/fake_accuracy": (fake_logits < 0).float().mean(),
        }
        if self.section.bcr_real or self.section.bcr_fake:
            on_reals = self._inconsistency(batch.reals, batch.labels, real_logits, batch.augment)
            on_fakes = self._inconsistency(fakes, batch.d_labels, fake_logits, batch.augment)
            consistency = self.section.bcr_real * on_reals + self.section.bcr_fake * on_fakes
            scalars["loss/bcr"] = consistency.detach()
            loss = loss + consistency
        loss.backward()
        return scalars

    def _inconsistency(self, images: Tensor, labels: Tensor | None, logits: Tensor, random: torch.Generator) -> Tensor:
        augmented = conditioned(self.discriminator, consistency_augment(images, random), labels)
        difference: Tensor = augmented - logits
        return difference.flatten(1).mean(dim=1).square().mean()  # augmentation moves patches: their mean is compared

    def d_r1(self, batch: Batch) -> Scalars:
        """`gamma / 2 * interval * E |grad D(real)|²`, lazily: weighed by the steps that it stands for.

        Of several logits an image the gradients count as if each patch were an image of its own: the squared gradient
        of their sum is divided by their number, which is exact where patches do not overlap.
        """
        reals = batch.reals.detach().requires_grad_()
        logits = conditioned(self.discriminator, reals, batch.labels)
        (gradient,) = torch.autograd.grad(logits.sum(), reals, create_graph=True)
        penalty = gradient.square().sum(dim=(1, 2, 3)).mean() / logits[0].numel()
        (self.section.r1_gamma / 2 * self.section.r1_interval * penalty).backward()
        return {"loss/r1": penalty.detach()}

    def g_nonsaturating(self, batch: Batch) -> Scalars:
        """`softplus(-D(G(z)))`, with the total variation of the images where the recipe weighs it."""
        images = conditioned(self.generator, batch.g_latents, batch.g_labels)
        loss = F.softplus(-conditioned(self.discriminator, images, batch.g_labels)).mean()
        scalars = {"loss/g": loss.detach()}
        weight = tv_weight(batch.images_seen, self.section)
        if weight:
            variation = total_variation(images)
            scalars["loss/tv"] = variation.detach()
            loss = loss + weight * variation
        loss.backward()
        return scalars


def total_variation(images: Tensor) -> Tensor:
    """Mean absolute difference of neighbours across, plus that of neighbours down: `[B, 3, H, W]` -> one number.

    The anisotropic total variation, as a mean, so that its weight means the same at every size.
    """
    return images.diff(dim=-1).abs().mean() + images.diff(dim=-2).abs().mean()
