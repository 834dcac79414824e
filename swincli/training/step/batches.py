"""The mini-batch of a step: images, latents, labels and augmentation, as a function of (seed, images seen) alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from swincli.data.store.reader import Store
from swincli.model.pixels import to_network
from swincli.recipe import Recipe
from swincli.system.device_copy import send
from swincli.training.augment.bcr import draw_bcr_params, flip
from swincli.training.augment.pipe import Augmentation
from swincli.training.losses.batch import Batch
from swincli.training.losses.draws import AUGMENT, draw_all
from swincli.training.rng import derive
from swincli.training.step.batch_shards import BatchSplit
from swincli.training.step.labels import Labels, batch_images, labels_of, with_foreign
from swincli.training.step.prefetch import ImageLoader, RankSampler


def next_micro_batches(
    recipe: Recipe,
    store: Store,
    images_seen: int,
    split: BatchSplit,
    rank: int,
    device: torch.device,
    loader: ImageLoader | None = None,
    probability: float | None = None,
    *,
    every_phase: bool = False,
) -> list[Batch]:
    """The micro-batches of one rank for the next step. All random numbers are drawn for the whole batch, then sliced.

    Args:
        recipe: The experiment.
        store: Training images.
        images_seen: Images shown before the step.
        split: How the batch is split over ranks and micro-batches.
        rank: Rank of this process.
        device: Device of the networks.
        loader: Loads the images; by default they are read from the store now.
        probability: Of the transforms in this step, which are then planned now; by default where they are applied.
        every_phase: Also with the random numbers of lazy phases that are not due.

    Raises:
        DataError: the images cannot be read.
    """
    model, seed, count = recipe.model, recipe.train.seed, recipe.train.batch
    mine = split.rank_indices(rank)
    sampler = RankSampler(recipe, len(store), mine)
    if loader is None:
        pixels = send(torch.from_numpy(store.fetch(sampler.at(images_seen))), device)
    else:
        pixels = loader.images(images_seen)
    everything = to_network(pixels, model.pixel_mean, model.pixel_std)
    reals, g_reals = everything[: len(mine)], everything[len(mine) :]
    d_latents, g_latents = torch.randn(2, count, model.latent_dim, generator=derive(seed, "latents", images_seen))
    batch = with_draws(
        Batch(reals, d_latents[mine], g_latents[mine], images_seen), recipe, mine, every_phase=every_phase
    )
    if sampler.paired:
        batch = replace(batch, g_reals=g_reals)
    if model.is_conditional:
        own, foreign = _labels(recipe, store, sampler, images_seen)
        labels, d_labels, g_labels = own[:, mine]
        batch = replace(batch, labels=labels, d_labels=d_labels, g_labels=g_labels)
        batch = batch if foreign is None else replace(batch, foreign=foreign[:, mine].transpose(0, 1))
    batches = send_micro_batches(batch, recipe, split, device, probability)
    return [_flipped(part) for part in batches] if recipe.augment.flip else batches


def with_draws(batch: Batch, recipe: Recipe, mine: Tensor, *, every_phase: bool = False) -> Batch:
    """The batch with all random numbers of a step, of the images at some positions of the whole batch, on the CPU."""
    drawn = draw_all(recipe, batch.images_seen, every_phase=every_phase)
    draws = {name: values[mine] for name, values in drawn.items()}
    if not (recipe.loss.bcr_real or recipe.loss.bcr_fake):
        return replace(batch, draws=draws)
    random = derive(recipe.train.seed, "augment", batch.images_seen)
    count, size = recipe.train.batch, recipe.model.size
    real_augment, fake_augment = (draw_bcr_params(count, size, random).take(mine) for _ in range(2))
    return replace(batch, draws=draws, real_augment=real_augment, fake_augment=fake_augment)


def send_micro_batches(
    batch: Batch, recipe: Recipe, split: BatchSplit, device: torch.device, probability: float | None = None
) -> list[Batch]:
    """The micro-batches of a rank's images, with everything that is still on the CPU copied to the device at once.

    Args:
        batch: A rank's images, in the order of `BatchSplit.rank_indices`.
        recipe: The experiment.
        split: How the batch is split.
        device: Device of the networks.
        probability: As in `next_micro_batches`.
    """
    slices = split.micro_batch_slices()
    plans = [{} if probability is None else _plans(batch, recipe, part, probability) for part in slices]
    draws = batch.draws
    sent = {name: values for name, values in draws.items() if not name.startswith(AUGMENT)}  # of those, the plans
    batch, plans = send((replace(batch, draws={}, sent=sent), plans), device)
    batch = replace(batch, draws=draws)
    return [replace(batch.take(part), plans=own) for part, own in zip(slices, plans, strict=True)]


def _plans(batch: Batch, recipe: Recipe, part: slice, probability: float) -> dict[str, Any]:
    """What the transforms do to some of the images, by view."""
    augmentation = Augmentation(recipe.augment, recipe.model)
    return {
        name.removeprefix(AUGMENT): augmentation.plan(values[part], probability)
        for name, values in batch.draws.items()
        if name.startswith(AUGMENT)
    }


def _flipped(batch: Batch) -> Batch:
    """The batch with its training flips."""
    batch = replace(batch, reals=flip(batch.reals, batch.draw("flip")))
    return batch if batch.g_reals is None else replace(batch, g_reals=flip(batch.g_reals, batch.draw("flip g_reals")))


def _labels(recipe: Recipe, store: Store, sampler: RankSampler, images_seen: int) -> Labels:
    """Labels of the whole batch's reals, D's latents and G's latents, `[3, batch]` or `[3, batch, columns]`.

    With paired logits, a fake has the label of the real that it is compared with. The second result is wrong for
    the images, for `loss.matching`.
    """
    first, second = sampler.batch_indices(images_seen)
    if second is None:
        images = batch_images(store, first, recipe.train.seed, images_seen)
    else:
        images = np.stack([first, first, second])
    return with_foreign(recipe, store, labels_of(recipe.model, store, images), images, images_seen)
