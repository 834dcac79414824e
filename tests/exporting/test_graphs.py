"""The exported graphs as modules: the same results as the model's own way, for every input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from sampled_models import save_shown_model

from swincli.errors import CheckpointError
from swincli.exporting.agreement import (
    TOLERANCE,
    Inputs,
    check_agreement,
    compare,
    expected_output,
    inputs_of_seeds,
    make_probes,
    to_bytes,
)
from swincli.exporting.graphs import GRAPHS, Graph, GraphName, make_graph
from swincli.model.files.classes import Classes
from swincli.model.files.model_file import Model, load_model
from swincli.recipe import Recipe

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def plain(tiny_recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("plain") / "model.safetensors"
    return load_model(save_shown_model(tiny_recipe("model.adain_gamma=1.0"), path), CPU)


@pytest.fixture(scope="module")
def conditional(tiny_recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("conditional") / "model.safetensors"
    recipe = tiny_recipe("model.adain_gamma=1.0", "model.classes=2")
    return load_model(save_shown_model(recipe, path, Classes(("cat", "dog"), (3, 1))), CPU)


def in_pytorch(graph: Graph) -> Callable[[Inputs], np.ndarray]:
    def run(inputs: Inputs) -> np.ndarray:
        with torch.no_grad():
            out: torch.Tensor = graph.module(*(torch.from_numpy(np.asarray(inputs[name])) for name in graph.inputs))
        return out.numpy()

    return run


@pytest.mark.parametrize("kind", ["plain", "conditional"])
@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_gives_what_the_model_gives(name: GraphName, kind: str, request: pytest.FixtureRequest) -> None:
    model: Model = request.getfixturevalue(kind)
    graph = make_graph(model, name)
    assert ("label" in graph.inputs) == (kind == "conditional" and name != "w-plus")
    probes = make_probes(model, graph)
    assert sum(len(next(iter(probe.inputs.values()))) for probe in probes) == 16
    assert len({float(probe.inputs["truncation"]) for probe in probes}) == 4
    found = compare(probes, in_pytorch(graph), graph.output)
    assert found.largest < TOLERANCE / 10
    assert found.largest_byte <= 1
    check_agreement("model.onnx", found)


def test_each_input_changes_the_image(conditional: Model) -> None:
    graph = make_graph(conditional, "z")
    first = dict(inputs_of_seeds(conditional, graph, [3], 0.7, 6))
    changes = {
        "z": -first["z"],
        "truncation": np.float32(0.2),
        "truncation_layers": np.int64(2),
        "label": 1 - first["label"],
    }
    assert set(changes) == set(graph.inputs)
    run = in_pytorch(graph)
    for name, value in changes.items():
        assert np.abs(run(first) - run({**first, name: value})).max() > 1e-3


def test_a_truncation_of_1_leaves_w_to_the_bit(plain: Model) -> None:
    graph = make_graph(plain, "mapping")
    inputs = inputs_of_seeds(plain, graph, range(4), 1.0, 0)
    assert np.array_equal(in_pytorch(graph)(inputs), expected_output(plain, graph, inputs))


def test_statistics_of_batches_are_refused_by_name(plain: Model) -> None:
    section = plain.recipe.model.model_copy(update={"style": "adabn"})
    with pytest.raises(CheckpointError, match=r'model\.style = "adabn" normalises by statistics of training batches'):
        make_graph(replace(plain, recipe=plain.recipe.model_copy(update={"model": section})), "z")


def test_what_is_too_far_away_is_refused_with_figures(plain: Model) -> None:
    graph = make_graph(plain, "z")
    probes = make_probes(plain, graph)[:1]
    exact = probes[0].expected

    def off(difference: float) -> Callable[[Inputs], np.ndarray]:
        return lambda inputs: exact + np.float32(difference)  # noqa: ARG005

    found = compare(probes, off(0.02), "image")
    assert found.psnr == pytest.approx(34, abs=1)
    assert found.bytes_changed > 0.9
    with pytest.raises(CheckpointError, match=r"model\.onnx: not written, .* differs from PyTorch by 0.02"):
        check_agreement("model.onnx", found)
    for wrong in (lambda inputs: exact[..., :1], off(np.nan)):  # noqa: ARG005
        with pytest.raises(CheckpointError, match="differs from PyTorch by inf"):
            check_agreement("model.onnx", compare(probes, wrong, "image"))


def test_bytes_are_rounded() -> None:
    values = np.array([0.0, 0.4 / 255, 0.6 / 255, 1.0], np.float32).reshape(1, 1, 2, 2).repeat(3, 1)
    assert to_bytes(values)[0, :, :, 0].tolist() == [[0, 0], [1, 255]]
