"""The generated reference pages match the code."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from swincli.recipe import Recipe

DOCS = Path(__file__).parents[1] / "docs"


def test_the_generated_pages_are_up_to_date(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["generate_reference.py", "--check"])
    status = runpy.run_path(str(DOCS / "generate_reference.py"))["main"]()
    assert (status, capsys.readouterr().err) == (0, "")


def test_the_page_of_recipes_has_every_key() -> None:
    page = (DOCS / "reference" / "recipes.md").read_text(encoding="utf-8")
    for section in Recipe.model_fields:
        assert f"\n## `[{section}]`\n" in page
    for section in Recipe().model_dump().values():
        for key in section:
            assert f"\n| `{key}` | " in page
