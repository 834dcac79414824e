"""Recipe schema: widths of the networks, validation, and the JSON Schema."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from swincli.recipe import Recipe, dump_recipe, load_recipe
from swincli.recipe.json_schema import recipe_schema
from swincli.recipe.schema import ModelSection, TrainSection
from swincli.recipe.shipped import shipped_recipes

SCHEMA = recipe_schema()


def nodes(schema: Any) -> list[dict[str, Any]]:
    """Every object inside a schema."""
    if isinstance(schema, list):
        return [node for item in schema for node in nodes(item)]
    if isinstance(schema, dict):
        return [schema, *(node for item in schema.values() for node in nodes(item))]
    return []


def accepts(recipe: dict[str, Any]) -> bool:
    return bool(Draft202012Validator(SCHEMA).is_valid(recipe))


# The networks


def test_the_paper_s_widths_at_256_px() -> None:
    model = ModelSection()
    expected = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128}
    assert model.channels("g") == model.channels("d") == expected
    assert [model.heads_of(channels) for channels in (512, 256, 128, 64, 16)] == [16, 8, 4, 4, 4]
    assert (model.resolutions, model.num_ws) == ([4, 8, 16, 32, 64, 128, 256], 14)


def test_the_paper_s_widths_at_1024_px() -> None:
    model = ModelSection(size=1024, g_multiplier=1)
    assert list(model.channels("g").values()) == [512, 512, 512, 512, 256, 128, 64, 32, 16]
    assert list(model.channels("d").values()) == [512, 512, 512, 512, 512, 256, 128, 64, 32]
    assert model.num_ws == 18


def test_spelled_widths_take_the_place_of_the_rule() -> None:
    model = ModelSection(size=16, g_channels=[32, 16, 8], d_channels=[9, 6, 3])
    assert model.channels("g") == {4: 32, 8: 16, 16: 8}
    assert model.channels("d") == {4: 9, 8: 6, 16: 3}


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"size": 16, "g_channels": [64, 64]}, "must have 3 numbers, for 4, 8, 16 px, not 2"),
        ({"size": 16, "g_channels": [64, 66, 64]}, "gives G 66 channels at 8 px and 4 heads"),
        ({"size": 16, "g_channels": [160, 64, 64]}, "gives G 160 channels at 4 px and 5 heads"),
        ({"size": 16, "d_channels": [64, 0, 64]}, "gives D 0 channels at 8 px"),
        ({"size": 16, "g_channels": [64, -4, 64]}, "gives G -4 channels at 8 px"),
        ({"size": 1024, "g_width": 4, "g_multiplier": 8}, "gives G 0 channels at 256 px"),
        ({"size": 1024, "d_width": 4}, "gives D 0 channels at 256 px"),
        ({"size": 64, "g_width": 100, "head_dim": 7}, "gives G 100 channels at 4 px and 14 heads"),
    ],
)
def test_widths_that_no_network_can_have(keys: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ModelSection(**keys)
    assert problem in caught.value.errors()[0]["msg"]


def test_a_width_that_does_not_fit_is_laid_at_its_key(tmp_path: Any) -> None:
    path = tmp_path / "my.toml"
    path.write_text("[model]\nsize = 16\nd_channels = [1, 2]\n")
    with pytest.raises(Exception, match=r"model\.d_channels \(my\.toml:3\): must have 3 numbers"):
        load_recipe(str(path))


@pytest.mark.parametrize(("size", "near"), [(0, 16), (15, 16), (33, 32), (255, 128), (2048, 1024), (-4, 16)])
def test_sizes_are_powers_of_two(size: int, near: int) -> None:
    with pytest.raises(ValidationError, match=f"{near} is close"):
        ModelSection(size=size)


def test_the_decay_ends_with_training() -> None:
    assert TrainSection(total=100, decay_from=99).decay_from == 99
    with pytest.raises(ValidationError, match=r"100 must be below train\.total, 100"):
        TrainSection(total=100, decay_from=100)


def test_a_recipe_does_not_change_once_read() -> None:
    with pytest.raises(ValidationError):
        Recipe().train.batch = 8


# The JSON Schema


def test_the_schema_is_a_valid_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_every_key_of_the_schema_is_described() -> None:
    assert SCHEMA["properties"]["extends"]["description"]
    assert len(SCHEMA["$defs"]) == len(Recipe.model_fields)
    for section in SCHEMA["$defs"].values():
        assert section["description"]
        assert all(key["description"] for key in section["properties"].values())


def test_the_schema_knows_no_null_and_no_leaked_bounds() -> None:
    for node in nodes(SCHEMA):
        assert None not in node.values()
        assert node.get("type") != "null"
        assert not {"gt", "ge", "lt", "le"} & node.keys()


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_keeps_to_the_schema(name: str) -> None:
    text = shipped_recipes()[name].read_text(encoding="utf-8")
    Draft202012Validator(SCHEMA).validate(tomllib.loads(text))
    Draft202012Validator(SCHEMA).validate(tomllib.loads(dump_recipe(load_recipe(name))))


@pytest.mark.parametrize(
    "recipe",
    [
        {"extends": 3},
        {"modle": {}},
        {"model": {"sise": 3}},
        {"model": {"size": "3"}},
        {"model": {"window": 5}},
        {"train": {"total": -1}},
        {"train": {"total": "12q"}},
        {"train": {"total": None}},
        {"train": {"g_lr": 0}},
        {"ema": {"half_life": 0}},
        {"evaluate": {"num": 1}},
        {"run": {"grid": [8]}},
        {"run": {"name": ""}},
    ],
)
def test_the_schema_refuses_what_the_recipe_refuses(recipe: dict[str, Any]) -> None:
    assert not accepts(recipe)
    with pytest.raises(ValidationError):
        Recipe.model_validate(recipe)


NEARLY_COUNTS = st.from_regex(r"\A[ \d_]{0,4}(\.\d{1,2})?[ kKmMbBq]{0,2}\Z")


@settings(deadline=None)
@given(st.one_of(st.integers(-5, 10**9), NEARLY_COUNTS, st.text(max_size=5)))
def test_schema_and_recipe_agree_on_counts(count: int | str) -> None:
    recipe = {"train": {"total": count}}
    try:
        Recipe.model_validate(recipe)
        problem = ""
    except ValidationError as error:
        problem = str(error)
    # A pattern cannot tell "1.5" from "1.5k".
    assert accepts(recipe) == (not problem or "not a whole number of images" in problem)
