"""The losses of each phase: adversarial loss and terms of D and of G, R1 and R2, path length.

Each method of `Losses` runs the forwards of one phase, calls backward once, and returns scalars to report. D's forwards
come in the original release's order, because each one in training mode updates spectral norm's vectors. D's logits are
`[B, ...]`: one per image, or one per patch.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from swincli.model.blocks.conditioning import forward_with_labels
from swincli.recipe.objective import LossSection
from swincli.training.augment.probability import AUGMENT_P, AUGMENT_R, is_adaptive
from swincli.training.losses.added_modules import used_modules
from swincli.training.losses.adversarial import ADVERSARIAL, Adversarial
from swincli.training.losses.apa import swapped
from swincli.training.losses.batch import Batch
from swincli.training.losses.path_length import PATH_MEAN, path_lengths
from swincli.training.losses.phases import DPhase, GPhase, Setting
from swincli.training.losses.terms import D_TERMS, G_TERMS, P, Term
from swincli.training.losses.views import blend_of, view
from swincli.training.losses.weights import WEIGHTS
from swincli.training.schedules import r1_weight, r2_weight, top_k_share

Scalars = dict[str, Tensor]


class Losses:
    """The losses of a recipe: `loss.adversarial` (see `ADVERSARIAL`), and its terms and penalties.

    Args:
        setting: Recipe, networks, augmentation and memory.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting, self.networks = setting, setting.networks
        self.recipe, self.section = setting.recipe, setting.recipe.loss
        self.adversarial = ADVERSARIAL[self.section.adversarial]

    def d_loss(self, batch: Batch) -> Scalars:
        """D's adversarial loss and terms. With `joint_penalty`, R1 and R2 as well, in float32 and eagerly (R3GAN)."""
        with torch.no_grad():
            fakes = self.networks.generate(batch.d_latents, batch.d_labels)
        reals, real_labels = self._reals(batch)
        joint = self.section.joint_penalty
        if joint:
            reals, fakes = reals.detach().requires_grad_(), fakes.detach().requires_grad_()
        with self.networks.differentiable_twice() if joint else contextlib.nullcontext():
            phase = self._d_phase(batch, reals, real_labels, fakes)
        loss = self.adversarial.d(phase.real.logits, phase.fake.logits)
        scalars = _d_scalars(loss, phase, self.adversarial) | self._augment_scalars(batch)
        loss = _add_terms(D_TERMS, phase, loss, scalars, self.section, batch.images_seen)
        if joint:
            loss = self._add_penalties(phase, loss, scalars)
        (loss + self._touched_heads()).backward()
        return scalars

    def _d_phase(self, batch: Batch, reals: Tensor, real_labels: Tensor | None, fakes: Tensor) -> DPhase:
        """D's main forwards, first of the fakes and then of the reals."""
        setting = self.setting
        if self.section.joint_penalty:
            setting = replace(setting, networks=replace(self.networks, precision=torch.float32))
        foreign = (None, None) if batch.foreign is None else (batch.foreign[:, 0], batch.foreign[:, 1])
        seen_fakes, seen_reals = setting.augment(fakes, batch, "d_fake"), setting.augment(reals, batch, "d_real")
        fake = view(setting.networks, self.section, seen_fakes, batch.d_labels, blend_of(batch, "d_fake"), foreign[1])
        real = view(setting.networks, self.section, seen_reals, real_labels, blend_of(batch, "d_real"), foreign[0])
        return DPhase(setting, batch, reals, fakes, real, fake)

    def _add_penalties(self, phase: DPhase, loss: Tensor, scalars: Scalars) -> Tensor:
        """Add R1 and R2 of the main forwards."""
        seen = phase.batch.images_seen
        for name, gamma, images, logits in (
            ("r1", r1_weight(seen, self.section), phase.reals, phase.real.logits),
            ("r2", r2_weight(seen, self.section), phase.fakes, phase.fake.logits),
        ):
            if gamma:
                penalty = _squared_gradient(logits, images)
                scalars[f"loss/{name}"] = penalty.detach()
                loss = loss + gamma / 2 * penalty
        return loss

    def d_penalties(self, batch: Batch) -> Scalars:
        """R1 and R2 in a phase of their own: `gamma / 2 * interval * E |grad D|²` at reals and at fakes.

        The factor `interval` makes up for the steps without it. With several logits per image, the squared gradient of
        their sum is divided by their number, as if each patch were an image. This is exact if patches do not overlap.
        With transforms it is the gradient of D(T(x)) at x. It runs in float32 and eagerly. `run.tf32` applies
        here too: the factors of its products are rounded to TF32, those of the second derivative as well.
        """
        losses, scalars, seen = [], Scalars(), batch.images_seen
        if self.section.has_r1:
            reals, labels = self._reals(batch)
            gamma = r1_weight(seen, self.section)
            loss, scalars["loss/r1"], logits = self._penalty(batch, reals, labels, "r1", gamma)
            losses.append(loss)
            boundary = self.adversarial.boundary
            if is_adaptive(self.recipe.augment) and not self.adversarial.paired and boundary is not None:
                scalars["r1/real_sign"] = _minus(logits, boundary).sign().mean()
        if self.section.has_r2:
            with torch.no_grad():
                fakes = self.networks.generate(batch.d_latents, batch.d_labels)
            gamma = r2_weight(seen, self.section)
            loss, scalars["loss/r2"], _ = self._penalty(batch, fakes, batch.d_labels, "r2", gamma)
            losses.append(loss)
        (sum(losses[1:], losses[0]) + self._touched_heads()).backward()
        return scalars

    def _penalty(
        self, batch: Batch, images: Tensor, labels: Tensor | None, name: str, gamma: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The weighted penalty at some images, its value without the weight, and D's logits."""
        images = images.detach().requires_grad_()
        with self.networks.differentiable_twice():
            seen = self.setting.augment(images, batch, name)
            logits = forward_with_labels(self.networks.discriminator, seen, labels)
        penalty = _squared_gradient(logits, images)
        # 0 * logits gives the last bias a gradient as well: DDP waits for a gradient of every parameter
        loss = gamma / 2 * self.section.r1_interval * penalty + 0.0 * logits.sum()
        return loss, penalty.detach(), logits.detach()

    def _reals(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """What D is shown as real, and its labels: with APA, some of them are generated."""
        if not self.recipe.augment.apa:
            return batch.reals, batch.labels
        p = self.setting.probability(batch.images_seen)
        return swapped(self.networks.generate, batch, p)

    def _augment_scalars(self, batch: Batch) -> Scalars:
        """The probability of the transforms in this step and, once the controller has measured it, r_t: on the CPU."""
        if not self.recipe.augment.is_on:
            return {}
        scalars = {AUGMENT_P: torch.tensor(self.setting.probability(batch.images_seen))}
        measured = self.setting.memory.values.get(AUGMENT_R)
        if measured is not None and not measured.isnan():
            scalars[AUGMENT_R] = measured.float()
        return scalars

    def _touched_heads(self) -> Tensor | float:
        """0, with a gradient of 0 for heads that a phase does not use: DDP waits for a gradient of every parameter."""
        modules = [self.networks.module(name) for name in used_modules(self.recipe)]
        return sum((0.0 * parameter.sum() for module in modules for parameter in module.parameters()), 0.0)

    def g_loss(self, batch: Batch) -> Scalars:
        """G's adversarial loss and terms."""
        images = self.networks.generate(batch.g_latents, batch.g_labels)
        seen = self.setting.augment(images, batch, "g_fake")
        foreign = None if batch.foreign is None else batch.foreign[:, 2]
        fake = view(self.networks, self.section, seen, batch.g_labels, blend_of(batch, "g_fake"), foreign)
        per_logit = self.adversarial.g(fake.logits, self._real_logits(batch) if self.adversarial.paired else None)
        share = top_k_share(batch.images_seen, self.section)
        loss = per_logit.mean() if share >= 1 else _mean_of_best(per_logit, fake.logits, share)
        scalars = {"loss/g": loss.detach()}
        phase = GPhase(self.setting, batch, images, fake)
        _add_terms(G_TERMS, phase, loss, scalars, self.section, batch.images_seen).backward()
        return scalars

    def _real_logits(self, batch: Batch) -> Tensor:
        """Logits of the reals that G's fakes are compared with: constants, whose forward moves no vectors."""
        assert batch.g_reals is not None
        with torch.no_grad(), self.networks.frozen_vectors():
            return self.networks.judge(self.setting.augment(batch.g_reals, batch, "g_real"), batch.g_labels)

    def g_path_length(self, batch: Batch) -> Scalars:
        """Path length regularisation in a phase of its own: `weight * interval * E (length - a)²`.

        a is the moving average of the mean lengths of earlier phases, so it is the same however the batch is split.
        """
        through = partial(path_lengths, noise=batch.draw("path_length"))
        lengths = self.networks.trace(through, batch.g_latents, batch.g_labels)
        mean = lengths.mean()
        penalty = (lengths - self.setting.memory.number(PATH_MEAN)).square().mean()
        weight = self.section.path_length * self.section.path_length_interval
        (weight * penalty).backward()
        return {"loss/path_length": penalty.detach(), "g/path_length": mean.detach()}


def _squared_gradient(logits: Tensor, images: Tensor) -> Tensor:
    """`E |grad D|²` over images, `[]`; with several logits per image, per logit."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean() / logits[0].numel()


def _mean_of_best(losses: Tensor, logits: Tensor, share: float) -> Tensor:
    """Top-k (Sinha et al., 2020): the mean over the share of images with the highest logits."""
    count = math.ceil(share * len(logits))
    best = logits.detach().flatten(1).mean(dim=1).topk(count).indices
    return losses[best].mean()


def _add_terms(
    terms: tuple[Term[P], ...], phase: P, loss: Tensor, scalars: Scalars, section: LossSection, images_seen: int
) -> Tensor:
    """Add the terms that have a weight to a loss, and their values to the scalars."""
    for term in terms:
        weight = WEIGHTS[term.name](section, images_seen)
        if weight:
            value = term.value(phase)
            scalars[f"loss/{term.name}"] = value.detach()
            loss = loss + weight * value
    return loss


def _d_scalars(loss: Tensor, phase: DPhase, adversarial: Adversarial) -> Scalars:
    """What D's phase reports. `d/real_sign` is ADA's r_t; without a boundary of the logits, there is none."""
    real, fake, boundary = phase.real.logits.detach(), phase.fake.logits.detach(), adversarial.boundary
    means = {"d/real_logit": real.mean(), "d/fake_logit": fake.mean()}
    if boundary is None:
        return {"loss/d": loss.detach(), **means}
    high, low = (real - fake, fake - real) if adversarial.paired else (real, fake)
    return {
        "loss/d": loss.detach(),
        "d/real_accuracy": (high > boundary).float().mean(),
        "d/fake_accuracy": (low < boundary).float().mean(),
        **means,
        "d/real_sign": _minus(high, boundary).sign().mean(),
    }


def _minus(logits: Tensor, boundary: float) -> Tensor:
    return logits - boundary if boundary else logits
