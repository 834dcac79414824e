"""Settings of attributes: how they are read, one error for what is none, and what is drawn for the rest."""

from __future__ import annotations

import math

import pytest
import torch

from swincli.errors import UsageError
from swincli.model.files.attributes import Attributes
from swincli.recipe.attributes import Attribute, Kind
from swincli.synthesis.latents.attributes import distinct_rows, draw_attributes, label_distances
from swincli.synthesis.latents.label_settings import choices, parse_labels, spell_labels

EACH = (
    Attribute("age", Kind("number"), low=20.0, high=60.0),
    Attribute("glasses", Kind("flag"), missing=2),
    Attribute("hair", Kind("class", 3), ("all", "brown, dark", "red")),
    Attribute("tags", Kind("several", 2), ("bow", "hat")),
)


def known(*rows: list[float]) -> Attributes:
    return Attributes(EACH, torch.tensor(rows))


FEW = known([0.0, 1, 0, 0, 1], [0.5, 0, 1, 0, 0], [1.0, math.nan, 2, 1, 1])


def test_values_are_read_and_spelled() -> None:
    settings = parse_labels(FEW, ["hair=brown, dark,glasses=yes, age=30", "tags=hat+bow"])
    assert {name: value.tolist() for name, value in settings.values.items()} == {
        "hair": [1], "glasses": [1], "age": [0.25], "tags": [1, 1],
    }  # fmt: skip
    row = torch.cat([settings.values[one.name] for one in EACH])
    assert spell_labels(FEW, row) == "age=30,glasses=yes,hair=brown, dark,tags=bow+hat"
    assert spell_labels(FEW, torch.tensor([0.5, math.nan, 2, 0, 0])) == "age=40,glasses=unknown,hair=red,tags=none"
    assert parse_labels(FEW, ["tags=none"]).values["tags"].tolist() == [0, 0]
    assert parse_labels(FEW, ["hair=all"]).values["hair"].tolist() == [0]  # a value of that name comes first


def test_several_values_are_taken_in_turn() -> None:
    every = parse_labels(FEW, ["age=all"])
    assert (every.turn, [value.tolist() for value in every.turns]) == ("age", [[0], [0.25], [0.5], [0.75], [1]])
    some = parse_labels(FEW, ["hair=red | all", "glasses=yes"])
    assert (some.turn, [value.tolist() for value in some.turns]) == ("hair", [[2], [0]])
    assert some.values["glasses"].tolist() == [1]
    assert [value.tolist() for value in parse_labels(FEW, ["tags=hat+bow|none"]).turns] == [[1, 1], [0, 0]]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("hair", "--label hair: not NAME=VALUE"),
        ("hairs=red", '--label hairs=red: the model has no such attribute; did you mean "hair"'),
        ("hair=green", "--label hair=green: there is no such value"),
        ("age=19", "--label age=19: there is no such value"),
        ("age=old", "--label age=old: there is no such value"),
        ("age=nan", "--label age=nan: there is no such value"),
        ("glasses=perhaps", "--label glasses=perhaps: there is no such value"),
        ("tags=hat+cap", "--label tags=hat+cap: there is no such value"),
        ("hair=unknown", "--label hair=unknown: it was known of every image in training"),
        ("age=30,age=40", "--label age=40: age is set twice"),
        ("age=all,glasses=all", "--label glasses=all: age takes values in turn already"),
        ("age=30|40,glasses=no|yes", "--label glasses=no|yes: age takes values in turn already"),
        ("age=30|40,age=50", "--label age=50: age is set twice"),
        ("hair=red|green", "--label hair=green: there is no such value"),
        ("hair=red|", "--label hair=: there is no such value"),
    ],
)
def test_what_cannot_be_set_is_one_error(text: str, problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_labels(FEW, [text])
    assert caught.value.message.startswith(problem)


def test_the_rest_comes_from_training_images_that_agree() -> None:
    rows = known(*[[0.1, 1, 0, 1, 0]] * 3, *[[0.9, 0, 2, 0, 1]] * 5)
    for hair, expected in ((0.0, [0.1, 1, 0, 1, 0]), (2.0, [0.9, 0, 2, 0, 1])):
        drawn = draw_attributes(rows, range(20), {"hair": torch.tensor([hair])})
        torch.testing.assert_close(drawn, torch.tensor([expected]).expand(20, -1))
    nearest = draw_attributes(rows, range(20), {"age": torch.tensor([0.7])})
    torch.testing.assert_close(nearest, torch.tensor([[0.7, 0, 2, 0, 1]]).expand(20, -1))


def test_another_class_is_as_far_as_any_other() -> None:
    rows = torch.tensor([[0.2, 1, 0, 1, 0], [0.2, 1, 1, 1, 1], [0.2, 1, 2, 1, 0], [0.7, math.nan, 2, 1, 0]])
    wanted = {"hair": torch.tensor([2.0]), "tags": torch.tensor([1.0, 0.0])}
    assert label_distances(FEW, rows, wanted).tolist() == [1, 2, 0, 0]
    both = {"age": torch.tensor([0.2]), "glasses": torch.tensor([1.0])}
    torch.testing.assert_close(label_distances(FEW, rows, both), torch.tensor([0, 0, 0, 1.0]))


def test_drawn_labels_are_as_frequent_as_in_training_and_depend_on_their_own_seed() -> None:
    rows = known(*[[0.1, 1, 0, 1, 0]] * 3, *[[0.9, 0, 2, 0, 1]] * 5)
    drawn = draw_attributes(rows, range(2000))
    assert (drawn[:, 2] == 2).float().mean().item() == pytest.approx(5 / 8, abs=0.04)
    assert torch.equal(draw_attributes(rows, [7, 3]), drawn[[7, 3]])
    assert len(distinct_rows(rows, 5)) == 2


def test_choices_go_through_all_values() -> None:
    assert [len(choices(one, 7)) for one in EACH] == [7, 2, 3, 2]
    assert [value.tolist() for value in choices(EACH[3], 7)] == [[1, 0], [0, 1]]
