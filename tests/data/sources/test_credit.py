"""The credit of training images."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from swincli.data.sources.credit import training_credit
from swincli.data.store.reader import Store
from swincli.recipe import Recipe

EMOJI, MINE = "builtin:emoji", "my photographs, CC0"


def recipe_of(path: Path, source: str | None) -> Recipe:
    return Recipe.model_validate({"data": {"path": str(path), "source": source}})


@pytest.mark.parametrize(
    ("named", "stored", "credit", "expected"),
    [
        (None, "photos/", MINE, MINE),
        ("photos/", "photos/", MINE, MINE),
        (None, "photos/", None, None),
        (EMOJI, EMOJI, "Twemoji 2.0", "Twemoji 2.0"),
        (EMOJI, "photos/", MINE, "Twemoji graphics"),
        (EMOJI, None, None, "Twemoji graphics"),
        (EMOJI, EMOJI, None, "Twemoji graphics"),
        ("photos/", None, None, None),
        (None, None, None, None),
    ],
)
def test_the_store_is_asked_first_and_the_source_where_it_has_gone(
    named: str | None,
    stored: str | None,
    credit: str | None,
    expected: str | None,
    attribute_store: Store,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "store"
    if stored is not None:
        shutil.copytree(attribute_store.path, folder)
        manifest = attribute_store.manifest.model_copy(update={"source": stored, "credit": credit})
        (folder / "manifest.json").write_bytes(manifest.as_file())
    found = training_credit(recipe_of(folder, named))
    assert found == expected if expected is None else str(found).startswith(expected)


def test_a_damaged_store_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    assert training_credit(recipe_of(tmp_path, None)) is None
    assert str(training_credit(recipe_of(tmp_path, EMOJI))).startswith("Twemoji graphics")
