"""Selections of codes of w+ by name and number."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swincli.synthesis.latents.layer_ranges import format_code_layers, parse_code_layers


@pytest.mark.parametrize(
    ("text", "layers"),
    [
        ("coarse", [0, 1, 2, 3]),
        ("Middle", [4, 5, 6, 7]),
        ("fine", [8, 9, 10, 11, 12, 13]),
        ("fine, 3", [3, 8, 9, 10, 11, 12, 13]),
        ("5,0-2,1", [0, 1, 2, 5]),
        ("all", list(range(14))),
    ],
)
def test_layers_are_read(text: str, layers: list[int]) -> None:
    assert parse_code_layers(text, 14) == layers


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fine", "this model has no fine layers, only 0-7"),
        ("8", "this model has layers 0-7, not 8"),
        ("5-2", "layers 5-2 are in the wrong order; write 2-5"),
        ("rough", "'rough' is not one of coarse, middle, fine, all"),
        ("1,,2", "'' is not one of"),
    ],
)
def test_what_is_no_layer_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_code_layers(text, 8)


@settings(max_examples=50)
@given(st.text(max_size=10), st.integers(2, 18))
def test_any_text_gives_layers_of_the_model_or_a_value_error(text: str, num_ws: int) -> None:
    try:
        layers = parse_code_layers(text, num_ws)
    except ValueError:
        return
    assert layers == sorted(set(layers))
    assert set(layers) <= set(range(num_ws))


@settings(max_examples=40)
@given(st.sets(st.integers(0, 17), min_size=1))
def test_layers_are_written_as_they_are_read(layers: set[int]) -> None:
    assert parse_code_layers(format_code_layers(sorted(layers)), 18) == sorted(layers)
    assert format_code_layers([0, 1, 2, 5]) == "0-2,5"
