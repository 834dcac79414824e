"""What a step works on: a function of the seed and of the images seen, and of nothing else."""

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
from swincli.training.step.prefetch import Feed
from swincli.training.step.rng import derive


def next_passes(
    recipe: Recipe,
    store: Store,
    images_seen: int,
    shares: BatchSplit,
    rank: int,
    device: torch.device,
    feed: Feed | None = None,
) -> list[Batch]:
    """The passes of a step of one process. Everything is drawn for the whole batch; its share is taken from that.

    Args:
        recipe: The experiment.
        store: Training images.
        images_seen: Images shown before the step.
        shares: How the batch is dealt out.
        rank: Number of the process.
        device: Where the networks are.
        feed: What brings the images; read from the store now where left out.

    Raises:
        DataError: the images cannot be read.
    """
    model, seed, count = recipe.model, recipe.train.seed, recipe.train.batch
    mine = shares.rank_indices(rank)
    indices = training_indices(len(store), seed, images_seen, count)
    pixels = feed.images(images_seen) if feed else torch.from_numpy(store.fetch(indices[mine.numpy()])).to(device)
    reals = to_network(pixels, model.pixel_mean, model.pixel_std)
    if recipe.augment.flip:
        reals = transforms.flip(reals, transforms.draw_flips(count, derive(seed, "flip", images_seen))[mine])
    latents = torch.randn(2, count, model.latent_dim, generator=derive(seed, "latents", images_seen))[:, mine]
    d_latents, g_latents = latents.to(device)
    batch = Batch(reals, d_latents, g_latents, images_seen)
    if recipe.loss.bcr_real or recipe.loss.bcr_fake:
        random = derive(seed, "augment", images_seen)
        of_reals, of_fakes = (transforms.draw_consistency(count, model.size, random).take(mine) for _ in range(2))
        batch = replace(batch, of_reals=of_reals, of_fakes=of_fakes)
    if model.classes:
        labels, d_labels, g_labels = batch_labels(store, indices, seed, images_seen)[:, mine].to(device)
        batch = replace(batch, labels=labels, d_labels=d_labels, g_labels=g_labels)
    if shares.passes == 1:
        return [batch]
    return [batch.take(shares.micro_batch_indices(number)) for number in range(shares.passes)]
