"""The losses: all that the loop knows of the networks.

Each phase's function runs its forwards, calls backward once, and returns scalars to report. The order of D's forwards
is the original release's, since every training forward moves the vectors of spectral norm. D's logits are `[B, ...]`:
one an image, or one for each of its patches.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.model.blocks.conditioning import conditioned
from swincli.recipe.schema import LossSection
from swincli.training.augment.transforms import ConsistencyDraws, consistency_augment
from swincli.training.step.schedules import tv_weight


@dataclass(frozen=True)
class Batch:
    """What one step, or one pass of it, works on.

    Attributes:
        reals: Training images in the networks' range, `[B, 3, H, W]`.
        d_latents: z of D's phase, `[B, latent_dim]`.
        g_latents: z of G's phase, `[B, latent_dim]`.
        images_seen: Images shown before this step.
        of_reals: What bCR's augmentation does to the reals; None where there is no bCR.
        of_fakes: The same of the fakes.
        labels: Labels of the reals, int64 `[B]`; None, like the next two, where the networks are unconditional.
        d_labels: Labels of D's latents.
        g_labels: Labels of G's latents.
    """

    reals: Tensor
    d_latents: Tensor
    g_latents: Tensor
    images_seen: int = 0
    of_reals: ConsistencyDraws | None = None
    of_fakes: ConsistencyDraws | None = None
    labels: Tensor | None = None
    d_labels: Tensor | None = None
    g_labels: Tensor | None = None

    def take(self, positions: Tensor) -> Batch:
        """Some of its images, by their positions; with all that belongs to them."""
        on_device = positions.to(self.reals.device)

        def part(value: object) -> object:
            if isinstance(value, Tensor):
                return value[on_device]
            return value.take(positions) if isinstance(value, ConsistencyDraws) else value

        return Batch(**{field.name: part(getattr(self, field.name)) for field in fields(self)})  # type: ignore[arg-type]


Scalars = dict[str, Tensor]


class Losses:
    """Non-saturating loss (Goodfellow et al., 2014), R1 (Mescheder et al., 2018) and bCR (Zhao et al., 2021).

    Args:
        generator: z, and labels where it is conditional -> images.
        discriminator: Images, and labels -> logits.
        section: The recipe's [loss] section.
        precision: bfloat16 to run both under autocast in it; R1 and the losses themselves stay in float32.
        compiled: Whether the networks are compiled; R1 then runs D as it is written.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        section: LossSection,
        precision: torch.dtype = torch.float32,
        compiled: bool = False,
    ) -> None:
        self.generator, self.discriminator, self.section = generator, discriminator, section
        self.precision, self.compiled = precision, compiled

    def _run(self, network: nn.Module, x: Tensor, labels: Tensor | None) -> Tensor:
        """A network's output, in the precision that was chosen."""
        if self.precision == torch.float32:
            return conditioned(network, x, labels)
        with torch.autocast(x.device.type, dtype=self.precision):
            return conditioned(network, x, labels)

    def d_logistic(self, batch: Batch) -> Scalars:
        """`softplus(D(fake)) + softplus(-D(real))`, with bCR where the recipe weighs it."""
        with torch.no_grad():
            fakes = self._run(self.generator, batch.d_latents, batch.d_labels)
        fake_logits = self._run(self.discriminator, fakes, batch.d_labels)
        real_logits = self._run(self.discriminator, batch.reals, batch.labels)
        loss = F.softplus(fake_logits).mean() + F.softplus(-real_logits).mean()
        scalars = {
            "loss/d": loss.detach(),
            "d/real_accuracy": (real_logits > 0).float().mean(),
            "d/fake_accuracy": (fake_logits < 0).float().mean(),
        }
        if self.section.bcr_real or self.section.bcr_fake:
            assert batch.of_reals is not None and batch.of_fakes is not None  # noqa: PT018
            on_reals = self._inconsistency(batch.reals, batch.labels, real_logits, batch.of_reals)
            on_fakes = self._inconsistency(fakes, batch.d_labels, fake_logits, batch.of_fakes)
            consistency = self.section.bcr_real * on_reals + self.section.bcr_fake * on_fakes
            scalars["loss/bcr"] = consistency.detach()
            loss = loss + consistency
        loss.backward()
        return scalars

    def _inconsistency(self, images: Tensor, labels: Tensor | None, logits: Tensor, draws: ConsistencyDraws) -> Tensor:
        augmented = self._run(self.discriminator, consistency_augment(images, draws), labels)
        difference: Tensor = augmented - logits
        return difference.flatten(1).mean(dim=1).square().mean()  # augmentation moves patches: their mean is compared

    def d_r1(self, batch: Batch) -> Scalars:
        """`gamma / 2 * interval * E |grad D(real)|²`, lazily: weighed by the steps that it stands for.

        Of several logits an image the gradients count as if each patch were an image of its own: the squared gradient
        of their sum is divided by their number, which is exact where patches do not overlap.

        It is in float32, and by D as it is written: compiled code cannot be differentiated twice.
        """
        reals = batch.reals.detach().requires_grad_()
        with torch.compiler.set_stance("force_eager") if self.compiled else contextlib.nullcontext():
            logits = conditioned(self.discriminator, reals, batch.labels)
        (gradient,) = torch.autograd.grad(logits.sum(), reals, create_graph=True)
        penalty = gradient.square().sum(dim=(1, 2, 3)).mean() / logits[0].numel()
        # the logits' 0 gives the last bias a gradient too: processes wait for one of every parameter
        (self.section.r1_gamma / 2 * self.section.r1_interval * penalty + 0.0 * logits.sum()).backward()
        return {"loss/r1": penalty.detach()}

    def g_nonsaturating(self, batch: Batch) -> Scalars:
        """`softplus(-D(G(z)))`, with the total variation of the images where the recipe weighs it."""
        images = self._run(self.generator, batch.g_latents, batch.g_labels)
        loss = F.softplus(-self._run(self.discriminator, images, batch.g_labels)).mean()
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
