from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from swincli.commands.app import run
from swincli.recipe import load_recipe
from swincli.recipe.json_schema import recipe_schema
from swincli.recipe.loading import parse_recipe
from swincli.recipe.shipped import shipped_recipes

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)


def printed(arguments: list[str], capsys: Capture) -> str:
    """The stdout of a command that succeeds and prints nothing on stderr."""
    assert run(["recipe", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def as_json(arguments: list[str], capsys: Capture) -> dict[str, Any]:
    """The JSON object of a command."""
    out = printed([*arguments, "--json"], capsys)
    assert out.count("\n") == 1
    data = json.loads(out)
    assert isinstance(data, dict)
    return data


def test_list_names_every_shipped_recipe_with_its_title(capsys: Capture) -> None:
    lines = printed(["list"], capsys).splitlines()
    assert [line.split()[0] for line in lines] == list(shipped_recipes())
    assert any(line.startswith("ffhq256 ") and line.endswith("consistency regularisation.") for line in lines)


def test_list_as_json(capsys: Capture) -> None:
    recipes = as_json(["list"], capsys)["recipes"]
    assert [recipe["name"] for recipe in recipes] == list(shipped_recipes())
    assert all(recipe["title"].endswith(".") for recipe in recipes)


def test_show_prints_the_file_as_it_stands(capsys: Capture) -> None:
    assert printed(["show", "church256"], capsys) == shipped_recipes()["church256"].read_text(encoding="utf-8")


def test_show_resolved_prints_a_complete_recipe(capsys: Capture) -> None:
    out = printed(["show", "church256", "--resolved"], capsys)
    assert "extends" not in tomllib.loads(out)
    assert parse_recipe(out, "stdout") == load_recipe("church256")


def test_show_as_json(capsys: Capture) -> None:
    data = as_json(["show", "church256"], capsys)
    assert data["path"] == str(shipped_recipes()["church256"])
    assert data["recipe"] == load_recipe("church256").model_dump(mode="json")
    assert data["recipe"]["train"]["total"] == 48_000_000


def test_validate_a_good_recipe(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "my.toml"
    path.write_text('extends = "quickstart"\n[train]\nbatch = 8\n')
    assert printed(["validate", str(path)], capsys) == f"{path}: valid\n"
    assert as_json(["validate", str(path)], capsys) == {"path": str(path), "valid": True, "warnings": []}


def test_quiet_keeps_the_result(capsys: Capture) -> None:
    assert printed(["validate", "ffhq256", "--quiet"], capsys) == "ffhq256: valid\n"


@pytest.mark.parametrize("options", [[], ["--json"], ["--quiet"]])
@pytest.mark.parametrize("command", ["validate", "show"])
def test_a_wrong_recipe_is_told_on_stderr(command: str, options: list[str], tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "my.toml"
    path.write_text("[model]\nsise = 64\n[train]\nbatch = 0\n")
    assert run(["recipe", command, str(path), *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        f"error: {path} has 2 problems",
        '  model.sise (my.toml:2): unknown key; did you mean "size"?',
        "  train.batch (my.toml:4): must be at least 1, not 0",
        "",
        "hint: `swincli recipe schema` describes every key.",
    ]


@pytest.mark.parametrize("command", ["validate", "show"])
def test_a_missing_recipe(command: str, capsys: Capture) -> None:
    assert run(["recipe", command, "ffhq265"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        'error: ffhq265: no such recipe; did you mean "ffhq256"?',
        "",
        "hint: `swincli recipe list` names the shipped recipes.",
    ]


def test_a_folder(tmp_path: Path, capsys: Capture) -> None:
    assert run(["recipe", "validate", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {tmp_path}: this is a folder")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "my.toml"
    path.write_text("")
    path.chmod(0)
    assert run(["recipe", "validate", str(path)]) == 1
    assert capsys.readouterr().err.startswith(f"error: {path}: permission denied\n")


def test_the_schema_is_json_either_way(capsys: Capture) -> None:
    assert json.loads(printed(["schema"], capsys)) == as_json(["schema"], capsys) == recipe_schema()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_file_name_that_is_no_text_comes_out_as_it_went_in(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9.toml"
    Path(os.fsdecode(name)).write_text("")
    command: list[str | bytes] = [sys.executable, "-m", "swincli", "recipe", "validate", name]
    lines = subprocess.run(command, capture_output=True, check=True)
    assert (lines.stdout, lines.stderr) == (name + b": valid\n", b"")
    data = subprocess.run([*command, "--json"], capture_output=True, check=True)
    assert os.fsencode(json.loads(data.stdout)["path"]) == name
