from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from swincli.commands.app import run
from swincli.data.sources import composed, open_source
from swincli.data.sources.composed import COMPOSITIONS
from swincli.data.store.reader import Store
from swincli.errors import ResourceError, UsageError

ROBOTS = COMPOSITIONS["builtin:robots"]


def rgba(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGBA")


@pytest.mark.parametrize(("text", "total"), [("builtin:cats", 324_000), ("builtin:robots", 1_000_000)])
def test_there_is_a_known_number_of_different_pictures(text: str, total: int) -> None:
    kind = COMPOSITIONS[text]
    assert kind.total == total
    every = {composed._permuted(index, total, 3) for index in range(0, total, 101)}
    assert len(every) == len(range(0, total, 101))
    assert min(every) >= 0
    assert max(every) < total


@given(st.integers(1, 500), st.integers(0, 2**63 - 1))
def test_the_order_is_a_permutation(total: int, seed: int) -> None:
    assert sorted(composed._permuted(index, total, seed) for index in range(total)) == list(range(total))


@pytest.mark.parametrize("kind", COMPOSITIONS.values(), ids=COMPOSITIONS)
def test_every_part_is_chosen_about_equally_often(kind: composed.Composition) -> None:
    chosen = [kind.choose(index, 0) for index in range(4000)]
    for slot in kind.slots:
        counts = np.bincount([each[slot.name] for each in chosen], minlength=len(slot.words))
        assert (abs(counts - 4000 / len(slot.words)) < 5 * (4000 / len(slot.words)) ** 0.5).all(), slot.name


@pytest.mark.parametrize("kind", COMPOSITIONS.values(), ids=COMPOSITIONS)
def test_labels_have_one_meaning(kind: composed.Composition) -> None:
    for slot in kind.slots:
        assert len(set(slot.words)) == len(slot.words)
        assert len(slot.numbers or slot.words) == len(slot.words)


@pytest.mark.slow
def test_every_part_is_there_and_none_is_there_twice() -> None:
    for text, kind in COMPOSITIONS.items():
        parts = composed._Parts(Path(str(composed.find_spec("robohash").origin)).parent / "sets", kind, 16)  # type: ignore[union-attr]
        first = dict.fromkeys([slot.name for slot in kind.slots], 0)
        for slot in kind.slots:
            drawn = [parts.draw({**first, slot.name: number}) for number in range(len(slot.words))]
            assert len(set(drawn)) == len(drawn), (text, slot.name)


def test_pictures_depend_on_the_name_and_the_size_alone() -> None:
    few, many, other = (
        open_source(text, 32) for text in ("builtin:robots:3", "builtin:robots:6", "builtin:robots:3:1")
    )
    assert [entry.name for entry in few] == ["000000.png", "000001.png", "000002.png"]
    assert [entry.read() for entry in few] == [entry.read() for entry in list(many)[:3]]
    assert [entry.read() for entry in few] != [entry.read() for entry in other]


def test_shrinking_the_parts_is_shrinking_the_picture() -> None:
    (small,), (large,) = open_source("builtin:robots:1", 75), open_source("builtin:robots:1")
    assert rgba(large.read()).size == (300, 300)
    whole = rgba(large.read()).resize((75, 75), Image.Resampling.LANCZOS)
    ground = Image.new("RGBA", (75, 75), "white")
    drawn, shrunk = (np.asarray(Image.alpha_composite(ground, each), int) for each in (rgba(small.read()), whole))
    assert abs(drawn - shrunk).mean() < 2
    assert abs(drawn - shrunk).max() < 80  # at the borders between parts


def test_a_size_above_the_parts_gives_the_parts() -> None:
    (entry,) = open_source("builtin:robots:1", 1024)
    assert rgba(entry.read()).size == (300, 300)


def test_captions_say_what_is_there_and_slots_are_labels() -> None:
    source = open_source("builtin:cats:200", 16)
    captions = dict(json.loads(source.read_file("captions.json"))["labels"])
    bodies, things = (dict(json.loads(source.read_file(f"{name}.json"))["labels"]) for name in ("body", "accessory"))
    assert set(captions) == set(bodies) == {entry.name for entry in source}
    for name, caption in captions.items():
        assert caption.startswith(("a " if bodies[name][0] not in "aeiou" else "an ") + f"{bodies[name]} cat, ")
        assert ("none" in caption) is False
        assert things[name] in caption or things[name] == "none"
    with pytest.raises(KeyError):
        source.read_file("hats.json")


def test_a_store_has_labels_and_the_credit(tmp_path: Path) -> None:
    options = ["--resolution", "16", "--labels", "colour.json", "--quiet"]
    assert run(["prepare-data", "builtin:robots:40", str(tmp_path / "robots"), *options]) == 0
    store = Store.open(tmp_path / "robots")
    assert len(store) == 40
    assert set(store.manifest.label_names or ()) <= set(ROBOTS.slots[0].words)
    assert "Zikri Kader, CC-BY 4.0" in (store.manifest.credit or "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("builtin:cats:many", "many"),
        ("builtin:cats:0", "COUNT above 0"),
        ("builtin:cats:10:1:2", r"COUNT\[:SEED"),
        ("builtin:cats:325k", "there are 324,000 different cats"),
        ("builtin:cat", 'did you mean "builtin:cats"'),
        ("builtin:cats-2", "no such source"),
    ],
)
def test_what_cannot_be_composed_is_said(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_source(text)


def test_without_the_package_the_hint_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composed, "find_spec", lambda _: None)
    with pytest.raises(ResourceError, match="the package robohash is not installed") as caught:
        open_source("builtin:robots")
    assert caught.value.hint == 'Install it: pip install "swincli[artwork]"'
