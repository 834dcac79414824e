"""DiffAugment (Zhao et al., NeurIPS 2020): color, translation and cutout of images in [-1, 1], always in this order.

Each group is applied to each image with a probability, 1 in the paper. Values are not clamped.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from swincli.recipe.objective import AugmentSection
from swincli.training.augment.bcr import translate

COLUMNS = {"color": slice(0, 3), "translation": slice(3, 5), "cutout": slice(5, 7)}
"""Columns of the random numbers that each group uses."""
GATES = {"color": 7, "translation": 8, "cutout": 9}
"""Column of the number below which the probability must lie for a group to be left out."""
WIDTH = 10


def draw(section: AugmentSection, size: int, count: int, random: torch.Generator) -> Tensor:  # noqa: ARG001
    """Uniform numbers in [0, 1) for `count` images, float32 `[count, WIDTH]`: the same for all groups and sizes."""
    return torch.rand(count, WIDTH, generator=random)


def apply(images: Tensor, draws: Tensor, p: float, section: AugmentSection) -> Tensor:
    """Apply the groups of a recipe, each to each image with probability `p`.

    Args:
        images: `[B, 3, H, W]` in [-1, 1].
        draws: Their numbers from `draw`, `[B, WIDTH]` on the CPU.
        p: Probability of each group.
        section: Groups and strengths.
    """
    for group in section.chosen:
        happens = draws[:, GATES[group]] < p
        if bool(happens.any()):
            changed = _GROUPS[group](images, draws[:, COLUMNS[group]], section)
            images = torch.where(happens[:, None, None, None].to(images.device), changed, images)
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
        reach = _reach(size, section)
        return _shifts(own, reach) / (2 * max(reach, 1)) + 0.5
    hole = _hole(size, section)
    return _centre(own, size, hole) / (size - hole % 2)


def _color(images: Tensor, draws: Tensor, section: AugmentSection) -> Tensor:
    brightness, saturation, contrast = draws.to(images)[:, :, None, None, None].unbind(dim=1)
    images = images + (brightness - 0.5) * section.color
    gray = images.mean(dim=1, keepdim=True)
    images = gray + (images - gray) * (1 + (2 * saturation - 1) * section.color)
    level = images.mean(dim=(1, 2, 3), keepdim=True)
    return level + (images - level) * (1 + (contrast - 0.5) * section.color)


def _translation(images: Tensor, draws: Tensor, section: AugmentSection) -> Tensor:
    shifts = _shifts(draws, _reach(images.shape[-1], section)).long()
    return translate(images, shifts[:, 0], shifts[:, 1])


def _cutout(images: Tensor, draws: Tensor, section: AugmentSection) -> Tensor:
    size = images.shape[-1]
    hole = _hole(size, section)
    first = _centre(draws, size, hole)[:, :, None] - hole // 2  # of the hole, [B, 2, 1]
    position = torch.arange(size)
    rows, columns = ((position >= first) & (position < first + hole)).unbind(dim=1)
    return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None].to(images.device), 0.0)


def _reach(size: int, section: AugmentSection) -> int:
    """The largest shift in pixels."""
    return int(size * section.translation + 0.5)


def _hole(size: int, section: AugmentSection) -> int:
    """The side of the hole in pixels."""
    return int(size * section.cutout + 0.5)


def _shifts(draws: Tensor, reach: int) -> Tensor:
    """Whole shifts from -reach to reach, down and across."""
    return _whole(draws, 2 * reach + 1) - reach


def _centre(draws: Tensor, size: int, hole: int) -> Tensor:
    """The hole's centre in pixels: 0 to size for an even hole, 0 to size - 1 for an odd one."""
    return _whole(draws, size + 1 - hole % 2)


def _whole(draws: Tensor, count: int) -> Tensor:
    """Whole numbers below `count`, from numbers in [0, 1)."""
    return (draws * count).floor().clamp(max=count - 1)  # the product can be rounded up to `count`


_GROUPS: dict[str, Callable[[Tensor, Tensor, AugmentSection], Tensor]] = {
    "color": _color,
    "translation": _translation,
    "cutout": _cutout,
}
