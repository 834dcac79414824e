"""Graphs of models with attributes: their labels are an input, and a page has controls for them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from attribute_stores import ATTRIBUTES

from swincli.commands.app import run
from swincli.data.store.reader import Store
from swincli.exporting.agreement import TOLERANCE, Inputs, compare, make_probes
from swincli.exporting.graphs import GRAPHS, GraphName, make_graph
from swincli.exporting.note import make_note
from swincli.exporting.web_page import PAGE, page_facts
from swincli.model.files.ancestry import Ancestor
from swincli.model.files.model_file import Model, load_model, save_model
from swincli.model.generator import Generator
from swincli.recipe import Recipe
from swincli.training.step.labels import training_attributes

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def path(attribute_store: Store, tiny_recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe, path = (
        tiny_recipe(ATTRIBUTES, "model.adain_gamma=1.0"),
        tmp_path_factory.mktemp("labels") / "model.safetensors",
    )
    kept = training_attributes(recipe.model, attribute_store)
    torch.manual_seed(0)
    generator = Generator(recipe.model).eval().requires_grad_(False)
    save_model(path, generator, recipe, 0, attributes=kept, ancestors=(Ancestor("init", "big.safetensors"),))
    return path


@pytest.fixture(scope="module")
def model(path: Path) -> Model:
    return load_model(path, torch.device("cpu"))


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_gives_what_the_model_gives(name: GraphName, model: Model) -> None:
    graph = make_graph(model, name)

    def in_pytorch(inputs: Inputs) -> np.ndarray:
        with torch.no_grad():
            out: torch.Tensor = graph.module(*(torch.from_numpy(np.asarray(inputs[each])) for each in graph.inputs))
        return out.numpy()

    assert ("label" in graph.inputs) == (name != "w-plus")
    probes = make_probes(model, graph)
    assert compare(probes, in_pytorch, graph.output).largest < TOLERANCE / 10
    if name != "w-plus":
        first = {each: value[:1] if each in ("z", "label") else value for each, value in probes[1].inputs.items()}
        for column in range(5):
            label = first["label"].copy()
            label[:, column] = 1 - np.nan_to_num(label[:, column])
            assert np.abs(in_pytorch(first) - in_pytorch({**first, "label": label})).max() > 1e-4


def test_a_note_has_no_keys_of_the_owner(model: Model, tiny_recipe: Callable[..., Recipe]) -> None:
    older = replace(model, recipe=tiny_recipe(ATTRIBUTES, 'run.on_event="curl secret"', 'run.mirror="/backup"'))
    note = json.dumps(make_note(older, make_graph(model, "z")))
    assert "secret" not in note
    assert "/backup" not in note


def test_the_note_says_which_column_is_what(model: Model) -> None:
    note = make_note(model, make_graph(model, "z"))
    assert note["inputs"]["label"] == "float32 [batch, 5], the columns of `attributes`; NaN is unknown"
    assert [(each["name"], each["kind"], each["columns"]) for each in note["attributes"]] == [
        ("colour", "class", [0, 1]),
        ("dark", "flag", [1, 2]),
        ("size", "number", [2, 3]),
        ("tags", "several", [3, 5]),
    ]
    assert note["attributes"][0]["values"] == ["red", "green", "blue"]
    assert (note["attributes"][2]["low"], note["attributes"][2]["high"]) == (10, 30)
    assert note["ancestors"] == [{"step": "init", "name": "big.safetensors", "identity": None, "images_seen": None}]
    assert page_facts(json.loads(json.dumps(note)), "")["attributes"] == note["attributes"]
    assert "attributes" not in make_note(model, make_graph(model, "w-plus"))


def test_the_page_has_a_control_for_every_kind_but_texts() -> None:
    script = (PAGE / "attributes.js").read_text(encoding="utf-8")
    kinds = re.search(r"const KINDS = {(.*)};", script)
    assert kinds is not None
    assert {each.split(":")[0].strip() for each in kinds[1].split(",")} == {"class", "flag", "number", "several"}


def test_a_page_of_texts_is_refused(
    path: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swincli.commands.export.run.find_runtime", lambda _: None)
    monkeypatch.setattr("swincli.recipe.networks.ModelSection.has_texts", True)
    words = ["export", str(path), "--web", str(tmp_path / "site"), "--runtime", "x", "--device", "cpu"]
    assert run(words) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert f"{path}: a model of texts is not exported as a page, which has no sentence encoder" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_labels_are_an_input_of_the_files(path: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    for name in ("g.onnx", "g.pt2"):
        assert run(["export", str(path), str(tmp_path / name), "--device", "cpu", "-q"]) == 0
    session = onnxruntime.InferenceSession(str(tmp_path / "g.onnx"), providers=["CPUExecutionProvider"])
    graph = torch.export.load(str(tmp_path / "g.pt2")).module()
    given = {
        "z": np.random.default_rng(0).standard_normal((3, 16)).astype(np.float32),
        "truncation": np.array(0.7, np.float32),
        "truncation_layers": np.array(6),
        "label": np.array([[0, 1, 0.5, 1, 0], [2, np.nan, 0, 0, 0], [1, 0, 1, 1, 1]], np.float32),
    }
    (images,) = session.run(None, given)
    expected = graph(*(torch.from_numpy(np.asarray(value)) for value in given.values())).detach().numpy()
    assert np.abs(images - expected).max() < 1e-4
