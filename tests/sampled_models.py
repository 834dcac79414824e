"""Models with distinguishable images, and `swincli sample` as a user runs it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from swincli.commands.app import run
from swincli.model.files.attributes import Attributes
from swincli.model.files.classes import Classes
from swincli.model.files.model_file import save_model
from swincli.model.generator import Generator
from swincli.recipe import Recipe


def save_shown_model(
    recipe: Recipe,
    path: Path,
    classes: Classes | None = None,
    seed: int = 0,
    attributes: Attributes | None = None,
    scale: float = 2,
) -> Path:
    """Save an untrained model of a recipe (with model.adain_gamma=1). Its weights are scaled: images are not gray."""
    torch.manual_seed(seed)
    generator = Generator(recipe.model)
    for parameter in generator.parameters():
        parameter.data.mul_(scale)
    save_model(path, generator, recipe, 10, classes, attributes)
    return path


def sample(model: Path, out: Path, *arguments: str) -> int:
    return run(["sample", "--checkpoint", str(model), "--out", str(out), "--device", "cpu", *arguments])


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)
