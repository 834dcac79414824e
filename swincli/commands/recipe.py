"""`swincli recipe`: lists, prints, checks and describes recipes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

import typer

from swincli.commands.typer_command import Result, command

if TYPE_CHECKING:
    from swincli.console import Console
    from swincli.recipe import Recipe
    from swincli.recipe.loading import LoadedRecipe

recipe_app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="List, print, check and describe recipes.")


@dataclass(frozen=True, kw_only=True)
class NoOptions:
    """A request without options of its own."""

    def check(self) -> None:
        """Check nothing."""


@dataclass(frozen=True, kw_only=True)
class ShowRequest:
    """The options of `swincli recipe show`."""

    name: Annotated[str, typer.Argument(metavar="NAME", help="Path of a recipe, or name of a shipped one.")]
    resolved: Annotated[
        bool, typer.Option("--resolved", help="Print every key, with defaults and extended recipes filled in.")
    ] = False

    @cached_property
    def text(self) -> str | None:
        """The text of the recipe's file, read once, as it may be a pipe; None if there is no such file.

        Raises:
            RecipeError: it is not text.
        """
        from swincli.recipe.loading import read_text
        from swincli.recipe.shipped import find_recipe

        path = find_recipe(self.name)
        return None if path is None else read_text(path)

    @cached_property
    def loaded_recipe(self) -> Recipe:
        """The recipe with everything it extends.

        Raises:
            RecipeError: it is missing or has problems.
        """
        from swincli.recipe import load_recipe

        return load_recipe(self.name, text=self.text)

    def check(self) -> None:
        """Check the recipe.

        Raises:
            RecipeError: it is missing or has problems.
        """
        _ = self.loaded_recipe


@dataclass(frozen=True, kw_only=True)
class ValidateRequest:
    """The options of `swincli recipe validate`."""

    file: Annotated[str, typer.Argument(metavar="FILE", help="Path of a recipe, or name of a shipped one.")]

    @cached_property
    def loaded(self) -> LoadedRecipe:
        """The recipe and its warnings, read once, as it may be a pipe.

        Raises:
            RecipeError: it is missing or has problems.
        """
        from swincli.recipe.loading import load_with_warnings

        return load_with_warnings(self.file)

    def check(self) -> None:
        """Check the recipe.

        Raises:
            RecipeError: it is missing or has problems.
        """
        _ = self.loaded


@recipe_app.command("list", epilog="Example: [bold]swincli recipe list[/]")
@command(NoOptions)
def list_recipes(request: NoOptions, console: Console) -> Result:  # noqa: ARG001
    """List the shipped recipes with their titles."""
    from swincli.recipe.shipped import header_comment, shipped_recipes

    titles = {name: header_comment(path).split("\n", 1)[0] for name, path in shipped_recipes().items()}
    width = max(map(len, titles), default=0)
    recipes = [{"name": name, "title": title} for name, title in titles.items()]
    return Result({"recipes": recipes}, [f"{name:<{width}}  {title}" for name, title in titles.items()])


@recipe_app.command(epilog="Example: [bold]swincli recipe show quickstart[/]")
@command(ShowRequest)
def show(request: ShowRequest, console: Console) -> Result:  # noqa: ARG001
    """Print a recipe: its file, or every key with --resolved."""
    from swincli.recipe import dump_recipe
    from swincli.recipe.shipped import find_recipe

    recipe = request.loaded_recipe
    path = find_recipe(request.name)
    text = dump_recipe(recipe) if request.resolved else request.text
    assert text is not None
    return Result({"path": str(path), "recipe": recipe.model_dump(mode="json")}, text.splitlines())


@recipe_app.command(epilog="Example: [bold]swincli recipe validate my.toml[/]")
@command(ValidateRequest)
def validate(request: ValidateRequest, console: Console) -> Result:
    """Check a recipe and report all of its problems; warn of settings without effect."""
    from swincli.recipe.idle import idle_settings

    recipe, lost = request.loaded
    warnings = [*lost, *idle_settings(recipe)]
    for warning in warnings:
        console.warn(warning)
    return Result({"path": request.file, "valid": True, "warnings": warnings}, [f"{request.file}: valid"])


@recipe_app.command(epilog="Example: [bold]swincli recipe schema > recipe.schema.json[/]")
@command(NoOptions)
def schema(request: NoOptions, console: Console) -> Result:  # noqa: ARG001
    """Print the JSON Schema of recipes, with which editors complete and check them."""
    from swincli.recipe.json_schema import recipe_schema

    described = recipe_schema()
    return Result(described, json.dumps(described, indent=2).splitlines())
