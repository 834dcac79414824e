"""Directions with names on the page: sliders beside PCA and SeFa, the bytes of `sample --edit`, and what has none."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sampled_models import sample

from swincli.errors import UsageError
from swincli.model.files.file_hash import model_identity
from swincli.model.files.model_file import load_model
from swincli.synthesis.latents.named_directions import NamedDirection, directions_folder, save_direction
from swincli.synthesis.latents.style_channels import all_channels
from swincli.view.look import parse_look
from swincli.view.worker.downloads import note_of, png
from swincli.view.worker.edits import list_directions
from swincli.view.worker.studio import Studio


@pytest.fixture(scope="module")
def studio(shown_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """A model without directions yet."""
    path = tmp_path_factory.mktemp("named") / "model.safetensors"
    shutil.copy(shown_model, path)
    return Studio(load_model(path, torch.device("cpu")))


@pytest.fixture
def smile(studio: Studio) -> NamedDirection:
    """A saved direction in w that moves codes 2 to 5, one in style channels, and one of another model."""
    folder, width = directions_folder(studio.model), studio.model.recipe.model.latent_dim
    vector = torch.nn.functional.normalize(torch.arange(1.0, width + 1), dim=0)
    found = NamedDirection("smile", "w", vector, 0.7, (2, 3, 4, 5), model_identity(studio.model.path), "test")
    save_direction(folder / "smile.safetensors", found)
    channel = all_channels(studio.model.generator)[0]
    hat = replace(found, name="hat", space="style", vector=torch.ones(1), sigma=1.0, layers=(), channels=(channel,))
    save_direction(folder / "hat.safetensors", hat)
    save_direction(folder / "other.safetensors", replace(found, name="other", model="0" * 12))
    studio.found.saved.look_again()
    return found


def test_without_a_direction_the_page_says_how_to_find_one(studio: Studio) -> None:
    family = list_directions(studio.found, "all")[2]
    assert (family["title"], family["directions"]) == ("Named", [])
    assert "swincli directions find NAME" in family["reason"]


@pytest.mark.usefixtures("smile")
def test_saved_directions_are_sliders_and_others_are_named(studio: Studio) -> None:
    family = list_directions(studio.found, "all")[2]
    assert family["directions"] == [{"name": "named:smile", "label": "smile", "share": None}]
    assert "of style channels have no slider (hat)" in family["reason"]
    assert "other.safetensors: a direction of another model" in family["reason"]
    elsewhere = list_directions(studio.found, "0-1")[2]
    assert elsewhere["directions"] == []
    assert "Only other layers are moved by smile" in elsewhere["reason"]


@pytest.mark.usefixtures("smile")
def test_a_png_has_the_bytes_of_sample(studio: Studio, tmp_path: Path) -> None:
    _, content = png(studio, parse_look("seed=4&truncation=0.6&edit=named:smile@all=1.5"))
    options = ["--truncation", "0.6", "--edit", "smile=1.5", "--batch", "1", "--quiet"]
    assert sample(studio.model.path, tmp_path, "--seeds", "4", *options) == 0
    assert content == (tmp_path / "seed-000004.png").read_bytes()


def test_chosen_layers_move_alone(studio: Studio, smile: NamedDirection) -> None:
    before, after = (studio.w_plus(parse_look(look)) for look in ("", "edit=named:smile@0-3=-2"))
    moved = torch.zeros_like(before)
    moved[:, 2:4] = -2 * 0.7 * smile.vector
    torch.testing.assert_close(after - before, moved)
    assert "edit=named:smile@0-3=-2" in note_of(studio, parse_look("edit=named:smile@0-3=-2"))


@pytest.mark.usefixtures("smile")
@pytest.mark.parametrize("name", ["smirk", "hat", "../smile", "/etc/passwd", "smile.safetensors"])
def test_only_saved_directions_of_the_model_can_be_asked_for(studio: Studio, name: str) -> None:
    with pytest.raises(UsageError, match="no such direction in w"):
        studio.w_plus(parse_look(f"edit=named:{name}@all=1"))
