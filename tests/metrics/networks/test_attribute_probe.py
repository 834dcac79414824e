"""Attribute probes: what they learn from features, how they are measured, and what they refuse."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from tiny_backbone import CHANNELS, install_tiny_backbone

from swincli.errors import DataError, ResourceError
from swincli.metrics.networks.attribute_probe import (
    FEWEST,
    HELD_OUT,
    fit_classes,
    fit_numbers,
    logistic_boundary,
    probe_features,
)

CPU = torch.device("cpu")


def _coloured(count: int, seed: int = 0) -> tuple[torch.Tensor, list[str], list[float]]:
    """Noisy pictures `[N, 16, 16, 3]` that are red, green or blue, with a bright corner of some brightness."""
    random = np.random.default_rng(seed)
    names = ["blue", "green", "red"]
    chosen, brightness = random.integers(0, 3, count), random.uniform(0, 1, count)
    pictures = random.integers(0, 60, (count, 16, 16, 3))
    pictures[np.arange(count), ..., 2 - chosen] += 150
    pictures[:, :4, :4] = (255 * brightness)[:, None, None, None]
    images = torch.from_numpy(pictures.astype(np.uint8))
    return images, [names[index] for index in chosen], brightness.tolist()


@pytest.fixture(scope="module")
def coloured() -> tuple[np.ndarray, list[str], list[float]]:
    with pytest.MonkeyPatch.context() as patch:
        install_tiny_backbone(patch)
        images, names, brightness = _coloured(120)
        return probe_features(images.split(50), CPU), names, brightness


def test_features_do_not_depend_on_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    install_tiny_backbone(monkeypatch)
    images, _, _ = _coloured(6)
    whole = probe_features([images], CPU)
    torch.testing.assert_close(whole, probe_features(images.split(1), CPU))
    first, second, third, fourth = CHANNELS
    assert whole.shape == (6, 16 * first + 16 * second + 4 * third + fourth)
    assert whole.dtype == np.float32


def test_pictures_of_several_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    install_tiny_backbone(monkeypatch)
    images = [torch.zeros(1, side, side, 3, dtype=torch.uint8) for side in (16, 300)]
    assert len(probe_features(images, CPU)) == 2


def test_classes_are_told_apart(coloured: tuple[np.ndarray, list[str], list[float]]) -> None:
    features, names, _ = coloured
    probe = fit_classes(features, names)
    assert probe.classes == ("blue", "green", "red")
    assert probe.quality.accuracy > 0.95
    assert probe.quality.balanced_accuracy > 0.95
    assert probe.quality.chance < 0.6
    right = np.array(probe.predict(features)) == np.array(names)
    assert right[probe.quality.held_out].mean() == pytest.approx(probe.quality.accuracy)
    np.testing.assert_allclose(probe.probabilities(features).sum(axis=1), 1)
    margin = probe.margin(features, "red")
    np.testing.assert_allclose(1 / (1 + np.exp(-margin)), probe.probabilities(features)[:, 2], atol=1e-9)
    with pytest.raises(KeyError):
        probe.margin(features, "pink")


def test_held_out_pictures_are_a_share_of_every_class_and_always_the_same() -> None:
    features = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    names: list[str | None] = ["yes"] * 20 + ["no"] * 70 + [None] * 10
    one, other = fit_classes(features, names), fit_classes(features, names)
    held_out = one.quality.held_out
    np.testing.assert_array_equal(held_out, other.quality.held_out)
    np.testing.assert_array_equal(one.weights, other.weights)
    assert (held_out < 20).sum() == round(HELD_OUT * 20)
    assert ((held_out >= 20) & (held_out < 90)).sum() == round(HELD_OUT * 70)
    assert held_out.max() < 90
    assert one.quality.fitted == 90 - len(held_out)
    assert set(held_out) != set(fit_classes(features, names, seed=1).quality.held_out)


def test_a_rare_class_counts_as_much_as_a_frequent_one() -> None:
    random = np.random.default_rng(1)
    features = random.normal(size=(420, 2)).astype(np.float32)
    features[:20, 0] += 2
    probe = fit_classes(features, ["rare"] * 20 + ["frequent"] * 400)
    assert probe.quality.balanced_accuracy > 0.7  # without weights hardly any is called rare
    assert probe.quality.chance > 0.9


def test_labels_without_a_relation_to_the_pictures_are_at_chance() -> None:
    random = np.random.default_rng(2)
    features = random.normal(size=(300, 20)).astype(np.float32)
    quality = fit_classes(features, random.choice(["a", "b"], 300).tolist()).quality
    assert 0.35 < quality.accuracy < 0.65
    assert fit_numbers(features, random.normal(size=300).tolist()).quality.accuracy < 0.1


def test_numbers(coloured: tuple[np.ndarray, list[str], list[float]]) -> None:
    features, _, brightness = coloured
    random = np.random.default_rng(3)
    points = random.normal(size=(4000, 4)).astype(np.float32)
    probe = fit_numbers(points, (5 + 3 * points[:, 1]).tolist())
    assert probe.quality.accuracy > 0.9
    assert np.corrcoef(probe.predict(points), points[:, 1])[0, 1] > 0.999
    guessed = np.array(fit_numbers(features, brightness).predict(features))
    assert np.corrcoef(guessed, brightness)[0, 1] > 0.5


def test_classes_that_are_too_rare_are_left_out_and_named() -> None:
    features = np.random.default_rng(0).normal(size=(21, 2)).astype(np.float32)
    probe = fit_classes(features, ["a"] * 10 + ["b"] * 10 + ["once"])
    assert probe.left_out == ("once",)
    assert probe.classes == ("a", "b")


@pytest.mark.parametrize("labels", [["a"] * 9, ["a"] * 8 + ["b"], [None] * 9, []])
def test_too_few_labels_are_refused(labels: list[str | None]) -> None:
    with pytest.raises(DataError, match="too few to tell classes apart") as caught:
        fit_classes(np.zeros((len(labels), 2), np.float32), labels)
    assert str(FEWEST) in (caught.value.hint or "")


@pytest.mark.parametrize("values", [[1.0] * 20, [1.0, 2.0, 3.0], [None] * 20])
def test_too_few_numbers_are_refused(values: list[float | None]) -> None:
    with pytest.raises(DataError, match="too few"):
        fit_numbers(np.zeros((len(values), 2), np.float32), values)


def test_a_boundary_has_the_direction_that_separates() -> None:
    random = np.random.default_rng(4)
    points = random.normal(size=(600, 5)) * np.array([1, 1, 5, 1, 1])
    positive = points[:, 3] > 0.5
    boundary = logistic_boundary(points, positive, strength=1.0)
    normal = boundary[:-1] / np.linalg.norm(boundary[:-1])
    assert normal[3] > 0.98
    assert ((points @ boundary[:-1] + boundary[-1] > 0) == positive).mean() > 0.95


def test_without_scikit_learn_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ResourceError) as caught:
        fit_classes(np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32), ["a", "b"] * 10)
    assert "swincli[directions]" in (caught.value.hint or "")
