"""The command lines that make a run again."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from swincli.data.preparing.options import PrepareOptions
from swincli.metrics.networks import gist
from swincli.metrics.networks.weight_files import INCEPTION
from swincli.publishing.commands_again import USUAL, commands_again
from swincli.publishing.run_facts import RunFacts, read_facts


@pytest.fixture(scope="module")
def facts(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFacts:
    """A finished run without metrics."""
    return read_facts(Path(shutil.copytree(trained_run, tmp_path_factory.mktemp("run") / "a b")))


def changed(facts: RunFacts, **values: Any) -> list[str]:
    assert facts.manifest is not None
    return commands_again(replace(facts, manifest=facts.manifest.model_copy(update=values)), "recipe.toml")


def test_usual_options_are_left_out_and_others_are_told(facts: RunFacts) -> None:
    assert facts.manifest is not None
    plain = f"swincli prepare-data {facts.manifest.source} {facts.recipe.data.path} --resolution 16 --crop center"
    training = "swincli train recipe.toml --out 'runs/a b'"
    assert changed(facts) == [f"{plain} --filter lanczos", training]
    assert changed(facts, jpeg="exact")[0] == f"{plain} --filter lanczos --jpeg exact"
    other = {"jpeg": "fast", "gamma": "linear", "background": "#102030", "max_images": 9, "dedupe": "near"}
    assert changed(facts, **other, min_size=12) == [
        f"{plain} --filter lanczos --gamma linear --background '#102030' --min-size 12 --max-images 9 --dedupe-near",
        training,
    ]
    assert commands_again(replace(facts, manifest=None), "recipe.toml") == [training]
    options = PrepareOptions(16)
    assert {name: getattr(options, name) for name in USUAL} == USUAL


def test_labels_come_from_the_recipe_or_are_asked_for(facts: RunFacts) -> None:
    remark, *_ = changed(facts, label_names=["a", "b"])
    assert remark.startswith("# add --labels as then")
    data = facts.recipe.data.model_copy(update={"labels": "body.json", "captions": "names"})
    known = replace(facts, recipe=facts.recipe.model_copy(update={"data": data}))
    first, *_ = changed(known, label_names=["a", "b"])
    assert first.endswith("--labels body.json --captions names")
    remark, line, _ = changed(known, part="train", split="train:0.9,test:0.1")
    assert remark.startswith("# a split: the run took the part train")
    assert "--split train:0.9,test:0.1" in line


PROTOCOL = {
    "fakes": {"num": 1000, "truncation": 1.0},
    "reference": {"source": "cats 1k", "num": 1000, "drawn_from": None, "statistics": None},
    "detector": {"name": "inception-2015-12-05", "sha256": INCEPTION.sha256, "pixels": "inception"},
    "resize": "clean-fid (Pillow bicubic, float32, 299x299)",
    "seed": 0,
}
FILE = {"name": "clip.pt", "sha256": "0123", "pixels": "imagenet"}
OTHERS = {
    "truncation": ({"fakes": {"num": 500, "truncation": 0.7}}, "--data 'cats 1k' --num 500 --truncation 0.7"),
    "seed": ({"seed": 3}, "--data 'cats 1k' --num 1000 --seed 3"),
    "some reals": (
        {"reference": {"source": "cats", "num": 50, "drawn_from": 70}}, "--data cats --num-reference 50 --num 1000"
    ),
    "statistics": (
        {"reference": {"source": "ffhq.npz", "num": None, "statistics": "ffhq.npz"}}, "--reference ffhq.npz --num 1000"
    ),
    "a network": (
        {"detector": {"name": "GIST 1", "sha256": gist.SHA256}}, "--data 'cats 1k' --num 1000 --detector gist"
    ),
    "a file": (
        {"detector": FILE, "resize": "clean-fid (x, 224x224)"}, "--data 'cats 1k' --num 1000 --detector clip.pt"
    ),
    "a file of another size": (
        {"detector": FILE | {"pixels": "clip"}, "resize": "clean-fid (x, 336x336)"},
        "--data 'cats 1k' --num 1000 --detector clip.pt --detector-size 336 --detector-pixels clip",
    ),
    "other weights": (
        {"detector": FILE | {"pixels": "inception"}}, "--data 'cats 1k' --num 1000 --detector-weights clip.pt"
    ),
}  # fmt: skip


@pytest.mark.parametrize("other", OTHERS)
def test_figures_are_measured_again_as_they_were(other: str, facts: RunFacts) -> None:
    changes, options = OTHERS[other]
    records = [{"metrics": {"kid": 0.1}, "protocol": PROTOCOL}]
    records.append({"metrics": {"fid": 1.0, "is": 2.0}, "protocol": PROTOCOL | changes})
    *before, line = commands_again(replace(facts, manifest=None, protocols=records), "recipe.toml")
    assert line == f"swincli evaluate --checkpoint 'runs/a b' --metric fid {options}"
    remarks = ["# clip.pt is a file of the detector: give its path"] if "clip.pt" in options else []
    assert before[1:] == remarks
