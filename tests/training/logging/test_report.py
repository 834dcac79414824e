"""What a run writes and says while it goes, driven without training anything."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console as RichConsole

from swincli.console import Console
from swincli.recipe import Recipe
from swincli.training.logging import report as module
from swincli.training.logging.live_view import reported_scalars
from swincli.training.logging.metric_history import MetricHistory, read_metric_history
from swincli.training.logging.report import Report
from swincli.training.run.folder import RunFolder
from swincli.training.run.overfitting import OverfittingSigns
from swincli.training.run.state import TrainingState, build_state, restore, state_content

CPU = torch.device("cpu")
MakeRecipe = Callable[..., Recipe]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    (tmp_path / "run").mkdir()
    return RunFolder(tmp_path / "run")


def advance(report: Report, state: TrainingState, steps: int, seconds: float = 0.5) -> None:
    """Steps of four images whose loss of D is the images seen."""
    for _ in range(steps):
        state.images_seen += state.recipe.train.batch
        report.step(state, {"loss/d": float(state.images_seen), "loss/g": 0.5}, seconds, state.images_seen)
        report.write_stats(state)


def measurement(images_seen: int, value: float, num: int = 8, *, in_training: bool = True) -> dict[str, object]:
    """A line of metrics.jsonl."""
    protocol = {"fakes": {"num": num}}
    return {"images_seen": images_seen, "metrics": {"fid": value}, "protocol": protocol, "in_training": in_training}


def lines(log: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_statistics_are_means_since_the_last_line(tiny_recipe: MakeRecipe, folder: RunFolder) -> None:
    state = build_state(tiny_recipe("run.tensorboard=false"), "", CPU)
    report = Report(Console(quiet=True), folder, CPU)
    with report.live(state):
        advance(report, state, 5)
    first, second = lines(folder.stats)
    assert (first["images_seen"], second["images_seen"]) == (8, 16)
    assert (first["loss/d"], second["loss/d"]) == (6.0, 14.0)
    assert second["seconds"] == 2.0
    assert second["sec_per_kimg"] == 125.0
    assert second["g_lr"] == 5e-5
    assert second["memory/cpu"] > 2**20
    assert state.running_stats.images == 4
    assert sorted(path.name for path in folder.path.iterdir()) == ["stats.jsonl"]


def test_signs_of_overfitting_are_warned_of_once_and_kept_in_the_state(
    tiny_recipe: MakeRecipe, folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    state = build_state(tiny_recipe("run.tensorboard=false", "train.total=400"), "", CPU)
    report = Report(Console(quiet=True), folder, CPU)
    scalars = {"d/real_logit": 2.0, "d/trained_logit": 2.0, "d/held_out_logit": -2.0, "d/fake_logit": -2.0}
    with report.live(state):
        while state.images_seen < 200:
            state.images_seen += 4
            report.step(state, scalars, 0.5, state.images_seen)
            if state.images_seen == 160:
                report.sample_grid(state, 0.5)
            report.write_stats(state)
    said = capsys.readouterr().err
    assert said.count("warning:") == said.count("D has begun to memorise") == 1
    assert [line["images_seen"] for line in lines(folder.stats) if line.get("samples/diversity") == 0.5] == [160]
    again = build_state(state.recipe, "", CPU)
    restore(again, state_content(state))
    assert again.signs == state.signs
    assert again.signs.told == ["memorises"]
    older = {key: value for key, value in state_content(state).items() if key != "signs"}
    restore(again, older)
    assert again.signs == OverfittingSigns()


def test_off_a_terminal_there_is_a_line_now_and_then(
    tiny_recipe: MakeRecipe, folder: RunFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = build_state(tiny_recipe("run.tensorboard=false"), "", CPU)
    report = Report(Console(), folder, CPU, processes=2)
    with report.live(state):
        advance(report, state, 2)
        assert capsys.readouterr().err == ""
        monkeypatch.setattr(module, "PLAIN_SECONDS", 0.0)
        advance(report, state, 1)
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("kimg 0.0 (50%)  sec/kimg ")
    assert "  D 8.000  G 0.500  R1 -  D(real)>0 -  memory CPU " in said


def test_quiet_says_nothing_and_writes_all(
    tiny_recipe: MakeRecipe, folder: RunFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PLAIN_SECONDS", 0.0)
    state = build_state(tiny_recipe("run.tensorboard=false"), "", CPU)
    report = Report(Console(quiet=True), folder, CPU)
    with report.live(state):
        advance(report, state, 6)
        report.metrics(state, {"fid": 3.0})
    assert capsys.readouterr() == ("", "")
    assert len(lines(folder.stats)) == 3


def test_on_a_terminal_there_is_the_live_view(tiny_recipe: MakeRecipe, folder: RunFolder) -> None:
    console, screen = Console(), io.StringIO()
    console.stderr = RichConsole(file=screen, force_terminal=True, color_system=None, width=100, height=40)
    recipe = tiny_recipe("run.tensorboard=false", "evaluate.every=8", "loss.r1_gamma=0", "evaluate.num=8")
    state = build_state(recipe, "", CPU)
    folder.metrics.write_text(json.dumps(measurement(0, 2.0)) + "\n")
    report = Report(console, folder, CPU, processes=2)
    with report.live(state):
        advance(report, state, 2)
        report.metrics(state, {"fid": 3.0})
        advance(report, state, 4)
    shown = screen.getvalue()
    last = shown[shown.rindex("╭") :]
    for words in ("100.0%  24 of 24 images", "loss D", "6 steps", "fid       3.00 at 8", "best fid  2.00 at 0"):
        assert words in last
    assert "processes 2" in last
    assert "R1" not in last


@pytest.mark.parametrize(
    ("override", "name"),
    [
        ("loss.bcr_real=1", "loss/bcr"),
        ("loss.bcr_fake=1", "loss/bcr"),
        ("loss.tv=1", "loss/tv"),
        ("augment.transforms=ada", "augment/p"),
        ("augment.apa=true augment.control=adaptive", "augment/p augment/r"),
        ("evaluate.held_out=elsewhere", "d/trained_logit d/held_out_logit d/fake_logit"),
    ],
)
def test_the_view_knows_what_a_recipe_reports(tiny_recipe: MakeRecipe, override: str, name: str) -> None:
    plain, names = reported_scalars(tiny_recipe()), set(name.split())
    assert not names & set(plain)
    assert set(reported_scalars(tiny_recipe(*override.split()))) == {*plain, *names}


def test_measurements_of_other_kinds_and_broken_lines_are_no_best(
    tiny_recipe: MakeRecipe, folder: RunFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [
        measurement(4, 9.0),
        measurement(8, 1.0, num=9),
        measurement(8, 1.0, in_training=False),
        {key: value for key, value in measurement(8, 1.0).items() if key != "in_training"},
        {key: value for key, value in measurement(8, 1.0).items() if key != "protocol"},
        [],
    ]
    folder.metrics.write_text("".join(f"{json.dumps(record)}\n" for record in records) + '{"images_seen": 8, "metr')
    monkeypatch.setattr(module, "PLAIN_SECONDS", 0.0)
    state = build_state(tiny_recipe("run.tensorboard=false", "evaluate.num=8"), "", CPU)
    report = Report(Console(), folder, CPU)
    with report.live(state):
        advance(report, state, 1)
        report.metrics(state, {"fid": 12.0})
        advance(report, state, 1)
    before, after = capsys.readouterr().err.splitlines()
    assert before.endswith("  fid 9.00 at 4")
    assert after.endswith("  fid 12.00 at 4  best fid 9.00 at 4")


def test_more_is_better_for_some_and_the_best_is_of_those_that_decide() -> None:
    measured = MetricHistory(higher_is_better={"recall": True})
    for seen, recall in ((4, 0.25), (1_500, 0.5), (2_500_000, 0.4)):
        measured.add(seen, {"recall": recall, "precision": recall})
    assert measured.words() == {
        "recall": "0.4000 at 2.50M",
        "best recall": "0.5000 at 1.5k",
        "precision": "0.4000 at 2.50M",
    }


def test_a_metric_that_is_nan_hides_no_other(tmp_path: Path) -> None:
    protocol = {"fakes": {"num": 8}}
    record = {"in_training": True, "images_seen": 8, "metrics": {"fid": 2.0, "kid": None}, "protocol": protocol}
    log = tmp_path / "metrics.jsonl"
    log.write_text(json.dumps(record) + "\n")
    assert read_metric_history(log, 8).last["fid"] == (2.0, 8)
