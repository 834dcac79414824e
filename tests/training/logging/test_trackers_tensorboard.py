"""TensorBoard's files, read by TensorBoard's own reader: complete, and without doubles whenever a run was killed."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.recipe import Recipe
from swincli.training.logging.event_files import read_events, truncate_events
from swincli.training.logging.report import Report
from swincli.training.logging.trackers import LARGEST_SIDE
from swincli.training.loop import train
from swincli.training.run.folder import RunFolder
from swincli.training.run.state import build_state

CPU = torch.device("cpu")
MakeRecipe = Callable[..., Recipe]
Points = dict[str, list[tuple[int, float]]]


def read(run: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    return accumulator.Reload()


def scalars(run: Path) -> Points:
    """All points but those that the clock and the allocator make."""
    events = read(run)
    tags = [tag for tag in events.Tags()["scalars"] if not tag.startswith(("time/", "memory/"))]
    return {tag: [(point.step, point.value) for point in events.Scalars(tag)] for tag in tags}


def pictures(run: Path) -> dict[str, list[tuple[int, bytes]]]:
    events, tags = read(run), ("samples", "reals")
    return {tag: [(point.step, point.encoded_image_string) for point in events.Images(tag)] for tag in tags}


class Session:
    """One start of a run of 4 images a step with a line of statistics every 8, driven without training anything."""

    def __init__(self, recipe: Recipe, run: Path, images_seen: int = 0) -> None:
        self.folder, self.state = RunFolder(run), build_state(recipe, "", CPU)
        self.state.images_seen = images_seen
        self.report = Report(Console(quiet=True), self.folder, CPU)
        self.following = self.report.live(self.state)
        self.folder.truncate_logs(images_seen)
        self.following.__enter__()

    def step(self) -> None:
        state = self.state
        state.images_seen += 4
        self.report.step(state, {"loss/d": 1 / state.images_seen, "grad/g": 2.0}, 0.1, state.images_seen)
        if state.images_seen % 8 == 0:
            draw(self.folder.samples(state.images_seen), (state.images_seen, 0, 0))
            self.report.sample_grid(state, 0.1)
        self.report.write_stats(state)
        if state.images_seen % 8 == 0:
            self.report.flush()
            self.report.metrics(state, {"fid": 100.0 - state.images_seen})

    def end(self) -> None:
        self.following.__exit__(None, None, None)


def draw(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (6, 4)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture(scope="module")
def whole(tiny_recipe: MakeRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unbroken run of 40 images."""
    run = tmp_path_factory.mktemp("whole") / "run"
    draw(run / "reals.png", (0, 0, 255))
    draw(RunFolder(run).samples(0), (0, 255, 0))
    session = Session(tiny_recipe("train.total=40"), run)
    for _ in range(10):
        session.step()
    session.end()
    return run


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(whole, tmp_path / "copied"))


def test_what_a_run_writes(whole: Path) -> None:
    points = scalars(whole)
    assert points["loss/d"] == [(seen, pytest.approx((1 / seen + 1 / (seen - 4)) / 2)) for seen in (8, 16, 24, 32, 40)]
    assert points["metric/fid"] == [(seen, 100.0 - seen) for seen in (8, 16, 24, 32, 40)]
    assert points.keys() == {"loss/d", "grad/g", "lr/g", "lr/d", "metric/fid", "samples/diversity"}
    line = json.loads((whole / "stats.jsonl").read_text().splitlines()[-1])
    of_line = {
        "time/seconds": line["seconds"],
        "time/sec_per_kimg": line["sec_per_kimg"],
        "memory/cpu": line["memory/cpu"],
        "lr/d": line["d_lr"],
    }
    assert {tag: read(whole).Scalars(tag)[-1].value for tag in of_line} == pytest.approx(of_line)
    shown = pictures(whole)
    assert [step for step, _ in shown["samples"]] == [0, 8, 16, 24, 32, 40]
    assert [step for step, _ in shown["reals"]] == [0]
    with Image.open(io.BytesIO(shown["samples"][2][1])) as picture:
        assert (picture.size, picture.getpixel((3, 2))) == ((6, 4), (16, 0, 0))
    (text,) = read(whole).Tensors("recipe")
    assert b"    [train]\n    total = 40\n" in text.tensor_proto.string_val[0]


@pytest.mark.parametrize(
    ("killed_at", "state_at", "torn"),
    [(4, 0, 0), (8, 0, 0), (8, 8, 0), (12, 8, 0), (36, 0, 0), (8, 0, 5), (16, 8, 1), (32, 16, 40), (32, 24, 100)],
)
def test_a_run_that_was_killed_and_goes_on_has_neither_holes_nor_doubles(
    whole: Path, tiny_recipe: MakeRecipe, tmp_path: Path, killed_at: int, state_at: int, torn: int
) -> None:
    recipe, started, killed = tiny_recipe("train.total=40"), tmp_path / "started", tmp_path / "killed"
    draw(started / "reals.png", (0, 0, 255))
    draw(RunFolder(started).samples(0), (0, 255, 0))
    first = Session(recipe, started)
    while first.state.images_seen < killed_at:
        first.step()
    shutil.copytree(started, killed)  # what is on the disk now is what a kill leaves
    first.end()
    (file,) = (killed / "tensorboard").iterdir()
    os.truncate(file, file.stat().st_size - torn)
    second = Session(recipe, killed, state_at)
    while second.state.images_seen < 40:
        second.step()
    second.end()
    assert scalars(killed) == scalars(whole)
    assert pictures(killed) == pictures(whole)
    events = [event for path in sorted((killed / "tensorboard").iterdir()) for _, event in read_events(path)]
    steps = [event.step for event in events if event.summary.value]
    assert steps == sorted(steps)


def test_a_finished_run_that_is_started_again_gets_nothing_twice(
    whole: Path, copied: Path, tiny_recipe: MakeRecipe
) -> None:
    Session(tiny_recipe("train.total=40"), copied, 40).end()
    assert (scalars(copied), pictures(copied)) == (scalars(whole), pictures(whole))


def test_damaged_files_lose_what_is_after_the_damage(copied: Path) -> None:
    folder = copied / "tensorboard"
    (file,) = folder.iterdir()
    content = bytearray(file.read_bytes())
    ends = [end for end, _ in read_events(file)]
    content[ends[-3] + 2] ^= 1  # in the length of the last but one
    file.write_bytes(content)
    (folder / "events.out.tfevents.zeros").write_bytes(bytes(4096))
    (folder / "notes.txt").write_text("kept")
    truncate_events(folder, 1000)
    assert file.stat().st_size == ends[-3]
    assert sorted(path.name for path in folder.iterdir()) == [file.name, "notes.txt"]


def test_truncating_says_what_is_left(copied: Path) -> None:
    assert truncate_events(copied / "tensorboard", 20)["samples"] == 16
    assert truncate_events(copied / "tensorboard", 20)["reals"] == 0
    assert truncate_events(copied / "missing", 20) == {}


def test_large_grids_are_reduced(tiny_recipe: MakeRecipe, tmp_path: Path) -> None:
    run = tmp_path / "run"
    draw(RunFolder(run).samples(0), (9, 9, 9), (2 * LARGEST_SIDE + 2, 30))
    draw(run / "reals.png", (9, 9, 9), (LARGEST_SIDE, 10))
    Session(tiny_recipe(), run).end()
    sizes = {tag: Image.open(io.BytesIO(shown[0][1])).size for tag, shown in pictures(run).items()}
    assert sizes == {"samples": (1366, 10), "reals": (LARGEST_SIDE, 10)}


def test_a_folder_that_cannot_be_written_is_a_warning(
    tiny_recipe: MakeRecipe, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/tensorboard").write_text("in the way")
    result = train(tiny_recipe("train.total=8"), store, tmp_path / "run", CPU, Console(quiet=True), resume=True)
    assert result.finished
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith("warning: no logging to TensorBoard, training goes on: ")


def test_it_can_be_turned_off(tiny_recipe: MakeRecipe, store: Store, tmp_path: Path) -> None:
    train(
        tiny_recipe("run.tensorboard=false", "train.total=4"),
        store,
        tmp_path / "run",
        CPU,
        Console(quiet=True),
        resume=True,
    )
    assert not (tmp_path / "run/tensorboard").exists()


def test_a_trained_run_has_all_of_its_statistics(finished_run: Path) -> None:
    lines = [json.loads(line) for line in (finished_run / "stats.jsonl").read_text().splitlines()]
    points = scalars(finished_run)
    for name in ("loss/d", "loss/g", "loss/r1", "d/real_accuracy", "d/fake_accuracy", "grad/d", "grad/g"):
        assert points[name] == [(line["images_seen"], pytest.approx(line[name])) for line in lines]
    shown = pictures(finished_run)
    assert [step for step, _ in shown["samples"]] == [0, 8, 16, 24]
    assert [step for step, _ in shown["reals"]] == [0]
