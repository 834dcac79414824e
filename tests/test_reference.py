from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from swincli.recipe import Recipe

DOCS = Path(__file__).parents[1] / "docs"


def test_the_generated_pages_are_up_to_date() -> None:
    command = [sys.executable, str(DOCS / "generate_reference.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_the_page_of_recipes_has_every_key() -> None:
    page = (DOCS / "reference" / "recipes.md").read_text(encoding="utf-8")
    for section in Recipe.model_fields:
        assert f"\n## `[{section}]`\n" in page
    for section in Recipe().model_dump().values():
        for key in section:
            assert f"\n| `{key}` | " in page
