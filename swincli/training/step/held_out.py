"""D's logits at held-out images (`evaluate.held_out`): as high as at training images, unless D memorises those."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from swincli.data.loader_order import training_indices
from swincli.data.store.manifest import Manifest
from swincli.data.store.reader import Store, is_store
from swincli.errors import DataError, SwincliError
from swincli.model.pixels import to_network
from swincli.recipe import Recipe
from swincli.training.losses.batch import Batch
from swincli.training.losses.draws import DRAWS
from swincli.training.losses.phases import Setting
from swincli.training.losses.views import blend_of, view
from swincli.training.rng import derive
from swincli.training.schedules import crossed
from swincli.training.step.batch_shards import BatchSplit
from swincli.training.step.labels import check_labels, labels_at

HELD_OUT_LOGIT, TRAINED_LOGIT = "d/held_out_logit", "d/trained_logit"
_KEY = "evaluate.held_out"
_DRAWS = ("augment/d_real", "blend/d_real")


def open_held_out(recipe: Recipe, store: Store) -> Store | None:
    """The store of `evaluate.held_out`; None without one.

    Args:
        recipe: The experiment.
        store: The training images.

    Raises:
        DataError: it is no store, holds training images or may do so, or its images or labels do not fit the recipe.
    """
    if recipe.evaluate.held_out is None:
        return None
    key, path, hint = recipe.named(_KEY), Path(recipe.evaluate.held_out), _split_hint(recipe)
    held_out = _open(recipe)
    own, trained = held_out.manifest, store.manifest
    if own.content_hash == trained.content_hash:
        raise DataError(f"{key}: {path} holds the training images of data.path, {store.path}", hint)
    if held_out.resolution != recipe.model.size:
        raise DataError(
            f"{key}: the images of {path} are {held_out.resolution} px, but model.size is {recipe.model.size}", hint
        )
    if recipe.model.attributes and not _same_attributes(own, trained):
        raise DataError(f"{key}: {path} has other values or ranges of attributes than {store.path}", hint)
    if own.split is None:
        raise DataError(f"{key}: {path} is not a part of a split, so it may hold training images", hint)
    if own.split != trained.split or own.part == trained.part:
        raise DataError(
            f"{key}: {path} may hold training images: it and data.path, {store.path}, are not two parts of one split",
            hint,
        )
    return held_out


def refuse_held_out_of_source(recipe: Recipe) -> None:
    """Refuse `evaluate.held_out` where the training images are still to be made from `data.source`, which splits none.

    Raises:
        DataError: it is set; the reason is that it is no store, if so.
    """
    if recipe.evaluate.held_out is None:
        return
    _open(recipe)
    raise DataError(
        f"{recipe.named(_KEY)}: data.path, {recipe.data.path}, would be made of all images of data.source, so those of "
        f"{recipe.evaluate.held_out} may be among them",
        _split_hint(recipe),
    )


def _open(recipe: Recipe) -> Store:
    """The store of `evaluate.held_out`, with the recipe's labels."""
    key, path, hint = recipe.named(_KEY), Path(recipe.evaluate.held_out or ""), _split_hint(recipe)
    parts = sorted(part.name for part in path.iterdir() if is_store(part)) if path.is_dir() else []
    if not is_store(path) and parts:
        raise DataError(f"{key}: {path} holds the stores {', '.join(parts)}", "Name the one that is not trained on.")
    if not path.exists():
        raise DataError(f"{key}: {path} does not exist", hint)
    try:
        held_out = Store.open(path)
        check_labels(recipe.model, held_out)
    except SwincliError as error:
        raise DataError(f"{key}: {error.message}", error.hint) from error
    return held_out


def _split_hint(recipe: Recipe) -> str:
    return (
        f"Make both with `swincli prepare-data SOURCE DEST --resolution {recipe.model.size} --split "
        "train:0.9,test:0.1`: DEST/train is data.path, DEST/test is evaluate.held_out."
    )


def _same_attributes(one: Manifest, other: Manifest) -> bool:
    """Whether values and ranges of attributes are the same, apart from the number of unknown ones."""
    first, second = ([replace(each, missing=0) for each in both.attribute_list()] for both in (one, other))
    return first == second


class HeldOutLogits:
    """Runs D at one moment on a batch of held-out images and on one of training images, with equal transforms.

    Logits of different steps cannot be compared: all of them rise and fall with D's bias. Every rank takes its share of
    the batches, in its micro-batches. Spectral norm's vectors stay as they are, and no random number of training is
    drawn, so training is the same to the last bit.

    Args:
        held_out: The held-out images; without them there is nothing to measure.
        trained: The training images.
        setting: D, its augmentation and the recipe.
        split: How a batch is split.
        rank: Rank of this process.
    """

    def __init__(self, held_out: Store | None, trained: Store, setting: Setting, split: BatchSplit, rank: int) -> None:
        self._held_out, self._trained, self._setting, self._split = held_out, trained, setting, split
        self._mine = split.rank_indices(rank)

    @torch.no_grad()
    def measure_if_due(self, images_seen: int) -> dict[str, float]:
        """This rank's mean logits, once for each line of stats.jsonl; the means over ranks are those of whole batches.

        Args:
            images_seen: Images shown so far, those of the last step included.

        Raises:
            DataError: the images cannot be read.
        """
        recipe = self._setting.recipe
        is_due = crossed(images_seen, recipe.train.batch, recipe.run.log) or images_seen >= recipe.train.total
        if self._held_out is None or not is_due:
            return {}
        stores = {TRAINED_LOGIT: self._trained, HELD_OUT_LOGIT: self._held_out}
        return {name: self._mean_logit(self._batch(store, images_seen)) for name, store in stores.items()}

    def _mean_logit(self, batch: Batch) -> float:
        networks, split = self._setting.networks, self._split
        parts = [batch.take(part) for part in split.micro_batch_slices()]
        with networks.frozen_vectors(), networks.differentiable_twice():  # eagerly: a form less to compile
            return float(torch.stack([self._logits(part).mean() for part in parts]).mean())

    def _logits(self, part: Batch) -> torch.Tensor:
        setting = self._setting
        seen = setting.augment(part.reals, part, "d_real")
        section = setting.recipe.loss
        return view(setting.networks, section, seen, part.labels, blend_of(part, "d_real")).logits.float()

    def _batch(self, store: Store, images_seen: int) -> Batch:
        """This rank's images of a store, in an order of their own, their labels and random numbers."""
        recipe, mine = self._setting.recipe, self._mine
        seed, count = recipe.train.seed, recipe.train.batch
        indices = training_indices(len(store), (seed + 2) % 2**32, images_seen, count)[mine.numpy()]
        device = next(self._setting.networks.discriminator.parameters()).device
        pixels = torch.from_numpy(store.fetch(indices)).to(device)
        reals = to_network(pixels, recipe.model.pixel_mean, recipe.model.pixel_std)
        draws = {
            name: DRAWS[name].make(recipe, count, derive(seed, f"held out {name}", images_seen))[mine]
            for name in _DRAWS
            if DRAWS[name].wanted(recipe)
        }
        labels = labels_at(recipe.model, store, indices)
        return Batch(
            reals, reals, reals, images_seen, labels=None if labels is None else labels.to(device), draws=draws
        )
