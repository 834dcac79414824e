"""Attention figures: their shape, and colours that match the weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from swincli.synthesis.attention_maps import AttentionMap, Layer
from swincli.synthesis.figures.attention import (
    CAPTION,
    GAP,
    MARGIN,
    REGULAR,
    SHIFTED,
    draw_attention,
    heat_colours,
    heat_values,
)

PANEL, TOP = 512, 2 * MARGIN + 64 + 2 * CAPTION


def maps(layer: Layer, window: int = 8) -> list[AttentionMap]:
    """Two groups of heads: the first attends to one cell, the second uniformly to its window."""
    peak, even = torch.zeros(2, layer.resolution, layer.resolution)
    peak[8, 9] = 1.0
    even[4:12, 4:12] = 1 / 64
    return [
        AttentionMap(layer, (1, 2), window, 0, 8, 8, peak),
        AttentionMap(layer, (3, 4), window, 4, 8, 8, even),
    ]


@pytest.mark.parametrize(("size", "panel"), [(32, 512), (512, 512), (528, 528)])
def test_panels_are_at_least_512_px(size: int, panel: int) -> None:
    page = draw_attention(np.zeros((size, size, 3), np.uint8), [(0, 0)], [maps(Layer(16, 1))], "title", "notes")
    assert page.dtype == np.uint8
    assert page.shape[0] > panel
    assert page.shape[1] == 2 * MARGIN + 3 * panel + 2 * GAP


def test_every_layer_has_a_row() -> None:
    picture = np.zeros((16, 16, 3), np.uint8)
    one, two = (draw_attention(picture, [(0, 0)], [maps(Layer(16, 1))] * rows, "title", "notes") for rows in (1, 2))
    assert len(two) - len(one) > 512


def test_heat_lies_where_the_weights_do() -> None:
    picture = np.full((32, 32, 3), 200, np.uint8)
    page = draw_attention(picture, [(16, 16)], [maps(Layer(16, 1))], "title", "notes").astype(int)

    def cell(panel: int, row: int, column: int) -> np.ndarray:
        x = MARGIN + panel * (PANEL + GAP) + column * 32 + 24
        return page[TOP + row * 32 + 24, x]

    assert cell(1, 8, 9).min() > 200  # all weight of the first group: nearly white
    assert cell(1, 8, 10).max() < 100  # in the window, without weight
    spread = [cell(2, row, column) for row, column in ((4, 4), (7, 9), (11, 11))]
    assert all(np.array_equal(spread[0], other) for other in spread[1:])
    assert spread[0][0] > spread[0][2]  # warm
    outside = cell(2, 0, 0)
    assert len(set(outside.tolist())) == 1  # grey
    assert (cell(0, 5, 5) == 200).all()  # the unchanged image inside a window
    assert (cell(0, 1, 1) < 100).all()


def test_windows_are_outlined_in_the_colours_of_their_halves() -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    page = draw_attention(picture, [(32, 32)], [maps(Layer(16, 1))], "title", "notes")
    regular, shifted = page[TOP + 8 * 32, MARGIN + 12 * 32], page[TOP + 4 * 32, MARGIN + 6 * 32]
    assert tuple(regular) == REGULAR
    assert tuple(shifted) == SHIFTED


def test_heat_grows_brighter_with_the_weight() -> None:
    values = np.linspace(0, 1, 101)
    brightness = heat_colours(heat_values(values)) @ [0.299, 0.587, 0.114]
    assert (np.diff(brightness) > 0).all()


@pytest.mark.parametrize("share", [1 / 64, 0.02, 0.5])
def test_any_peak_can_be_drawn(share: float) -> None:
    """The text of the colour bar fits for every weight of uniform attention, also at the border of the map."""
    corner, even = torch.zeros(2, 16, 16)
    corner[:4, :4] = 1 / 16
    even[:8, :8] = (1 - share) / 63
    even[0, 0] = share
    layer = Layer(16, 2)
    row = [AttentionMap(layer, (1, 1), 8, 0, 0, 0, even), AttentionMap(layer, (2, 2), 8, 4, 0, 0, corner)]
    page = draw_attention(np.zeros((16, 16, 3), np.uint8), [(0, 0)], [row], "title", "notes")
    assert (page[:, -MARGIN:] == page[-1, -1]).all()  # nothing is drawn beyond the margin
