"""Model files: the EMA weights of G, with their recipe and mean w, in safetensors, which can hold no code.

A model converted from an original checkpoint also contains the training parts: G, D and both Adam states.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from swincli.errors import CheckpointError, RecipeError
from swincli.model.blocks.conditioning import LabelEmbedding
from swincli.model.discriminators.registry import make_discriminator
from swincli.model.files.ancestry import Ancestors, ancestry_note, read_ancestors
from swincli.model.files.attributes import Attributes
from swincli.model.files.classes import Classes
from swincli.model.files.find_checkpoint import METADATA
from swincli.model.files.label_notes import attributes_in, classes_in, label_notes
from swincli.model.files.official import is_original, read_original
from swincli.model.files.snapshot import (
    Snapshot,
    Weights,
    from_tensors,
    require_shapes,
    shapes_of,
    training_notes,
    training_tensors,
)
from swincli.model.files.tensor_file import read_tensors, to_float32, write_tensors
from swincli.model.generator import Generator
from swincli.model.meta_init import meta_init
from swincli.recipe import Recipe
from swincli.recipe.loading import parse_recipe
from swincli.recipe.private import dump_public_recipe

FORMAT = "swincli-model-1"
MODELS = "Models are the model-*.safetensors files of a run."
UPGRADE = "Perhaps a newer swincli wrote it: pip install --upgrade swincli"
MEAN_SAMPLES, CLASS_SAMPLES = 10_000, 200


@dataclass(frozen=True)
class Model:
    """A generator that is ready for sampling, with its recipe and truncation centres.

    Attributes:
        generator: G with EMA weights, in eval mode and without gradients.
        recipe: The recipe it was trained with.
        images_seen: Images that it was trained for.
        w_mean: Mean w `[latent_dim]`, the centre of truncation.
        path: The file it was read from.
        classes: The classes of a model with classes, else None.
        w_mean_by_class: Mean w of every class, `[classes, latent_dim]`: the truncation centres of these models.
        attributes: The attributes of a model with attributes, else None.
        ancestors: The models that it was made from, the oldest first.
        tuned: Identity of the file of tuned weights that were added to those of `path`; None for none.
    """

    generator: Generator
    recipe: Recipe
    images_seen: int
    w_mean: Tensor
    path: Path
    classes: Classes | None = None
    w_mean_by_class: Tensor | None = None
    attributes: Attributes | None = None
    ancestors: Ancestors = ()
    tuned: str | None = None

    @property
    def is_conditional(self) -> bool:
        """Whether the generator needs labels."""
        return self.recipe.model.is_conditional

    @property
    def device(self) -> torch.device:
        """The device of the generator."""
        return self.w_mean.device


def mean_w(generator: Generator, attributes: Attributes | None = None) -> Tensor:
    """Mean w over 10,000 z of a fixed seed, `[latent_dim]` (StyleGAN's truncation centre).

    For a generator with classes it is the mean over the classes, with equal weights; for one with attributes, over
    labels of training images.
    """
    return mean_w_tensors(generator, attributes)["w_mean"]


def mean_w_by_class(generator: Generator) -> Tensor:
    """Mean w of every class of a generator with classes, `[classes, latent_dim]`.

    Every class uses the same z of a fixed seed. Their number is 10,000 / classes, but at least 200.
    """
    assert isinstance(generator.embedding, LabelEmbedding)
    classes, device = generator.embedding.classes, generator.constant.device
    samples = max(CLASS_SAMPLES, MEAN_SAMPLES // classes)
    return torch.stack([_mean_w(generator, samples, torch.tensor([label], device=device)) for label in range(classes)])


def mean_w_of_labels(generator: Generator, labels: Tensor) -> Tensor:
    """Mean w of each row of labels, over 200 z of a fixed seed: `[N, columns] -> [N, latent_dim]`.

    Labels that are equal are computed once.
    """
    rows, places = torch.unique(labels.nan_to_num(nan=math.inf), dim=0, return_inverse=True)
    rows = torch.where(rows.isinf(), math.nan, rows)
    return torch.stack([_mean_w(generator, CLASS_SAMPLES, row[None]) for row in rows])[places]


def mean_w_tensors(generator: Generator, attributes: Attributes | None = None) -> dict[str, Tensor]:
    """`w_mean`, and for a generator with classes also `w_mean_by_class`, as they are stored in a model file."""
    if isinstance(generator.embedding, LabelEmbedding):
        by_class = mean_w_by_class(generator)
        return {"w_mean": by_class.mean(dim=0), "w_mean_by_class": by_class}
    rows = None if attributes is None else attributes.rows.to(generator.constant.device)
    return {"w_mean": _mean_w(generator, MEAN_SAMPLES, rows)}


def centre_z(samples: int, latent_dim: int) -> Tensor:
    """The z of a fixed seed whose mean w is a truncation centre, `[samples, latent_dim]` on the CPU."""
    return torch.randn(samples, latent_dim, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def _mean_w(generator: Generator, samples: int, rows: Tensor | None) -> Tensor:
    """The mean over z, which take the rows of labels in turn."""
    device = generator.constant.device
    total = torch.zeros(generator.latent_dim, dtype=torch.float64)
    numbers = torch.arange(samples, device=device).split(1000)
    for chunk, number in zip(centre_z(samples, generator.latent_dim).split(1000), numbers, strict=True):
        labels = None if rows is None else rows[number % len(rows)]
        total += generator.map(chunk.to(device), labels).cpu().double().sum(dim=0)
    return (total / samples).float().to(device)


def save_model(
    path: Path,
    generator: Generator,
    recipe: Recipe,
    images_seen: int,
    classes: Classes | None = None,
    attributes: Attributes | None = None,
    ancestors: Ancestors = (),
) -> None:
    """Write G's weights with their recipe, mean w and ancestors. A conditional G also needs its classes or attributes.

    Raises:
        ResourceError: the file cannot be written.
    """
    tensors = {f"g.{name}": value.detach().contiguous().cpu() for name, value in generator.state_dict().items()}
    tensors |= {name: value.cpu() for name, value in mean_w_tensors(generator, attributes).items()}
    _write(path, tensors, recipe, images_seen, label_notes(classes, attributes) | ancestry_note(ancestors))


def save_snapshot(path: Path, snapshot: Snapshot) -> None:
    """Write a model file that contains all parts of a snapshot.

    Raises:
        ResourceError: the file cannot be written.
    """
    generator = _build(snapshot.recipe, _own(snapshot.average))
    tensors = {f"g.{name}": value for name, value in generator.state_dict().items()}
    tensors |= _own(training_tensors(snapshot))
    tensors["w_mean"] = mean_w(generator)
    notes = {"training": training_notes(snapshot)} | ancestry_note(snapshot.ancestors)
    _write(path, tensors, snapshot.recipe, snapshot.images_seen, notes)


def _write(path: Path, tensors: Weights, recipe: Recipe, images_seen: int, notes: dict[str, Any]) -> None:
    about = {"format": FORMAT, "recipe": dump_public_recipe(recipe), "images_seen": images_seen, **notes}
    write_tensors(path, tensors, METADATA, about)


def copy_without_private_keys(source: Path, dest: Path) -> None:
    """Copy a model file whose recipe has private keys, without them; tensors and all other notes stay.

    Raises:
        CheckpointError: the file is damaged or not a model.
        ResourceError: the copy cannot be written.
    """
    recipe = _read(source, "w_mean")[0]
    about, tensors = read_tensors(source, METADATA)
    write_tensors(dest, tensors, METADATA, {**about, "recipe": dump_public_recipe(recipe)})


def load_model(path: Path, device: torch.device) -> Model:
    """Read a model file, or the EMA weights of an original checkpoint, and build the generator.

    Raises:
        CheckpointError: the file is missing, damaged or not a model, or its weights do not fit its recipe.
    """
    if _is_original(path):
        snapshot = read_original(path)
        generator = _build(snapshot.recipe, _own(snapshot.average)).to(device)
        return Model(generator, snapshot.recipe, snapshot.images_seen, mean_w(generator), path)
    recipe, about, tensors = _read(path, "g.", "w_mean")
    weights = {name.removeprefix("g."): value for name, value in tensors.items() if name.startswith("g.")}
    with meta_init():
        check_fit(path, Generator(recipe.model), weights)
    if tensors.get("w_mean", torch.empty(0)).shape != (recipe.model.latent_dim,):
        raise CheckpointError(f"{path}: has no mean w (w_mean), which truncation needs", "Use another model.")
    generator = _build(recipe, weights).to(device)
    classes = _classes(path, recipe, about, tensors)
    attributes, ancestors = _attributes(path, recipe, about), read_ancestors(about)
    seen, w_mean = int(about["images_seen"]), tensors["w_mean"].to(device)
    model = Model(generator, recipe, seen, w_mean, path, attributes=attributes, ancestors=ancestors)
    return replace(model, classes=classes, w_mean_by_class=tensors["w_mean_by_class"].to(device)) if classes else model


def recipe_of_model(path: Path) -> Recipe:
    """The recipe in a model file.

    Raises:
        CheckpointError: the file is damaged or not a model.
    """
    return _read(path, "w_mean")[0]


def _classes(path: Path, recipe: Recipe, about: dict[str, Any], tensors: Weights) -> Classes | None:
    """The classes of a model with classes, checked against its recipe; else None."""
    count = recipe.model.classes
    if not count:
        return None
    classes, means = classes_in(path, about), tensors.get("w_mean_by_class", torch.empty(0))
    if classes is None or len(classes) != count or means.shape != (count, recipe.model.latent_dim):
        raise CheckpointError(f"{path}: its metadata is damaged: it lacks the {count} classes of its recipe")
    return classes


def _attributes(path: Path, recipe: Recipe, about: dict[str, Any]) -> Attributes | None:
    """The attributes of a model with attributes, checked against its recipe; else None."""
    if not recipe.model.attributes:
        return None
    attributes = attributes_in(path, about)
    if attributes is None or list(attributes.kinds.items()) != list(recipe.model.attribute_kinds.items()):
        raise CheckpointError(f"{path}: its metadata is damaged: it lacks the attributes of its recipe")
    return attributes


def read_snapshot(path: Path) -> Snapshot:
    """Read all parts of a model file or an original checkpoint, onto the CPU.

    Raises:
        CheckpointError: as for `load_model`.
    """
    if _is_original(path):
        return read_original(path)
    recipe, about, tensors = _read(path)
    try:
        snapshot = from_tensors(recipe, int(about["images_seen"]), tensors, about.get("training", {}))
        snapshot = replace(snapshot, ancestors=read_ancestors(about))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: its metadata is damaged: {error}") from error
    with meta_init():
        generator, discriminator = Generator(recipe.model), make_discriminator(recipe.model)
    check_fit(path, generator, snapshot.average)
    if snapshot.generator is not None:
        check_fit(path, generator, snapshot.generator)
    if snapshot.discriminator is not None:
        check_fit(path, discriminator, snapshot.discriminator)
    return snapshot


def _is_original(path: Path) -> bool:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such model")
    return is_original(path)


def _build(recipe: Recipe, weights: Weights) -> Generator:
    """A generator with these weights, not copied; in eval mode and without gradients."""
    with meta_init():
        generator = Generator(recipe.model)
    generator.load_state_dict(weights, assign=True)
    return generator.requires_grad_(False).eval()


def _own(weights: Weights) -> Weights:
    """Copies that share no memory with each other or with a file."""
    return {name: value.clone(memory_format=torch.contiguous_format) for name, value in weights.items()}


def _read(path: Path, *prefixes: str) -> tuple[Recipe, dict[str, Any], Weights]:
    """The recipe of a model file, its other metadata, and its tensors (all, or those with one of the prefixes)."""
    about, tensors = read_tensors(path, METADATA, *prefixes)
    if about is None:
        raise CheckpointError(f"{path}: not a swincli model", MODELS)
    try:
        kind = str(about["format"])
        if kind != FORMAT:
            is_model = kind.startswith(FORMAT.rstrip("0123456789"))
            what = "written by another version of swincli" if is_model else "not a swincli model"
            raise CheckpointError(f"{path}: {what} ({kind})", UPGRADE if is_model else MODELS)
        int(about["images_seen"])
        return parse_recipe(about["recipe"], f"{path}: its recipe"), about, to_float32(tensors)
    except RecipeError as error:
        raise CheckpointError(error.message, f"The file is damaged, or of another version. {UPGRADE}") from error
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: its metadata is damaged: {error}") from error


def check_fit(path: Path, network: nn.Module, weights: Weights) -> None:
    """Compare the names and shapes of a file's weights with the network of its recipe.

    Raises:
        CheckpointError: they differ; it lists every difference.
    """
    require_shapes(shapes_of(network.state_dict()), weights, f"{path}: its weights do not fit its recipe")
