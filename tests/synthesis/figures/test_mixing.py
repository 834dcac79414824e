"""Style mixing: parsing, and mixing of codes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swincli.synthesis.figures.mixing import Mix, mix_codes, parse_mix


@pytest.mark.parametrize(
    ("text", "mix"),
    [
        ("1,5:9,12@middle", Mix([1, 5], [9, 12], "middle")),
        ("0-2:7@0-3,5", Mix([0, 1, 2], [7], "0-3,5")),
        ("3:4", Mix([3], [4], "coarse")),
    ],
)
def test_mixes_are_read(text: str, mix: Mix) -> None:
    assert parse_mix(text) == mix


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2", "separated by one colon"),
        ("1:2:3", "separated by one colon"),
        ("1:2@", "no layers after @"),
        (":2@coarse", "is not a seed"),
        ("1:4294967296", "above the largest seed"),
    ],
)
def test_what_is_no_mix_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_mix(text)


@settings(max_examples=50)
@given(st.text(alphabet="0123456789:,-@ac"))
def test_any_text_is_a_mix_or_a_value_error(text: str) -> None:
    try:
        mix = parse_mix(text)
    except ValueError:
        return
    assert mix.rows
    assert mix.columns
    assert mix.layers


def test_the_chosen_codes_come_from_the_other() -> None:
    base, other = torch.zeros(2, 6, 4), torch.ones(2, 6, 4)
    mixed = mix_codes(base, other, [1, 4])
    assert mixed[:, :, 0].tolist() == [[0, 1, 0, 0, 1, 0]] * 2
    assert not base.any()
