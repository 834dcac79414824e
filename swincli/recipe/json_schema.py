"""The JSON Schema of recipe files, for completion and checks in editors."""

from __future__ import annotations

from typing import Any

from swincli.recipe.schema import Recipe

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def recipe_schema() -> dict[str, Any]:
    """The JSON Schema of a recipe file: every section and key, and `extends`.

    It has no null: TOML has none, and optional keys are left out instead.
    """
    schema: dict[str, Any] = _without_null(Recipe.model_json_schema())
    extends = {"type": "string", "description": "Path or shipped name of the recipe that this one changes."}
    schema["properties"] = {"extends": extends, **schema["properties"]}
    return {"$schema": DIALECT, **schema}


def _without_null(node: Any) -> Any:
    """Remove null defaults and null alternatives; replace a list of one alternative by that alternative."""
    if isinstance(node, list):
        return [_without_null(item) for item in node]
    if not isinstance(node, dict):
        return node
    cleaned = {key: _without_null(value) for key, value in node.items() if value is not None}
    if {"type": "null"} in cleaned.get("anyOf", []):
        choices = [choice for choice in cleaned.pop("anyOf") if choice != {"type": "null"}]
        cleaned |= choices[0] if len(choices) == 1 else {"anyOf": choices}
    return cleaned
