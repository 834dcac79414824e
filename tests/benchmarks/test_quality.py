"""The lab: its rows are recipes, what is measured is kept, and its table says what the measurements say."""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from swincli.console import Console
from swincli.data.preparing.prepare import PrepareOptions, prepare
from swincli.data.store.reader import Store
from swincli.recipe import load_recipe

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def quality(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("quality")


@pytest.fixture
def lab(quality: ModuleType, tmp_path: Path) -> Any:
    sets = importlib.import_module("quality_sets")
    base = tmp_path / "base.toml"
    base.write_text(
        sets._BASE.format(size=32, networks=sets._NETWORKS[32], few="few", batch=sets.BATCH, **sets._NO_LABELS)
    )
    prepared = sets.Prepared(tmp_path / "few", tmp_path / "rest", tmp_path / "full", base, 1309, 32)
    return quality.Lab(tmp_path / "set" / "cells", prepared, 640, False, 100, True, Machine())


class Machine:
    """Stands in for the commands: writes what they write, and counts them."""

    def __init__(self) -> None:
        self.commands: list[str] = []
        self.problem = ""

    def __call__(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        self.commands.append(arguments[0])
        if self.problem:
            return subprocess.CompletedProcess(arguments, 1, "", f"warning: odd\n{self.problem}\n")
        if arguments[0] == "evaluate":
            values = {"fid": 50.0, "kid": 0.02, "precision": 0.5, "recall": 0.25, "authenticity": 0.75}
            if "--detector" in arguments:
                values = {"fid": 5.0, "kid": 0.002}
            return subprocess.CompletedProcess(
                arguments, 0, json.dumps({"metrics": values, "intervals": {"fid": [values["fid"] - 2, 52]}}), ""
            )
        run = Path(arguments[arguments.index("--out") + 1])
        settings = dict(part.split("=", 1) for part in arguments if "=" in part)
        total, every = int(settings["train.total"]), int(settings["run.snapshot"])
        (run / "samples").mkdir(parents=True)
        images = range(every, total + 1, every)
        for seen in (0, 56, *images):  # at 56 images the lab was stopped
            (run / f"model-{seen:012d}.safetensors").touch()
        Image.new("RGB", (64, 32)).save(run / "samples/fakes-000000000640.png")
        line = {"sec_per_kimg": 30.0, "memory/cpu": 2**30}
        lines = [{**line, "images_seen": seen, "seconds": seen / 1000 * 30} for seen in range(80, total + 1, 80)]
        lines[0]["sec_per_kimg"] = 90.0
        (run / "stats.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
        return subprocess.CompletedProcess(arguments, 0, "", "")


class Validating:
    """Stands in for the command: reads the recipe of the first run, and fails."""

    def __call__(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        overrides = [value for option, value in pairwise(arguments) if option == "--set"]
        self.recipe = load_recipe(arguments[1], overrides)
        return subprocess.CompletedProcess(arguments, 1, "", "error: stop\n")


@pytest.fixture
def machine(lab: Any) -> Machine:
    stand_in: Machine = lab.swincli
    return stand_in


def test_every_row_is_a_recipe_or_left_out(
    quality: ModuleType, lab: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = importlib.import_module("quality_sets")
    for size, networks in sets._NETWORKS.items():
        base = tmp_path / f"{size}.toml"
        base.write_text(sets._BASE.format(size=size, networks=networks, few="few", batch=sets.BATCH, **sets._NO_LABELS))
        data = replace(lab.data, size=size, base=base)
        of_size = replace(lab, out=lab.out / str(size), data=data, images=25_000)
        rows = of_size.rows(list(quality.RECIPES))
        for name in rows:
            swincli = Validating()
            assert replace(of_size, swincli=swincli).cell(name, 0).problem == "error: stop"
            assert swincli.recipe.model.size == size
        missing = {32: {"modern"}, 64: set(), 128: {"mixer-na-all", "mixer-axial"}}
        assert set(quality.RECIPES) - set(rows) == missing[size]
    out = capsys.readouterr().out
    assert "modern is left out: there is no modern32.toml\n" in out
    assert '"axial" keeps as many logits' in out


def test_a_cell_is_trained_once_and_each_model_is_measured_once(lab: Any, machine: Machine) -> None:
    cell = lab.cell("plain", 0)
    assert machine.commands == ["train"] + ["evaluate"] * 7  # three detectors at the end
    assert [point.images for point in cell.points] == [128, 256, 384, 512, 640]
    (lab.out / "plain-0" / "measured-000000000256-of-100.json").unlink()
    assert lab.cell("plain", 0) == cell
    assert machine.commands[8:] == ["evaluate"]


def test_without_curves_only_the_last_model_is_measured(quality: ModuleType, lab: Any, machine: Machine) -> None:
    cell = quality.Lab(lab.out, lab.data, 640, False, 100, False, machine).cell("plain", 0)
    assert [point.images for point in cell.points] == [640]
    assert machine.commands == ["train"] + ["evaluate"] * 3


def test_a_detector_that_d_looked_through_is_left_out(lab: Any, machine: Machine, tmp_path: Path) -> None:
    cell = lab.cell("vision-aided", 0)
    assert machine.commands == ["train"] + ["evaluate"] * 6
    report = importlib.import_module("quality_report")
    assert report.write_report(tmp_path, "people-200", 1309, [cell], {}, 100).endswith(
        "| 0.75 | - | 5.0 [3.0, 52.0] | - | - |"
    )


def test_equal_time_gives_a_slow_recipe_fewer_images(quality: ModuleType, lab: Any, machine: Machine) -> None:
    timed = quality.Lab(lab.out, lab.data, 1280, True, 100, False, machine)
    lab.speeds.mkdir(parents=True)
    for recipe, pace in (("plain", 30.0), ("hinge", 40.0)):
        kept = {"of_plain": pace / 30, "sec_per_kimg": pace, "memory": 2**30}
        (lab.speeds / f"{recipe}.json").write_text(json.dumps(kept))
    plain, slow = timed.cell("plain", 0), timed.cell("hinge", 0)
    assert (plain.last.images, slow.last.images) == (1280, 960)


def test_what_was_measured_of_another_recipe_is_not_taken(
    quality: ModuleType, lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.cell("plain", 0)
    lab.cell("hinge", 0)
    lab.speed("hinge")
    monkeypatch.setitem(quality.RECIPES, "hinge", ('loss.adversarial="wasserstein"',))
    for again in (lambda: lab.cell("hinge", 0), lambda: lab.speed("hinge")):
        with pytest.raises(SystemExit, match="hinge was another recipe when this was measured"):
            again()
    lab.cell("plain", 0)
    lab.data.base.write_text(lab.data.base.read_text().replace("r1_gamma = 0.5", "r1_gamma = 0.1"))
    with pytest.raises(SystemExit, match="plain was another recipe"):
        lab.cell("plain", 0)


@pytest.mark.parametrize("at_once", [1, 2])
def test_the_speed_is_measured_beside_plain_in_both_orders(
    lab: Any, machine: Machine, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    paces = {0: {"plain": 20.0, "hinge": 30.0}, 1: {"plain": 30.0, "hinge": 40.0}}  # the machine slows down
    seen: list[str] = []

    def pace(recipe: str, run: Path) -> float:
        machine(["train", "--out", str(run), "train.total=640", "run.snapshot=640"])
        seen.append(run.name)
        return paces[int(run.parent.name[-1])][recipe]

    monkeypatch.setattr(type(lab), "_pace", lambda _, recipe, run: pace(recipe, run))
    speed = lab.speed("hinge", at_once=at_once)
    assert speed == {"of_plain": pytest.approx((1.5 + 4 / 3) / 2), "sec_per_kimg": 35.0, "memory": 2**30}
    assert at_once == 2 or seen == ["plain", "hinge", "hinge", "plain"]
    assert lab.speed("hinge") == speed  # kept
    assert lab.speed("plain")["of_plain"] == 1
    assert len(seen) == 5


def test_a_pace_leaves_out_the_first_steps(lab: Any, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()  # of a lab that was stopped
    assert lab._pace("plain", tmp_path / "run") == 30.0
    assert len((tmp_path / "run" / "stats.jsonl").read_text().splitlines()) == 8


def test_what_is_stopped_interrupts_its_commands(quality: ModuleType) -> None:
    commands = quality.Commands(threads=1)
    threading.Timer(0.2, commands.stop).start()
    with pytest.raises(SystemExit):
        commands(["train", "--help"])


def test_a_recipe_that_fails_is_a_row(lab: Any, machine: Machine, tmp_path: Path) -> None:
    machine.problem = "error: phase D: loss/d not finite after 96 images"
    cell = lab.cell("hinge", 0)
    assert cell.problem == machine.problem
    report = importlib.import_module("quality_report")
    table = report.write_report(tmp_path, "people-200", 1309, [cell], {}, 100)
    assert "| hinge | 0, 1 failed | - |" in table


def test_the_table_compares_with_plain_and_shows_one_seeds_interval_or_the_range_of_several(
    lab: Any, machine: Machine, tmp_path: Path
) -> None:
    report = importlib.import_module("quality_report")
    plain = lab.cell("plain", 0)
    better = [
        report.Cell("apa", seed, plain.run, [report.Point(640, {**plain.last.values, "fid": fid}, {})])
        for seed, fid in enumerate((20.0, 30.0))
    ]
    table = report.write_report(
        tmp_path, "people-200", 1309, [plain, *better], {"plain": {"sec_per_kimg": 30.0, "memory": 2**30}}, 100
    )
    row = "| plain | 1 | 0.6 | 50.0 [48.0, 52.0] | 1.00 | 50.0 (0.1) | 20.0 | 0.50 | 0.25 | 0.75 |"
    row += 2 * " 5.0 [3.0, 52.0] |"
    assert row + " 30.0 | 1.00 |" in table
    assert "| apa | 2 | 0.6 | 25.0 [20.0, 30.0] | 0.50 |" in table
    assert (tmp_path / "table.md").read_text() == table + "\n"
    with Image.open(tmp_path / "grids.png") as grids:
        assert grids.size == (64 * 2 + report.GAP, 32 + report.LABEL_HEIGHT)
    assert (tmp_path / "curves.png").stat().st_size > 1000
    assert machine.commands.count("train") == 1


@pytest.mark.parametrize("text", ["", "0", "0s", "ten", "-5"])
def test_what_is_no_budget_is_said(quality: ModuleType, text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        quality._budget(text)


@pytest.mark.usefixtures("quality")
def test_a_set_has_exactly_the_wanted_images_to_train_on_and_all_others_held_out(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = importlib.import_module("quality_sets")

    def source(_: Path) -> tuple[str, list[tuple[str, bytes]]]:
        return str(pictures), [(path.name, path.read_bytes()) for path in pictures.iterdir()]

    def prepare_data(text: str, target: Path, image_set: Any, *options: str) -> None:
        split = options[1] if options else None
        prepare(text, target, PrepareOptions(image_set.size, split=split, workers=1), Console(quiet=True))

    monkeypatch.setitem(sets.SETS, "tiny", sets.ImageSet(3, 32, "1k", source))
    monkeypatch.setattr(sets, "_prepare_data", prepare_data)
    prepared = sets.prepare("tiny", tmp_path)
    assert (len(Store.open(prepared.few)), len(Store.open(prepared.rest)), prepared.images) == (3, 7, 10)
    assert load_recipe(str(prepared.base)).data.path == prepared.few.as_posix()
    assert sets.prepare("tiny", tmp_path) == prepared
