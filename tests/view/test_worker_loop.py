"""The worker's loop: long work that answers in between and can be cancelled; previews; conditional models."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch
from sampled_models import sample, save_shown_model
from viewed_pages import no_network, photograph, pixels_of

from swincli.model.files.classes import Classes
from swincli.model.files.model_file import load_model
from swincli.recipe import Recipe
from swincli.view.look import parse_look
from swincli.view.worker.downloads import note_of, png
from swincli.view.worker.loop import Opening, serve
from swincli.view.worker.rendering import Renderer
from swincli.view.worker.studio import Studio


@pytest.fixture
def connection(shown_model: Path) -> Iterator[Connection]:
    """The server's end of a worker that is ready."""
    here, there = Pipe()
    opening = Opening(str(shown_model), "cpu", no_network)
    thread = threading.Thread(target=serve, args=(there, opening), daemon=True)
    thread.start()
    assert here.recv()["ready"]["size"] == 16
    yield here
    here.close()
    thread.join(20)


def test_long_work_answers_in_between_and_is_cancelled(connection: Connection) -> None:
    upload = {"name": "me.png", "data": photograph(), "space": "w", "steps": 5000}
    connection.send({"id": 1, "kind": "project", **upload})
    assert connection.recv()["progress"]["steps"] == 5000
    connection.send({"id": 2, "kind": "picture", "look": "seed=3"})
    connection.send({"id": 3, "kind": "project", **upload})
    connection.send({"id": 4, "kind": "open", "path": "elsewhere"})
    connection.send({"id": 5, "kind": "cancel", "what": 1})
    answers: dict[int, Any] = {}
    while 1 not in answers:
        message = connection.recv()
        if "progress" not in message:
            answers[message["id"]] = message
    assert answers[2]["done"]["content"]
    assert "is being made" in answers[3]["error"]
    assert "is being made" in answers[4]["error"]
    assert answers[1]["done"] == {"cancelled": True}
    connection.send({"id": 6, "kind": "picture", "look": ""})  # and it goes on
    assert connection.recv()["id"] == 6


def test_a_bug_is_a_sentence_and_no_end(connection: Connection) -> None:
    connection.send({"id": 1, "kind": "dance"})
    assert "unexpected KeyError" in connection.recv()["error"]
    connection.send({"id": 2, "kind": "picture", "look": ""})
    assert "done" in connection.recv()


def test_a_model_that_cannot_be_read_is_said_at_the_start(tmp_path: Path) -> None:
    here, there = Pipe()
    (tmp_path / "no.safetensors").write_bytes(b"no model")
    serve(there, Opening(str(tmp_path / "no.safetensors"), "cpu", no_network))
    assert "no.safetensors" in here.recv()["error"]


@pytest.fixture(scope="module")
def studio(shown_model: Path) -> Studio:
    return Studio(load_model(shown_model, torch.device("cpu")))


def test_previews_and_kept_levels_lead_to_the_same_bits(studio: Studio) -> None:
    other = studio.w_plus(parse_look("seed=9"))
    looks = ["seed=1", "seed=1&mix=2@2:1", "seed=1&mix=2@1:0.5", "seed=1&edit=pca:0@4-5=2", "seed=7", "seed=1"]
    for look in looks:
        code = studio.w_plus(parse_look(look))
        alone = Renderer(studio.model, code)
        for levels in (1, 2):
            assert (studio.renderer.draw(code, levels) == alone.draw(code, levels)).all()
        whole = studio.renderer.draw(code)
        assert (whole == Renderer(studio.model, other).draw(code)).all()
    assert [studio.renderer.draw(code, level).shape[0] for level in (1, 2)] == [8, 16]  # at their own resolution


@pytest.fixture
def renderer(studio: Studio) -> Renderer:
    """One whose levels take 1, 2 and 4 s, and whose previews show all."""
    made = Renderer(studio.model, studio.w_plus(parse_look("seed=1")))
    made._seconds, made._shown = [1.0, 2.0, 4.0], [1.0, 1.0, 1.0]
    return made


@pytest.mark.parametrize(
    ("look", "soon", "shown", "levels"),
    [
        ("seed=2", 60, [1, 1, 1], None),  # the whole picture is there soon
        ("seed=2", 3, [1, 1, 1], 2),  # the largest one that is
        ("seed=2", 0.5, [1, 1, 1], 1),  # none is, but one takes half the time or less
        ("seed=2", 0.5, [0.1, 1, 1], 2),
        ("seed=2", 0.5, [0.1, 0.1, 1], None),  # they are grey
        ("seed=1&mix=2@2:1", 3, [1, 1, 1], None),  # nothing of the lower levels is new
        ("seed=1&mix=2@1:1", 3, [1, 1, 1], 2),
        ("seed=1", 0, [1, 1, 1], None),
    ],
)
def test_slow_models_have_previews_that_show_something(
    studio: Studio,
    renderer: Renderer,
    monkeypatch: pytest.MonkeyPatch,
    look: str,
    soon: float,
    shown: list[float],
    levels: int | None,
) -> None:
    monkeypatch.setattr("swincli.view.worker.rendering.SOON", soon)
    renderer._shown = shown
    assert renderer.preview_levels(studio.w_plus(parse_look(look))) == levels


def test_previews_follow_one_another_until_the_whole_picture(
    studio: Studio, renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swincli.view.worker.rendering.SOON", 3.5)
    code, levels = studio.w_plus(parse_look("seed=2")), list[int | None]()
    while not levels or levels[-1] is not None:
        levels.append(renderer.preview_levels(code, levels[-1] if levels else 0))
        renderer.draw(code, levels[-1])
        renderer._seconds = [1.0, 2.0, 4.0]
    assert levels == [2, None]
    monkeypatch.setattr("swincli.view.worker.rendering.KEPT_BYTES", 0)
    renderer.draw(studio.w_plus(parse_look("seed=3")), 2)
    assert renderer.preview_levels(studio.w_plus(parse_look("seed=3")), 2) is None  # nothing is kept to go on from


def test_few_small_pictures_are_drawn_at_once_if_they_are_slow(studio: Studio, renderer: Renderer) -> None:
    assert renderer.tiles_at_once() == 1
    renderer._seconds = [0.005] * 3
    assert renderer.tiles_at_once() == 4
    studio.tiles(parse_look(""), [1, 2])
    assert 1 <= studio.renderer.tiles_at_once() <= 12


def test_weights_do_not_depend_on_the_file_any_more(shown_model: Path, tmp_path: Path) -> None:
    from swincli.view.worker.studio import in_own_memory

    file = tmp_path / "mine.safetensors"
    file.write_bytes(shown_model.read_bytes())
    model = in_own_memory(load_model(file, torch.device("cpu")))
    with file.open("r+b") as opened:
        opened.truncate(10)  # mapped weights would end the process
    assert all(parameter.isfinite().all() for parameter in model.generator.parameters())


def test_notes_say_what_sample_cannot_make(studio: Studio) -> None:
    note = note_of(studio, parse_look("seed=3&truncation=0.5&mix=5@0:1,2:0.25&edit=sefa:1@coarse=-2"))
    assert "seed=3 with=5@0-1:1,4-5:0.25 truncation=0.5 edit=sefa:1@0-3=-2" in note


@pytest.mark.parametrize("option", [[], ["--class", "red"]], ids=["drawn", "chosen"])
def test_pictures_of_classes_are_those_of_sample(
    tiny_recipe: Callable[..., Recipe], tmp_path: Path, option: list[str]
) -> None:
    recipe, classes = tiny_recipe("model.classes=2", "model.adain_gamma=1.0"), Classes(("blue", "red"), (8, 4))
    path = save_shown_model(recipe, tmp_path / "classes.safetensors", classes)
    studio = Studio(load_model(path, torch.device("cpu")))
    assert studio.facts()["classes"] == ["blue", "red"]
    chosen = "&class=red" if option else ""
    name, content = png(studio, parse_look(f"seed=4&truncation=0.6{chosen}"))
    assert sample(path, tmp_path, "--seeds", "4", "--truncation", "0.6", "--batch", "1", "--quiet", *option) == 0
    assert content == (tmp_path / name).read_bytes()
    _, content = png(studio, parse_look(f"seed=4&mix=5@1:1{chosen}"))
    assert sample(path, tmp_path / "mix", "--mix", "4:5@2-3", "--batch", "1", "--quiet", *option) == 0
    drawn = (tmp_path / "mix" / "seed-000004-mix-000005.png").read_bytes()
    assert (pixels_of(content) == pixels_of(drawn)).all()
    assert content == drawn
