"""The table of attributes in a recipe: kinds, columns, and one error for what is none."""

from __future__ import annotations

import pytest
from jsonschema import Draft202012Validator

from swincli.errors import RecipeError
from swincli.recipe import dump_recipe
from swincli.recipe.attributes import KINDS, Attribute, Kind, columns_by_name, parse_kind, spell_table
from swincli.recipe.json_schema import recipe_schema
from swincli.recipe.loading import parse_recipe

TABLE = '[model]\nattributes = {tags = "several:20", body = 15, "eye colour" = 3, age = "number", glasses = "flag"}\n'


def test_names_are_sorted_so_that_equal_tables_have_equal_columns() -> None:
    recipe = parse_recipe(TABLE, "a recipe")
    assert list(recipe.model.attributes or {}) == ["age", "body", "eye colour", "glasses", "tags"]
    assert columns_by_name(recipe.model.attribute_kinds)["tags"] == slice(4, 24)
    assert recipe.model.is_conditional
    assert parse_recipe(dump_recipe(recipe), "again") == recipe
    Draft202012Validator(recipe_schema()).validate({"model": {"attributes": recipe.model.attributes}})


def test_a_recipe_without_attributes_does_not_mention_them() -> None:
    assert "attributes" not in dump_recipe(parse_recipe("[model]\nclasses = 3", "a recipe"))


def test_every_kind_is_read_as_it_is_written() -> None:
    for name, row in KINDS.items():
        kind = Kind(name, 7 if row.smallest else 1)
        assert parse_kind(kind.written) == kind
    assert spell_table({"tags": Kind("several", 3), "a b": Kind("class", 2)}) == '"a b" = 2, tags = "several:3"'


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("3", "must be a table of names and kinds"),
        ("{}", "names no attribute"),
        ("{hair = 1}", "hair: 1 must be from 2 to 1000000"),
        ('{hair = "red"}', 'hair: "red" is no kind: a number of classes, "flag", "number"'),
        ('{hair = "several"}', "is no kind"),
        ('{hair = "flag:2"}', "is no kind"),
        ("{hair = true}", "is no kind"),
        ('{"a.b" = 3}', '"a.b" is no name of an attribute'),
        ('{"a=b" = 3}', "is no name of an attribute"),
        ('{tags = "several:999999", more = "several:2"}', "takes more than 1,000,000 columns"),
    ],
)
def test_what_is_no_attribute_is_named(table: str, problem: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(f"[model]\nattributes = {table}", "a recipe")
    assert "model.attributes" in caught.value.message
    assert problem in caught.value.message


def test_facts_of_an_attribute_survive_json_and_must_fit_its_kind() -> None:
    for one in (
        Attribute("age", Kind("number"), low=1.5, high=80.0, missing=3),
        Attribute("hair", Kind("class", 2), ("red", "brown")),
        Attribute("glasses", Kind("flag")),
    ):
        assert Attribute.from_dict(one.as_dict()) == one
    with pytest.raises(ValueError, match="names of its values"):
        Attribute("hair", Kind("class", 3), ("red", "brown"))
    with pytest.raises(ValueError, match="needs a range"):
        Attribute("age", Kind("number"), low=3.0, high=3.0)
    assert Attribute("age", Kind("number"), low=10.0, high=30.0).scaled(15.0) == 0.25
