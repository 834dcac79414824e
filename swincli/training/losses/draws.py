"""Random numbers of flips and losses as a table: of a whole batch, by (seed, name, images seen), on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from swincli.data.store.manifest import CHANNELS
from swincli.model.discriminators.epilogue import LAST_RESOLUTION
from swincli.recipe import Recipe
from swincli.training.augment.bcr import draw_flips
from swincli.training.augment.pipe import Augmentation
from swincli.training.losses.adversarial import ADVERSARIAL
from swincli.training.losses.views import draw_blend
from swincli.training.rng import derive
from swincli.training.schedules import is_due

AUGMENT = "augment/"  # what the names of the transforms' numbers start with
VIEWS = ("d_real", "d_fake", "g_fake", "g_real", "r1", "r2")
"""Images that D sees: reals and fakes in its own phase, fakes and reals in G's, reals of R1 and fakes of R2."""


def _one(recipe: Recipe) -> int:  # noqa: ARG001
    return 1


@dataclass(frozen=True)
class Draw:
    """Random numbers of one purpose.

    Attributes:
        wanted: Whether a recipe needs them.
        make: `(recipe, count, random)` -> float32 or bool, `[count, ...]`.
        interval: Steps from one use to the next, of a lazy phase; the first step uses all.
    """

    wanted: Callable[[Recipe], bool]
    make: Callable[[Recipe, int, torch.Generator], Tensor]
    interval: Callable[[Recipe], int] = _one


def _normal_latents(recipe: Recipe, count: int, random: torch.Generator) -> Tensor:
    return torch.randn(count, recipe.model.latent_dim, generator=random)


def _normal_images(recipe: Recipe, count: int, random: torch.Generator) -> Tensor:
    size = recipe.model.size
    return torch.randn(count, CHANNELS, size, size, generator=random)


def _normal_codes(recipe: Recipe, count: int, random: torch.Generator) -> Tensor:
    return torch.randn(count, recipe.model.channels("d")[LAST_RESOLUTION], generator=random)


def _blend(recipe: Recipe, count: int, random: torch.Generator) -> Tensor:
    return draw_blend(recipe.model.channels("d")[LAST_RESOLUTION], count, random)


def _augment(recipe: Recipe, count: int, random: torch.Generator) -> Tensor:
    return Augmentation(recipe.augment, recipe.model).draw(count, random)


_VIEW_WANTED: dict[str, Callable[[Recipe], bool]] = {
    "d_real": lambda _: True,
    "d_fake": lambda _: True,
    "g_fake": lambda _: True,
    "g_real": lambda recipe: ADVERSARIAL[recipe.loss.adversarial].paired,
    "r1": lambda recipe: recipe.loss.has_r1 and not recipe.loss.joint_penalty,
    "r2": lambda recipe: recipe.loss.has_r2 and not recipe.loss.joint_penalty,
}


def _view(name: str) -> Draw:
    """The numbers of the transforms of a view."""
    every = _penalty_interval if name in ("r1", "r2") else _one
    return Draw(lambda recipe: recipe.augment.transforms != "none" and _VIEW_WANTED[name](recipe), _augment, every)


def _penalty_interval(recipe: Recipe) -> int:
    return recipe.loss.r1_interval


def _uniform(recipe: Recipe, count: int, random: torch.Generator) -> Tensor:  # noqa: ARG001
    return torch.rand(count, generator=random)


def _flips(recipe: Recipe, count: int, random: torch.Generator) -> Tensor:  # noqa: ARG001
    return draw_flips(count, random)


def _shared(recipe: Recipe, count: int, random: torch.Generator) -> Tensor:  # noqa: ARG001
    """One number for the whole batch."""
    return torch.rand(1, generator=random).expand(count)


DRAWS: dict[str, Draw] = {
    "flip": Draw(lambda recipe: recipe.augment.flip, _flips),
    "flip g_reals": Draw(lambda recipe: recipe.augment.flip and ADVERSARIAL[recipe.loss.adversarial].paired, _flips),
    **{f"{AUGMENT}{name}": _view(name) for name in VIEWS},
    "apa": Draw(lambda recipe: recipe.augment.apa, _uniform),
    "zcr_d": Draw(lambda recipe: recipe.loss.zcr_d > 0, _normal_latents),
    "zcr_g": Draw(lambda recipe: recipe.loss.zcr_g > 0, _normal_latents),
    "path_length": Draw(
        lambda recipe: recipe.loss.path_length > 0, _normal_images, lambda recipe: recipe.loss.path_length_interval
    ),
    "mee/axis": Draw(lambda recipe: recipe.loss.mee_dlle > 0, _shared),
    "mee/real": Draw(lambda recipe: recipe.loss.mee_dlle > 0, _normal_images),
    "mee/fake": Draw(lambda recipe: recipe.loss.mee_dlle > 0, _normal_images),
    "mee/blend": Draw(lambda recipe: recipe.loss.mee_disomap > 0, _uniform),
    "mee/target": Draw(lambda recipe: recipe.loss.mee_disomap > 0, _normal_codes),
    **{f"blend/{name}": Draw(lambda recipe: recipe.loss.adaptive_mix > 0, _blend) for name in VIEWS[:3]},
}


def draw_all(recipe: Recipe, images_seen: int, *, every_phase: bool = False) -> dict[str, Tensor]:
    """The numbers that the step after `images_seen` images uses, `[batch, ...]` each.

    Args:
        recipe: The experiment.
        images_seen: Images shown before the step.
        every_phase: Also those of lazy phases that are not due.
    """
    return {
        name: each.make(recipe, recipe.train.batch, derive(recipe.train.seed, name, images_seen))
        for name, each in DRAWS.items()
        if each.wanted(recipe) and (every_phase or is_due(images_seen, recipe.train.batch, each.interval(recipe)))
    }
