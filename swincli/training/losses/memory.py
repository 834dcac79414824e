"""What losses and augmentation remember from step to step: moving averages, probabilities, buffers of features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from swincli.recipe import Recipe


@dataclass
class Memory:
    """Tensors by name, saved with the training state. All ranks hold the same values.

    Scalars are on the CPU, larger tensors on the networks' device. Losses read `values` and never write it. After a
    step, `Remembered.update` changes it from the means of the step's scalars over all ranks, or from the features that
    were noted.

    Attributes:
        values: The tensors; empty if no loss of the recipe remembers anything.
        noted: Features of this step's micro-batches, `[B, C]` each, by name.
    """

    values: dict[str, Tensor] = field(default_factory=dict)
    noted: dict[str, list[Tensor]] = field(default_factory=dict)

    def number(self, name: str) -> float:
        """A scalar value as a float."""
        return float(self.values[name])

    def note(self, name: str, features: Tensor) -> None:
        """Note features of a micro-batch for the update after the step."""
        self.noted.setdefault(name, []).append(features.detach().float())

    def state_dict(self) -> dict[str, Tensor]:
        """The values, for a state file."""
        return dict(self.values)

    def load_state_dict(self, saved: Mapping[str, Tensor]) -> None:
        """Take over saved values. Names that this recipe does not have are ignored; new ones keep their start.

        Raises:
            ValueError: a value has another shape.
        """
        for name, value in saved.items():
            if name in self.values:
                if value.shape != self.values[name].shape:
                    raise ValueError(f"{name} has the shape {tuple(value.shape)}, not {tuple(self.values[name].shape)}")
                self.values[name] = value.to(self.values[name].device, copy=True)
        self.noted.clear()


@dataclass(frozen=True)
class Step:
    """A step that has ended, as `Remembered.update` sees it.

    Attributes:
        recipe: The experiment.
        images_seen: Images shown before the step.
        means: Mean of each scalar over micro-batches and ranks; empty while they are computed.
        features: Noted features of the whole batch, in its order, `[batch, C]`, by name; empty after the step.
    """

    recipe: Recipe
    images_seen: int
    means: Mapping[str, float]
    features: Mapping[str, Tensor]


@dataclass(frozen=True)
class Remembered:
    """One thing that is remembered.

    Attributes:
        wanted: Whether a recipe needs it.
        start: Its tensors by name at the start of a run.
        update: New values after a step, from the old ones.
        reads_last: `(recipe, values, images_seen)` -> whether the step after `images_seen` images reads what the means
            of the step before it change. `values` lack that change.
        features: Names of the features that it is updated from, within the step; then it is not updated from means.
            They need the whole batch in one forward.
    """

    wanted: Callable[[Recipe], bool]
    start: Callable[[Recipe], dict[str, Tensor]]
    update: Callable[[Mapping[str, Tensor], Step], dict[str, Tensor]]
    reads_last: Callable[[Recipe, Mapping[str, Tensor], int], bool] = lambda *_: False
    features: tuple[str, ...] = ()


def scalar(value: float) -> Tensor:
    """A number as a float64 tensor without dimensions."""
    return torch.tensor(value, dtype=torch.float64)
