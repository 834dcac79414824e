"""DiffAugment (Zhao et al., NeurIPS 2020): color, translation and cutout of images in [-1, 1], always in this order.

Each group is applied to each image with a probability, 1 in the paper. Values are not clamped.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from swincli.recipe.objective import AugmentSection
from swincli.training.augment.bcr import cutout, source_coordinates, translate

COLUMNS = {"color": slice(0, 3), "translation": slice(3, 5), "cutout": slice(5, 7)}
"""Columns of the random numbers that each group uses."""
GATES = {"color": 7, "translation": 8, "cutout": 9}
"""Column of the number below which the probability must lie for a group to be left out."""
WIDTH = 10


def draw(section: AugmentSection, size: int, count: int, random: torch.Generator) -> Tensor:  # noqa: ARG001
    """Uniform numbers in [0, 1) for `count` images, float32 `[count, WIDTH]`: the same for all groups and sizes."""
    return torch.rand(count, WIDTH, generator=random)


@dataclass(frozen=True)
class Plan:
    """What happens to some images of side S.

    Attributes:
        draws: Their numbers from `draw`, `[B, WIDTH]`.
        happens: The groups that happen to any image: to which ones, bool `[B]`.
        coordinates: Rows and columns of translation (`bcr.source_coordinates`) and of cutout (hidden ones), `[B, S]`.
    """

    draws: Tensor
    happens: dict[str, Tensor]
    coordinates: dict[str, tuple[Tensor, Tensor]]


def plan(draws: Tensor, p: float, size: int, section: AugmentSection) -> Plan:
    """Decide what happens to images, each group with probability `p`.

    Args:
        draws: Their numbers from `draw`, `[B, WIDTH]` on the CPU.
        p: Probability of each group, before its factor.
        size: Side of the images.
        section: Groups, factors and strengths.
    """
    gates = {group: draws[:, GATES[group]] < p * section.factor(group) for group in section.chosen}
    happens = {group: gate for group, gate in gates.items() if bool(gate.any())}
    coordinates = {}
    if "translation" in happens:
        shifts = _shifts(draws[:, COLUMNS["translation"]], section.shift_pixels(size)).long()
        coordinates["translation"] = source_coordinates(size, shifts[:, 0]), source_coordinates(size, shifts[:, 1])
    if "cutout" in happens:
        hole, position = section.hole_pixels(size), torch.arange(size)
        first = _centre(draws[:, COLUMNS["cutout"]], size, hole)[:, :, None] - hole // 2  # of the hole, [B, 2, 1]
        rows, columns = ((position >= first) & (position < first + hole)).unbind(dim=1)
        coordinates["cutout"] = rows, columns
    return Plan(draws, happens, coordinates)


def change(images: Tensor, plan: Plan, section: AugmentSection) -> Tensor:
    """Apply a plan to its images `[B, 3, S, S]` in [-1, 1]."""
    for group, happens in plan.happens.items():
        if group == "color":
            changed = _color(images, plan.draws[:, COLUMNS[group]], section)
        else:
            changed = _MOVES[group](images, *plan.coordinates[group])
        images = torch.where(happens.to(images.device)[:, None, None, None], changed, images)
    return images


def parameters(group: str, draws: Tensor, size: int, section: AugmentSection) -> Tensor:
    """What a group does to each image, as numbers in [0, 1]: `[B, 3]` for color, `[B, 2]` for the others.

    For color these are the draws of brightness, saturation and contrast; for translation the shifts and for cutout the
    centre, as shares of their ranges. AugSelf-GAN predicts them.
    """
    own = draws[:, COLUMNS[group]]
    if group == "color":
        return own
    if group == "translation":
        reach = section.shift_pixels(size)
        return _shifts(own, reach) / (2 * max(reach, 1)) + 0.5
    hole = section.hole_pixels(size)
    return _centre(own, size, hole) / (size - hole % 2)


def _color(images: Tensor, draws: Tensor, section: AugmentSection) -> Tensor:
    brightness, saturation, contrast = draws.to(images)[:, :, None, None, None].unbind(dim=1)
    images = images + (brightness - 0.5) * section.color
    gray = images.mean(dim=1, keepdim=True)
    images = gray + (images - gray) * (1 + (2 * saturation - 1) * section.color)
    level = images.mean(dim=(1, 2, 3), keepdim=True)
    return level + (images - level) * (1 + (contrast - 0.5) * section.color)


def _shifts(draws: Tensor, reach: int) -> Tensor:
    """Whole shifts from -reach to reach, down and across."""
    return _whole(draws, 2 * reach + 1) - reach


def _centre(draws: Tensor, size: int, hole: int) -> Tensor:
    """The hole's centre in pixels: 0 to size for an even hole, 0 to size - 1 for an odd one."""
    return _whole(draws, size + 1 - hole % 2)


def _whole(draws: Tensor, count: int) -> Tensor:
    """Whole numbers below `count`, from numbers in [0, 1)."""
    return (draws * count).floor().clamp(max=count - 1)  # the product can be rounded up to `count`


_MOVES = {"translation": translate, "cutout": cutout}
