"""Samples beside their nearest training images, and the spectra of both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from manifest_facts import FACTS
from sampled_models import save_shown_model

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.data.store.store_writer import StoreWriter
from swincli.model.files.model_file import load_model
from swincli.publishing.examination import examine
from swincli.recipe import Recipe
from swincli.synthesis.sampling import generate


def test_a_copy_is_found_also_in_other_colours(tiny_recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    path = save_shown_model(tiny_recipe("model.adain_gamma=1"), tmp_path / "m.safetensors")
    model = load_model(path, torch.device("cpu"))
    samples = torch.cat(list(generate(model, range(3)))).numpy()
    random = np.random.default_rng(0)
    folder = tmp_path / "store"
    folder.mkdir()
    with StoreWriter(folder, 16) as writer:
        for number in range(20):
            writer.add(random.integers(0, 256, (16, 16, 3), np.uint8))
            if number == 7:
                writer.add(samples[1])
            if number == 12:
                writer.add((samples[2].astype(int) // 2 + np.array([40, 20, 0])).astype(np.uint8))
        writer.finish(None, FACTS)
    found = examine(model, Store.open(folder), 3, Console(quiet=True))
    assert np.array_equal(found.samples, samples)
    assert found.compared == 22
    ratios = found.nearest.distance_ratio
    assert (found.nearest.real[1], ratios[1]) == (8, 0)
    assert np.array_equal(found.reals[1], samples[1])
    assert found.nearest.real[2] == 14
    assert ratios[2] < 1
    assert (found.spectrum.fakes.count, found.spectrum.reals.count) == (3, 22)
