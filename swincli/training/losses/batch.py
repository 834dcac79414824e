"""The data of one step: images, latents, labels, and all random numbers that the losses use."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from torch import Tensor

from swincli.training.augment.bcr import BcrParams


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
        labels: Labels of the reals, int64 `[B]` or float32 `[B, columns]`; None for unconditional networks, like the
            next two.
        d_labels: Labels of D's latents.
        g_labels: Labels of G's latents.
        foreign: Labels that are wrong for the reals, for D's and for G's latents, `[B, 3, columns]`, NaN where there
            are none; None without `loss.matching`.
        g_reals: Other training images, for losses that compare G's images with reals; None without such a loss.
        draws: Random numbers of the losses by name, each `[B, ...]` on the CPU; see `draws.DRAWS`.
        sent: Copies of draws on the device, by name.
        plans: What the transforms of views do, by view, None for nothing. A view without a plan gets one where it is
            transformed.
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
    foreign: Tensor | None = None
    g_reals: Tensor | None = None
    draws: dict[str, Tensor] = field(default_factory=dict)
    sent: dict[str, Tensor] = field(default_factory=dict)
    plans: dict[str, Any] = field(default_factory=dict)

    def draw(self, name: str) -> Tensor:
        """Random numbers by name, on the device if they have been sent there."""
        return self.sent.get(name, self.draws[name])

    def take(self, images: slice) -> Batch:
        """Some of the images with their latents, labels and random numbers, as views; without plans."""

        def part(value: Any) -> Any:
            if isinstance(value, Tensor):
                return value[images]
            if isinstance(value, dict):
                return {name: tensor[images] for name, tensor in value.items()}
            return value.take(images) if isinstance(value, BcrParams) else value

        return Batch(**{each.name: part(getattr(self, each.name)) for each in fields(self) if each.name != "plans"})
