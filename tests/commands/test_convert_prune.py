"""The command lines of `swincli convert --prune` and `--mixers`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from scripted_networks import MeanColours, save_script

from swincli.commands.app import run
from swincli.commands.convert import remake
from swincli.data.store.reader import Store
from swincli.model.files.model_file import recipe_of_model

Capture = pytest.CaptureFixture[str]


def convert(*arguments: object) -> int:
    return run(["convert", *map(str, arguments), "--device", "cpu"])


def test_a_model_becomes_smaller_and_is_measured(
    model: Path, store: Store, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remake, "LATENTS", 8)
    out = tmp_path / "small.safetensors"
    few = ["--distil", 16, "--num", 8, "--detector", save_script(MeanColours(), tmp_path / "colours.pt")]
    assert convert(model, out, "--prune", 0.5, "--data", store.path, *few, "--json") == 0
    output = capsys.readouterr()
    answer = json.loads(output.out)
    assert answer["mlp_hidden"] == {"4": 32, "8": 32, "16": 32}
    assert answer["kept_heads"] == {"4": 2, "8": 2, "16": 2}
    units, heads, windows = 2 * 16 * 32, 4 * 16 * 8, 2 * 8  # of a position; the last by a window's positions
    removed = 2 * sum(side**2 * (units + heads + windows * min(side, 8) ** 2) for side in (4, 8, 16))
    assert answer["multiply_adds"]["before"] - answer["multiply_adds"]["after"] == removed
    assert all({"fid", "recall"} <= values.keys() for values in answer["metrics"].values())
    for moment in ("before", "after"):
        assert f"{moment}: fid " in output.err
    assert recipe_of_model(out).model.hidden_at(16) == 32
    assert run(["sample", "--checkpoint", str(out), "--seeds", "0", "--out", str(tmp_path / "samples"), "-q"]) == 0
    capsys.readouterr()
    assert convert(out, tmp_path / "smaller.safetensors", "--prune", 0.5, "--data", store.path, *few) == 2
    assert f"--prune 0.5: {out} is pruned already" in capsys.readouterr().err
    assert convert(out, tmp_path / "small.pt") == 1
    assert "model.mlp_hidden" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prune", "0", "--data", "x"], "--prune 0: must be above 0 and below 1"),
        (["--prune", "1.5", "--data", "x"], "--prune 1.5: must be above 0 and below 1"),
        (["--prune", "nan", "--data", "x"], "--prune nan: must be above 0 and below 1"),
        (["--prune", "0.3"], "--prune 0.3: needs --data"),
        (["--prune", "0.3", "--data", "x", "--num", "1"], "--num 1: must be at least 2"),
        (["--prune", "0.3", "--data", "x", "--distil", "some"], "--distil some: 'some' is not a number of images"),
        (["--prune", "0.3", "--data", "x", "--ema-width", "0.07"], "cannot be combined with --prune 0.3"),
        (["--mixers", "16=dw7"], "--mixers: needs --data"),
        (["--mixers", "16=dw7", "--prune", "0.3", "--data", "x"], "--mixers: cannot be combined with --prune"),
        (["--data", "x"], "--data: needs --prune or --mixers"),
    ],
)
def test_wrong_use_exits_with_2(arguments: list[str], message: str, tmp_path: Path, capsys: Capture) -> None:
    assert convert("in.safetensors", tmp_path / "out.safetensors", *arguments) == 2
    output = capsys.readouterr()
    assert message in output.err
    assert "hint:" in output.err
    assert not (tmp_path / "out.safetensors").exists()


def test_mixers_are_exchanged_and_the_images_repaired(
    model: Path, store: Store, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "other.safetensors"
    few = ["--distil", 32, "--num", 8, "--detector", save_script(MeanColours(), tmp_path / "colours.pt")]
    assert convert(model, out, "--mixers", "16=dw7", "--data", store.path, *few, "--json") == 0
    output = capsys.readouterr()
    answer = json.loads(output.out)
    assert answer["mixer"]["16"] == "dw7"
    assert [each["step"] for each in answer["ancestors"]] == ["mixers"]
    assert "after: fid " in output.err
    before, after = (float(number) for number in re.findall(r"loss ([\d.]+) to ([\d.]+)", output.err)[0])
    assert after < before
    assert recipe_of_model(out).model.mixer_at(16) == "dw7"
    assert convert(out, tmp_path / "same.safetensors", "--mixers", "16=dw7", "--data", store.path, *few) == 2
    assert "has these mixers already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("mixers", "message"),
    [
        ("64=dw7", "has no maps of 64 px"),
        ("8=dw7", "the mixer works from 16 px"),
        ("16=dw9", "no mixer 'dw9'; did you mean \"dw7\"?"),
        ("dw7", "'dw7' is not SIDE=NAME"),
        ("16=dw7, 016=grid", "16 px has two mixers"),
        ("", "'' is not SIDE=NAME"),
    ],
)
def test_mixers_that_the_model_cannot_have(
    model: Path, mixers: str, message: str, tmp_path: Path, capsys: Capture
) -> None:
    assert convert(model, tmp_path / "out.safetensors", "--mixers", mixers, "--data", tmp_path) == 2
    assert message in capsys.readouterr().err


def test_mixers_that_contradict_the_rest_of_the_recipe_are_refused_first(
    tiny_recipe_file: Path, tmp_path: Path, capsys: Capture
) -> None:
    run_folder = tmp_path / "run"
    assert run(["train", str(tiny_recipe_file), "--out", str(run_folder), "-q", "--set", "model.kv_heads=2"]) == 0
    capsys.readouterr()
    assert convert(run_folder, tmp_path / "out.safetensors", "--mixers", "16=na", "--data", tmp_path) == 2
    assert "a head of keys and values for every head" in capsys.readouterr().err


def test_real_images_that_are_missing_are_noticed_first(model: Path, tmp_path: Path, capsys: Capture) -> None:
    detector = save_script(MeanColours(), tmp_path / "colours.pt")
    given = ["--prune", 0.5, "--data", tmp_path / "none", "--detector", detector]
    assert convert(model, tmp_path / "out.safetensors", *given) == 1
    assert str(tmp_path / "none") in capsys.readouterr().err
    assert convert(model, tmp_path / "out.pt", *given) == 2
