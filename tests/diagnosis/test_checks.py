"""Errors that would stop a recipe on a machine, and keys without effect there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.diagnosis.checks import (
    check_dataset,
    check_initial_checkpoint,
    check_recipe,
    device_memory,
    precision_findings,
)
from swincli.diagnosis.cost import RunFiles
from swincli.diagnosis.diagnosis import diagnose, memory_findings
from swincli.diagnosis.estimate import estimate_run
from swincli.diagnosis.hardware import Accelerator
from swincli.diagnosis.machine import Machine, check_machine
from swincli.diagnosis.software import DetectorWeights, Requirement
from swincli.diagnosis.step_profile import profile_steps
from swincli.recipe import Recipe
from swincli.system.device_facts import DeviceFacts
from swincli.training.step.batch_shards import split_batch

CPU = torch.device("cpu")
GIB = 2**30
MakeRecipe = Callable[..., Recipe]


FILES = RunFiles(state=GIB, states=2, model=GIB, models=4, average=0, averages=0, soon=8 * GIB, most=16 * GIB)


def messages(machine: Machine, recipe: Recipe) -> list[str]:
    findings = check_recipe(recipe, machine, CPU, FILES)
    return [f"{finding.severity}: {finding.message}" for finding in findings]


def test_a_machine_with_enough_of_everything_is_fine(here: Machine, tiny_recipe: MakeRecipe) -> None:
    assert check_machine(here) == []
    assert messages(here, tiny_recipe()) == []


@pytest.mark.parametrize(
    ("changes", "about", "words"),
    [
        ({"disk_free": GIB}, "disk", "1.0 GiB free"),
        ({"available": GIB}, "memory", "1.0 GiB of 64.0 GiB"),
        ({"threads": 64}, "processor", "64 threads, but this process may use 4"),
        ({"threads": 1}, "processor", "1 of 4 cores"),
        ({"requirements": [Requirement("torch", ">=2.9,<2.14", "2.8.0")]}, "versions", "torch 2.8.0: swincli needs"),
        ({"requirements": [Requirement("torch", "", None)]}, "versions", "torch is not installed"),
        ({"weights": [DetectorWeights("inception", None, "no network")]}, "weights", "no network"),
        ({"problems": ["cuda:0: driver too old"]}, "GPU", "driver too old"),
        ({"devices": [Accelerator("cuda:0", "H", 80 * GIB, GIB, bf16=True)]}, "GPU", "1.0 GiB free of 80.0 GiB"),
        ({"devices": [Accelerator("cuda:0", "H", GIB, GIB, True, "6.1", "too old", "cu126")]}, "GPU", "too old"),
    ],
)
def test_what_is_amiss_with_a_machine(here: Machine, changes: dict[str, object], about: str, words: str) -> None:
    (finding,) = check_machine(replace(here, **changes))  # type: ignore[arg-type]
    assert (finding.severity, finding.about) == ("warning", about)
    assert words in finding.message


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["run.micro_batch=3"], "error: the recipe: run.micro_batch: 3"),
        (["run.tf32=true"], "warning: run.tf32: has no effect on cpu"),
        (["run.cuda_graphs=true"], "warning: run.cuda_graphs: has no effect on cpu"),
        (["run.recompute_from=64"], "warning: run.recompute_from: 64 has no effect on networks of 16 px"),
        (["run.wandb=project"], "error: run.wandb: the package wandb is not installed"),
        (["run.precision=bf16"], "warning: run.precision: this CPU emulates bf16"),
        (["run.compile=true"], "error: run.compile: no C++ compiler"),
        (["evaluate.every=8"], "warning: evaluate.every: the weights of inception are not installed"),
    ],
)
def test_what_is_amiss_with_a_recipe(
    here: Machine, tiny_recipe: MakeRecipe, overrides: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    processor, weights = replace(here.processor, fast_bf16=False), [DetectorWeights("inception", None)]
    poor = replace(here, compiler=None, processor=processor, weights=weights)
    (found,) = messages(poor, tiny_recipe(*overrides))
    assert found.startswith(message)


def test_a_card_that_pytorch_has_no_code_for_stops_only_what_would_run_on_it(here: Machine) -> None:
    machine = replace(here, devices=[Accelerator("cuda:0", "H", GIB, GIB, True, "6.1", "too old", "cu126")])
    assert [each.severity for each in check_machine(replace(machine, device="cuda"))] == ["error"]


def test_idle_units_of_a_card_are_a_warning(tiny_recipe: MakeRecipe) -> None:
    a100 = DeviceFacts("cuda", "A100", (8, 0))
    (finding,) = precision_findings(tiny_recipe(), a100)
    assert (finding.severity, "its bf16 and TF32 units are idle" in finding.message) == ("warning", True)
    assert precision_findings(tiny_recipe("run.precision=gpu", "run.tf32=auto"), a100) == []
    assert precision_findings(tiny_recipe("run.precision=gpu", "run.tf32=auto"), DeviceFacts("cpu")) == []


@pytest.mark.parametrize(
    ("soon", "message"),
    [
        (GIB, "warning: {}: 100.0 GiB free, and the run may write 202.0 GiB"),
        (101 * GIB, "error: {}: 100.0 GiB free, and training needs 101.0 GiB to start"),
    ],
)
def test_a_run_that_fills_the_disk(here: Machine, tiny_recipe: MakeRecipe, soon: int, message: str) -> None:
    (finding,) = check_recipe(tiny_recipe(), here, CPU, replace(FILES, soon=soon, most=202 * GIB))
    assert f"{finding.severity}: {finding.message}" == message.format(here.disk)


def test_data_that_are_there(tiny_recipe: MakeRecipe, store: Store) -> None:
    data, findings = check_dataset(tiny_recipe())
    assert (data.path, data.images, findings) == (str(store.path), 10, [])


def test_data_that_are_not(tiny_recipe: MakeRecipe) -> None:
    data, (finding,) = check_dataset(tiny_recipe("data.path=nowhere"))
    assert (data.there, data.images, finding.severity) == (False, None, "warning")
    assert "swincli prepare-data SOURCE nowhere --resolution 16" in finding.hint
    data, findings = check_dataset(tiny_recipe("data.path=nowhere", "data.source=photos"))
    assert (data.source, findings) == ("photos", [])
    _, (finding,) = check_dataset(tiny_recipe("data.path=null"))
    assert finding.message == "data.path: the recipe names no data set"


def test_data_that_do_not_fit(tiny_recipe: MakeRecipe, tmp_path: Path) -> None:
    _, (finding,) = check_dataset(tiny_recipe("train.batch=64"))
    assert (finding.severity, finding.about) == ("error", "data")
    assert "10 images are fewer than one batch" in finding.message
    data, (finding,) = check_dataset(tiny_recipe(f"data.path={tmp_path}"))
    assert data.there
    assert "is not a store" in finding.message


def test_a_start_that_is_not_there(tiny_recipe: MakeRecipe) -> None:
    words, (finding,) = check_initial_checkpoint(tiny_recipe("train.init=nowhere.pt"))
    assert words is None
    assert finding.about == "init"
    assert check_initial_checkpoint(tiny_recipe()) == (None, [])


def test_the_memory_of_a_device(here: Machine) -> None:
    gpus = [Accelerator(f"cuda:{index}", "H", (index + 1) * GIB, index * GIB, bf16=True) for index in range(2)]
    machine = replace(here, devices=gpus)
    assert device_memory(machine, CPU) == (64 * GIB, 60 * GIB)
    assert device_memory(machine, torch.device("cuda")) == (GIB, 0)
    assert device_memory(machine, torch.device("cuda:1")) == (2 * GIB, GIB)


def test_memory_that_is_not_enough(here: Machine, tiny_recipe: MakeRecipe) -> None:
    recipe = tiny_recipe("train.batch=8")
    profile = profile_steps(recipe, CPU, Console(quiet=True), steps=1)
    estimate = estimate_run(recipe, split_batch(recipe, 1), profile)
    # memory that this process holds already counts as free: only the networks' part can be missing
    for memory, free, severity in ((64 * GIB, 0, "warning"), (100 * 2**20, 0, "error"), (64 * GIB, 60 * GIB, None)):
        found = memory_findings(recipe, estimate, profile, replace(here, memory=memory, available=free), CPU)
        assert [(finding.severity, finding.about) for finding in found] == ([(severity, "memory")] if severity else [])
        for finding in found:
            assert finding.message.startswith("training needs about")
            assert "--set run.micro_batch=4" in finding.hint


def test_what_cannot_run_is_not_tried(here: Machine, tiny_recipe: MakeRecipe) -> None:
    diagnosis = diagnose(tiny_recipe("run.micro_batch=3"), here, CPU, Console(quiet=True))
    assert diagnosis.estimate is None
    assert [finding.about for finding in diagnosis.findings] == ["settings"]
