"""The whole diagnosis of a recipe on a machine: its cost, a trial of real steps, and what stands in its way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from swincli.console import Console
from swincli.diagnosis.checks import Data, look_at_data, look_at_init, memory_of, recipe_findings
from swincli.diagnosis.cost import Cost, cost_of
from swincli.diagnosis.estimate import Estimate, estimate
from swincli.diagnosis.findings import Finding, failure
from swincli.diagnosis.machine import Machine
from swincli.diagnosis.trial import Trial, too_little_memory, try_recipe
from swincli.errors import SwincliError
from swincli.recipe import Recipe
from swincli.system.runtime import choose_precision
from swincli.training.run.out_of_memory import memory_hint
from swincli.training.step.batch_shards import split_batch
from swincli.units import format_bytes


@dataclass(frozen=True)
class Diagnosis:
    """What a recipe comes to on one device.

    Attributes:
        recipe: The recipe.
        device: Where it would be trained.
        cost: What is known without running it.
        data: Its images.
        init: What it starts from, in words; None where it starts anew.
        estimate: What a few steps have shown; None where none could be run.
        findings: What stands in its way, or could be better.
    """

    recipe: Recipe
    device: torch.device
    cost: Cost
    data: Data
    init: str | None
    estimate: Estimate | None
    findings: list[Finding]

    @property
    def precision(self) -> str:
        """What matrix products would be computed in: float32, bfloat16, or "unusable"."""
        try:
            return str(choose_precision(self.recipe.run.precision, self.device)).removeprefix("torch.")
        except SwincliError:
            return "unusable"

    def facts(self) -> dict[str, Any]:
        """Plain values for JSON."""
        run = self.recipe.run
        return {
            "size": self.recipe.model.size,
            "batch": self.recipe.train.batch,
            "total": self.recipe.train.total,
            "settings": {
                "precision": self.precision,
                "tf32": run.tf32,
                "micro_batch": run.micro_batch,
                "recompute_from": run.recompute_from,
                "compile": run.compile,
                "channels_last": run.channels_last,
            },
            **self.cost.facts(),
            "data": self.data.facts(),
            "init": self.init,
            "estimate": self.estimate.facts() if self.estimate else None,
        }


def diagnose(
    recipe: Recipe, machine: Machine, device: torch.device, console: Console, steps: int | None = None
) -> Diagnosis:
    """Count, check and measure a recipe.

    Args:
        recipe: The experiment.
        machine: What there is.
        device: Where to train.
        console: Told what is being measured.
        steps: Steps to measure; left out, what fits into a minute.

    Raises:
        UsageError: its networks cannot be built.
    """
    cost = cost_of(recipe)
    data, found = look_at_data(recipe)
    init, start = look_at_init(recipe)
    found += start + recipe_findings(recipe, machine, device, cost.files)
    measured = None
    if all(finding.about != "settings" or finding.severity != "error" for finding in found):
        try:
            trial = try_recipe(recipe, device, console, steps)
        except SwincliError as error:
            found.append(failure("memory", error))
        else:
            shares = split_batch(recipe, 1)
            measured = estimate(recipe, shares, trial)
            found += _memory(recipe, measured, trial, machine, device)
    return Diagnosis(recipe, device, cost, data, init, measured, found)


def _memory(recipe: Recipe, measured: Estimate, trial: Trial, machine: Machine, device: torch.device) -> list[Finding]:
    """Whether training is expected to find enough memory, and what to change where it is not."""
    images = measured.pass_images
    if trial.refused:
        smallest, fitting = min(trial.refused, key=lambda load: load.total), trial.known.load.images
        return [failure("memory", too_little_memory(MemoryError(), recipe, device, smallest, fitting))]
    total, free = memory_of(machine, device)
    free += trial.before  # what this process held already counts as used
    if measured.memory <= free:
        return []
    impossible = measured.memory > total
    there = f"it has {format_bytes(total)}" if impossible else f"{format_bytes(free)} are free"
    fitting = trial.known.images_within(min(free, total))
    return [
        Finding(
            "error" if impossible else "warning",
            "memory",
            f"training needs about {format_bytes(measured.memory)} on {device}, and {there}",
            memory_hint(recipe, device, images, at_most=fitting),
        )
    ]
