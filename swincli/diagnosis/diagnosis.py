"""Diagnosis of a recipe on a machine: its cost, a profile of real steps, and findings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from swincli.console import Console
from swincli.diagnosis.checks import DatasetStatus, check_dataset, check_initial_checkpoint, check_recipe, device_memory
from swincli.diagnosis.cost import RecipeCost, recipe_cost
from swincli.diagnosis.estimate import RunEstimate, estimate_run
from swincli.diagnosis.findings import Finding, from_error
from swincli.diagnosis.machine import Machine
from swincli.diagnosis.step_profile import StepProfile, profile_steps, step_memory_error
from swincli.errors import SwincliError
from swincli.model.blocks.attention import describe_attention
from swincli.recipe import Recipe
from swincli.system.runtime import choose_precision
from swincli.training.run.out_of_memory import memory_hint
from swincli.training.step.batch_shards import split_batch
from swincli.units import format_bytes


@dataclass(frozen=True)
class Diagnosis:
    """Cost, estimate and findings of a recipe on one device.

    Attributes:
        recipe: The recipe.
        device: Device to train on.
        cost: Cost that is known without running anything.
        data: State of its data set.
        init: Description of the checkpoint that training starts from; None without one.
        estimate: Estimate from measured steps; None if no step could run.
        findings: Errors and warnings.
    """

    recipe: Recipe
    device: torch.device
    cost: RecipeCost
    data: DatasetStatus
    init: str | None
    estimate: RunEstimate | None
    findings: list[Finding]

    @property
    def precision(self) -> str:
        """Precision of matrix products: float32, bfloat16, or "unusable"."""
        try:
            return str(choose_precision(self.recipe.run.precision, self.device)).removeprefix("torch.")
        except SwincliError:
            return "unusable"

    @property
    def attention(self) -> str:
        """How attention runs on CUDA: see `describe_attention`. Empty on other devices."""
        if self.precision == "unusable":
            return ""
        return describe_attention(self.recipe.model, self.device, getattr(torch, self.precision))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        run = self.recipe.run
        return {
            "size": self.recipe.model.size,
            "batch": self.recipe.train.batch,
            "total": self.recipe.train.total,
            "settings": {
                "precision": self.precision,
                "tf32": run.tf32,
                "attention": self.attention,
                "micro_batch": run.micro_batch,
                "recompute_from": run.recompute_from,
                "compile": run.compile,
                "channels_last": run.channels_last,
                "cuda_graphs": run.cuda_graphs,
            },
            **self.cost.to_dict(),
            "data": self.data.to_dict(),
            "init": self.init,
            "estimate": self.estimate.to_dict() if self.estimate else None,
        }


def diagnose(
    recipe: Recipe, machine: Machine, device: torch.device, console: Console, steps: int | None = None
) -> Diagnosis:
    """Compute the cost of a recipe, check it and measure its steps.

    Args:
        recipe: The recipe.
        machine: The machine.
        device: Device to train on.
        console: Shows what is being measured.
        steps: Number of measured steps; None for as many as fit into a minute.

    Raises:
        UsageError: the networks cannot be built.
    """
    cost = recipe_cost(recipe)
    data, findings = check_dataset(recipe)
    init, init_findings = check_initial_checkpoint(recipe)
    findings += init_findings + check_recipe(recipe, machine, device, cost.files)
    estimate = None
    if all(finding.about != "settings" or finding.severity != "error" for finding in findings):
        try:
            profile = profile_steps(recipe, device, console, steps)
        except SwincliError as error:
            findings.append(from_error("memory", error))
        else:
            estimate = estimate_run(recipe, split_batch(recipe, 1), profile)
            findings += memory_findings(recipe, estimate, profile, machine, device)
    return Diagnosis(recipe, device, cost, data, init, estimate, findings)


def memory_findings(
    recipe: Recipe, estimate: RunEstimate, profile: StepProfile, machine: Machine, device: torch.device
) -> list[Finding]:
    """Compare the estimated memory of training with the device's; the hint names keys to change."""
    measured = profile.measurement
    if profile.too_large:
        smallest = min(profile.too_large, key=lambda size: size.total)
        error = step_memory_error(MemoryError(), recipe, device, smallest, measured.size.micro_batch_size)
        return [from_error("memory", error)]
    total, free = device_memory(machine, device)
    free += profile.before  # memory of this process counts as used
    if estimate.memory <= free:
        return []
    impossible = estimate.memory > total
    available = f"it has {format_bytes(total)}" if impossible else f"{format_bytes(free)} are free"
    fitting = measured.largest_micro_batch(min(free, total))
    return [
        Finding(
            "error" if impossible else "warning",
            "memory",
            f"training needs about {format_bytes(estimate.memory)} on {device}, and {available}",
            memory_hint(recipe, device, estimate.micro_batch_size, at_most=fitting),
        )
    ]
