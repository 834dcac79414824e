"""Consistency terms: bCR for images (Zhao et al., 2021) and zCR for latents (Zhao et al., ICR-GAN, 2021)."""

from __future__ import annotations

import torch
from torch import Tensor

from swincli.training.augment.bcr import BcrParams, bcr_augment
from swincli.training.losses.phases import DPhase, GPhase, Setting
from swincli.training.losses.views import View


def bcr(phase: DPhase) -> Tensor:
    """Balanced consistency: `w_r E (D(T(x)) - D(x))² + w_f E (D(T(G)) - D(G))²`, with the recipe's weights.

    The forwards of augmented images move spectral norm's vectors, as in the release.
    """
    loss, batch = phase.setting.recipe.loss, phase.batch
    assert batch.real_augment is not None
    assert batch.fake_augment is not None
    on_reals = _bcr(phase.setting, phase.real, batch.real_augment)
    on_fakes = _bcr(phase.setting, phase.fake, batch.fake_augment)
    return loss.bcr_real * on_reals + loss.bcr_fake * on_fakes


def _bcr(setting: Setting, view: View, draws: BcrParams) -> Tensor:
    augmented = setting.networks.judge(bcr_augment(view.images, draws), view.labels)
    difference: Tensor = augmented - view.logits
    return difference.flatten(1).mean(dim=1).square().mean()  # per image: augmentation moves content over patches


def zcr_d(phase: DPhase) -> Tensor:
    """Latent consistency of D: `E (D(G(z)) - D(G(z + s n)))²`."""
    setting, batch = phase.setting, phase.batch
    with torch.no_grad():
        close = _images_of_close_latents(setting, batch.d_latents, batch.draw("zcr_d"), batch.d_labels)
    with setting.networks.frozen_vectors():
        logits = setting.networks.judge(setting.augment(close, batch, "d_fake"), batch.d_labels)
    return (phase.fake.logits - logits).flatten(1).mean(dim=1).square().mean()


def zcr_g(phase: GPhase) -> Tensor:
    """Latent diversity of G: `-E |G(z) - G(z + s n)|²`, as a mean over pixels."""
    batch = phase.batch
    close = _images_of_close_latents(phase.setting, batch.g_latents, batch.draw("zcr_g"), batch.g_labels)
    return -(phase.images - close).square().mean()


def _images_of_close_latents(setting: Setting, z: Tensor, noise: Tensor, labels: Tensor | None) -> Tensor:
    return setting.networks.generate(z + setting.recipe.loss.zcr_sigma * noise.to(z), labels)
