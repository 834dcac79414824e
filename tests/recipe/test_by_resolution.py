"""Keys of [model] with one value or a table by resolution."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from swincli.commands.app import run
from swincli.model.config_diff import differing_keys
from swincli.model.mixers.registry import MIXERS
from swincli.recipe import Recipe, dump_recipe, load_recipe
from swincli.recipe.json_schema import recipe_schema
from swincli.recipe.loading import load_with_warnings, parse_recipe
from swincli.recipe.networks import MixerName
from swincli.recipe.schema import ModelSection
from swincli.recipe.shipped import shipped_recipes


def small(**keys: Any) -> ModelSection:
    return ModelSection(size=32, g_channels=[16, 16, 16, 8], **keys)


def test_a_table_gives_each_resolution_its_value_and_the_others_the_default() -> None:
    model = small(heads={"32": 2}, mlp_ratio={"default": 3, "16": 1}, window={"32": 4}, mixer={"16": "single"})
    assert [model.heads_at(side) for side in model.resolutions] == [4, 4, 4, 2]
    assert [model.hidden_at(side) for side in model.resolutions] == [48, 48, 16, 24]
    assert [model.window_at(side) for side in model.resolutions] == [4, 8, 8, 4]
    assert [model.mixer_at(side) for side in model.resolutions] == ["double", "double", "single", "double"]


def test_hidden_channels_replace_the_ratio_where_they_are_given() -> None:
    model = small(mlp_ratio={"default": 3, "16": 1}, mlp_hidden={"4": 40, "16": 24})
    assert [model.hidden_at(side) for side in model.resolutions] == [40, 48, 24, 24]
    assert differing_keys(model, small(mlp_ratio=3, mlp_hidden={"4": 40, "16": 24})) == []
    assert differing_keys(model, small(mlp_ratio={"default": 3, "16": 1})) == ["mlp_hidden"]


def test_without_a_mixer_the_windows_of_the_older_key_count() -> None:
    assert small(attention="single").mixer_at(16) == "single"
    assert small(attention="single", mixer={"32": "double"}).mixer_at(16) == "single"


def test_a_table_of_the_default_alone_is_the_value() -> None:
    assert small(mlp_ratio={"default": 2}) == small(mlp_ratio=2)


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("mixer", {"33": "double"}, 'not "33"'),
        ("mixer", {}, "the table is empty"),
        ("mixer", {"32": "dw9"}, "'double'"),
        ("mlp_ratio", {"32": 0}, "greater than or equal to 1"),
        ("mlp_hidden", {"32": 65_537}, "less than or equal to 65536"),
        ("window", 7, "4, 8 or 16"),
        ("heads", {"32": 3}, "3 heads for G's 8 channels at 32 px"),
        ("kv_heads", {"32": 0}, "greater than or equal to 1"),
        ("kv_heads", {"32": 3}, "3 heads of keys for G's 4 heads at 32 px; they must divide the heads"),
        ("kv_heads", 1, "must divide the heads, and be even"),
    ],
)
def test_what_a_table_must_not_have(key: str, value: Any, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        small(**{key: value})
    properties = recipe_schema()["$defs"]["ModelSection"]["properties"]
    assert key in ("heads", "kv_heads") or not Draft202012Validator(properties[key]).is_valid(value)


def test_tables_survive_a_file_and_merge_with_the_extended_recipe(tmp_path: Any) -> None:
    (tmp_path / "base.toml").write_text('[model]\nsize = 32\nmixer = {"32" = "single"}\n[model.mlp_ratio]\n"32" = 2\n')
    (tmp_path / "top.toml").write_text(
        'extends = "base.toml"\n[model]\nmixer = {default = "single", "32" = "double"}\n'
    )
    recipe = load_recipe(str(tmp_path / "top.toml"), ['model.window={"16"=4}'])
    assert recipe.model.mixer == {"default": "single", "32": "double"}
    assert recipe.model.mlp_ratio == {"32": 2}
    assert recipe.model.window == {"16": 4}
    assert parse_recipe(dump_recipe(recipe), "a checkpoint") == recipe


@pytest.mark.parametrize(
    ("below", "table", "lost"),
    [
        ('mixer = "grid"', 'mixer = {"32" = "dw7"}', '"grid" of the recipe it extends also at 4, 8, 16 px'),
        ("mlp_ratio = 2", 'mlp_ratio = {"16" = 1}', "2 of the recipe it extends also at 4, 8, 32 px"),
        ('mixer = "grid"', 'mixer = {default = "grid", "32" = "dw7"}', None),
        ('mixer = "double"', 'mixer = {"32" = "dw7"}', None),  # what it is without a value
        ('mixer = {"32" = "grid"}', 'mixer = {"16" = "dw7"}', None),
        ("window = 4", 'window = {"4" = 4, "8" = 4, "16" = 4, "32" = 8}', None),
    ],
)
def test_a_value_that_a_table_replaces_is_warned_of(below: str, table: str, lost: str | None, tmp_path: Any) -> None:
    (tmp_path / "base.toml").write_text(f"[model]\nsize = 32\n{below}\n")
    (tmp_path / "middle.toml").write_text(f'extends = "base.toml"\n[model]\n{table}\n')
    (tmp_path / "top.toml").write_text('extends = "middle.toml"\n[train]\nbatch = 8\n')
    loaded = load_with_warnings(str(tmp_path / "top.toml"))
    assert loaded.recipe == load_recipe(str(tmp_path / "top.toml"))
    assert len(loaded.warnings) == (lost is not None)
    key = table.split(" ")[0]
    assert all(text.startswith(f"model.{key}: replaces {lost}") for text in loaded.warnings)
    value = below.split(" = ")[-1]
    assert all(text.endswith(f"add default = {value} to keep it there") for text in loaded.warnings)


def test_a_table_of_the_command_line_replaces_what_it_says(tmp_path: Any) -> None:
    (tmp_path / "base.toml").write_text('[model]\nsize = 32\nmixer = "grid"\n')
    (tmp_path / "top.toml").write_text('extends = "base.toml"\n[model]\nmixer = {"32" = "dw7"}\n')
    assert load_with_warnings(str(tmp_path / "top.toml"), ['model.mixer={"16"="dw7"}']).warnings == []


def test_validate_and_training_name_the_lost_value(
    tmp_path: Any, tiny_recipe_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "base.toml").write_text(f'extends = "{tiny_recipe_file}"\n[model]\nmixer = "grid"\n')
    top = tmp_path / "top.toml"
    top.write_text('extends = "base.toml"\n[model]\nmixer = {"8" = "single"}\n')
    assert run(["recipe", "validate", str(top), "--json"]) == 0
    out = capsys.readouterr().out
    assert "model.mixer: replaces" in json.loads(out)["warnings"][0]
    for command in (["--dry-run"], ["-q", "--set", "train.total=0"]):
        run(["train", str(top), "--out", str(tmp_path / "run"), "--device", "cpu", *command])
        assert "model.mixer: replaces" in " ".join(capsys.readouterr().err.split())


def test_shipped_recipes_lose_no_value() -> None:
    assert {name: lost for name in shipped_recipes() if (lost := load_with_warnings(name).warnings)} == {}


def test_an_error_names_the_line_of_the_table(tmp_path: Any) -> None:
    (tmp_path / "a.toml").write_text('[model]\nsize = 32\nmixer = {"32" = "dw9"}\n')
    with pytest.raises(Exception, match=r'model.mixer \(a.toml:3\): must be .*not "dw9"'):
        load_recipe(str(tmp_path / "a.toml"))


def test_only_values_that_make_other_networks_differ() -> None:
    same = small(mixer={"default": "double", "1024": "single"}, mlp_ratio={"32": 4})
    assert differing_keys(small(), same) == []
    assert differing_keys(small(attention="single"), small(mixer="single")) == []
    assert differing_keys(small(), small(mixer={"32": "single"})) == ["mixer"]
    assert differing_keys(small(), small(kv_heads={"default": 4, "1024": 2})) == []
    assert differing_keys(small(), small(kv_heads={"32": 2})) == ["kv_heads"]


def test_a_border_that_no_kernel_sees_makes_no_other_network() -> None:
    assert differing_keys(small(mixer="grid"), small(mixer="grid", mixer_padding="circular")) == []
    assert differing_keys(small(mixer="dw7"), small(mixer="dw7", mixer_padding="circular")) == ["mixer_padding"]


def test_heads_of_keys_may_be_fewer_where_attention_by_axes_does_not_stand() -> None:
    model = {"size": 32, "mixer": "axial", "kv_heads": {"8": 2}}
    assert Recipe.model_validate({"model": model}).model.kv_heads_at(8) == 2


def test_recipes_know_every_mixer() -> None:
    assert set(get_args(MixerName)) == set(MIXERS)


def test_a_recipe_refuses_a_mixer_above_its_largest_map() -> None:
    for name, mixer in MIXERS.items():
        if mixer.largest is not None:
            assert Recipe.model_validate({"model": {"size": mixer.largest, "mixer": name}})
            with pytest.raises(ValidationError, match=f'"{name}" .* above {mixer.largest} px'):
                Recipe.model_validate({"model": {"size": 2 * mixer.largest, "mixer": name}})


def test_heads_of_keys_are_those_of_queries_unless_said() -> None:
    model = small(kv_heads={"32": 2}, heads={"16": 8})
    assert [model.kv_heads_at(side) for side in model.resolutions] == [4, 4, 8, 2]
    assert small(kv_heads=1, attention="single").kv_heads_at(16) == 1


def test_a_recipe_of_before_means_the_same() -> None:
    assert Recipe().model.mixer is None
    assert {Recipe().model.mixer_at(side) for side in Recipe().model.resolutions} == {"double"}
