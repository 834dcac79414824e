"""What D says of images: logits alone, with the features that some terms need, or of AdaptiveMix's blends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from swincli.model.discriminators.epilogue import deviation_group, hidden_of, logits_of
from swincli.recipe.objective import LossSection
from swincli.training.losses.batch import Batch
from swincli.training.losses.networks import Networks


@dataclass(frozen=True)
class View:
    """Images as D sees them, and what it says.

    Attributes:
        images: `[B, 3, H, W]`, augmented.
        labels: Their labels, or None.
        logits: `[B, ...]`.
        hidden: D's activated hidden vector, `[B, C]`; None if no term needs it.
        blend_loss: AdaptiveMix's loss of these images; None without AdaptiveMix.
        foreign_logits: `[B, ...]` with labels that are wrong for the images; None without `loss.matching`, like the
            next.
        foreign_known: Which images have such labels, bool `[B]`.
    """

    images: Tensor
    labels: Tensor | None
    logits: Tensor
    hidden: Tensor | None = None
    blend_loss: Tensor | None = None
    foreign_logits: Tensor | None = None
    foreign_known: Tensor | None = None


def needs_hidden(section: LossSection) -> bool:
    """Whether a term of the recipe needs D's hidden vectors."""
    return any(
        (section.augself_d, section.augself_g, section.mee_dlle, section.mee_disomap, section.mee_entropy),
    )


@dataclass(frozen=True)
class Blend:
    """AdaptiveMix's random numbers of some images, from `draw_blend`.

    Attributes:
        weight: Of an image in its blend.
        place: Chooses the partners.
        noise: N(0, 1), `[B, C * 16]`.
    """

    weight: float
    place: float
    noise: Tensor


def blend_of(batch: Batch, view: str) -> Blend | None:
    """AdaptiveMix's random numbers of a view; None without AdaptiveMix."""
    name = f"blend/{view}"
    if name not in batch.draws:
        return None
    weight, place = batch.draws[name][0, :2].tolist()  # of the host's numbers: nothing waits for the device
    return Blend(weight, place, batch.draw(name)[:, 2:])


def view(
    networks: Networks,
    section: LossSection,
    images: Tensor,
    labels: Tensor | None,
    blend: Blend | None,
    foreign: Tensor | None = None,
) -> View:
    """Run D on images, with AdaptiveMix on blends too; the forward moves spectral norm's vectors once.

    Args:
        networks: The networks.
        section: Decides what is needed.
        images: `[B, 3, H, W]`, augmented.
        labels: Their labels.
        blend: AdaptiveMix's random numbers of the images.
        foreign: Labels that are wrong for the images, `[B, columns]`, NaN where there are none; None without
            `loss.matching`.
    """
    if foreign is not None:
        assert labels is not None
        both = view(networks, section, images, torch.stack([labels, foreign], dim=1), blend)
        own, other = (_of_row(both.logits, row) for row in (0, 1))
        known = ~foreign.isnan().all(dim=1)
        return replace(both, labels=labels, logits=own, foreign_logits=other, foreign_known=known)
    if section.adaptive_mix:
        assert blend is not None
        blended = partial(_blended, networks=networks, numbers=blend, noise=section.adaptive_mix_noise)
        return View(images, labels, **networks.look(blended, images, labels))
    if needs_hidden(section):
        return View(images, labels, **networks.look(_with_hidden, images, labels))
    return View(images, labels, networks.judge(images, labels))


def _of_row(logits: Tensor, row: int) -> Tensor:
    """Logits of one of K rows of labels: `[B, K, ...] -> [B, 1, ...]`, or `[B, K, n] -> [B, n]` of frozen features."""
    part = logits[:, row : row + 1]
    return part.flatten(1) if part.ndim == 3 else part


def _with_hidden(network: Any, images: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
    hidden = hidden_of(network, network.features(images))
    return {"logits": logits_of(network, hidden, labels), "hidden": hidden}


def hidden_only(network: Any, images: Tensor, labels: Tensor | None) -> Tensor:  # noqa: ARG001
    """D's hidden vectors, for `Networks.look`."""
    return hidden_of(network, network.features(images))


def draw_blend(channels: int, count: int, random: torch.Generator) -> Tensor:
    """AdaptiveMix's random numbers: the blend's weight and the partner, the same for all images, and noise.

    Returns:
        `[count, 2 + channels * 16]`: U(0, 1), U(0, 1), then N(0, 1).
    """
    shared = torch.rand(1, 2, generator=random).expand(count, 2)
    return torch.cat([shared, torch.randn(count, channels * 16, generator=random)], dim=1)


def partners(x: Tensor, group: int, draw: float) -> Tensor:
    """Of each image another one of the same group of the minibatch standard deviation, `[B, ...]`.

    The members of a group are B / group apart. Each takes the one that is a drawn number of places further, so a batch
    that is split by whole groups gives the same pairs.
    """
    shift = 1 + min(int(draw * (group - 1)), group - 2)
    return x.view(group, -1, *x.shape[1:]).roll(-shift, dims=0).view_as(x)


def _blended(
    network: Any, images: Tensor, labels: Tensor | None, *, networks: Networks, numbers: Blend, noise: float
) -> dict[str, Tensor]:
    """AdaptiveMix (Liu et al., CVPR 2023): logits of blended features plus those of blended images, and the loss."""
    group = deviation_group(len(images), network.std_group)
    features = network.features(images)
    blend = _mixer(group, numbers.weight, numbers.place)
    blended = blend(features)
    target = (blended + noise * numbers.noise.view_as(blended).to(blended)).detach()
    logits = logits_of(network, hidden_of(network, blended), labels)
    with networks.frozen_vectors():
        of_blend = network.features(blend(images))
        logits = logits + logits_of(network, hidden_of(network, of_blend), labels)
    cosine = F.cosine_similarity(of_blend.flatten(1).float(), target.flatten(1).float())
    return {"logits": logits, "blend_loss": -cosine.mean()}


def _mixer(group: int, weight: float, place: float) -> Callable[[Tensor], Tensor]:
    if group < 2:
        return lambda x: x
    return lambda x: weight * x + (1 - weight) * partners(x, group, place)
