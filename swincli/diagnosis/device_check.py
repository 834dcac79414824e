"""Whether a device computes right: one forward and one step of small networks there and on the CPU, compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from swincli.console import Console
from swincli.diagnosis.findings import Finding
from swincli.diagnosis.step_size import StepSize
from swincli.diagnosis.synthetic_training import SyntheticTraining, synthetic_batch
from swincli.ops.precision import exact_float32
from swincli.recipe import Recipe
from swincli.training.step.phases import Phase

CPU = torch.device("cpu")
BATCH = 4
RECIPE = {
    "model": {"size": 32, "latent_dim": 32, "mapping_layers": 2, "g_width": 64, "d_width": 32, "std_group": BATCH},
    "train": {"batch": BATCH},
    "loss": {"bcr_real": 10.0, "bcr_fake": 10.0},
    "augment": {"flip": True},
}
"""Small networks with everything that the published ones have: shifted windows, wavelets, spectral norm, R1, bCR."""
TOLERANCES = {"images of G": 1e-3, "logits of D": 1e-3, "Adam": 1e-3}
GRADIENTS = 1e-2  # tolerance of the gradient of a phase: sums over many positions, for R1 of second derivatives

Results = dict[str, Tensor]


@dataclass(frozen=True)
class Comparison:
    """One result on the device, compared with the CPU's.

    Attributes:
        name: What was computed.
        difference: Norm of the difference, divided by the norm of the CPU's result; NaN if the result is not finite.
        tolerance: Largest difference that rounding explains.
    """

    name: str
    difference: float
    tolerance: float

    @property
    def is_right(self) -> bool:
        """Whether rounding explains the difference."""
        return self.difference <= self.tolerance


@dataclass(frozen=True)
class DeviceCheck:
    """How the results of a device compare with the CPU's.

    Attributes:
        device: The device.
        comparisons: One for each result; empty if the device failed.
        failure: PyTorch's first line if the device cannot run the networks; else empty.
    """

    device: torch.device
    comparisons: tuple[Comparison, ...] = ()
    failure: str = ""

    @property
    def summary(self) -> str:
        """The check in words."""
        if self.failure:
            return f"{self.device} cannot run the networks"
        if wrong := [each.name for each in self.comparisons if not each.is_right]:
            return f"{self.device} computes otherwise than the CPU: {', '.join(wrong)}"
        largest = max(each.difference for each in self.comparisons)
        return f"computes a forward and a step as the CPU does; largest difference {largest:.1e}"

    def findings(self) -> list[Finding]:
        """An error if the device computes wrong or not at all."""
        hint = "Train with --device cpu, or with a newer PyTorch; compare again with `swincli doctor`."
        if self.failure:
            return [Finding("error", "results", f"{self.summary}: {self.failure}", hint)]
        wrong = [each for each in self.comparisons if not each.is_right]
        if not wrong:
            return []
        figures = ", ".join(f"{each.name} {each.difference:.1e} (at most {each.tolerance:.0e})" for each in wrong)
        message = f"{self.device} computes wrong results. Differences from the CPU: {figures}"
        return [Finding("error", "results", message, hint)]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = {each.name: {"difference": each.difference, "tolerance": each.tolerance} for each in self.comparisons}
        return {"device": str(self.device), "right": not self.findings(), "failure": self.failure, "results": values}


def check_device(device: torch.device, console: Console) -> DeviceCheck:
    """Run the same forward and the same step on a device and on the CPU, in exact float32, and compare the results."""
    console.say(f"comparing {device} with the CPU")
    expected = step_results(CPU)
    try:
        found = step_results(device)
    except (RuntimeError, NotImplementedError, TypeError) as error:  # MPS raises TypeError for float64
        lines = str(error).strip().splitlines()
        return DeviceCheck(device, failure=lines[0] if lines else type(error).__name__)
    return DeviceCheck(device, compare(expected, found))


def step_results(device: torch.device) -> Results:
    """G's images, D's logits, the gradient of each phase and Adam's update of G, in float64 on the CPU.

    D's weights stay as they are: Adam would turn differences of rounding in tiny gradients into whole steps.
    """
    training = SyntheticTraining(Recipe.model_validate(RECIPE), device)
    state, batches = training.state, synthetic_batch(training.recipe, StepSize(BATCH), device)
    for group in state.d_optimizer.param_groups:
        group["lr"] = 0.0
    results = Results()
    with exact_float32(device):
        with torch.no_grad():
            results["images of G"] = state.generator(batches[0].g_latents)
            results["logits of D"] = state.discriminator(batches[0].reals)
        for phase in training.phases:
            before = [parameter.detach().clone() for parameter in phase.parameters]
            phase.run(batches)
            # beta1 is 0, so the first moment is the gradient
            moments = [phase.optimizer.state[parameter]["exp_avg"] for parameter in phase.parameters]
            results[f"gradient of {phase.name}"] = _joined(moments)
        results["Adam"] = _share_of_update(phase, before)
    return {name: _on_cpu(value) for name, value in results.items()}


def compare(expected: Results, found: Results) -> tuple[Comparison, ...]:
    """Compare results by name; the tolerance of a gradient is `GRADIENTS`."""
    return tuple(
        Comparison(
            name,
            float((found[name] - value).norm() / value.norm().clamp_min(1e-30)),
            TOLERANCES.get(name, GRADIENTS),
        )
        for name, value in expected.items()
    )


def _share_of_update(phase: Phase, before: list[Tensor]) -> Tensor:
    """Adam's first update of a network as a share of what its moments give: 1 if it is right, `[]`."""
    group = phase.optimizer.param_groups[0]
    moments = [phase.optimizer.state[parameter] for parameter in phase.parameters]
    squares = _on_cpu(_joined([each["exp_avg_sq"] for each in moments])) / (1 - group["betas"][1])
    right = -group["lr"] * _on_cpu(_joined([each["exp_avg"] for each in moments])) / (squares.sqrt() + group["eps"])
    moved = _on_cpu(_joined(phase.parameters)) - _on_cpu(_joined(before))
    share: Tensor = (moved * right).sum() / right.square().sum()
    return share


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def _on_cpu(values: Tensor) -> Tensor:
    return values.detach().cpu().double()  # in this order: MPS has no float64
