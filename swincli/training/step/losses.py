"""The losses: non-saturating logistic loss, R1, bCR and total variation.

Each method of `Losses` runs the forwards of one phase, calls backward once, and returns scalars to report. D's forwards
come in the original release's order, because each one in training mode updates spectral norm's vectors. D's logits are
`[B, ...]`: one per image, or one per patch.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.model.blocks.conditioning import forward_with_labels
from swincli.recipe.schema import LossSection
from swincli.training.augment.transforms import BcrParams, bcr_augment
from swincli.training.step.schedules import tv_weight


@dataclass(frozen=True)
class Batch:
    """Data of one step, or of one micro-batch of it.

    Attributes:
        reals: Training images in the networks' range, `[B, 3, H, W]`.
        d_latents: z for D's phase, `[B, latent_dim]`.
        g_latents: z for G's phase, `[B, latent_dim]`.
        images_seen: Images shown before this step.
        real_augment: bCR's augmentation of the reals; None without bCR.
        fake_augment: bCR's augmentation of the fakes; None without bCR.
        labels: Labels of the reals, int64 `[B]`; None for unconditional networks, like the next two.
        d_labels: Labels of D's latents.
        g_labels: Labels of G's latents.
    """

    reals: Tensor
    d_latents: Tensor
    g_latents: Tensor
    images_seen: int = 0
    real_augment: BcrParams | None = None
    fake_augment: BcrParams | None = None
    labels: Tensor | None = None
    d_labels: Tensor | None = None
    g_labels: Tensor | None = None

    def take(self, positions: Tensor) -> Batch:
        """The images at some positions of the batch, with their latents, labels and augmentation."""
        on_device = positions.to(self.reals.device)

        def part(value: object) -> object:
            if isinstance(value, Tensor):
                return value[on_device]
            return value.take(positions) if isinstance(value, BcrParams) else value

        return Batch(**{field.name: part(getattr(self, field.name)) for field in fields(self)})  # type: ignore[arg-type]


Scalars = dict[str, Tensor]


class Losses:
    """Non-saturating loss (Goodfellow et al., 2014), R1 (Mescheder et al., 2018) and bCR (Zhao et al., 2021).

    Args:
        generator: z (and labels, if conditional) -> images.
        discriminator: Images (and labels) -> logits.
        section: The recipe's [loss] section.
        precision: bfloat16 runs both networks under autocast; R1 and the losses themselves stay in float32.
        compiled: Whether the networks are compiled; R1 then runs D eagerly.
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

    def _forward(self, network: nn.Module, x: Tensor, labels: Tensor | None) -> Tensor:
        """The network's output, under autocast if the precision is bfloat16."""
        if self.precision == torch.float32:
            return forward_with_labels(network, x, labels)
        with torch.autocast(x.device.type, dtype=self.precision):
            return forward_with_labels(network, x, labels)

    def d_logistic(self, batch: Batch) -> Scalars:
        """`softplus(D(fake)) + softplus(-D(real))`, plus bCR if the recipe gives it a weight."""
        with torch.no_grad():
            fakes = self._forward(self.generator, batch.d_latents, batch.d_labels)
        fake_logits = self._forward(self.discriminator, fakes, batch.d_labels)
        real_logits = self._forward(self.discriminator, batch.reals, batch.labels)
        loss = F.softplus(fake_logits).mean() + F.softplus(-real_logits).mean()
        scalars = {
            "loss/d": loss.detach(),
            "d/real_accuracy": (real_logits > 0).float().mean(),
            "d/fake_accuracy": (fake_logits < 0).float().mean(),
        }
        if self.section.bcr_real or self.section.bcr_fake:
            assert batch.real_augment is not None and batch.fake_augment is not None  # noqa: PT018
            on_reals = self._bcr_loss(batch.reals, batch.labels, real_logits, batch.real_augment)
            on_fakes = self._bcr_loss(fakes, batch.d_labels, fake_logits, batch.fake_augment)
            consistency = self.section.bcr_real * on_reals + self.section.bcr_fake * on_fakes
            scalars["loss/bcr"] = consistency.detach()
            loss = loss + consistency
        loss.backward()
        return scalars

    def _bcr_loss(self, images: Tensor, labels: Tensor | None, logits: Tensor, draws: BcrParams) -> Tensor:
        augmented = self._forward(self.discriminator, bcr_augment(images, draws), labels)
        difference: Tensor = augmented - logits
        return difference.flatten(1).mean(dim=1).square().mean()  # per image: augmentation moves content over patches

    def d_r1(self, batch: Batch) -> Scalars:
        """R1: `gamma / 2 * interval * E |grad D(real)|²`; the factor `interval` makes up for the steps without it.

        With several logits per image, the squared gradient of their sum is divided by their number, as if each patch
        were an image. This is exact if patches do not overlap.

        It runs in float32 and eagerly: compiled code has no second derivative. `run.tf32` applies here too: the factors
        of its products are rounded to TF32, those of the second derivative as well.
        """
        reals = batch.reals.detach().requires_grad_()
        with torch.compiler.set_stance("force_eager") if self.compiled else contextlib.nullcontext():
            logits = forward_with_labels(self.discriminator, reals, batch.labels)
        (gradient,) = torch.autograd.grad(logits.sum(), reals, create_graph=True)
        penalty = gradient.square().sum(dim=(1, 2, 3)).mean() / logits[0].numel()
        # 0 * logits gives the last bias a gradient as well: DDP waits for a gradient of every parameter
        (self.section.r1_gamma / 2 * self.section.r1_interval * penalty + 0.0 * logits.sum()).backward()
        return {"loss/r1": penalty.detach()}

    def g_nonsaturating(self, batch: Batch) -> Scalars:
        """`softplus(-D(G(z)))`, plus the images' total variation if the recipe gives it a weight."""
        images = self._forward(self.generator, batch.g_latents, batch.g_labels)
        loss = F.softplus(-self._forward(self.discriminator, images, batch.g_labels)).mean()
        scalars = {"loss/g": loss.detach()}
        weight = tv_weight(batch.images_seen, self.section)
        if weight:
            variation = total_variation(images)
            scalars["loss/tv"] = variation.detach()
            loss = loss + weight * variation
        loss.backward()
        return scalars


def total_variation(images: Tensor) -> Tensor:
    """Mean absolute difference of horizontal neighbours plus that of vertical ones: `[B, 3, H, W]` -> scalar.

    This is the anisotropic total variation as a mean, so its weight means the same at every image size.
    """
    return images.diff(dim=-1).abs().mean() + images.diff(dim=-2).abs().mean()
