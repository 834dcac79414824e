"""A training on the CPU that prints nothing, and goes on where its folder is."""

from __future__ import annotations

from pathlib import Path

import torch

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.recipe import Recipe
from swincli.training.loop import train


def run(recipe: Recipe, store: Store, out: Path) -> None:
    """Train in a folder, or go on there."""
    train(recipe, store, out, torch.device("cpu"), Console(quiet=True), resume=True)
