"""Class names of a model, and the text of --class."""

from __future__ import annotations

import pytest

from swincli.errors import UsageError
from swincli.model.files.classes import Classes

ANIMALS = Classes(("cat", "dog", "hen, rooster"), (6, 3, 1))


def test_shares_are_those_of_the_training_images() -> None:
    assert ANIMALS.shares == pytest.approx([0.6, 0.3, 0.1])
    assert ANIMALS.even == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize(
    ("text", "labels"),
    [("cat", [0]), ("2", [2]), ("dog,cat", [1, 0]), ("0, dog", [0, 1]), ("hen, rooster", [2]), ("1,1", [1, 1])],
)
def test_classes_are_found_by_name_and_by_number(text: str, labels: list[int]) -> None:
    assert ANIMALS.find(text) == labels


def test_a_name_counts_before_a_number() -> None:
    digits = Classes(("3", "1", "2"), (1, 1, 1))
    assert digits.find("2") == [2]
    assert digits.find("1") == [1]
    assert digits.find("0") == [0]
    assert digits.find("3") == [0]


@pytest.mark.parametrize("text", ["cow", "3", "-1", "", "cat,,dog", "Cat", "²", "1.0"])
def test_what_is_no_class(text: str) -> None:
    with pytest.raises(UsageError, match="the model has no such class") as caught:
        ANIMALS.find(text)
    assert caught.value.hint == "It has cat, dog, hen, rooster; their numbers go from 0 to 2."


@pytest.mark.parametrize(("names", "images"), [((), ()), (("a",), (1, 2)), (("a", "b"), (0, 0)), (("a",), (-1,))])
def test_classes_that_do_not_add_up(names: tuple[str, ...], images: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="every class needs a name and a number of images"):
        Classes(names, images)
