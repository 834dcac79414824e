"""What pivotal tuning changed of a generator, as a small file of its own.

Large weight matrices are changed by matrices of low rank (Hu et al., ICLR 2022, "LoRA"), everything small, such as
biases, tables and tRGB, by its whole difference; all in float16, so that the file is a few per cent of the model. The
mapping network keeps its weights: codes mean what they meant.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from swincli.errors import CheckpointError
from swincli.model.files.file_hash import model_identity
from swincli.model.files.model_file import METADATA, Model
from swincli.model.files.snapshot import Weights, misfits
from swincli.model.generator import Generator
from swincli.system.atomic_files import write_atomically
from swincli.units import format_lines

FORMAT = "swincli-tuned-1"
UP, DOWN, WHOLE = ".up", ".down", ".difference"  # what a weight's name is followed by
UNCHANGED = ("mapping.", "embedding.")
RANK_SHARE, SMALLEST_RANK = 64, 4  # the rank is the shorter side of a matrix by this, but at least so much

Changes = dict[str, Tensor]
"""`NAME.up` [m, r] and `NAME.down` [r, n], whose product is added to the weight NAME [m, n, ...], or `NAME.difference`
of its shape."""


def rank_of(weight: Tensor) -> int | None:
    """The rank that a weight is changed by; None where its whole difference is smaller."""
    if weight.ndim < 2:
        return None
    rows, columns = weight.shape[0], weight[0].numel()
    rank = max(SMALLEST_RANK, min(rows, columns) // RANK_SHARE)
    return rank if 2 * rank * (rows + columns) < rows * columns else None


def tunable(generator: Generator) -> Weights:
    """The weights that tuning may change, by name."""
    return {name: value for name, value in generator.named_parameters() if not name.startswith(UNCHANGED)}


def changed_weights(weights: Mapping[str, Tensor], changes: Mapping[str, Tensor]) -> Weights:
    """The weights that are changed, as they are then; differentiable in the changes."""
    out: Weights = {}
    for name, value in changes.items():
        if name.endswith(WHOLE):
            base = name.removesuffix(WHOLE)
            out[base] = weights[base] + value.float()
        elif name.endswith(UP):
            base = name.removesuffix(UP)
            out[base] = weights[base] + (value.float() @ changes[base + DOWN].float()).view_as(weights[base])
    return out


def with_changes(model: Model, changes: Mapping[str, Tensor]) -> Model:
    """A model of changed weights, which shares nothing that is changed with the one given."""
    generator = copy.deepcopy(model.generator)
    weights = {name: value.detach() for name, value in model.generator.named_parameters()}
    moved = {name: value.to(model.device) for name, value in changes.items()}
    generator.load_state_dict(changed_weights(weights, moved), strict=False)
    return replace(model, generator=generator)


def save_changes(path: Path, model: Model, changes: Mapping[str, Tensor], note: str) -> None:
    """Write changes of a model, with a note of how they were made.

    Raises:
        ResourceError: the file cannot be written.
    """
    about = {"format": FORMAT, "model": model_identity(model.path), "note": note}
    tensors = {name: value.detach().contiguous().cpu() for name, value in changes.items()}
    metadata = {METADATA: json.dumps(about)}
    write_atomically(path, lambda temporary: safetensors.torch.save_file(tensors, temporary, metadata))


def read_tuned_note(path: Path) -> str | None:
    """How a file of changes was made; None where there is no such file, or it cannot be read."""
    try:
        return str(_read(path)[0].get("note", ""))
    except CheckpointError:
        return None


def apply_tuned(model: Model, path: Path) -> Model:
    """A model with the changes of a file that `swincli project --tune` wrote.

    Raises:
        CheckpointError: the file is missing, damaged, no such file, or of another model.
    """
    about, changes = _read(path)
    identity = model_identity(model.path)
    if about.get("model") != identity:
        raise CheckpointError(
            f"{path}: tuned from another model ({about.get('model')}; {model.path} is {identity})",
            "Give the --checkpoint that it was tuned from.",
        )
    wanted = {name: tuple(value.shape) for name, value in blank_changes(model.generator).items()}
    problems = misfits(wanted, {name: tuple(value.shape) for name, value in changes.items()})
    if problems:
        listed = format_lines(problems)
        raise CheckpointError(f"{path}: its changes do not fit the model\n{listed}")
    return with_changes(model, changes)


def blank_changes(generator: Generator) -> Changes:
    """Changes that change nothing, float32 zeros where the generator is."""
    changes: Changes = {}
    for name, weight in tunable(generator).items():
        rank = rank_of(weight)
        if rank is None:
            changes[name + WHOLE] = torch.zeros_like(weight)
        else:
            changes[name + UP] = weight.new_zeros(weight.shape[0], rank)
            changes[name + DOWN] = weight.new_zeros(rank, weight[0].numel())
    return changes


def _read(path: Path) -> tuple[dict[str, Any], Changes]:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file", "`swincli project --tune` writes tuned.safetensors.")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            changes = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{path}: damaged or no safetensors file ({error})") from error
    try:
        about = json.loads(metadata.get(METADATA, "{}"))
    except ValueError as error:
        raise CheckpointError(f"{path}: its metadata is damaged: {error}") from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        hint = "It is a file that `swincli project --tune` wrote; a model is given as --checkpoint."
        raise CheckpointError(f"{path}: holds no changes of a model", hint)
    return about, changes
