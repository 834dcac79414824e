"""Graphs of models with attributes: from w+ as any model's; others are refused, as no input holds attributes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from attribute_stores import ATTRIBUTES

from swincli.commands.app import run
from swincli.data.store.reader import Store
from swincli.model.files.model_file import save_model
from swincli.model.generator import Generator
from swincli.recipe import Recipe
from swincli.training.step.labels import training_attributes

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def model(attribute_store: Store, tiny_recipe: Callable[..., Recipe], tmp_path: Path) -> Path:
    recipe, path = tiny_recipe(ATTRIBUTES), tmp_path / "model.safetensors"
    kept = training_attributes(recipe.model, attribute_store)
    save_model(path, Generator(recipe.model).eval().requires_grad_(False), recipe, 0, attributes=kept)
    return path


@pytest.mark.slow
def test_w_plus_is_exported(model: Path, tmp_path: Path) -> None:
    assert run(["export", str(model), str(tmp_path / "g.pt2"), "--input", "w-plus", "--device", "cpu", "-q"]) == 0
    graph = torch.export.load(str(tmp_path / "g.pt2")).module()
    codes = np.load(_codes(model, tmp_path))["w_plus"]
    images = graph(torch.from_numpy(codes), torch.tensor(1.0), torch.tensor(codes.shape[1]))
    assert images.shape == (2, 3, 16, 16)


def _codes(model: Path, folder: Path) -> Path:
    out = ["--out", str(folder / "o"), "--save-latents", str(folder / "w.npz")]
    assert run(["sample", "--checkpoint", str(model), "--seeds", "1,2", "--label", "dark=yes", "-q", *out]) == 0
    return folder / "w.npz"


def test_z_is_refused(model: Path, tmp_path: Path, capsys: Capture) -> None:
    assert run(["export", str(model), str(tmp_path / "g.pt2"), "--device", "cpu", "-q"]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert f"{model}: a model with attributes or texts is exported from w+ alone" in said
    assert "--input w-plus" in said
    assert list(tmp_path.glob("g*")) == []
