from __future__ import annotations

import pytest

from swincli.errors import UsageError
from swincli.metrics.presets import Numbers, choose_numbers


@pytest.mark.parametrize(
    ("name", "num", "num_reference", "expected"),
    [
        (None, None, None, Numbers(50_000, None, None)),
        (None, 10, 20, Numbers(10, 20, None)),
        ("styleswin", None, None, Numbers(50_000, 50_000, "styleswin")),
        ("full", None, None, Numbers(50_000, None, "full")),
        ("full", 50_000, None, Numbers(50_000, None, "full")),
        ("full", 10_000, None, Numbers(10_000, None, "full (num 10000)")),
        ("styleswin", 100, 200, Numbers(100, 200, "styleswin (num 100, num-reference 200)")),
    ],
)
def test_options_win_over_a_preset_and_its_name_says_so(
    name: str | None, num: int | None, num_reference: int | None, expected: Numbers
) -> None:
    assert choose_numbers(name, num, num_reference, 1.0) == expected


def test_what_contradicts_a_preset_is_an_error() -> None:
    with pytest.raises(UsageError, match="--protocol full: takes all real pictures"):
        choose_numbers("full", None, 1000, 1.0)
    with pytest.raises(UsageError, match="--protocol styleswin: its images are not truncated"):
        choose_numbers("styleswin", None, None, 0.7)
    with pytest.raises(UsageError, match='unknown protocol "style"') as caught:
        choose_numbers("style", None, None, 1.0)
    assert caught.value.hint == 'Did you mean "styleswin"? There are: styleswin, full.'


def test_one_picture_is_too_few() -> None:
    with pytest.raises(UsageError, match=r"^--num 1: measuring takes at least 2"):
        choose_numbers(None, 1, None, 1.0)
    with pytest.raises(UsageError, match=r"^--num-reference 0: measuring takes at least 2"):
        choose_numbers("styleswin", None, 0, 1.0)
