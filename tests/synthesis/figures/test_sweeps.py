"""Sweeps: parsing, and the codes along directions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swincli.synthesis.figures.sweeps import Sweep, parse_sweep, sweep_codes
from swincli.synthesis.latents.directions import Directions


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pca:0-3", ("pca", [0, 1, 2, 3], list(range(8)))),
        ("SeFa: 5,0-1@middle", ("sefa", [0, 1, 5], [4, 5, 6, 7])),
        ("pca:2,2@0,3", ("pca", [2], [0, 3])),
    ],
)
def test_sweeps_are_read(text: str, expected: tuple[str, list[int], list[int]]) -> None:
    assert parse_sweep(text, 8, 16) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pca", "a method and directions are needed"),
        ("ica:0", "a method and directions are needed"),
        ("pca:", "a method and directions are needed"),
        ("pca:3-1", "3-1 is not a range of directions"),
        ("pca:1-2-3", "1-2-3 is not a range of directions"),
        ("sefa:16", "this model has directions 0-15, not 16"),
        ("sefa:0@", "'' is not one of coarse"),
        ("sefa:0@fine", "this model has no fine layers"),
    ],
)
def test_what_is_no_sweep_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_sweep(text, 8, 16)


@settings(max_examples=50)
@given(st.one_of(st.text(max_size=8), st.from_regex(r"(pca|sefa):[0-9,-]{0,6}(@[a-z0-9,-]{0,6})?", fullmatch=True)))
def test_any_text_is_a_sweep_or_a_value_error(text: str) -> None:
    try:
        method, numbers, layers = parse_sweep(text, 8, 16)
    except ValueError:
        return
    assert method in ("pca", "sefa")
    assert numbers == sorted(set(numbers))
    assert set(numbers) <= set(range(16))
    assert set(layers) <= set(range(8))


def test_codes_move_by_standard_deviations_at_the_chosen_layers() -> None:
    directions = Directions(torch.eye(4), torch.tensor([4.0, 3.0, 2.0, 1.0]), torch.full((4,), 0.25))
    sweep = Sweep("pca", [0, 2], [1], steps=5, reach=2.0)
    code = torch.randn(3, 4)
    moved = sweep_codes(code, directions, sweep)
    assert moved.shape == (10, 3, 4)
    assert sweep.offsets == [-2, -1, 0, 1, 2]
    change = moved - code
    assert not change[:, [0, 2]].any()
    torch.testing.assert_close(change[:5, 1], torch.outer(torch.tensor([-8.0, -4, 0, 4, 8]), torch.eye(4)[0]))
    torch.testing.assert_close(change[5:, 1], torch.outer(torch.tensor([-4.0, -2, 0, 2, 4]), torch.eye(4)[2]))
    assert torch.equal(moved[2], code)
