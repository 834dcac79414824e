"""Labelled grids."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from swincli.synthesis.figures.labelled_grid import BACKGROUND, GridLabels, draw_labelled_grid, fit_text, load_font


def picture(side: int, value: int) -> Tensor:
    return torch.full((side, side, 3), value, dtype=torch.uint8)


def spans(line: Tensor, value: int) -> list[int]:
    """Positions in a line of pixels with a given grey value."""
    return torch.nonzero((line == value).all(dim=-1)).flatten().tolist()


@pytest.mark.parametrize(("side", "drawn"), [(32, 128), (48, 144), (128, 128), (144, 144)])
def test_pictures_keep_their_pixels_and_small_ones_are_enlarged(side: int, drawn: int) -> None:
    page = draw_labelled_grid([picture(side, 100), picture(side, 200), None, picture(side, 150)], 2, GridLabels())
    rows = spans(page[:, drawn // 2 + 20], 100)
    columns = spans(page[drawn // 2 + 20], 200)
    assert len(rows) == len(columns) == drawn
    assert (page == 150).all(dim=-1).sum() == drawn**2
    assert tuple(page[-drawn // 2, drawn // 2].tolist()) == BACKGROUND  # the empty place


def test_words_lie_outside_the_pictures() -> None:
    pictures = [picture(64, 100)] * 4
    words = GridLabels("A title", ["first", "second"], ["left", "right"], [f"seed {seed}" for seed in range(4)])
    page = draw_labelled_grid(pictures, 2, words)
    assert (page == 100).all(dim=-1).sum() == 4 * 128**2
    plain = draw_labelled_grid(pictures, 2, GridLabels())
    assert page.shape[0] > plain.shape[0]
    assert page.shape[1] > plain.shape[1]
    left, top = spans(page.flatten(0, 1), 100)[0] % page.shape[1], spans(page.flatten(0, 1), 100)[0] // page.shape[1]
    bright = (page > 128).any(dim=-1)
    assert bright[:top].any()
    assert bright[:, :left].any()
    assert bright[top + 128 : top + 150, left : left + 128].any()
    assert not (draw_labelled_grid(pictures, 2, GridLabels()) > 128).any()


def test_a_wide_title_and_long_labels_stay_on_the_page() -> None:
    page = draw_labelled_grid(
        [picture(16, 0)], 1, GridLabels("A title that is far longer than the picture is wide", ["row"])
    )
    assert (page[:, -8:] == torch.tensor(BACKGROUND, dtype=torch.uint8)).all()
    letters = load_font(14)
    assert fit_text("seed 4294967295 of a class with a very long name", letters, 128).endswith("...")
    assert letters.getlength(fit_text("seed 4294967295 of a class with a very long name", letters, 128)) <= 128
    assert fit_text("seed 4294967295", letters, 128) == "seed 4294967295"
