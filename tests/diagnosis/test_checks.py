"""What would stop a recipe, or be useless, on a machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.diagnosis.checks import look_at_data, look_at_init, memory_of, recipe_findings
from swincli.diagnosis.cost import cost_of
from swincli.diagnosis.devices import Device
from swincli.diagnosis.diagnosis import diagnose
from swincli.diagnosis.machine import Machine, machine_findings, survey
from swincli.diagnosis.software import Requirement, Weights
from swincli.recipe import Recipe

CPU = torch.device("cpu")
GIB = 2**30
MakeRecipe = Callable[..., Recipe]


@pytest.fixture(scope="module")
def here() -> Machine:
    """This machine, with enough of everything."""
    machine = survey(CPU)
    found = [Weights(each.detector, Path("weights.pt")) for each in machine.weights]
    processor = replace(machine.processor, cores=4, usable_cores=4)
    return replace(
        machine, disk_free=100 * GIB, memory=64 * GIB, available=60 * GIB, threads=4, weights=found, processor=processor
    )


def messages(machine: Machine, recipe: Recipe) -> list[str]:
    findings = recipe_findings(recipe, machine, CPU, cost_of(recipe).files)
    return [f"{finding.severity}: {finding.message}" for finding in findings]


def test_a_machine_with_enough_of_everything_is_fine(here: Machine, tiny_recipe: MakeRecipe) -> None:
    assert machine_findings(here) == []
    assert messages(here, tiny_recipe()) == []


@pytest.mark.parametrize(
    ("changes", "about", "words"),
    [
        ({"disk_free": GIB}, "disk", "1.0 GiB free"),
        ({"available": GIB}, "memory", "1.0 GiB of 64.0 GiB"),
        ({"threads": 64}, "processor", "64 threads, and this process may use 4"),
        ({"threads": 1}, "processor", "1 of 4 cores"),
        ({"requirements": [Requirement("torch", ">=2.9,<2.14", "2.8.0")]}, "versions", "torch 2.8.0: swincli is made"),
        ({"requirements": [Requirement("torch", "", None)]}, "versions", "torch is not installed"),
        ({"weights": [Weights("inception", None, "no network")]}, "weights", "no network"),
        ({"problems": ["cuda:0: driver too old"]}, "GPU", "driver too old"),
        ({"devices": [Device("cuda:0", "H", 80 * GIB, GIB, bf16=True)]}, "GPU", "1.0 GiB free of 80.0 GiB"),
    ],
)
def test_what_is_amiss_with_a_machine(here: Machine, changes: dict[str, object], about: str, words: str) -> None:
    (finding,) = machine_findings(replace(here, **changes))  # type: ignore[arg-type]
    assert (finding.severity, finding.about) == ("warning", about)
    assert words in finding.message


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["run.micro_batch=3"], "error: the recipe: run.micro_batch: 3"),
        (["run.tf32=true"], "warning: run.tf32: changes nothing on cpu"),
        (["run.recompute_from=64"], "warning: run.recompute_from: 64 recomputes nothing of networks of 16 px"),
        (["run.wandb=project"], "error: run.wandb: the package wandb is not installed"),
        (["run.precision=bf16"], "warning: run.precision: this CPU has no units for bf16"),
        (["run.compile=true"], "error: run.compile: there is no C++ compiler"),
        (["evaluate.every=8"], "warning: evaluate.every: the run is to be measured"),
    ],
)
def test_what_is_amiss_with_a_recipe(
    here: Machine, tiny_recipe: MakeRecipe, overrides: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    poor = replace(
        here, compiler=None, processor=replace(here.processor, fast_bf16=False), weights=[Weights("inception", None)]
    )
    (found,) = messages(poor, tiny_recipe(*overrides))
    assert found.startswith(message)


@pytest.mark.parametrize(
    ("soon", "message"),
    [
        (GIB, "warning: 100.0 GiB of the disk are free, and the run may take 202.0 GiB"),
        (101 * GIB, "error: 100.0 GiB of the disk are free, and training starts with 101.0 GiB"),
    ],
)
def test_a_run_that_fills_the_disk(here: Machine, tiny_recipe: MakeRecipe, soon: int, message: str) -> None:
    recipe = tiny_recipe()
    files = replace(cost_of(recipe).files, soon=soon, most=202 * GIB)
    (finding,) = recipe_findings(recipe, here, CPU, files)
    assert f"{finding.severity}: {finding.message}" == message


def test_data_that_are_there(tiny_recipe: MakeRecipe, store: Store) -> None:
    data, findings = look_at_data(tiny_recipe())
    assert (data.path, data.images, findings) == (str(store.path), 10, [])


def test_data_that_are_not(tiny_recipe: MakeRecipe) -> None:
    data, (finding,) = look_at_data(tiny_recipe("data.path=nowhere"))
    assert (data.there, data.images, finding.severity) == (False, None, "warning")
    assert "swincli prepare-data SOURCE nowhere --resolution 16" in finding.hint
    data, findings = look_at_data(tiny_recipe("data.path=nowhere", "data.source=photos"))
    assert (data.source, findings) == ("photos", [])
    _, (finding,) = look_at_data(tiny_recipe("data.path=null"))
    assert finding.message == "data.path: the recipe names no images"


def test_data_that_do_not_fit(tiny_recipe: MakeRecipe, tmp_path: Path) -> None:
    _, (finding,) = look_at_data(tiny_recipe("train.batch=64"))
    assert (finding.severity, finding.about) == ("error", "data")
    assert "10 images are fewer than one batch" in finding.message
    data, (finding,) = look_at_data(tiny_recipe(f"data.path={tmp_path}"))
    assert data.there
    assert "is not a store" in finding.message


def test_a_start_that_is_not_there(tiny_recipe: MakeRecipe) -> None:
    words, (finding,) = look_at_init(tiny_recipe("train.init=nowhere.pt"))
    assert words is None
    assert finding.about == "init"
    assert look_at_init(tiny_recipe()) == (None, [])


def test_the_memory_of_a_device(here: Machine) -> None:
    gpus = [Device(f"cuda:{index}", "H", (index + 1) * GIB, index * GIB, bf16=True) for index in range(2)]
    machine = replace(here, devices=gpus)
    assert memory_of(machine, CPU) == (64 * GIB, 60 * GIB)
    assert memory_of(machine, torch.device("cuda")) == (GIB, 0)
    assert memory_of(machine, torch.device("cuda:1")) == (2 * GIB, GIB)


@pytest.mark.parametrize(
    ("memory", "free", "severity"), [(64 * GIB, 0, "warning"), (100 * 2**20, 0, "error"), (64 * GIB, 60 * GIB, None)]
)
def test_memory_that_is_not_enough(
    here: Machine, tiny_recipe: MakeRecipe, memory: int, free: int, severity: str | None
) -> None:
    machine = replace(here, memory=memory, available=free)
    recipe = tiny_recipe("train.batch=8")
    diagnosis = diagnose(recipe, machine, CPU, Console(quiet=True), steps=1)
    # what this process holds already is not free either: nothing but the networks' share can be missing
    found = [finding for finding in diagnosis.findings if finding.about == "memory"]
    assert [finding.severity for finding in found] == ([severity] if severity else [])
    for finding in found:
        assert finding.message.startswith("training needs about")
        assert "--set run.micro_batch=4" in finding.hint


def test_what_cannot_run_is_not_tried(here: Machine, tiny_recipe: MakeRecipe) -> None:
    diagnosis = diagnose(tiny_recipe("run.micro_batch=3"), here, CPU, Console(quiet=True))
    assert diagnosis.estimate is None
    assert [finding.about for finding in diagnosis.findings] == ["settings"]
