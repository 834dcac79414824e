"""`swincli sample --showing` and `--not-showing`: only images that a direction's probe accepts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_backbone import install_tiny_backbone

from swincli.commands.app import run
from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.metrics.directions.generated import generated_features
from swincli.model.files.file_hash import model_identity
from swincli.model.files.model_file import Model, load_model, save_model
from swincli.model.generator import Generator
from swincli.recipe import Recipe
from swincli.synthesis.latents.named_directions import Judge, NamedDirection, directions_folder, save_direction

Capture = pytest.CaptureFixture[str]
COUNT = 20


@pytest.fixture(scope="module", autouse=True)
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A backbone that takes no time, and a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        install_tiny_backbone(patch)
        patch.setenv("SWINCLI_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, tiny_recipe: Callable[..., Recipe]) -> Model:
    recipe, path = tiny_recipe(), tmp_path_factory.mktemp("run") / "model.safetensors"
    torch.manual_seed(0)
    save_model(path, Generator(recipe.model), recipe, 10)
    return load_model(path, torch.device("cpu"))


@pytest.fixture(scope="module")
def shown(model: Model) -> list[int]:
    """Half of the seeds; the direction `bright` has a probe that accepts them, others have none that says yes or no."""
    features = generated_features(model, range(COUNT), Console(quiet=True)).features
    weights = torch.zeros(features.shape[1])
    weights[int(features.std(axis=0).argmax())] = 1.0
    scores = features @ weights.numpy()
    bias = -float(np.median(scores))
    vector = torch.zeros(model.recipe.model.latent_dim)
    vector[0] = 1.0
    probes = {
        "bright": (Judge(weights, bias, 1.0), {"judge_accuracy": 0.9}),
        "all": (Judge(weights, 1e6, 1.0), {"judge_accuracy": 0.9}),
        "age": (Judge(weights, bias, 1.0), {"judge_r2": 0.9}),
        "scored": (None, {}),
    }
    for name, (judge, quality) in probes.items():
        made = NamedDirection(name, "w", vector, 1.0, (0,), model_identity(model.path), "a test", (), quality, judge)
        save_direction(directions_folder(model) / f"{name}.safetensors", made)
    return [int(seed) for seed in np.flatnonzero(scores + bias > 0)]


def _sample(model: Model, out: Path, *arguments: str) -> int:
    return run(["sample", "--checkpoint", str(model.path), "--out", str(out), "--device", "cpu", *arguments])


def test_images_are_divided(model: Model, shown: list[int], tmp_path: Path, capsys: Capture) -> None:
    assert _sample(model, tmp_path / "shown", "--count", str(COUNT), "--showing", "bright", "--json") == 0
    out = capsys.readouterr()
    assert f"--showing bright: {len(shown)} of {COUNT} images show it" in out.err
    assert [Path(image).stem for image in json.loads(out.out)["images"]] == [f"seed-{seed:06d}" for seed in shown]
    assert 0 < len(shown) < COUNT
    others = ["--seeds", f"0-{COUNT - 1}", "--not-showing", "bright", "--format", "store", "--quiet"]
    assert _sample(model, tmp_path / "others", *others) == 0
    assert len(Store.open(Path(capsys.readouterr().out.strip()))) == COUNT - len(shown)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--count", "20", "--showing", "nothing"], 2, "no direction of this name"),
        (["--count", "20", "--showing", "age"], 2, "--showing age: no probe of pictures says"),
        (["--count", "20", "--not-showing", "scored"], 2, "--not-showing scored: no probe of pictures says"),
        (["--count", "20", "--not-showing", "all"], 1, "--not-showing all: none of 20 images is left"),
        (["--seeds", "1,5", "--showing", "bright"], 2, "--showing: needs neighbouring seeds"),
        (["--count", "20", "--showing", "bright", "--truncation", "0.7"], 2, "--showing: judges plain images"),
        (["--count", "20", "--showing", "bright", "--edit", "bright=1"], 2, "--showing: judges plain images"),
        (["--showing", "bright"], 2, "give exactly one of them"),
    ],
)
def test_bad_requests(
    arguments: list[str], code: int, said: str, model: Model, shown: list[int], tmp_path: Path, capsys: Capture
) -> None:
    assert shown
    assert _sample(model, tmp_path / "out", *arguments) == code
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()
