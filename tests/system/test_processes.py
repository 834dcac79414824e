"""Training in several processes, started with torchrun as a user does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import torch

from swincli.commands.app import run
from swincli.recipe import Recipe, dump_recipe
from swincli.system import distributed
from swincli.training.run.state import read_state

MakeRecipe = Callable[..., Recipe]
KEYS = (
    "train.batch=8",
    "train.total=32",
    "loss.bcr_real=1",
    "loss.bcr_fake=1",
    "augment.flip=true",
    "train.decay_from=10",
    "run.tensorboard=false",
    "run.snapshot=16",
)


@pytest.fixture
def recipe_file(tiny_recipe: MakeRecipe, tmp_path: Path) -> Path:
    """A recipe with everything that is split between processes, and 8 images per step."""
    path = tmp_path / "shared.toml"
    path.write_text(dump_recipe(tiny_recipe(*KEYS)))
    return path


def torchrun(*arguments: str, processes: int = 2, restarts: int = 0) -> list[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return [*launcher, "--max-restarts", str(restarts), "-m", "swincli", "train", *arguments, "--device", "cpu"]


def losses(run_folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run_folder / "stats.jsonl").read_text().splitlines()]
    return [
        {key: value for key, value in line.items() if "/" in key and not key.startswith("memory")} for line in lines
    ]


def assert_same_run(one: Path, other: Path) -> None:
    """Equal except for the order in which float32 numbers are added."""
    ours, theirs = losses(one), losses(other)
    assert len(ours) == len(theirs) == 4
    for mine, yours in zip(ours, theirs, strict=True):
        assert mine == pytest.approx(yours, rel=2e-5, abs=2e-6)
    states = [read_state(folder / "state-000000000032.pt") for folder in (one, other)]
    for part in ("generator", "discriminator", "average"):
        for name, value in states[0][part].items():
            torch.testing.assert_close(value, states[1][part][name], rtol=1e-4, atol=2e-6, msg=f"{part}.{name}")


def test_two_processes_train_as_one_does_and_take_over_from_one(
    recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One process trains the first half of the run, two processes train the second half on the same batches."""
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    arguments = [str(recipe_file), "--device", "cpu", "--out"]
    assert run(["train", *arguments, str(alone)]) == 0
    assert run(["train", *arguments, str(shared), "--set", "train.total=16"]) == 0
    capsys.readouterr()
    command = torchrun(str(recipe_file), "--out", str(shared), "--json")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["images_seen"] == 32  # one object, from the main process
    assert done.stderr.count("going on from") == 1
    assert "Warning" not in done.stderr
    assert_same_run(shared, alone)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_batch_that_cannot_be_split_is_reported_by_the_main_process_alone(
    rank: int, recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each rank of two by itself: the error comes before anything is exchanged with the other one."""

    @contextmanager
    def without_the_other(_: torch.device) -> Iterator[distributed.Processes]:
        yield distributed.Processes(rank, 2)

    for name, value in {"WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": str(rank)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(distributed, "init_distributed", without_the_other)
    monkeypatch.setattr(distributed.Processes, "from_main", lambda _, work: work())
    command = ["train", str(recipe_file), "--device", "cpu", "--out", str(tmp_path / "run"), "--set", "train.batch=4"]
    assert run(command) == 2
    said = capsys.readouterr().err
    assert said.count("error: ") == (1 if rank == 0 else 0)
    assert ("train.batch: 4 images in groups of 4 (model.std_group)" in said) == (rank == 0)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_batch_that_cannot_be_split_is_reported_once(recipe_file: Path, tmp_path: Path) -> None:
    command = torchrun(str(recipe_file), "--out", str(tmp_path / "run"), "--set", "train.batch=4")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stderr.count("error: ") == 1
    assert "train.batch: 4 images in groups of 4 (model.std_group) cannot be split over 2 processes" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_killed_process_is_started_again_and_nothing_is_lost(recipe_file: Path, tmp_path: Path) -> None:
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    assert run(["train", str(recipe_file), "--device", "cpu", "--out", str(alone)]) == 0
    process = subprocess.Popen(
        torchrun(str(recipe_file), "--out", str(shared), restarts=3), stderr=subprocess.PIPE, text=True
    )
    worker = _second_worker(process, shared / "state-000000000000.pt")
    worker.send_signal(signal.SIGKILL)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert "going on from" in said
    assert_same_run(shared, alone)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_torchrun_saves_and_the_run_goes_on(recipe_file: Path, tmp_path: Path, number: int) -> None:
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    assert run(["train", str(recipe_file), "--device", "cpu", "--out", str(alone)]) == 0
    long = ["--out", str(shared), "--set", "run.snapshot=100k"]
    process = subprocess.Popen(
        torchrun(str(recipe_file), *long, "--set", "train.total=100k", "--set", "train.decay_from=null"),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    _second_worker(process, shared / "stats.jsonl")
    if number == signal.SIGINT:  # a terminal sends it to all of them
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert "finishing the step and saving" in said
    assert "stopped at" in said
    (saved,) = [path for path in shared.glob("state-*.pt") if path.name != "state-000000000000.pt"]
    assert read_state(saved)["images_seen"] > 0
    assert "Traceback" not in said.split("torch/distributed")[0]


def _second_worker(launcher: subprocess.Popen[str], sign: Path) -> psutil.Process:
    """The second of two processes, once a file shows that they are training."""
    deadline = time.monotonic() + 120
    while not sign.exists():
        assert launcher.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return max(psutil.Process(launcher.pid).children(), key=lambda child: child.pid)
