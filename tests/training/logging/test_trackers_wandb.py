"""Weights & Biases: what it is told, through a stand-in for the package, and through the package where there is one."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from PIL import Image

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.errors import ResourceError
from swincli.recipe import Recipe
from swincli.training.logging.report import Report
from swincli.training.logging.trackers import check_trackers
from swincli.training.loop import train
from swincli.training.run.folder import RunFolder
from swincli.training.run.state import build_state

CPU = torch.device("cpu")
MakeRecipe = Callable[..., Recipe]
Capture = pytest.CaptureFixture[str]


class StandIn(ModuleType):
    """Enough of wandb: it writes down what it is told, in `sessions`, one a call of `init`."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.sessions: list[dict[str, Any]] = []
        self.summary: dict[str, float] = {}
        self.fails_in = ""

    def init(self, **options: Any) -> StandIn:
        self.sessions.append({"options": options, "rows": [], "steps": []})
        self._fail("init")
        return self

    def define_metric(self, name: str, step_metric: str | None = None) -> None:
        self.sessions[-1]["steps"].append((name, step_metric))

    def log(self, row: dict[str, Any]) -> None:
        self._fail("log")
        self.sessions[-1]["rows"].append(row)

    def finish(self) -> None:
        self.sessions[-1]["finished"] = True

    def Image(self, picture: Image.Image) -> tuple[int, int]:  # noqa: N802
        return picture.size

    def _fail(self, method: str) -> None:
        if method == self.fails_in:
            raise RuntimeError("no network")


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    module = StandIn()
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


def session(recipe: Recipe, run: Path, start: int, stop: int, *, quiet: bool = True) -> None:
    """One start of a run of 4 images a step, driven without training anything."""
    folder, state = RunFolder(run), build_state(recipe, "", CPU)
    state.images_seen = start
    report = Report(Console(quiet=quiet), folder, CPU)
    for name in ("reals.png", "samples/fakes-000000000000.png", f"samples/fakes-{stop:012d}.png"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 4)).save(run / name)
    with report.live(state):
        while state.images_seen < stop:
            state.images_seen += 4
            report.step(state, {"loss/d": float(state.images_seen)}, 0.1, state.images_seen)
            report.write_stats(state)
        report.sample_grid(state, 0.1)
        report.flush()
        report.metrics(state, {"fid": 7.0})


def test_a_run_is_sent_by_images_seen(tiny_recipe: MakeRecipe, tmp_path: Path, wandb: StandIn) -> None:
    recipe = tiny_recipe("run.wandb=faces", "run.tensorboard=false", "run.on_event=curl secret")
    session(recipe, tmp_path / "run", 0, 16)
    (told,) = wandb.sessions
    options = told["options"]
    assert (options["project"], options["name"], options["resume"]) == ("faces", "run", "allow")
    assert options["dir"] == str(tmp_path / "run")
    assert options["config"]["train"]["total"] == 24
    assert "secret" not in json.dumps(options["config"])
    assert told["steps"] == [("images_seen", None), ("*", "images_seen")]
    rows = [{key: row[key] for key in row if not key.startswith(("time/", "memory/", "lr/"))} for row in told["rows"]]
    assert rows == [
        {"reals": (6, 4), "images_seen": 0},
        {"samples": (6, 4), "images_seen": 0},
        {"loss/d": 6.0, "images_seen": 8},
        {"loss/d": 14.0, "images_seen": 16},
        {"samples": (6, 4), "images_seen": 16},
        {"metric/fid": 7.0, "images_seen": 16},
    ]
    assert told["finished"]


def test_a_run_that_goes_on_is_the_same_run_and_nothing_is_sent_twice(
    tiny_recipe: MakeRecipe, tmp_path: Path, wandb: StandIn
) -> None:
    recipe = tiny_recipe("run.wandb=faces", "run.tensorboard=false")
    session(recipe, tmp_path / "run", 0, 16)
    wandb.summary = {"images_seen": 16}
    session(recipe, tmp_path / "run", 8, 24)  # killed after 16 images, the last state is of 8
    first, second = wandb.sessions
    assert first["options"]["id"] == second["options"]["id"] == (tmp_path / "run/wandb-id.txt").read_text().strip()
    assert [row["images_seen"] for row in second["rows"]] == [16, 24, 24, 24]
    session(recipe, tmp_path / "run", 24, 24)  # only the measurement was missing
    assert wandb.sessions[2]["rows"] == [{"metric/fid": 7.0, "images_seen": 24}]
    session(recipe, tmp_path / "other", 0, 8)
    assert wandb.sessions[3]["options"]["id"] != first["options"]["id"]


def test_failing_while_training_is_a_warning(
    tiny_recipe: MakeRecipe, store: Store, tmp_path: Path, wandb: StandIn, capsys: Capture
) -> None:
    wandb.fails_in = "log"
    result = train(
        tiny_recipe("run.wandb=faces", "train.total=8"), store, tmp_path / "run", CPU, Console(quiet=True), resume=True
    )
    assert result.finished
    assert capsys.readouterr().err == ("warning: Weights & Biases: logging stopped, training goes on: no network\n")
    assert list((tmp_path / "run/tensorboard").iterdir())


def test_failing_at_the_start_stops_a_new_run_and_not_one_that_goes_on(
    tiny_recipe: MakeRecipe, store: Store, tmp_path: Path, wandb: StandIn, capsys: Capture
) -> None:
    recipe = tiny_recipe("run.wandb=faces")
    wandb.fails_in = "init"
    for _ in range(2):
        with pytest.raises(ResourceError, match="Weights & Biases cannot start: no network") as caught:
            train(recipe, store, tmp_path / "run", CPU, Console(quiet=True), resume=True)
    assert caught.value.hint is not None
    assert "WANDB_MODE=offline" in caught.value.hint
    assert not (tmp_path / "run/stats.jsonl").exists()
    capsys.readouterr()
    session(recipe, tmp_path / "run", 8, 16)
    assert capsys.readouterr().err == (
        "warning: no logging to Weights & Biases, training goes on: "
        "run.wandb: Weights & Biases cannot start: no network\n"
    )


@pytest.mark.parametrize("there", [None, ModuleType("wandb")])
def test_a_missing_package_is_said_before_training(
    tiny_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch, there: ModuleType | None
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", there)  # a folder of that name is an empty module
    check_trackers(tiny_recipe())
    with pytest.raises(ResourceError, match=r"run\.wandb: the package wandb is not installed") as caught:
        check_trackers(tiny_recipe("run.wandb=faces"))
    assert caught.value.hint == "Install it: pip install wandb, or --set run.wandb=null"


def test_the_package_itself_offline(
    tiny_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("wandb.sdk")
    monkeypatch.setenv("WANDB_MODE", "offline")
    recipe = tiny_recipe("run.wandb=faces", "run.tensorboard=false")
    session(recipe, tmp_path / "run", 0, 16)
    (log,) = (tmp_path / "run/wandb").glob("offline-run-*/*.wandb")
    rows = list(history(log))
    assert [row["images_seen"] for row in rows] == [0, 0, 8, 16, 16, 16]
    assert [row.get("loss/d") for row in rows] == [None, None, 6, 14, None, None]
    assert rows[-1]["metric/fid"] == 7
    assert len(list(log.parent.glob("files/media/images/*.png"))) == 3
    session(recipe, tmp_path / "run", 16, 24)
    logs = sorted((tmp_path / "run/wandb").glob("offline-run-*/*.wandb"))
    assert len({path.name for path in logs}) == 1
    assert capfd.readouterr() == ("", "")


def history(log: Path) -> Iterator[dict[str, Any]]:
    """The rows of a .wandb file: records in blocks of 32 KiB, each with checksum, length and kind (as in LevelDB)."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, at, data = log.read_bytes(), 7, b""
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", content, at)
        data += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = Record.FromString(data)
            if record.WhichOneof("record_type") == "history":
                yield {
                    item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item
                }
            data = b""
