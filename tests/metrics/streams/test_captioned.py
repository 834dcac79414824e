"""R-precision of stores with captions: pictures that show their text, pictures that do not, and the held-out part."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from text_stores import captions_of, picture, text_store
from tiny_backbone import NoFile, install_tiny_backbone
from torch import Tensor

from swincli.console import Console
from swincli.data.sources.composed import COMPOSITIONS
from swincli.data.store.captions import make_captions
from swincli.data.store.reader import Store
from swincli.errors import DataError, ResourceError, UsageError
from swincli.metrics.networks.detectors import Detector
from swincli.metrics.streams import captioned
from swincli.metrics.streams import said_slots as slots_module
from swincli.metrics.streams.captioned import check_texts, held_out_part, match_texts
from swincli.metrics.streams.said_slots import said_slots
from swincli.model.files.attributes import Attributes
from swincli.recipe.attributes import Attribute, Kind
from swincli.synthesis.latents.truncation import Truncation
from swincli.training.step.texts import known_texts

PAIRS = [(colour, side) for colour in range(3) for side in range(2)]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _parts(tmp_path_factory.mktemp("parts"), labelled=False)


def _parts(root: Path, *, labelled: bool) -> Path:
    """Two parts of a split: the second one has a pair that the first lacks."""
    captions = captions_of(PAIRS)
    for part, pairs in (("train", [PAIRS[number % 5] for number in range(240)]), ("held-out", [PAIRS[5]] * 30)):
        of_part = captions.take([PAIRS.index(pair) for pair in pairs])
        text_store(root / part, pairs, of_part, labelled=labelled)
        manifest = root / part / "manifest.json"
        facts = json.loads(manifest.read_text()) | {"split": "held out: blue + right", "part": part}
        manifest.write_text(json.dumps(facts))
    return root


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(captioned, "STEPS", 60)
    captions = captions_of(PAIRS)
    rows = torch.from_numpy(captions.columns(slice(None)))
    attributes = Attributes((Attribute("caption", Kind("text", rows.shape[1])),), rows, known_texts(captions))
    recipe = SimpleNamespace(model=SimpleNamespace(discriminator="plain"), loss=SimpleNamespace(features=0.0))
    return SimpleNamespace(attributes=attributes, recipe=recipe, ancestors=(), device=torch.device("cpu"))


def drawing(right: bool) -> Any:
    """A generator that draws what the text says, or anything."""
    captions = captions_of(PAIRS)
    texts = captions.columns(captions.drawn(np.arange(6), np.zeros(6)))

    def generate(_: Any, seeds: list[int], truncation: Truncation, labels: Tensor) -> Iterator[Tensor]:
        assert truncation.strength == 0.5
        random = np.random.default_rng(seeds[0])
        chosen = (labels.numpy() @ texts.T).argmax(axis=1) if right else random.integers(6, size=len(labels))
        yield torch.from_numpy(np.stack([picture(*PAIRS[number], random) for number in chosen]))

    return generate


def test_pictures_of_their_texts_are_told_from_others(
    stores: Path, model: Any, tiny: Detector, quiet: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {}
    for right in (True, False):
        monkeypatch.setattr(captioned, "generate", drawing(right))
        found[right] = match_texts(model, str(stores / "train"), tiny, 60, 0, quiet, 0.5).match
    assert found[True].real.mean() > 0.9
    assert found[True].drawn.mean() > 0.9
    assert found[True].shuffled.mean() < 0.5
    assert found[False].drawn.mean() < 0.5
    assert found[True].held_out is not None
    assert found[True].real_held_out is not None
    assert len(found[True].held_out) == len(found[True].real_held_out) == 30


def test_what_captions_name_is_looked_for_in_images(
    model: Any, tiny: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install_tiny_backbone(monkeypatch)
    monkeypatch.setattr(slots_module, "WEIGHTS", NoFile())
    monkeypatch.setattr(captioned, "STEPS", 2)
    root, found = _parts(tmp_path, labelled=True), dict[bool, dict[str, float]]()
    for right in (True, False):
        monkeypatch.setattr(captioned, "generate", drawing(right))
        found[right] = match_texts(model, str(root / "train"), tiny, 60, 0, Console(quiet=True), 0.5).values()
    assert found[True]["text_accuracy_of_reals:shade"] > 0.9
    for name in ("text_accuracy:shade", "text_accuracy_held_out:shade", "text_accuracy_of_reals_held_out:shade"):
        assert found[True][name] > 0.9
    assert found[True]["text_accuracy:right"] == 1  # named where it is on the right; on the left nothing is said
    assert found[False]["text_accuracy:shade"] < 0.6
    assert not any("age" in name for name in found[True])

    def missing() -> None:
        raise ResourceError("the package scikit-learn is not installed")

    monkeypatch.setattr(slots_module, "require_sklearn", missing)
    assert match_texts(model, str(root / "train"), tiny, 60, 0, Console(), 0.5).slots is None
    assert "no accuracy of what captions name: the package scikit-learn" in " ".join(capsys.readouterr().err.split())


def test_slots_of_composed_pictures_are_read_from_their_captions(stores: Path) -> None:
    assert said_slots(Store.open(stores / "train")) is None
    kind = COMPOSITIONS["builtin:cats"]
    chosen = kind.choose(3, 0) | {"fur": 2}
    first, *_ = kind.sentences(chosen)
    captions = make_captions([(first,)], {first: np.ones(3, np.float32)}, "words", "0" * 64)
    manifest = SimpleNamespace(source="builtin:cats:20k", attribute_list=list)
    found = said_slots(SimpleNamespace(captions=captions, attributes=None, manifest=manifest))  # type: ignore[arg-type]
    assert found is not None
    assert found.have["fur"] == ["plain fur"]
    assert found.said["fur"] == [None]
    assert found.said["body"] == found.have["body"] == [kind.labels(chosen)["body"]]
    manifest.source = "builtin:robots"
    assert said_slots(SimpleNamespace(captions=captions, attributes=None, manifest=manifest)) is None  # type: ignore[arg-type]


def test_the_held_out_part_is_the_other_one_of_the_split(stores: Path, tmp_path: Path) -> None:
    other = held_out_part(Store.open(stores / "train"))
    assert other is not None
    assert other.path.name == "held-out"
    assert held_out_part(text_store(tmp_path / "alone")) is None


def test_what_is_missing_is_said(stores: Path, model: Any, store: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs a model of texts"):
        check_texts(None, str(stores / "train"))
    for reference in (None, str(tmp_path), str(store.path)):
        with pytest.raises(UsageError, match="must be a store with captions"):
            check_texts(model, reference)
    with pytest.raises(DataError, match="at least 200 real images"):
        check_texts(model, str(stores / "held-out"))
    check_texts(model, str(stores / "train"))
