"""Models as files: EMA weights in safetensors, which hold no code and carry their own recipe."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from swincli.errors import CheckpointError, RecipeError
from swincli.files import write_atomically
from swincli.model.generator import Generator
from swincli.recipe import Recipe, dump_recipe
from swincli.recipe.loading import parse_recipe

FORMAT = "swincli-model-1"
METADATA = "swincli"
MEAN_SAMPLES = 10_000
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
    """

    generator: Generator
    recipe: Recipe
    images_seen: int
    w_mean: Tensor
    path: Path

    @property
    def device(self) -> torch.device:
        """Where the generator runs."""
        return self.w_mean.device


def model_name(images_seen: int) -> str:
    """File name of the model after so many images."""
    return f"model-{images_seen:012d}.safetensors"


@torch.no_grad()
def mean_w(generator: Generator) -> Tensor:
    """Mean of w over 10,000 z of a fixed seed, `[latent_dim]` (StyleGAN's truncation centre)."""
    random = torch.Generator().manual_seed(0)
    device = generator.constant.device
    total = torch.zeros(generator.latent_dim, dtype=torch.float64)
    for chunk in torch.randn(MEAN_SAMPLES, generator.latent_dim, generator=random).split(1000):
        total += generator.map(chunk.to(device)).double().cpu().sum(dim=0)
    return (total / MEAN_SAMPLES).float().to(device)


def save_model(path: Path, generator: Generator, recipe: Recipe, images_seen: int) -> None:
    """Write G's weights with their recipe and mean w.

    Raises:
        ResourceError: the file cannot be written.
    """
    tensors = {f"g.{name}": value.detach().contiguous().cpu() for name, value in generator.state_dict().items()}
    tensors["w_mean"] = mean_w(generator).cpu()
    about = {"format": FORMAT, "recipe": dump_recipe(recipe), "images_seen": images_seen}
    metadata = {METADATA: json.dumps(about)}  # one key: safetensors writes several in no fixed order
    write_atomically(path, lambda temporary: safetensors.torch.save_file(tensors, temporary, metadata))


def load_model(path: Path, device: torch.device) -> Model:
    """Read a model file and build its generator.

    Raises:
        CheckpointError: the file is missing, damaged, no model of swincli's, or its weights do not fit its recipe.
    """
    metadata, tensors = _read(path)
    if METADATA not in metadata:
        raise CheckpointError(f"{path}: not a swincli model", "Models are the model-*.safetensors files of a run.")
    try:
        about = json.loads(metadata[METADATA])
        if about["format"] != FORMAT:
            raise CheckpointError(f"{path}: written by another version of swincli ({about['format']})")
        recipe = parse_recipe(about["recipe"], f"{path}: its recipe")
        images_seen = int(about["images_seen"])
    except (KeyError, ValueError, TypeError, RecipeError) as error:
        raise CheckpointError(f"{path}: its metadata is damaged: {error}") from error
    with torch.device("meta"):
        generator = Generator(recipe.model)
    weights = {name.removeprefix("g."): value for name, value in tensors.items() if name.startswith("g.")}
    _check_fit(path, generator, weights)
    generator.load_state_dict(weights, assign=True)
    generator.requires_grad_(False).eval().to(device)
    return Model(generator, recipe, images_seen, tensors["w_mean"].to(device), path)


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such model")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{path}: damaged or no safetensors file ({error})") from error


def _check_fit(path: Path, generator: Generator, weights: dict[str, Tensor]) -> None:
    wanted = {name: tuple(value.shape) for name, value in generator.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    problems = [f"missing {name}" for name in wanted.keys() - found.keys()]
    problems += [f"unknown {name}" for name in found.keys() - wanted.keys()]
    shared = wanted.keys() & found.keys()
    problems += [f"{name} is {found[name]}, not {wanted[name]}" for name in shared if found[name] != wanted[name]]
    if problems:
        listed = "\n".join(f"  {problem}" for problem in sorted(problems))
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
            raise CheckpointError(f"{text}: no such run or model", "Give a run folder or a .safetensors file.")
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
