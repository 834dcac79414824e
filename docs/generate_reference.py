"""Writes docs/reference/ from the code: `python docs/generate_reference.py`, or `--check` to compare without writing.

Recipe keys come from the recipe's pydantic models and their JSON Schema, commands from the Typer app. So both pages say
the same as `swincli recipe schema` and `--help`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import typer
from rich.text import Text

from swincli.commands.app import app
from swincli.recipe.json_schema import recipe_schema
from swincli.recipe.schema import Recipe
from swincli.units import format_count

FOLDER = Path(__file__).resolve().parent / "reference"
NOTE = "<!-- Written by docs/generate_reference.py; change the code instead. -->"
ITEMS = {"integer": "whole numbers", "number": "numbers", "string": "texts"}
SINGLE = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}
RECIPES_INTRODUCTION = """\
# Recipe keys

A recipe is a TOML file with the sections below. Every key is optional. Lengths are numbers of images: `25000000`,
`"25M"` or `"200k"`. The line `extends = "base.toml"`, before the first section, names a recipe to start from: a path
relative to this file, or a shipped recipe.

Values are applied in this order, and the last one wins: defaults, the extended recipe, the recipe,
`--set section.key=value`, the other options of `swincli train`. `--set section.key=null` removes a key of the recipe.
A table by resolution, such as `{default = 4, "512" = 2}`, has values for single sides of maps; `default` is for all
others, and if it is missing, the key's own default. Tables of a recipe and of the one it extends are joined. A table
over a single value replaces it.

`swincli recipe validate FILE` checks a recipe. `swincli recipe show NAME --resolved` prints it with every default.
`swincli recipe schema` prints the JSON Schema for editors."""
COMMANDS_INTRODUCTION = """\
# Commands

Results go to stdout, everything else to stderr. An error is a line `error: ...`, which names the file, option or key,
and usually a line `hint: ...`, which says what to do.

| exit code | meaning |
|---|---|
| 0 | done; for `train`: every run is at its end |
| 1 | failed |
| 2 | wrong use: the command line or a recipe |
| 3 | `train` was stopped before the end, and everything is saved; the same command goes on |
| 130, 143, 129 | ended by Ctrl-C, SIGTERM or a closed terminal; `train` only by a second one, without saving |

torchrun has exit codes of its own: see [several GPUs](../guides/several-gpus.md#exit-codes)."""


def main() -> int:
    """Write both pages; with `--check`, name the outdated ones and return 1."""
    pages = {"recipes.md": recipes_page(), "commands.md": commands_page()}
    if sys.argv[1:] == ["--check"]:
        written = {name: (FOLDER / name).read_text("utf-8") if (FOLDER / name).is_file() else None for name in pages}
        stale = [f"docs/reference/{name}" for name, page in pages.items() if page != written[name]]
        sys.stderr.writelines(f"{name} is out of date: run docs/generate_reference.py\n" for name in stale)
        return 1 if stale else 0
    FOLDER.mkdir(exist_ok=True)
    for name, page in pages.items():
        (FOLDER / name).write_text(page, encoding="utf-8")
    return 0


def recipes_page() -> str:
    """Every section of a recipe with its keys: type, default and meaning."""
    definitions = recipe_schema()["$defs"]
    parts = [NOTE, RECIPES_INTRODUCTION]
    for section, field in Recipe.model_fields.items():
        model: Any = field.annotation
        properties = definitions[model.__name__]["properties"]
        rows = [
            (
                f"`{key}`",
                type_words(properties[key]),
                default_words(info.default, properties[key]),
                one_line(info.description),
            )
            for key, info in model.model_fields.items()
        ]
        parts += [f"## `[{section}]`", model.__doc__, table(("Key", "Type", "Default", "Meaning"), rows)]
    return "\n\n".join(parts) + "\n"


def type_words(schema: dict[str, Any]) -> str:
    """The type of a property in words, with its bounds."""
    if "anyOf" in schema and schema["anyOf"][-1]["type"] == "object":
        return type_words(schema["anyOf"][0]) + ", or a table by resolution"
    if "additionalProperties" in schema:
        value = schema["additionalProperties"]
        return "table of names and " + (bounded(ITEMS[value["type"]], value) if "type" in value else "kinds")
    if "anyOf" in schema and "const" in schema["anyOf"][-1]:
        return f"{type_words(schema['anyOf'][0])}, or `{json.dumps(schema['anyOf'][-1]['const'])}`"
    if "anyOf" in schema:
        return bounded("images", schema["anyOf"][0])
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(choice)}`" for choice in schema["enum"])
    if "prefixItems" in schema:
        items = schema["prefixItems"]
        return f"list of {len(items)} " + bounded(ITEMS[items[0]["type"]], items[0])
    if schema["type"] == "array":
        return "list of " + ITEMS[schema["items"]["type"]]
    return bounded(SINGLE[schema["type"]], schema)


def one_line(text: str | None) -> str:
    """A text without line breaks, which would end a row of a table."""
    return " ".join((text or "").split())


def bounded(words: str, schema: dict[str, Any]) -> str:
    """A type in words, followed by the bounds in its schema."""
    bounds = {
        "minimum": "from",
        "maximum": "to",
        "exclusiveMinimum": "above",
        "exclusiveMaximum": "below",
        "multipleOf": "multiple of",
    }
    return ", ".join([words, *(f"{word} {schema[name]}" for name, word in bounds.items() if name in schema)])


def default_words(default: Any, schema: dict[str, Any]) -> str:
    """A default as TOML writes it; "left out" for None."""
    if default is None:
        return "left out"
    if "anyOf" in schema and default >= 1000:
        default = format_count(default)
    return f"`{json.dumps(default)}`"


def commands_page() -> str:
    """Every command with its usage, options and example."""
    return "\n\n".join([NOTE, COMMANDS_INTRODUCTION, *command_parts(typer.main.get_command(app), "swincli")]) + "\n"


def command_parts(command: Any, name: str) -> list[str]:
    """The parts of the page about one command and its subcommands."""
    children = getattr(command, "commands", {})
    parts = [f"## `{name}`", plain(command.help)]
    if not children:
        context = command.context_class(command, info_name=name, terminal_width=100)  # independent of the terminal
        records = filter(None, (parameter.get_help_record(context) for parameter in command.params))
        rows = [(f"`{spelled}`", plain(meaning).strip()) for spelled, meaning in records]
        usage = command.get_usage(context).removeprefix("Usage: ")
        parts += [f"```\n{usage}\n```", table(("Argument or option", "Meaning"), rows)]
    if command.epilog:
        parts.append(plain(command.epilog))
    for child_name, child in children.items():
        parts += command_parts(child, f"{name} {child_name}")
    return parts


def plain(markup: str) -> str:
    """Help text without Rich's markup; bold command lines become code."""
    text = Text.from_markup(markup)
    for span in sorted(text.spans, key=lambda span: span.start, reverse=True):
        bold = text.plain[span.start : span.end]
        marked = f"`{bold}`" if bold.startswith("swincli") else bold
        text = text[: span.start] + Text(marked) + text[span.end :]
    return text.plain


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
