"""Tuned weights: the changes that pivotal tuning makes to a generator, in a file of their own.

Large weight matrices change by a low-rank product (Hu et al., ICLR 2022, "LoRA"). Everything small, such as biases,
tables and tRGB, changes by its full difference. All is float16, so the file is a few per cent of the model. The mapping
network does not change, so every w keeps its meaning.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from swincli.errors import CheckpointError
from swincli.model.files.ancestry import ancestry_note, read_ancestors, with_parent
from swincli.model.files.file_hash import model_identity
from swincli.model.files.find_checkpoint import METADATA
from swincli.model.files.model_file import Model
from swincli.model.files.snapshot import Weights, require_shapes, shapes_of
from swincli.model.files.tensor_file import read_tensors, to_float32, write_tensors
from swincli.model.generator import Generator

FORMAT = "swincli-tuned-1"
UP, DOWN, FULL = ".up", ".down", ".difference"  # suffixes of a weight's name
FROZEN = ("mapping.", "embedding.")  # prefixes of the weights that are not tuned
RANK_DIVISOR, MIN_RANK = 64, 4  # rank = shorter side of the matrix / 64, but at least 4

Deltas = dict[str, Tensor]
"""Changes of weights by name: `NAME.up` [m, r] and `NAME.down` [r, n], whose product is added to the weight NAME
[m, n, ...], or `NAME.difference`, which has the shape of NAME and is added to it."""


def lora_rank(weight: Tensor) -> int | None:
    """Rank of the low-rank product for a weight; None if its factors have half the weight's size or more."""
    if weight.ndim < 2:
        return None
    rows, columns = weight.shape[0], weight[0].numel()
    rank = max(MIN_RANK, min(rows, columns) // RANK_DIVISOR)
    return rank if 2 * rank * (rows + columns) < rows * columns else None


def tunable_weights(generator: Generator) -> Weights:
    """The weights that tuning may change, by name."""
    return {name: value for name, value in generator.named_parameters() if not name.startswith(FROZEN)}


def tuned_weights(weights: Mapping[str, Tensor], deltas: Mapping[str, Tensor]) -> Weights:
    """The weights after tuning, without those that do not change. Differentiable in the deltas."""
    out: Weights = {}
    for name, value in deltas.items():
        if name.endswith(FULL):
            base = name.removesuffix(FULL)
            out[base] = weights[base] + value.float()
        elif name.endswith(UP):
            base = name.removesuffix(UP)
            out[base] = weights[base] + (value.float() @ deltas[base + DOWN].float()).view_as(weights[base])
    return out


def with_deltas(model: Model, deltas: Mapping[str, Tensor]) -> Model:
    """A copy of a model with tuned weights. The given model stays as it is."""
    generator = copy.deepcopy(model.generator)
    weights = {name: value.detach() for name, value in model.generator.named_parameters()}
    moved = {name: value.to(model.device) for name, value in deltas.items()}
    generator.load_state_dict(tuned_weights(weights, moved), strict=False)
    return replace(model, generator=generator)


def save_deltas(path: Path, model: Model, deltas: Mapping[str, Tensor], note: str) -> None:
    """Write the deltas of a model, with a note on how they were made.

    Raises:
        ResourceError: the file cannot be written.
    """
    ancestors = with_parent(model.ancestors, model.path, "tune", model.images_seen)
    about = {"format": FORMAT, "model": model_identity(model.path), "note": note, **ancestry_note(ancestors)}
    tensors = {name: value.detach().contiguous().cpu() for name, value in deltas.items()}
    write_tensors(path, tensors, METADATA, about)


def read_tuned_note(path: Path) -> str | None:
    """The note of a file of tuned weights; None if there is no such file or it cannot be read."""
    try:
        return str(_read(path)[0].get("note", ""))
    except CheckpointError:
        return None


def apply_tuned(model: Model, path: Path) -> Model:
    """A copy of a model with the tuned weights of a file that `swincli project --tune` wrote.

    Raises:
        CheckpointError: the file is missing, damaged or not a file of tuned weights, or belongs to another model.
    """
    about, deltas = _read(path)
    identity = model_identity(model.path)
    if about.get("model") != identity:
        raise CheckpointError(
            f"{path}: tuned from another model ({about.get('model')}; {model.path} is {identity})",
            "Give the --checkpoint that it was tuned from.",
        )
    require_shapes(shapes_of(zero_deltas(model.generator)), deltas, f"{path}: its tuned weights do not fit the model")
    ancestors = read_ancestors(about) or model.ancestors
    return replace(with_deltas(model, deltas), ancestors=ancestors, tuned=model_identity(path))


def zero_deltas(generator: Generator) -> Deltas:
    """Deltas that change nothing: float32 zeros on the device of the generator."""
    deltas: Deltas = {}
    for name, weight in tunable_weights(generator).items():
        rank = lora_rank(weight)
        if rank is None:
            deltas[name + FULL] = torch.zeros_like(weight)
        else:
            deltas[name + UP] = weight.new_zeros(weight.shape[0], rank)
            deltas[name + DOWN] = weight.new_zeros(rank, weight[0].numel())
    return deltas


def _read(path: Path) -> tuple[dict[str, Any], Deltas]:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file", "`swincli project --tune` writes tuned.safetensors.")
    about, deltas = read_tensors(path, METADATA)
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        hint = "Give a file that `swincli project --tune` wrote. A model is given as --checkpoint."
        raise CheckpointError(f"{path}: not a file of tuned weights", hint)
    return about, to_float32(deltas)
