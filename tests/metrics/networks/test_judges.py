"""A model whose D looked through a pretrained network is marked, and not measured by that network unless forced."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from swincli.errors import UsageError
from swincli.metrics.networks.judges import check_judge, judge_cautions, judge_of, probe_cautions
from swincli.metrics.networks.weight_files import INCEPTION
from swincli.metrics.protocol import FakesRecord, NetworkRecord
from swincli.metrics.registry import METRICS
from swincli.model.discriminators.frozen_features import BACKBONES
from swincli.model.files.ancestry import Ancestor
from swincli.model.pretrained.efficientnet import WEIGHTS
from swincli.recipe import Recipe
from swincli.recipe.objective import LossSection
from swincli.recipe.schema import ModelSection

LITE0 = NetworkRecord(WEIGHTS.network, WEIGHTS.sha256)
FAKES = FakesRecord("model.safetensors", 100, 64, judged_by=LITE0)


def detector(name: str, sha256: str) -> Any:
    return SimpleNamespace(name=name, sha256=sha256)


SAME, INCEPTION_V3 = detector("EfficientNet-Lite0", WEIGHTS.sha256), detector("Inception", INCEPTION.sha256)
OTHER = detector("clip.pt", "0" * 64)


@pytest.mark.parametrize(
    ("recipe", "judge"),
    [
        (Recipe(), None),
        (Recipe(loss=LossSection(features=1.0)), LITE0),
        (Recipe(model=ModelSection(discriminator="features"), loss=LossSection(r1_gamma=0.0)), LITE0),
    ],
)
def test_the_recipe_says_what_d_looked_through(recipe: Recipe, judge: NetworkRecord | None) -> None:
    assert judge_of(recipe, ()) == judge


def test_a_descendant_is_marked_too() -> None:
    marked = Ancestor("init", "cats64.safetensors", judge=(WEIGHTS.network, WEIGHTS.sha256))
    assert judge_of(Recipe(), (marked, Ancestor("prune", "other.safetensors"))) == LITE0
    assert judge_of(Recipe(), (Ancestor("init", "other.safetensors"),)) is None


def test_the_same_network_is_refused_and_only_that() -> None:
    with pytest.raises(UsageError, match="trained against features of EfficientNet-Lite0") as caught:
        check_judge(FAKES, SAME)
    assert "--force" in (caught.value.hint or "")
    check_judge(FAKES, INCEPTION_V3)
    check_judge(replace(FAKES, judged_by=None), SAME)


def test_cautions_say_how_much_values_mean() -> None:
    (void,), (favoured,) = judge_cautions(FAKES, SAME), judge_cautions(FAKES, INCEPTION_V3)
    assert "say nothing about its pictures" in void
    assert "learned from ImageNet as Inception did" in favoured
    assert judge_cautions(FAKES, OTHER) == judge_cautions(replace(FAKES, judged_by=None), INCEPTION_V3) == []


def test_networks_that_learned_from_other_pictures_favour_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    row = BACKBONES["efficientnet"]
    monkeypatch.setitem(BACKBONES, "efficientnet", replace(row, learned_from="satellites"))
    assert judge_cautions(FAKES, INCEPTION_V3) == []
    other_weights = replace(FAKES, judged_by=NetworkRecord(WEIGHTS.network, "1" * 64))
    (favoured,) = judge_cautions(other_weights, SAME)
    assert "learned from satellites as EfficientNet-Lite0 did" in favoured


def test_accuracies_by_the_same_features_are_measured_with_a_caution() -> None:
    (caution,) = probe_cautions(FAKES, ["label-accuracy", "text"])
    assert caution.startswith(
        "the classifiers of label-accuracy and text see features of EfficientNet-Lite0, which the"
    )
    assert probe_cautions(FAKES, []) == []
    other = NetworkRecord("another", "1" * 64)
    assert [probe_cautions(replace(FAKES, judged_by=judge), ["text"]) for judge in (None, other)] == [[], []]


def test_metrics_say_which_of_their_values_classifiers_judge() -> None:
    assert {name: row.probed for name, row in METRICS.items() if row.probed} == {
        "text": ("text_accuracy",),
        "label-accuracy": ("label_accuracy", "accuracy", "r2"),
    }
