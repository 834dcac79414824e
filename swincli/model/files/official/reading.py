"""Read a checkpoint of the original release or of StyleNAT. It is a pickle, but no code in it is run."""

from __future__ import annotations

import argparse
import re
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from swincli.errors import CheckpointError
from swincli.model.discriminators.wavelet import WaveletDiscriminator
from swincli.model.files.official import arguments as release
from swincli.model.files.official import stylenat
from swincli.model.files.official.adam import read_adam
from swincli.model.files.official.layout import discriminator_names, generator_names, is_parameter
from swincli.model.files.official.shapes import Shapes, discriminator_section, generator_section
from swincli.model.files.snapshot import AdamState, Snapshot, Weights, shape_mismatches, shapes_of
from swincli.model.generator import Generator
from swincli.model.meta_init import meta_init
from swincli.recipe import Recipe
from swincli.recipe.problems import explain
from swincli.recipe.schema import ModelSection
from swincli.units import format_lines

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # pixel range of the release's networks
DERIVED = re.compile(
    r"(^|\.)(attn_mask\d|relative_position_index|kernel|(dwt|iwt)\.(ll|lh|hl|hh)|sin_pos_embed\._float_tensor)$"
)
NETWORKS = ("g_ema", "g", "d")


def is_original(path: Path) -> bool:
    """Whether a file is a PyTorch checkpoint, and not safetensors."""
    with path.open("rb") as file:
        head = file.read(9)
    return head[8:9] != b"{" and path.suffix != ".safetensors"  # safetensors: 8 bytes of header length, then JSON


def read_original(path: Path) -> Snapshot:
    """Read a checkpoint. The shapes of its weights give the dimensions of the networks.

    Stored index tables, masks and filters are ignored. Of StyleNAT's checkpoints, so are the optimisers.

    Args:
        path: A file with `g_ema` and usually `g`, `d`, `g_optim`, `d_optim` and `args`.

    Raises:
        CheckpointError: the file is damaged, would run code, or contains other networks; it lists every mismatch.
    """
    content = _unpickle(path)
    content = stylenat.parts_of(content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not isinstance(content.get("g_ema"), dict):
        raise CheckpointError(f"{path}: not a checkpoint of the original release (it has no g_ema)", _hint(content))
    networks = {name: _strip(content[name]) for name in NETWORKS if isinstance(content.get(name), dict)}
    theirs = stylenat.is_stylenat(networks["g_ema"])
    if theirs:
        networks |= {name: stylenat.to_release(networks[name]) for name in ("g_ema", "g") if name in networks}
    model = _model_section(path, {name: _shapes(network) for name, network in networks.items()})
    if theirs:
        stylenat.check_dilations(path, model, content.get("args"))
    expected = {"g_ema": _expected_generator(model)}
    expected |= {"g": expected["g_ema"], **({"d": _expected_discriminator(model)} if "d" in networks else {})}
    problems: list[str] = []
    weights = {name: _translate(name, network, expected[name], problems) for name, network in networks.items()}
    optimizers = {
        name: _optimizer(name, content[name], networks.get(owner, networks["g_ema"]), expected[owner], problems)
        for name, owner in (("g_optim", "g"), ("d_optim", "d"))
        if isinstance(content.get(name), dict) and owner in expected and not theirs
    }
    if problems:
        listed = format_lines(problems)
        raise CheckpointError(f"{path}: does not fit StyleSwin's networks\n{listed}")
    arguments = {} if theirs else release.plain_arguments(content.get("args"))
    adam = optimizers.get("g_optim")
    steps = adam.steps if adam else 0
    recipe = release.recipe_of(arguments, model, release.steps_taken(path.stem, steps))
    return Snapshot(
        recipe,
        (theirs and stylenat.images_seen(content.get("args")))
        or release.images_seen(path.stem, arguments, steps, recipe.train.batch),
        weights["g_ema"],
        weights.get("g"),
        weights.get("d"),
        adam,
        optimizers.get("d_optim"),
        arguments,
    )


def _unpickle(path: Path) -> Any:
    """The tensors and plain values of the file, memory-mapped if possible."""
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
            warnings.simplefilter("ignore")  # about formats that later versions of PyTorch may drop
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except OSError:
        raise
    except Exception as error:  # torch raises many kinds for damaged files
        code = re.search(r"GLOBAL (\S+)", str(error))
        if code:
            raise CheckpointError(
                f"{path}: refused: opening it would run code ({code[1]})",
                "A checkpoint of the release has only tensors, plain values and its arguments. Do not open this file.",
            ) from error
        raise CheckpointError(f"{path}: damaged, or not a checkpoint ({type(error).__name__})") from error


def _hint(content: Any) -> str | None:
    if isinstance(content, dict) and str(content.get("format", "")).startswith("swincli-state"):
        return "This is the training state of a run. Give the model-*.safetensors file in the same folder."
    return None


def _strip(network: dict[Any, Any]) -> dict[str, Any]:
    """The entries of a state dict without the `module.` prefix of DistributedDataParallel."""
    wrapped = all(str(key).startswith("module.") for key in network)
    return {str(key).removeprefix("module.") if wrapped else str(key): value for key, value in network.items()}


def _shapes(network: dict[str, Any]) -> Shapes:
    """Shapes of the entries that are not buffers; `()` for anything but a tensor of floats."""
    return {key: _shape(value) for key, value in network.items() if not DERIVED.search(key)}


def _shape(value: Any) -> tuple[int, ...]:
    usable = isinstance(value, Tensor) and value.is_floating_point() and value.layout == torch.strided
    return tuple(value.shape) if usable else ()


def _model_section(path: Path, shapes: dict[str, Shapes]) -> ModelSection:
    section = generator_section(shapes["g_ema"])
    if not section:
        raise CheckpointError(f"{path}: its g_ema is not a StyleSwin generator of 16 to 1024 px")
    if "d" in shapes:
        section |= discriminator_section(shapes["d"], section["size"])
    try:
        model = {**section, "pixel_mean": IMAGENET_MEAN, "pixel_std": IMAGENET_STD}
        return Recipe.model_validate({"model": model}).model
    except ValidationError as error:
        problems = format_lines(explain(detail, {}) for detail in error.errors())
        raise CheckpointError(f"{path}: its shapes are not those of a StyleSwin network\n{problems}") from error


@dataclass(frozen=True)
class _Expected:
    """The names and shapes that a network's weights must have.

    Attributes:
        names: Our names -> the release's.
        shapes: Our names -> shapes.
    """

    names: dict[str, str]
    shapes: Shapes


def _expected_generator(model: ModelSection) -> _Expected:
    with meta_init():
        network = Generator(model)
    return _Expected(generator_names(model), shapes_of(network.state_dict()))


def _expected_discriminator(model: ModelSection) -> _Expected:
    with meta_init():
        network = WaveletDiscriminator(model)
    return _Expected(discriminator_names(model), shapes_of(network.state_dict()))


def _translate(part: str, network: dict[str, Any], expected: _Expected, problems: list[str]) -> Weights:
    """Weights by our names; missing and unknown keys and wrong shapes are appended to `problems`."""
    wanted = {theirs: expected.shapes[ours] for ours, theirs in expected.names.items()}
    found = [f"{part}: {problem}" for problem in shape_mismatches(wanted, _shapes(network))]
    problems += found
    return {} if found else {ours: network[theirs].detach().float() for ours, theirs in expected.names.items()}


def _optimizer(part: str, content: Any, network: dict[str, Any], expected: _Expected, problems: list[str]) -> AdamState:
    """Adam's state by our names. The order of the network's keys gives the parameter numbers."""
    ours = {theirs: name for name, theirs in expected.names.items() if is_parameter(name)}
    orders = [[ours[key] for key in network if key in ours], list(ours.values())]
    state, found = read_adam(content, orders, expected.shapes)
    problems += [f"{part}: {problem}" for problem in found]
    return state
