"""Running out of memory: telling it from other failures, and saying which keys to change."""

from __future__ import annotations

import errno
import re

import torch
from pydantic import ValidationError

from swincli.errors import ResourceError
from swincli.model.blocks.style import STYLES
from swincli.model.discriminators.head import deviation_group
from swincli.recipe import Recipe
from swincli.recipe.schema import ModelSection
from swincli.system.runtime import choose_precision
from swincli.training.step.batch_shards import split_batch
from swincli.units import format_bytes

# Most activations are held from 64 px on, next to none below 16. The largest side alone is not worth its while: a block
# that is being computed again is held as before.
FIRST_RECOMPUTED, LAST_RECOMPUTED = 64, 16

Options = dict[str, int | str]  # section.key: value

_MESSAGES = (
    "out of memory",  # CUDA, MPS
    "defaultcpuallocator",  # "can't allocate memory" on POSIX, "not enough memory" on Windows
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or what caused it, says that there was not enough memory, of whichever device."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, torch.OutOfMemoryError | MemoryError):
            return True
        if isinstance(cause, OSError) and cause.errno == errno.ENOMEM:
            return True
        if isinstance(cause, RuntimeError) and any(message in str(cause).lower() for message in _MESSAGES):
            return True
        cause = cause.__cause__
    return False


def out_of_memory(
    error: BaseException, recipe: Recipe, device: torch.device, micro_batch_size: int, processes: int = 1
) -> ResourceError:
    """What to raise in place of an error that `is_out_of_memory`, with the keys to change in the order to try.

    Args:
        error: What PyTorch raised.
        recipe: What was being trained.
        device: Where.
        micro_batch_size: Images of the forward that failed, in one process.
        processes: How many share the batch.
    """
    images = "1 image" if micro_batch_size == 1 else f"{micro_batch_size} images"
    message = f"not enough memory on {device} for passes of {images} at {recipe.model.size} px{_missing(error)}"
    return ResourceError(message, memory_hint(recipe, device, micro_batch_size, processes))


def memory_hint(
    recipe: Recipe, device: torch.device, micro_batch_size: int, processes: int = 1, at_most: int | None = None
) -> str:
    """Which keys to change for less memory, as options that can be pasted, each line with all that it takes.

    The first ones leave the experiment as it is, so that a run can go on with them; other networks are another run.

    Args:
        recipe: What is trained.
        device: Where.
        micro_batch_size: Images of the passes that need too much, in one process.
        processes: How many share the batch.
        at_most: Images of the largest passes to try next, where that is known; half as many, where it is not.
    """
    at_most = micro_batch_size // 2 if at_most is None else at_most
    lines, options = [], Options()
    for change, worth in _same_experiment(recipe, device, micro_batch_size, at_most, processes):
        options |= change
        lines.append(f"  {_pasted(options)}  ({worth})")
    for change, worth in _another_experiment(recipe, at_most, processes):
        lines.append(f"  {_pasted(options | change)}  ({worth}: another run)")
    if not lines:
        return "These are the smallest passes of the smallest networks: another machine is needed."
    return "\n".join(["Give the same command with one of these, in the order to try:", *lines])


def _pasted(options: Options) -> str:
    return " ".join(f"--set {key}={value}" for key, value in options.items())


def _same_experiment(
    recipe: Recipe, device: torch.device, images: int, at_most: int, processes: int
) -> list[tuple[Options, str]]:
    """Changes of [run] that need less memory, and what each does."""
    changes: list[tuple[Options, str]] = []
    smaller = smaller_pass(recipe, images, at_most, processes)
    if smaller is not None:
        changes.append(({"run.micro_batch": smaller}, "the same step, in more passes"))
    side = _recomputed_side(recipe)
    if side is not None:
        changes.append(({"run.recompute_from": side}, "the same step, slower"))
    if device.type == "cuda" and recipe.run.precision == "fp32" and choose_precision("auto", device) == torch.bfloat16:
        changes.append(({"run.precision": "bf16"}, "rounds more, and is faster"))
    return changes


def _another_experiment(recipe: Recipe, at_most: int, processes: int) -> list[tuple[Options, str]]:
    """Changes of [model] that need less memory, and what each does."""
    changes: list[tuple[Options, str]] = []
    group = split_batch(recipe, processes).group
    if 1 <= at_most < group and not STYLES[recipe.model.style].whole_batch:
        part = deviation_group(recipe.train.batch, at_most)
        changes.append(
            ({"run.micro_batch": part, "model.std_group": part}, f"D compares {part} instead of {group} images")
        )
    smaller = _smaller_networks(recipe.model)
    if smaller:
        changes.append((smaller, "smaller networks"))
    return changes


def smaller_pass(recipe: Recipe, images: int, at_most: int, processes: int = 1) -> int | None:
    """The largest pass that a share can be taken in, of at most so many images but in whole groups that D compares.

    Where even one group is more than `at_most`, it is that; None where it is no smaller than `images`.
    """
    if STYLES[recipe.model.style].whole_batch:
        return None
    shares = split_batch(recipe, processes)
    sizes = [size for size in range(shares.group, images, shares.group) if shares.share % size == 0]
    return max((size for size in sizes if size <= at_most), default=sizes[0] if sizes else None)


def _recomputed_side(recipe: Recipe) -> int | None:
    """The side to recompute activations from next; None where all that matter are computed again."""
    present, size = recipe.run.recompute_from, recipe.model.size
    side = min(FIRST_RECOMPUTED, size // 2) if present is None or present >= size else present // 2
    return side if side >= LAST_RECOMPUTED else None


def _smaller_networks(model: ModelSection) -> Options:
    """Options that halve the networks' channels where that can be done; none where it cannot."""
    changes = {}
    for network, spelled, multiplier, width in (
        ("g", model.g_channels, model.g_multiplier, model.g_width),
        ("d", model.d_channels, model.d_multiplier, model.d_width),
    ):
        if spelled is None and model.size > 32 and multiplier > 1:  # multipliers count above 32 px
            changes[f"{network}_multiplier"] = multiplier // 2
        elif spelled is None:
            changes[f"{network}_width"] = width // 2
    try:
        ModelSection.model_validate(model.model_dump() | changes)
    except ValidationError:
        return {}
    return {f"model.{key}": value for key, value in changes.items()}


def _missing(error: BaseException) -> str:
    """What the allocator could not give, in words; empty where it does not say."""
    match = re.search(r"allocate ([0-9.]+) ?([KMGTP]?i?B|bytes)", str(error))
    if match is None:
        return ""
    amount = format_bytes(float(match[1])) if match[2] == "bytes" else f"{match[1]} {match[2]}"
    return f": it could not get {amount} more"
