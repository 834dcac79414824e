"""The command lines that make a run again."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from swincli.data.preparing.options import PrepareOptions
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
