"""Metrics that use labels: FID inside each class, label accuracy, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from attribute_stores import ATTRIBUTES, make_attribute_store

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.errors import ResourceError, UsageError
from swincli.metrics import by_label
from swincli.metrics.by_label import ByClass, by_class, label_accuracy
from swincli.metrics.definitions.fid import frechet_distance
from swincli.metrics.definitions.moments import Moments
from swincli.metrics.metric import Context
from swincli.metrics.registry import METRICS, parse_metrics
from swincli.metrics.streams.features import SideStatistics
from swincli.metrics.streams.labels import Labelled, check_by, check_labelled
from swincli.model.files.model_file import Model, load_model, save_model
from swincli.model.generator import Generator
from swincli.recipe import Recipe
from swincli.synthesis.latents.truncation import Truncation
from swincli.training.step.labels import training_attributes, training_classes

CPU = torch.device("cpu")


class Told(Console):
    """A console that notes its warnings."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


@pytest.fixture(scope="module")
def big_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_attribute_store(tmp_path_factory.mktemp("big") / "store", 120)


@pytest.fixture(scope="module")
def model(big_store: Store, tiny_recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Model:
    recipe, path = tiny_recipe(ATTRIBUTES), tmp_path_factory.mktemp("model") / "m.safetensors"
    torch.manual_seed(0)
    kept = training_attributes(recipe.model, big_store)
    save_model(path, Generator(recipe.model).eval().requires_grad_(False), recipe, 0, attributes=kept)
    return load_model(path, CPU)


def side(features: np.ndarray) -> SideStatistics:
    return SideStatistics(len(features), Moments.from_features(features), features)


def test_fid_is_taken_inside_each_class(model: Model, big_store: Store) -> None:
    labelled, console = Labelled(model, big_store, range(90), "colour"), Told()
    random = np.random.default_rng(0)
    fakes, reals = (random.standard_normal((count, 4)).astype(np.float32) for count in (90, 120))
    asked, have = labelled.of_fakes("colour")[:, 0], labelled.of_reals("colour")[:, 0]
    fakes[:, 0] += 3 * asked
    reals[:, 0] += 3 * have
    found = by_class(side(fakes), side(reals), Context(console=console, labelled=labelled))
    values = found.values()
    assert list(values) == ["intra_fid", "fid:colour=blue", "fid:colour=green", "fid:colour=red"]
    moments = Moments.from_features(fakes[asked == 2]), Moments.from_features(reals[have == 2])
    assert values["fid:colour=blue"] == pytest.approx(frechet_distance(*moments))
    assert values["intra_fid"] == pytest.approx(np.mean([values[name] for name in values if name != "intra_fid"]))
    low, high = found.intervals()["fid:colour=blue"]
    assert low <= values["fid:colour=blue"] <= high
    assert "under 200 images, FID says little: blue (" in console.warnings[0]


def test_models_of_one_class_an_image_are_divided_too(
    labelled_store: Store, tiny_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    recipe, path = tiny_recipe("model.classes=2"), tmp_path / "classes.safetensors"
    network = Generator(recipe.model).eval().requires_grad_(False)
    save_model(path, network, recipe, 0, training_classes(2, labelled_store))
    labelled = Labelled(load_model(path, CPU), labelled_store, range(30), "class")
    features = np.random.default_rng(0).standard_normal((30, 4)).astype(np.float32)
    context = Context(console=Told(), labelled=labelled)
    values = by_class(side(features), side(features[:12]), context).values()
    assert list(values) == ["intra_fid", "fid:class=blue", "fid:class=red"]
    assert np.array_equal(labelled.of_reals("class")[:, 0], labelled_store.labels)


def test_classes_of_too_few_images_are_left_out(model: Model, big_store: Store) -> None:
    labelled, console = Labelled(model, big_store, range(2), "colour"), Told()
    features = np.random.default_rng(0).standard_normal((120, 4)).astype(np.float32)
    found = by_class(side(features[:2]), side(features), Context(console=console, labelled=labelled))
    assert isinstance(found, ByClass)
    assert len(found.left_out) >= 2
    assert any("too few images, left out" in warning for warning in console.warnings)


def test_images_that_show_their_labels_have_the_accuracy_of_real_ones(
    model: Model, big_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelled = Labelled(model, big_store, range(60))

    def honest(_: Model, seeds: range, truncation: Truncation, labels: torch.Tensor) -> Iterator[torch.Tensor]:
        """Pictures with the colours that were asked for."""
        assert truncation.strength == 0.5
        noise = np.random.default_rng(5).integers(0, 60, (len(seeds), 16, 16, 3), dtype=np.uint8)
        for picture, row in zip(noise, labels, strict=True):
            picture[..., int(row[0])] += 100
        yield torch.from_numpy(noise)

    def colours(batches: Iterator[torch.Tensor], _: torch.device) -> np.ndarray:
        return np.concatenate([batch.float().mean(dim=(1, 2)).numpy() for batch in batches])

    monkeypatch.setattr(by_label, "probe_features", colours)
    context = Context(labelled=labelled, truncation=0.5)
    monkeypatch.setattr(by_label, "generate", honest)
    values = label_accuracy(side(np.zeros((60, 2), np.float32)), side(np.zeros((2, 2), np.float32)), context).values()
    assert values["accuracy:colour"] > 0.95
    assert values["accuracy_of_reals:colour"] > 0.95
    assert values["label_accuracy"] == pytest.approx((values["accuracy:colour"] + values["accuracy:dark"]) / 2)
    assert values["r2:size"] < 0.5

    def shuffled(_: Model, seeds: range, truncation: Truncation, labels: torch.Tensor) -> Iterator[torch.Tensor]:
        yield from honest(_, seeds, truncation, labels.roll(1, dims=0))

    monkeypatch.setattr(by_label, "generate", shuffled)
    wrong = label_accuracy(side(np.zeros((60, 2), np.float32)), side(np.zeros((2, 2), np.float32)), context).values()
    assert wrong["accuracy:colour"] < 0.7


class OneValue(Labelled):
    """A store in which no image but three is dark, and a model that was asked for no size."""

    def of_reals(self, name: str) -> np.ndarray:
        found = super().of_reals(name)
        return np.arange(len(found))[:, None] < 3 if name == "dark" else found

    def of_fakes(self, name: str, seeds: range | None = None) -> np.ndarray:
        found = super().of_fakes(name, seeds)
        return np.full_like(found, np.nan) if name == "size" else found


def test_an_attribute_that_cannot_be_judged_is_left_out(
    model: Model, big_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    console, random = Told(), np.random.default_rng(0)

    def noise(batches: Iterator[torch.Tensor], _: torch.device) -> np.ndarray:
        return random.standard_normal((sum(len(batch) for batch in batches), 3))

    monkeypatch.setattr(by_label, "probe_features", noise)
    context = Context(console=console, labelled=OneValue(model, big_store, range(12)))
    both = side(np.zeros((12, 2), np.float32))
    values = label_accuracy(both, both, context).values()
    assert list(values) == ["label_accuracy", "accuracy:colour", "accuracy_of_reals:colour"]
    assert console.warnings == [
        "label-accuracy: dark is left out: labels: too few to tell classes apart: no (117), yes (3)",
        "label-accuracy: size is left out: labels: no generated image was asked for a value that the classifier knows",
    ]


@pytest.mark.parametrize("missing", ["require_sklearn", "WEIGHTS"])
def test_what_classifiers_need_is_asked_for_before_any_image_is_read(
    missing: str, model: Model, big_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent() -> None:
        raise ResourceError(f"{missing} is not installed")

    monkeypatch.setattr(by_label, missing, absent if missing == "require_sklearn" else SimpleNamespace(require=absent))
    with pytest.raises(ResourceError, match=f"{missing} is not installed"):
        METRICS["label-accuracy"].check(Context(labelled=Labelled(model, big_store, range(2))))


def test_what_lacks_labels_is_refused_by_name(
    model: Model, big_store: Store, store: Store, tiny_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="--metric label-accuracy: needs a model with labels and the store"):
        METRICS["label-accuracy"].check(Context())
    with pytest.raises(UsageError, match="has not the model's colour"):
        check_labelled(Labelled(model, store, range(2)), "label-accuracy")
    for by, problem in ((None, "needs --by-class NAME"), ("size", "--by-class size: no class or flag")):
        with pytest.raises(UsageError, match=problem):
            check_by(Labelled(model, big_store, range(2), by), "fid-by-class")
    recipe, path = tiny_recipe(), tmp_path / "plain.safetensors"
    save_model(path, Generator(recipe.model).eval().requires_grad_(False), recipe, 0)
    with pytest.raises(UsageError, match="has no labels"):
        check_labelled(Labelled(load_model(path, CPU), store, range(2)), "label-accuracy")
    assert parse_metrics("intra-fid,label_accuracy") == ["fid-by-class", "label-accuracy"]
