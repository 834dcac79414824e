"""The mini-batch of a step: images, latents, labels and augmentation, as a function of (seed, images seen) alone."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from swincli.data.store.reader import Store
from swincli.model.pixels import to_network
from swincli.recipe import Recipe
from swincli.training.augment.bcr import draw_bcr_params, draw_flips, flip
from swincli.training.losses.batch import Batch
from swincli.training.losses.draws import draw_all
from swincli.training.rng import derive
from swincli.training.step.batch_shards import BatchSplit
from swincli.training.step.labels import batch_labels
from swincli.training.step.prefetch import ImageLoader, RankSampler


def next_micro_batches(
    recipe: Recipe,
    store: Store,
    images_seen: int,
    split: BatchSplit,
    rank: int,
    device: torch.device,
    loader: ImageLoader | None = None,
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

    Raises:
        DataError: the images cannot be read.
    """
    model, seed, count = recipe.model, recipe.train.seed, recipe.train.batch
    mine = split.rank_indices(rank)
    sampler = RankSampler(recipe, len(store), mine)
    pixels = loader.images(images_seen) if loader else torch.from_numpy(store.fetch(sampler.at(images_seen))).to(device)
    everything = to_network(pixels, model.pixel_mean, model.pixel_std)
    reals, g_reals = everything[: len(mine)], everything[len(mine) :]
    if recipe.augment.flip:
        reals = flip(reals, draw_flips(count, derive(seed, "flip", images_seen))[mine])
        if sampler.paired:
            g_reals = flip(g_reals, draw_flips(count, derive(seed, "flip g_reals", images_seen))[mine])
    latents = torch.randn(2, count, model.latent_dim, generator=derive(seed, "latents", images_seen))[:, mine]
    d_latents, g_latents = latents.to(device)
    batch = with_draws(Batch(reals, d_latents, g_latents, images_seen), recipe, mine)
    if model.classes:
        labels, d_labels, g_labels = _labels(store, sampler, seed, images_seen)[:, mine].to(device)
        batch = replace(batch, labels=labels, d_labels=d_labels, g_labels=g_labels)
    if sampler.paired:
        batch = replace(batch, g_reals=g_reals)
    if split.micro_batches == 1:
        return [batch]
    return [batch.take(split.micro_batch_indices(number)) for number in range(split.micro_batches)]


def with_draws(batch: Batch, recipe: Recipe, mine: Tensor) -> Batch:
    """The batch with all random numbers of the recipe's losses, of the images at some positions of the whole batch."""
    draws = {name: values[mine] for name, values in draw_all(recipe, batch.images_seen).items()}
    if not (recipe.loss.bcr_real or recipe.loss.bcr_fake):
        return replace(batch, draws=draws)
    random = derive(recipe.train.seed, "augment", batch.images_seen)
    count, size = recipe.train.batch, recipe.model.size
    real_augment, fake_augment = (draw_bcr_params(count, size, random).take(mine) for _ in range(2))
    return replace(batch, draws=draws, real_augment=real_augment, fake_augment=fake_augment)


def _labels(store: Store, sampler: RankSampler, seed: int, images_seen: int) -> Tensor:
    """Labels of the whole batch's reals, D's latents and G's latents, int64 `[3, batch]`.

    With paired logits, a fake has the label of the real that it is compared with.
    """
    first, second = sampler.batch_indices(images_seen)
    labels = batch_labels(store, first, seed, images_seen)
    if second is None:
        return labels
    assert store.labels is not None
    return torch.stack([labels[0], labels[0], torch.from_numpy(store.labels[second])])
