"""Out of memory: detect it, and list the recipe keys that reduce memory."""

from __future__ import annotations

import errno
import re

import torch
from pydantic import ValidationError

from swincli.errors import ResourceError
from swincli.model.discriminators.epilogue import deviation_group
from swincli.recipe import Recipe
from swincli.recipe.schema import ModelSection
from swincli.system.process_limits import OUT_OF_MEMORY, memory_limit_hint
from swincli.system.runtime import choose_precision
from swincli.training.step.batch_shards import needs_whole_batch, norm_group, split_batch
from swincli.units import format_bytes

# Resolutions from 64 px up hold most activations, those below 16 px almost none. Recomputing only the largest one saves
# little, because a block holds its activations while it is being recomputed.
FIRST_RECOMPUTED, LAST_RECOMPUTED = 64, 16

Options = dict[str, int | str]  # section.key: value


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error or one of its causes is an out-of-memory error, of any device."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, torch.OutOfMemoryError | MemoryError):
            return True
        if isinstance(cause, OSError) and cause.errno == errno.ENOMEM:
            return True
        if isinstance(cause, RuntimeError) and any(message in str(cause).lower() for message in OUT_OF_MEMORY):
            return True
        cause = cause.__cause__
    return False


def out_of_memory_error(
    error: BaseException, recipe: Recipe, device: torch.device, micro_batch_size: int, processes: int = 1
) -> ResourceError:
    """The error to raise instead of an `is_out_of_memory` one; its hint lists keys to change, in order.

    Args:
        error: PyTorch's error.
        recipe: The recipe of the run.
        device: Device of the networks.
        micro_batch_size: Images of the forward that failed.
        processes: Number of ranks.
    """
    images = "1 image" if micro_batch_size == 1 else f"{micro_batch_size} images"
    message = f"{device}: out of memory with micro-batches of {images} at {recipe.model.size} px{_missing(error)}"
    limits = memory_limit_hint() if device.type == "cpu" else None
    hint = memory_hint(recipe, device, micro_batch_size, processes)
    return ResourceError(message, f"{limits}\n{hint}" if limits else hint)


def memory_hint(
    recipe: Recipe, device: torch.device, micro_batch_size: int, processes: int = 1, at_most: int | None = None
) -> str:
    """Keys that reduce memory, as options to paste; each line contains those of the lines before it.

    The first lines keep the experiment, so a run can go on with them. Smaller networks need a new run.

    Args:
        recipe: The recipe of the run.
        device: Device of the networks.
        micro_batch_size: Images of a micro-batch that needs too much memory.
        processes: Number of ranks.
        at_most: Largest micro-batch to try next, if known; by default half of `micro_batch_size`.
    """
    at_most = micro_batch_size // 2 if at_most is None else at_most
    lines, options = [], Options()
    for change, worth in _same_experiment(recipe, device, micro_batch_size, at_most, processes):
        options |= change
        lines.append(f"  {_pasted(options)}  ({worth})")
    for change, worth in _another_experiment(recipe, at_most, processes):
        lines.append(f"  {_pasted(options | change)}  ({worth}: a new run)")
    if not lines:
        return "Micro-batch and networks have their smallest sizes: use a device with more memory."
    return "\n".join(["Add one of these lines to the same command; try them in this order:", *lines])


def _pasted(options: Options) -> str:
    return " ".join(f"--set {key}={value}" for key, value in options.items())


def _same_experiment(
    recipe: Recipe, device: torch.device, images: int, at_most: int, processes: int
) -> list[tuple[Options, str]]:
    """Changes of [run] that reduce memory, with the effect of each."""
    changes: list[tuple[Options, str]] = []
    smaller = smaller_micro_batch(recipe, images, at_most, processes)
    if smaller is not None:
        changes.append(({"run.micro_batch": smaller}, "the same step, in more micro-batches"))
    side = _recomputed_side(recipe)
    if side is not None:
        changes.append(({"run.recompute_from": side}, "the same step, slower"))
    if device.type == "cuda" and recipe.run.precision == "fp32" and choose_precision("auto", device) == torch.bfloat16:
        changes.append(({"run.precision": "bf16"}, "faster, less exact"))
    return changes


def _another_experiment(recipe: Recipe, at_most: int, processes: int) -> list[tuple[Options, str]]:
    """Changes of [model] that reduce memory, with the effect of each."""
    changes: list[tuple[Options, str]] = []
    group = split_batch(recipe, processes).group
    if 1 <= at_most < group and not needs_whole_batch(recipe):
        part = deviation_group(recipe.train.batch, at_most)
        if part % norm_group(recipe) == 0:
            effect = f"D compares groups of {part} images, not {group}"
            changes.append(({"run.micro_batch": part, "model.std_group": part}, effect))
    smaller = _smaller_networks(recipe.model)
    if smaller:
        changes.append((smaller, "smaller networks"))
    return changes


def smaller_micro_batch(recipe: Recipe, images: int, at_most: int, processes: int = 1) -> int | None:
    """The largest possible micro-batch of at most `at_most` images, in whole groups of the minibatch deviation.

    If even one group is larger than `at_most`, its size; None if that is not smaller than `images`.
    """
    if needs_whole_batch(recipe):
        return None
    split = split_batch(recipe, processes)
    sizes = [size for size in range(split.group, images, split.group) if split.per_rank % size == 0]
    return max((size for size in sizes if size <= at_most), default=sizes[0] if sizes else None)


def _recomputed_side(recipe: Recipe) -> int | None:
    """The next value of `run.recompute_from`; None if all large activations are recomputed already."""
    present, size = recipe.run.recompute_from, recipe.model.size
    side = min(FIRST_RECOMPUTED, size // 2) if present is None or present >= size else present // 2
    return side if side >= LAST_RECOMPUTED else None


def _smaller_networks(model: ModelSection) -> Options:
    """Options that halve the networks' channels; empty if that is not possible."""
    changes = {}
    for network, spelled, multiplier, width in (
        ("g", model.g_channels, model.g_multiplier, model.g_width),
        ("d", model.d_channels, model.d_multiplier, model.d_width),
    ):
        if spelled is None and model.size > 32 and multiplier > 1:  # multipliers apply above 32 px
            changes[f"{network}_multiplier"] = multiplier // 2
        elif spelled is None:
            changes[f"{network}_width"] = width // 2
    try:
        ModelSection.model_validate(model.model_dump() | changes)
    except ValidationError:
        return {}
    return {f"model.{key}": value for key, value in changes.items()}


def _missing(error: BaseException) -> str:
    """How much the allocator could not get, in words; empty if the error does not say."""
    match = re.search(r"allocate ([0-9.]+) ?([KMGTP]?i?B|bytes)", str(error))
    if match is None:
        return ""
    amount = format_bytes(float(match[1])) if match[2] == "bytes" else f"{match[1]} {match[2]}"
    return f" (could not allocate {amount})"
