"""The mini-batch of a step: images, latents, labels and augmentation, as a function of (seed, images seen) alone."""

from __future__ import annotations

from dataclasses import replace

import torch

from swincli.data.loader_order import training_indices
from swincli.data.store.reader import Store
from swincli.model.pixels import to_network
from swincli.recipe import Recipe
from swincli.training.augment import transforms
from swincli.training.step.batch_shards import BatchSplit
from swincli.training.step.labels import batch_labels
from swincli.training.step.losses import Batch
from swincli.training.step.prefetch import ImageLoader
from swincli.training.step.rng import derive


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
    indices = training_indices(len(store), seed, images_seen, count)
    pixels = loader.images(images_seen) if loader else torch.from_numpy(store.fetch(indices[mine.numpy()])).to(device)
    reals = to_network(pixels, model.pixel_mean, model.pixel_std)
    if recipe.augment.flip:
        reals = transforms.flip(reals, transforms.draw_flips(count, derive(seed, "flip", images_seen))[mine])
    latents = torch.randn(2, count, model.latent_dim, generator=derive(seed, "latents", images_seen))[:, mine]
    d_latents, g_latents = latents.to(device)
    batch = Batch(reals, d_latents, g_latents, images_seen)
    if recipe.loss.bcr_real or recipe.loss.bcr_fake:
        random = derive(seed, "augment", images_seen)
        real_augment, fake_augment = (
            transforms.draw_bcr_params(count, model.size, random).take(mine) for _ in range(2)
        )
        batch = replace(batch, real_augment=real_augment, fake_augment=fake_augment)
    if model.classes:
        labels, d_labels, g_labels = batch_labels(store, indices, seed, images_seen)[:, mine].to(device)
        batch = replace(batch, labels=labels, d_labels=d_labels, g_labels=g_labels)
    if split.micro_batches == 1:
        return [batch]
    return [batch.take(split.micro_batch_indices(number)) for number in range(split.micro_batches)]
