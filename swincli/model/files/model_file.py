"""Models as files: EMA weights in safetensors, which hold no code and carry their own recipe.

A model converted from an original checkpoint carries the rest of that besides: G, D and both of Adam's states.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from swincli.errors import CheckpointError, RecipeError
from swincli.model.discriminators.registry import make_discriminator
from swincli.model.files.classes import Classes
from swincli.model.files.official import is_original, read_original
from swincli.model.files.snapshot import Snapshot, Weights, from_tensors, misfits, training_notes, training_tensors
from swincli.model.generator import Generator
from swincli.model.meta_init import meta_init
from swincli.recipe import Recipe, dump_recipe
from swincli.recipe.loading import parse_recipe
from swincli.system.atomic_files import write_atomically
from swincli.units import format_lines

FORMAT = "swincli-model-1"
METADATA = "swincli"
MEAN_SAMPLES, CLASS_SAMPLES = 10_000, 200
RUNS = Path("runs")


@dataclass(frozen=True)
class Model:
    """A generator ready for use, with all that belongs to it.

    Attributes:
        generator: EMA weights, in eval mode and without gradients.
        recipe: What it was trained with.
        images_seen: How far it was trained.
        w_mean: Mean w `[latent_dim]`, the centre that truncation pulls towards.
        path: The file it came from.
        classes: What a conditional model is conditioned on; None for an unconditional one.
        w_mean_by_class: The mean w of every class, `[classes, latent_dim]`: the centres of a conditional model.
    """

    generator: Generator
    recipe: Recipe
    images_seen: int
    w_mean: Tensor
    path: Path
    classes: Classes | None = None
    w_mean_by_class: Tensor | None = None

    @property
    def device(self) -> torch.device:
        """Where the generator runs."""
        return self.w_mean.device


def model_name(images_seen: int) -> str:
    """File name of the model after so many images."""
    return f"model-{images_seen:012d}.safetensors"


def mean_w(generator: Generator) -> Tensor:
    """Mean of w over 10,000 z of a fixed seed, `[latent_dim]` (StyleGAN's truncation centre).

    For a conditional generator, the mean over all classes alike.
    """
    if generator.embedding is not None:
        return centres(generator)["w_mean"]
    return _mean_w(generator, MEAN_SAMPLES, None)


def mean_w_by_class(generator: Generator) -> Tensor:
    """Mean of w for every class of a conditional generator, `[classes, latent_dim]`.

    The z of a fixed seed, 10,000 by the number of classes but at least 200, are the same for every class.
    """
    assert generator.embedding is not None
    classes = generator.embedding.classes
    samples = max(CLASS_SAMPLES, MEAN_SAMPLES // classes)
    return torch.stack([_mean_w(generator, samples, label) for label in range(classes)])


def centres(generator: Generator) -> dict[str, Tensor]:
    """`w_mean`, and of a conditional generator `w_mean_by_class` as well."""
    if generator.embedding is None:
        return {"w_mean": mean_w(generator)}
    by_class = mean_w_by_class(generator)
    return {"w_mean": by_class.mean(dim=0), "w_mean_by_class": by_class}


@torch.no_grad()
def _mean_w(generator: Generator, samples: int, label: int | None) -> Tensor:
    random = torch.Generator().manual_seed(0)
    device = generator.constant.device
    total = torch.zeros(generator.latent_dim, dtype=torch.float64)
    for chunk in torch.randn(samples, generator.latent_dim, generator=random).split(1000):
        labels = None if label is None else torch.full((len(chunk),), label, device=device)
        total += generator.map(chunk.to(device), labels).double().cpu().sum(dim=0)
    return (total / samples).float().to(device)


def save_model(
    path: Path, generator: Generator, recipe: Recipe, images_seen: int, classes: Classes | None = None
) -> None:
    """Write G's weights with their recipe and mean w; of a conditional G, with its classes and their mean w.

    Raises:
        ResourceError: the file cannot be written.
    """
    tensors = {f"g.{name}": value.detach().contiguous().cpu() for name, value in generator.state_dict().items()}
    tensors |= {name: value.cpu() for name, value in centres(generator).items()}
    _write(path, tensors, recipe, images_seen, {"classes": asdict(classes)} if classes else {})


def save_snapshot(path: Path, snapshot: Snapshot) -> None:
    """Write a model that carries all the parts of a snapshot.

    Raises:
        ResourceError: the file cannot be written.
    """
    generator = _build(snapshot.recipe, _own(snapshot.average))
    tensors = {f"g.{name}": value for name, value in generator.state_dict().items()}
    tensors |= _own(training_tensors(snapshot))
    tensors["w_mean"] = mean_w(generator)
    _write(path, tensors, snapshot.recipe, snapshot.images_seen, {"training": training_notes(snapshot)})


def _write(path: Path, tensors: Weights, recipe: Recipe, images_seen: int, notes: dict[str, Any]) -> None:
    about = {"format": FORMAT, "recipe": dump_recipe(recipe), "images_seen": images_seen, **notes}
    metadata = {METADATA: json.dumps(about)}  # one key: safetensors writes several in no fixed order
    write_atomically(path, lambda temporary: safetensors.torch.save_file(tensors, temporary, metadata))


def load_model(path: Path, device: torch.device) -> Model:
    """Read a model file, or the average of an original checkpoint, and build its generator.

    Raises:
        CheckpointError: the file is missing, damaged, no model of swincli's, or its weights do not fit its recipe.
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
        raise CheckpointError(f"{path}: has no mean w (w_mean), which truncation draws towards", "Take another model.")
    generator = _build(recipe, weights).to(device)
    classes = _classes(path, recipe, about, tensors)
    model = Model(generator, recipe, int(about["images_seen"]), tensors["w_mean"].to(device), path)
    return replace(model, classes=classes, w_mean_by_class=tensors["w_mean_by_class"].to(device)) if classes else model


def _classes(path: Path, recipe: Recipe, about: dict[str, Any], tensors: Weights) -> Classes | None:
    """The classes of a conditional model, once they have been seen to fit."""
    count = recipe.model.classes
    if not count:
        return None
    try:
        classes = Classes(tuple(map(str, about["classes"]["names"])), tuple(map(int, about["classes"]["images"])))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: its metadata is damaged: its classes: {error}") from error
    centres = tensors.get("w_mean_by_class", torch.empty(0))
    if len(classes) != count or centres.shape != (count, recipe.model.latent_dim):
        raise CheckpointError(f"{path}: its metadata is damaged: its classes are not the {count} of its recipe")
    return classes


def read_snapshot(path: Path) -> Snapshot:
    """Read all that a model file or an original checkpoint holds, onto the CPU.

    Raises:
        CheckpointError: as for `load_model`.
    """
    if _is_original(path):
        return read_original(path)
    recipe, about, tensors = _read(path)
    try:
        snapshot = from_tensors(recipe, int(about["images_seen"]), tensors, about.get("training", {}))
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
    """A generator that takes these weights as its own, ready for use."""
    with meta_init():
        generator = Generator(recipe.model)
    generator.load_state_dict(weights, assign=True)
    return generator.requires_grad_(False).eval()


def _own(weights: Weights) -> Weights:
    """Copies that share no memory with a file or with each other."""
    return {name: value.clone(memory_format=torch.contiguous_format) for name, value in weights.items()}


def _read(path: Path, *prefixes: str) -> tuple[Recipe, dict[str, Any], Weights]:
    """A model file's recipe, its other metadata, and its tensors, or those whose names start so."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys() if name.startswith(prefixes or "")}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{path}: damaged or no safetensors file ({error})") from error
    if METADATA not in metadata:
        raise CheckpointError(f"{path}: not a swincli model", "Models are the model-*.safetensors files of a run.")
    try:
        about = json.loads(metadata[METADATA])
        if about["format"] != FORMAT:
            raise CheckpointError(f"{path}: written by another version of swincli ({about['format']})")
        int(about["images_seen"])
        return parse_recipe(about["recipe"], f"{path}: its recipe"), about, tensors
    except (KeyError, ValueError, TypeError, RecipeError) as error:
        raise CheckpointError(f"{path}: its metadata is damaged: {error}") from error


def check_fit(path: Path, network: nn.Module, weights: Weights) -> None:
    """Compare the names and shapes of a file's weights with those of the network that its recipe makes.

    Raises:
        CheckpointError: they differ; it lists how.
    """
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    problems = misfits(wanted, {name: tuple(value.shape) for name, value in weights.items()})
    if problems:
        listed = format_lines(problems)
        raise CheckpointError(f"{path}: its weights do not fit its recipe\n{listed}")


def newest_model(run: Path) -> Path | None:
    """The newest model of a run folder that can be opened, or None."""
    for path in sorted(run.glob("model-*.safetensors"), reverse=True):
        try:
            with safetensors.safe_open(path, framework="pt"):
                return path
        except (safetensors.SafetensorError, OSError):
            continue
    return None


def find_checkpoint(text: str | None) -> Path:
    """The model file that --checkpoint means: a file, a run's newest good model, or that of the newest run.

    Raises:
        CheckpointError: there is none.
    """
    if text is not None:
        path = Path(text)
        if path.is_file():
            return path
        if not path.is_dir():
            raise CheckpointError(f"{text}: no such run or model", "Give a run folder, a .safetensors or a .pt file.")
        model = newest_model(path)
        if model is None:
            raise CheckpointError(f"{path}: holds no model", "`swincli train` writes model-*.safetensors there.")
        return model
    models = [model for run in RUNS.glob("*/") if (model := newest_model(run))]
    if not models:
        raise CheckpointError(
            f"no trained model under {RUNS}/", "Train one with `swincli train quickstart`, or give --checkpoint."
        )
    return max(models, key=lambda model: model.stat().st_mtime)
