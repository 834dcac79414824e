"""`augment.multipliers`: factors of the probability of single transforms and of groups, in both sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from swincli.errors import RecipeError
from swincli.recipe import dump_recipe, load_recipe
from swincli.recipe.loading import parse_recipe
from swincli.recipe.objective import GROUPS, AugmentSection
from swincli.recipe.objective import TRANSFORMS as NAMES
from swincli.recipe.schema import ModelSection
from swincli.training.augment.ada_draws import TRANSFORMS, Drawn, draw
from swincli.training.augment.ada_geometry import inverse_maps
from swincli.training.augment.diffaugment import plan
from swincli.training.augment.pipe import Augmentation
from swincli.training.rng import derive

COUNT = 20_000


def section(transforms: str, **multipliers: float) -> AugmentSection:
    keys: dict[str, Any] = {"transforms": transforms, "groups": list(GROUPS[transforms]), "multipliers": multipliers}
    return AugmentSection.model_validate(keys)


def drawn(p: float, **multipliers: float) -> Drawn:
    ada = section("ada", **multipliers)
    return Drawn(draw(AugmentSection(transforms="ada"), 8, COUNT, derive(0, "a")), p, ada)


def test_the_recipe_s_names_are_those_of_the_transforms() -> None:
    of_groups: dict[str, list[str]] = {}
    for name, row in TRANSFORMS.items():
        of_groups.setdefault(row.group, []).append(row.key or name)
    assert list(of_groups) == list(GROUPS["ada"])
    for group, names in of_groups.items():
        assert tuple(dict.fromkeys(names)) == NAMES.get(group, (group,))


def test_a_transform_s_own_factor_takes_the_place_of_its_group_s() -> None:
    many = drawn(0.8, hue=0, rotate90=0.25, color=0.5, filter=0.75)
    rates = {
        "hue": 0,
        "rotate90": 0.2,
        "brightness": 0.4,
        "saturation": 0.4,
        "filter_2": 0.6,
        "x_flip": 0.8,
        "noise": 0.8,
    }
    for name, rate in rates.items():
        assert many.happens(name).double().mean() == pytest.approx(rate, abs=0.012), name
    plain = drawn(0.8)
    for name in ("x_flip", "scale", "cutout"):
        assert torch.equal(many.happens(name), plain.happens(name))
    assert not (many.happens("brightness") & ~plain.happens("brightness")).any()  # fewer, and no other ones


@pytest.mark.parametrize(("factor", "rate"), [(0.0, 0.0), (0.5, 0.4)])
def test_any_rotation_has_the_probability_times_its_factor(factor: float, rate: float) -> None:
    others = dict.fromkeys(("blit", "scale", "stretch", "fractional_shift"), 0.0)
    maps = inverse_maps(drawn(0.8, rotation=factor, **others), 8)
    turned = (maps != torch.eye(3, dtype=torch.float64)).flatten(1).any(dim=1)
    assert turned.double().mean() == pytest.approx(rate, abs=0.012)


def test_diffaugment_s_groups_have_factors() -> None:
    draws = torch.rand(COUNT, 10, generator=derive(0, "d"))
    happens = plan(draws, 0.8, 8, section("diffaugment", color=0.5, cutout=0)).happens
    assert {name: round(float(values.double().mean()), 1) for name, values in happens.items()} == {
        "color": 0.4,
        "translation": 0.8,
    }


@pytest.mark.parametrize("transforms", sorted(GROUPS))
def test_factors_of_1_change_no_bit_and_those_of_0_nothing(transforms: str) -> None:
    model, images = ModelSection(size=16), torch.rand(6, 3, 16, 16, generator=derive(0, "i"))
    seen = []
    for factor in (None, 1.0, 0.0):
        factors = {} if factor is None else dict.fromkeys(GROUPS[transforms], factor)
        augmentation = Augmentation(section(transforms, **factors), model)
        draws = augmentation.draw(6, derive(0, "a"))
        seen.append(augmentation.apply(images, augmentation.plan(draws, 0.9)))
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], images)
    assert torch.equal(seen[2], images)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ('transforms = "ada"\nmultipliers = {hue = 2}', 3, "hue must be at most 1, not 2"),
        ('transforms = "ada"\nmultipliers = {hue = -0.5}', 3, "hue must be at least 0, not -0.5"),
        ('transforms = "ada"\nmultipliers = {hue = "no"}', 3, 'hue must be a number, not "no"'),
        ('transforms = "ada"\nmultipliers = 0.5', 3, "must be a table in braces, not 0.5"),
        ('transforms = "ada"\nmultipliers = {turns = 0}', 3, '"turns" is no transform; known are blit, geometry'),
        ('transforms = "diffaugment"\nmultipliers = {hue = 0}', 3, "known are color, translation, cutout"),
        ("multipliers = {color = 0}", 2, "needs augment.transforms"),
    ],
)
def test_what_there_is_not_is_one_error_with_key_and_line(tmp_path: Path, text: str, line: int, problem: str) -> None:
    path = tmp_path / "my.toml"
    path.write_text(f"[augment]\n{text}\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(path))
    [told] = caught.value.problems
    assert told.startswith(f"augment.multipliers (my.toml:{line}): ")
    assert problem in told


def test_it_is_written_only_where_it_is_set() -> None:
    recipe = parse_recipe('[augment]\ntransforms = "ada"\nmultipliers = {hue = 0, color = 0.5}', "my.toml")
    assert parse_recipe(dump_recipe(recipe), "again") == recipe
    assert "multipliers" not in dump_recipe(load_recipe("few-images"))
