"""The data of one step: images, latents, labels, and all random numbers that the losses use."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

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
        labels: Labels of the reals, int64 `[B]`; None for unconditional networks, like the next two.
        d_labels: Labels of D's latents.
        g_labels: Labels of G's latents.
        g_reals: Other training images, for losses that compare G's images with reals; None without such a loss.
        draws: Random numbers of the losses by name, each `[B, ...]`; see `draws.DRAWS`.
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
    g_reals: Tensor | None = None
    draws: dict[str, Tensor] = field(default_factory=dict)

    def take(self, positions: Tensor) -> Batch:
        """The images at some positions of the batch, with their latents, labels and random numbers."""
        on_device = positions.to(self.reals.device)

        def part(value: object) -> object:
            if isinstance(value, Tensor):
                return value[on_device]
            if isinstance(value, dict):
                return {name: tensor[positions.to(tensor.device)] for name, tensor in value.items()}
            return value.take(positions) if isinstance(value, BcrParams) else value

        return Batch(**{field.name: part(getattr(self, field.name)) for field in fields(self)})  # type: ignore[arg-type]
