"""The transforms of ADA as a table, their random numbers, and which of them happen to which image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from swincli.data.store.manifest import CHANNELS
from swincli.recipe.objective import AugmentSection


@dataclass(frozen=True)
class Transform:
    """A random transform of an image.

    Attributes:
        group: Its group in `augment.groups`.
        uniform: How many numbers in [0, 1) it uses.
        normal: How many numbers of N(0, 1) it uses.
        key: Its name in `augment.multipliers`; empty for the name that it has here.
    """

    group: str
    uniform: int = 0
    normal: int = 0
    key: str = ""


FILTER_BANDS = 4

TRANSFORMS: dict[str, Transform] = {
    "x_flip": Transform("blit", uniform=1),
    "rotate90": Transform("blit", uniform=1),
    "integer_shift": Transform("blit", uniform=2),
    "scale": Transform("geometry", normal=1),
    "rotate_before": Transform("geometry", uniform=1, key="rotation"),
    "stretch": Transform("geometry", normal=1),
    "rotate_after": Transform("geometry", uniform=1, key="rotation"),
    "fractional_shift": Transform("geometry", normal=2),
    "brightness": Transform("color", normal=1),
    "contrast": Transform("color", normal=1),
    "luma_flip": Transform("color", uniform=1),
    "hue": Transform("color", uniform=1),
    "saturation": Transform("color", normal=1),
    **{f"filter_{band}": Transform("filter", normal=1, key="filter") for band in range(FILTER_BANDS)},
    "noise": Transform("noise", normal=1),
    "cutout": Transform("cutout", uniform=2),
}
"""All transforms in the order in which they are applied, each with probability p, times its factor."""


@dataclass(frozen=True)
class _Columns:
    """Columns of a transform in the random numbers: of the one that decides whether it happens, and of its own."""

    gate: int
    uniform: slice
    normal: slice


@cache
def _layout() -> tuple[dict[str, _Columns], int, int]:
    """The columns of each transform, the number of uniform columns, and that of normal ones."""
    uniform, normal = len(TRANSFORMS), 0
    starts = {}
    for name, each in TRANSFORMS.items():
        starts[name] = uniform, normal
        uniform, normal = uniform + each.uniform, normal + each.normal
    columns = {}
    for gate, (name, (first, second)) in enumerate(starts.items()):
        each, second = TRANSFORMS[name], second + uniform
        columns[name] = _Columns(gate, slice(first, first + each.uniform), slice(second, second + each.normal))
    return columns, uniform, normal


def draw(section: AugmentSection, size: int, count: int, random: torch.Generator) -> Tensor:
    """Random numbers for `count` images of a side, float32 `[count, K]`; those of an image's noise only if needed.

    All transforms have their numbers, so a transform does the same whether others are in use or not.
    """
    _, uniform, normal = _layout()
    numbers = [torch.rand(count, uniform, generator=random), torch.randn(count, normal, generator=random)]
    if "noise" in section.chosen:
        numbers.append(torch.randn(count, CHANNELS * size**2, generator=random))
    return torch.cat(numbers, dim=1)


@dataclass(frozen=True)
class Drawn:
    """The random numbers of some images, and what they decide.

    Attributes:
        draws: `[B, K]` from `draw`, on the CPU.
        p: Probability of each transform, before its factor.
        section: The groups in use and the factors.
    """

    draws: Tensor
    p: float
    section: AugmentSection

    def probability(self, name: str) -> float:
        """Probability of a transform: 0 if its group is not in use. Each of the two rotations has less than this."""
        row = TRANSFORMS[name]
        return self.p * self.section.factor(row.group, row.key or name) if row.group in self.section.chosen else 0.0

    def happens(self, name: str, p: float | None = None) -> Tensor:
        """Whether a transform happens to each image, bool `[B]`; `p` takes the place of its probability."""
        return self.draws[:, _layout()[0][name].gate] < (self.probability(name) if p is None else p)

    def uniform(self, name: str) -> Tensor:
        """A transform's numbers in [0, 1), float64 `[B, N]`."""
        return self.draws[:, _layout()[0][name].uniform].double()

    def normal(self, name: str) -> Tensor:
        """A transform's numbers of N(0, 1), float64 `[B, N]`."""
        return self.draws[:, _layout()[0][name].normal].double()

    def noise(self, size: int) -> Tensor:
        """Noise N(0, 1) for each image, float32 `[B, 3, size, size]`."""
        return self.draws[:, -CHANNELS * size**2 :].view(-1, CHANNELS, size, size)


@dataclass(frozen=True)
class Chosen:
    """Some images of a batch.

    Attributes:
        positions: Their places in the batch, int64 `[N]`, in order.
        everyone: Whether they are the whole batch.
    """

    positions: Tensor
    everyone: bool


def choose(chosen: Tensor) -> Chosen | None:
    """The chosen images of bool `[B]` on the CPU; None if there are none."""
    positions = chosen.nonzero()[:, 0]
    return Chosen(positions, len(positions) == len(chosen)) if len(positions) else None


def change_some(images: Tensor, chosen: Chosen, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Images `[B, C, H, W]` of which the chosen ones are changed, in their order."""
    if chosen.everyone:
        return change(images)
    positions = chosen.positions.to(images.device)
    return images.index_copy(0, positions, change(images.index_select(0, positions)))
