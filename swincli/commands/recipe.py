"""`swincli recipe`: look at, check and describe recipes."""

from __future__ import annotations

from typing import Annotated

import typer

from swincli.commands.options import DebugOption, JsonOption, QuietOption, boundary

recipe_app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="List, show, check and describe recipes.")


@recipe_app.command("list", epilog="Example: [bold]swincli recipe list[/]")
def list_recipes(json_mode: JsonOption = False, quiet: QuietOption = False, debug: DebugOption = False) -> None:
    """Name the recipes that come with swincli, with their first line."""
    with boundary(json_mode=json_mode, quiet=quiet, debug=debug) as console:
        from swincli.recipe.shipped import header_comment, shipped_recipes

        titles = {name: header_comment(path).split("\n", 1)[0] for name, path in shipped_recipes().items()}
        width = max(map(len, titles), default=0)
        recipes = [{"name": name, "title": title} for name, title in titles.items()]
        console.emit({"recipes": recipes}, [f"{name:<{width}}  {title}" for name, title in titles.items()])


@recipe_app.command(epilog="Example: [bold]swincli recipe show quickstart[/]")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A shipped recipe, or the path of one.")],
    resolved: Annotated[bool, typer.Option("--resolved", help="With every default and all it extends.")] = False,
    json_mode: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Print a recipe: its file as it stands, or resolved to every key."""
    with boundary(json_mode=json_mode, quiet=quiet, debug=debug) as console:
        from swincli.recipe import dump_recipe, load_recipe
        from swincli.recipe.shipped import find_recipe

        recipe = load_recipe(name)
        path = find_recipe(name)
        assert path is not None
        text = dump_recipe(recipe) if resolved else path.read_text(encoding="utf-8")
        console.emit({"path": str(path), "recipe": recipe.model_dump(mode="json")}, text.splitlines())


@recipe_app.command(epilog="Example: [bold]swincli recipe validate my.toml[/]")
def validate(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A recipe's path, or a shipped recipe's name.")],
    json_mode: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Check a recipe and report every problem at once."""
    with boundary(json_mode=json_mode, quiet=quiet, debug=debug) as console:
        from swincli.recipe import load_recipe

        load_recipe(file)
        console.emit({"path": file, "valid": True}, [f"{file}: valid"])


@recipe_app.command(epilog="Example: [bold]swincli recipe schema > recipe.schema.json[/]")
def schema(json_mode: JsonOption = False, quiet: QuietOption = False, debug: DebugOption = False) -> None:
    """Print the JSON Schema of recipes, with which editors complete and check them."""
    with boundary(json_mode=json_mode, quiet=quiet, debug=debug) as console:
        import json

        from swincli.recipe.json_schema import recipe_schema

        described = recipe_schema()
        console.emit(described, json.dumps(described, indent=2).splitlines())
