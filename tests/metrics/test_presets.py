from __future__ import annotations

import pytest

from swincli.errors import UsageError
from swincli.metrics.presets import ImageCounts, choose_counts


@pytest.mark.parametrize(
    ("name", "num", "num_reference", "expected"),
    [
        (None, None, None, ImageCounts(50_000, None, None)),
        (None, 10, 20, ImageCounts(10, 20, None)),
        ("styleswin", None, None, ImageCounts(50_000, 50_000, "styleswin")),
        ("full", None, None, ImageCounts(50_000, None, "full")),
        ("full", 50_000, None, ImageCounts(50_000, None, "full")),
        ("full", 10_000, None, ImageCounts(10_000, None, "full (num 10000)")),
        ("styleswin", 100, 200, ImageCounts(100, 200, "styleswin (num 100, num-reference 200)")),
    ],
)
def test_options_win_over_a_preset_and_its_name_says_so(
    name: str | None, num: int | None, num_reference: int | None, expected: ImageCounts
) -> None:
    assert choose_counts(name, num, num_reference, 1.0) == expected


def test_what_contradicts_a_preset_is_an_error() -> None:
    with pytest.raises(UsageError, match="--protocol full: uses all reals"):
        choose_counts("full", None, 1000, 1.0)
    with pytest.raises(UsageError, match="--protocol styleswin: cannot be combined with --truncation"):
        choose_counts("styleswin", None, None, 0.7)
    with pytest.raises(UsageError, match=r'unknown protocol "style"; did you mean "styleswin"\?') as caught:
        choose_counts("style", None, None, 1.0)
    assert caught.value.hint == "Choose styleswin or full."


def test_one_picture_is_too_few() -> None:
    with pytest.raises(UsageError, match=r"^--num 1: metrics need at least 2"):
        choose_counts(None, 1, None, 1.0)
    with pytest.raises(UsageError, match=r"^--num-reference 0: metrics need at least 2"):
        choose_counts("styleswin", None, 0, 1.0)
