"""The command line of `swincli doctor`."""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from swincli.commands.app import run
from swincli.data.store.reader import Store
from swincli.diagnosis.report import findings_report, render_lines

Capture = pytest.CaptureFixture[str]
GUIDE = Path(__file__).resolve().parents[2] / "docs/guides/memory.md"


def doctor(*arguments: str) -> int:
    return run(["doctor", *arguments, "--device", "cpu"])


def facts_of(capsys: Capture, *arguments: str) -> dict[str, Any]:
    assert doctor(*arguments, "--json") == 0
    facts: dict[str, Any] = json.loads(capsys.readouterr().out)
    return facts


def test_the_machine_is_described(capsys: Capture) -> None:
    assert doctor() == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert lines[0] == "Machine"
    assert "other programs use" in out
    names = [line[4:14].strip() for line in lines if re.match(r"  [✓!✗] ", line)]
    wanted = [
        "versions",
        "system",
        "processor",
        "threads",
        "memory",
        "GPU",
        "device",
        "disk",
        "weights",
        "packages",
        "compiler",
    ]
    assert list(dict.fromkeys(names)) == wanted
    assert not any("\x1b" in line or line != line.rstrip() for line in lines)


def test_the_machine_in_json_is_plain(capsys: Capture) -> None:
    facts = facts_of(capsys)
    assert facts["versions"]["python"] == sys.version.split()[0]
    assert facts["memory"]["total"] > facts["memory"]["available"] > 0
    assert 1 <= facts["processor"]["usable_cores"] <= facts["processor"]["cores"]
    assert facts["device"] == "cpu"
    assert "recipe" not in facts
    assert {finding["severity"] for finding in facts["findings"]} <= {"warning"}


def test_quiet_leaves_the_result(capsys: Capture) -> None:
    assert doctor("--quiet") == 0
    out, err = capsys.readouterr()
    assert out.startswith("Machine\n")
    assert err == ""


@pytest.fixture(scope="module")
def measured(shared_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str, Path]:
    """The JSON of a measured recipe, stderr with --quiet, and the working folder."""
    folder, out, err = tmp_path_factory.mktemp("empty"), io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert doctor(str(shared_recipe), "--steps", "1", "--set", "train.total=2000", "--json", "--quiet") == 0
    return json.loads(out.getvalue()), err.getvalue(), folder


def test_a_recipe_in_json(measured: tuple[dict[str, Any], str, Path]) -> None:
    recipe = measured[0]["recipe"]
    estimate = recipe["estimate"]
    phases = estimate["phases"]
    assert phases["R1"]["seconds_a_step"] == pytest.approx(phases["R1"]["seconds"] / 2)
    assert estimate["seconds_a_step"] == pytest.approx(sum(phase["seconds_a_step"] for phase in phases.values()))
    assert estimate["sec_per_kimg"] == pytest.approx(1000 * estimate["seconds_a_step"] / 4)
    assert estimate["hours"] == pytest.approx(2 * estimate["sec_per_kimg"] / 3600)
    assert estimate["exact"] is True
    assert recipe["data"]["images"] == 10


def test_the_guide_names_every_key(measured: tuple[dict[str, Any], str, Path]) -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    facts = measured[0]
    wanted = {*facts, *facts["recipe"], *facts["recipe"]["estimate"], *facts["processor"], *facts["recipe"]["files"]}
    assert sorted(key for key in wanted if f"`{key}`" not in guide) == []


def test_it_writes_nothing_and_quiet_is_quiet(measured: tuple[dict[str, Any], str, Path]) -> None:
    _, err, folder = measured
    assert err == ""
    assert list(folder.iterdir()) == []


def test_a_recipe_is_measured(shared_recipe: Path, capsys: Capture, store: Store) -> None:
    assert doctor(str(shared_recipe), "--steps", "2") == 0
    out, err = capsys.readouterr()
    assert "16 px, 4 images per step" in " ".join(out.split())  # the line may be folded
    assert "measured in 2 steps" in out
    assert f"10 images in {store.path}" in out.replace("\n               ", "")
    assert re.search(r"R1 .* 2 steps", out)
    assert "sec/kimg" in out
    assert "measuring 2 steps of 4 images" in err


def test_what_cannot_be_trained_is_a_failure_with_a_report(shared_recipe: Path, capsys: Capture) -> None:
    assert doctor(str(shared_recipe), "--set", "run.micro_batch=3", "--set", "train.batch=64") == 1
    out, _ = capsys.readouterr()
    assert "✗ error: the recipe: run.micro_batch: 3" in out
    assert out.count("✗ error:") == 2  # the other one: too few images
    assert "parameters" in out
    assert "sec/kimg" not in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nope"], 2, "nope: no such recipe"),
        (["quickstart", "--set", "train.batsh=2"], 2, 'did you mean "batch"?'),
        (["quickstart", "--set", "train.batch"], 2, "not of the form section.key=value"),
        (["--set", "train.batch=2"], 2, "need a recipe"),
        (["--steps", "2"], 2, "need a recipe"),
        (["quickstart", "--steps", "0"], 2, "--steps"),
        (["quickstart", "--set", "model.wavelet=none"], 2, "model.wavelet: unknown wavelet"),
    ],
)
def test_wrong_use(arguments: list[str], code: int, message: str, capsys: Capture) -> None:
    assert doctor(*arguments) == code
    assert message in capsys.readouterr().err


def test_an_absent_device(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)  # on a Mac too
    assert run(["doctor", "--device", "mps"]) == 1
    assert "--device mps: not available" in capsys.readouterr().err


def test_a_terminal_without_unicode_gets_ascii(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding="ascii"))
    assert doctor() == 0
    assert printed.getvalue().decode("ascii").startswith("Machine\n  + versions")
    assert capsys.readouterr().err == ""


def test_nothing_amiss_is_said() -> None:
    assert render_lines(findings_report([])) == ["✓ no problems found"]
