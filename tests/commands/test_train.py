"""The command line of `swincli train`."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torchrun import torchrun

from swincli.commands.app import run
from swincli.data.store.reader import Store

Capture = pytest.CaptureFixture[str]


def train(recipe: Path, out: Path, *arguments: str) -> int:
    return run(["train", str(recipe), "--out", str(out), "--device", "cpu", *arguments])


def test_prints_the_model_and_goes_on_with_the_same_command(
    tiny_recipe_file: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "run"
    assert train(tiny_recipe_file, out, "--set", "train.total=8") == 0
    assert capsys.readouterr().out.splitlines() == [str(out / "model-000000000008.safetensors")]
    assert train(tiny_recipe_file, out, "--set", "train.total=16", "--json") == 0
    output = capsys.readouterr()
    assert json.loads(output.out) == {
        "run": str(out),
        "images_seen": 16,
        "total": 16,
        "finished": True,
        "reason": None,
        "model": str(out / "model-000000000016.safetensors"),
    }
    assert "going on from" in output.err
    assert "total = 16" in (out / "recipe.toml").read_text()


def test_the_run_is_named_after_the_recipe(
    tiny_recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["train", str(tiny_recipe_file), "--set", "train.total=4"]) == 0
    assert (tmp_path / "runs/tiny/model-000000000004.safetensors").is_file()


def test_flags_win_over_set_which_wins_over_the_recipe(tiny_recipe_file: Path, tmp_path: Path, store: Store) -> None:
    arguments = ["--data", str(store.path), "--seed", "7", "--set", "data.path=nowhere", "--set", "train.seed=3"]
    assert train(tiny_recipe_file, tmp_path / "run", "--set", "train.total=4", *arguments) == 0
    written = (tmp_path / "run/recipe.toml").read_text()
    assert "seed = 7" in written
    assert f'path = "{store.path}"' in written


def test_a_source_is_prepared_where_the_store_is_missing(
    tiny_recipe_file: Path, tmp_path: Path, pictures: Path, capsys: Capture
) -> None:
    data = tmp_path / "made" / "store"
    arguments = ["--set", f'data.source="{pictures}"', "--set", "train.total=4", "--data", str(data)]
    assert train(tiny_recipe_file, tmp_path / "run", *arguments) == 0
    assert len(Store.open(data)) == 10
    assert "preparing it from" in capsys.readouterr().err


def test_pictures_that_only_the_recipe_names_are_warned_of_where_data_is_missing(
    tiny_recipe_file: Path, tmp_path: Path, pictures: Path, capsys: Capture
) -> None:
    recipe = tmp_path / "inherits.toml"
    recipe.write_text(f'extends = "{tiny_recipe_file.name}"\n[data]\nsource = "{pictures.as_posix()}"\n')
    wanted = f"nowhere does not exist: it will be made of the recipe's data.source, {pictures.as_posix()}"
    assert train(recipe, tmp_path / "run", "--dry-run", "--data", "nowhere") == 0
    assert wanted in " ".join(capsys.readouterr().err.split())
    named = ("--set", f'data.source="{pictures.as_posix()}"')
    assert train(recipe, tmp_path / "run", "--dry-run", "--data", "nowhere", *named) == 0
    assert train(recipe, tmp_path / "run", "--dry-run", "--set", 'data.path="nowhere"') == 0
    assert "does not exist" not in capsys.readouterr().err


def test_dry_run_writes_nothing(tiny_recipe_file: Path, tmp_path: Path, capsys: Capture) -> None:
    assert train(tiny_recipe_file, tmp_path / "run", "--dry-run", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["training images"] == 10
    assert facts["steps"] == 6
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--set", "train.batch"], 2, "not of the form section.key=value"),
        (["--set", "train.batsh=2"], 2, 'did you mean "batch"?'),
        (["--set", "train.total=4", "--device", "mps"], 1, "--device mps: not available"),
        (["--data", "nowhere"], 1, "nowhere"),
        (["--resume", "maybe"], 2, "--resume"),
        (["--set", "model.wavelet=harr"], 2, "harr"),
        (["--max-time", "soon"], 2, "--max-time soon: 'soon' is not a duration"),
        (["--max-time", "0m"], 2, "--max-time 0m: '0m' is zero; a duration must be above 0"),
        (["--max-time", "soon", "--dry-run"], 2, "--max-time"),
        (["--set", "train.init=nowhere", "--dry-run"], 1, "nowhere: no such run or model"),
        (["--set", "run.micro_batch=3", "--dry-run"], 2, "run.micro_batch: 3, but D compares groups of 4 images"),
        (["--set", "train.freeze_d=1"], 2, "train.freeze_d (--set): freezes layers of a checkpoint's D"),
        (["--set", "train.init_mode=fine-tune"], 2, "train.init_mode (--set): fine-tunes a checkpoint"),
    ],
)
def test_wrong_use(
    tiny_recipe_file: Path,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)  # on a Mac too
    assert train(tiny_recipe_file, tmp_path / "run", *arguments) == code
    output = capsys.readouterr()
    assert output.err.startswith("error: ")
    assert message in output.err
    assert output.out == ""
    assert not (tmp_path / "run").exists()


def test_a_folder_of_pictures_is_no_store(
    tiny_recipe_file: Path, tmp_path: Path, pictures: Path, capsys: Capture
) -> None:
    assert train(tiny_recipe_file, tmp_path / "run", "--data", str(pictures)) == 1
    error = capsys.readouterr().err
    assert "not a store of images" in error
    assert f"swincli prepare-data {pictures}" in error


def test_an_unwritable_run_folder(tiny_recipe_file: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "file").write_text("in the way")
    assert train(tiny_recipe_file, tmp_path / "file" / "run") == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_a_time_limit_stops_saves_and_tells_how_to_go_on(
    tiny_recipe_file: Path, tmp_path: Path, capsys: Capture
) -> None:
    """The test process is older than the limit, so each call takes one step, the least."""
    out = tmp_path / "run"
    for images in (4, 8):
        assert train(tiny_recipe_file, out, "--max-time", "1s") == 3
        output = capsys.readouterr()
        assert f"--max-time reached: stopped at {images} of 24 images" in output.err
        assert f"{out}" in output.err
        assert "run the same command to go on" in output.err
        assert output.out.splitlines() == [str(out / f"model-{images:012d}.safetensors")]
    assert train(tiny_recipe_file, out, "--max-time", "2d") == 0
    assert train(tiny_recipe_file, tmp_path / "whole") == 0
    name = "model-000000000024.safetensors"
    assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_what_is_left_is_told_to_programs(
    tiny_recipe_file: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"

    def told() -> dict[str, object]:
        facts = json.loads(capsys.readouterr().out)
        return {name: facts[name] for name in ("finished", "images_seen", "total")}

    options = ["--set", "train.total=8", "--set", "run.tensorboard=false", "--json"]
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")  # torchrun would start the processes again
    assert train(tiny_recipe_file, out, "--max-time", "1s", *options) == 0
    assert told() == {"finished": False, "images_seen": 4, "total": 8}
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")
    for _ in range(2):  # the second finds a finished run
        assert train(tiny_recipe_file, out, *options) == 0
        assert told() == {"finished": True, "images_seen": 8, "total": 8}


@contextmanager
def signals_when_it_trains(run_folder: Path, numbers: list[signal.Signals]) -> Iterator[None]:
    """Send signals to this process when a run has logged its first steps."""
    ended = threading.Event()

    def send() -> None:
        while not (run_folder / "stats.jsonl").exists():
            if ended.wait(0.02):
                return
        for number in numbers:
            os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def assert_stopped(out: Path, said: str) -> None:
    """Check the message and the saved state of a run that a signal stopped."""
    assert "finishing the step and saving" in said
    assert "run the same command to go on" in said
    states = sorted(out.glob("state-*.pt"))
    seen = int(states[-1].stem.removeprefix("state-"))
    assert (out / f"model-{seen:012d}.safetensors").exists()
    assert not list(out.glob(".*partial*"))


@pytest.mark.parametrize("numbers", [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT, signal.SIGINT]])
def test_signals_finish_the_step_save_and_exit_with_3(
    tiny_recipe_file: Path, tmp_path: Path, capsys: Capture, numbers: list[signal.Signals]
) -> None:
    out = tmp_path / "run"
    with signals_when_it_trains(out, numbers):
        assert train(tiny_recipe_file, out, "--set", "train.total=100k") == 3
    assert_stopped(out, " ".join(capsys.readouterr().err.split()))


@pytest.mark.slow
def test_a_signal_to_a_process_of_its_own(tiny_recipe_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "swincli", "train", str(tiny_recipe_file), "--out", str(out), "--device", "cpu"]
    process = subprocess.Popen(
        [*command, "--set", "train.total=100k"], stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "200"}
    )
    while not (out / "stats.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 3
    assert_stopped(out, said)


@pytest.mark.slow
@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_a_terminal_that_closes_saves_and_ends(tiny_recipe_file: Path, tmp_path: Path, quiet: list[str]) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "swincli", "train", str(tiny_recipe_file), "--out", str(out), "--device", "cpu"]
    child, terminal = pty.fork()
    if child == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
        os.execv(sys.executable, [*command, "--set", "train.total=100k", *quiet])
    while not (out / "stats.jsonl").exists():
        time.sleep(0.1)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    last = json.loads((out / "stats.jsonl").read_text().splitlines()[-1])["images_seen"]
    assert (out / f"state-{last:012d}.pt").exists()
    assert not (out / ".lock").exists()


@pytest.mark.slow
def test_a_hangup_under_torchrun_saves(tiny_recipe_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = ["-m", "--", "swincli", "train", str(tiny_recipe_file), "--out", str(out), "--device", "cpu"]
    command += ["--set", "train.total=100k", "--set", "train.batch=8"]
    with subprocess.Popen([*launcher, *command], stderr=subprocess.PIPE, text=True) as agent:
        while not (out / "stats.jsonl").exists():
            assert agent.poll() is None
            time.sleep(0.1)
        agent.send_signal(signal.SIGHUP)
        _, said = agent.communicate(timeout=60)
    assert_stopped(out, said)
    assert "hangup: finishing" in said


@pytest.mark.slow
def test_torchrun_does_not_take_a_time_limit_for_a_failure(tiny_recipe_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = ["-m", "--", "swincli", "train", tiny_recipe_file, "--out", out, "--device", "cpu", "--max-time", "1s"]
    result = torchrun("--max-restarts", 2, *command, "--set", "train.batch=8", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["finished"] is False  # one object: the processes were not started again


@pytest.mark.slow
def test_killed_and_started_again_ends_as_if_nothing_had_been(tiny_recipe_file: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "swincli", "train", str(tiny_recipe_file), "--device", "cpu", "--quiet", "--out"]
    arguments = ["--set", "train.total=40"]
    subprocess.run([*command, str(tmp_path / "whole"), *arguments], check=True, capture_output=True)
    process = subprocess.Popen([*command, str(tmp_path / "killed"), *arguments], stdout=subprocess.DEVNULL)
    while not (tmp_path / "killed/state-000000000016.pt").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    subprocess.run([*command, str(tmp_path / "killed"), *arguments], check=True, capture_output=True)
    name = "model-000000000040.safetensors"
    assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()
