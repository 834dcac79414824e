"""Models that come along: they open, draw the same bytes each time, and are found by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from swincli.commands.app import run
from swincli.errors import CheckpointError
from swincli.model.files.find_checkpoint import find_checkpoint
from swincli.model.files.model_file import recipe_of_model
from swincli.model.files.shipped_models import shipped_models

Capture = pytest.CaptureFixture[str]
LARGEST = 6_000_000  # bytes


@pytest.mark.parametrize("name", shipped_models())
def test_a_shipped_model_is_small_and_has_a_card_with_credit(name: str) -> None:
    path = find_checkpoint(f"builtin:{name}")
    assert path.stat().st_size <= LARGEST
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    recipe = recipe_of_model(path)
    assert "CC-BY 4.0" in card
    assert f"seed {recipe.train.seed}" in card
    assert f"{recipe.model.size} px" in card


@pytest.mark.parametrize("name", shipped_models())
def test_a_shipped_model_draws_the_same_bytes_each_time(name: str, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        command = ["sample", "--checkpoint", f"builtin:{name}", "--seeds", "0-3", "--out", str(tmp_path / folder)]
        assert run([*command, "--device", "cpu", "--quiet"]) == 0
    drawn = [[path.read_bytes() for path in sorted((tmp_path / folder).glob("*.png"))] for folder in ("one", "two")]
    assert len(drawn[0]) == 4
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize(
    ("name", "option", "pink", "green"),
    [
        ("cats64", "--class", "pink", "green"),
        ("labels-cats32", "--label", "body=pink", "body=green"),
        ("text-cats32", "--text", "a pink cat with a bandana", "a green cat with a red hat"),
    ],
)
def test_a_shipped_model_draws_what_is_asked_for(name: str, option: str, pink: str, green: str, tmp_path: Path) -> None:
    """Captions that the model keeps need no sentence encoder."""
    redness = []
    for number, asked in enumerate((pink, green)):
        command = ["sample", "--checkpoint", f"builtin:{name}", "--seeds", "0-3", option, asked]
        assert run([*command, "--out", str(tmp_path / str(number)), "--device", "cpu", "--quiet"]) == 0
        images = np.stack([np.asarray(Image.open(path)) for path in (tmp_path / str(number)).glob("*.png")]).astype(int)
        redness.append((images[..., 0] - images[..., 1]).mean())
    assert redness[0] > 10 > 0 > redness[1]


def test_an_unknown_name_names_those_that_there_are() -> None:
    with pytest.raises(CheckpointError, match="builtin:catz32: no such model") as caught:
        find_checkpoint("builtin:catz32")
    assert all(f"builtin:{name}" in (caught.value.hint or "") for name in shipped_models())


def test_without_a_run_the_hint_names_a_model_that_comes_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["sample", "--seeds", "0"]) == 1
    assert f"builtin:{next(iter(shipped_models()))}" in capsys.readouterr().err
