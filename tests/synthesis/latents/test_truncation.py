"""Truncation of w+, of all codes or some, towards one centre or the nearest of several."""

from __future__ import annotations

import torch

from swincli.synthesis.latents.truncation import Truncation, nearest_centres, truncate


def test_truncation_is_the_formula() -> None:
    w, center = torch.randn(3, 8), torch.randn(8)
    assert truncate(w, center, 1.0) is w
    torch.testing.assert_close(truncate(w, center, 0.0), center.expand(3, 8))
    torch.testing.assert_close(truncate(w, center, 0.7), center + 0.7 * (w - center))


def test_the_fine_codes_may_keep_their_variety() -> None:
    w_plus, mean = torch.randn(2, 6, 8), torch.randn(8)
    drawn = Truncation(0.5, layers=4).apply(w_plus, mean)
    torch.testing.assert_close(drawn[:, :4], mean + 0.5 * (w_plus[:, :4] - mean))
    assert torch.equal(drawn[:, 4:], w_plus[:, 4:])


def test_every_image_may_have_a_centre_of_its_own() -> None:
    w_plus, means = torch.randn(2, 6, 8), torch.randn(2, 8)
    torch.testing.assert_close(Truncation(0.0).apply(w_plus, means), means[:, None].expand(2, 6, 8))


def test_a_code_is_drawn_to_the_nearest_centre() -> None:
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    w = torch.tensor([[9.0, 2.0], [1.0, 1.0], [4.0, 8.0]])
    expected = centres[[1, 0, 2]]
    assert torch.equal(nearest_centres(w, centres), expected)
    drawn = Truncation(0.5, centres=centres).apply(w[:, None].expand(3, 4, 2), torch.full((2,), 99.0))
    torch.testing.assert_close(drawn, ((w + expected) / 2)[:, None].expand(3, 4, 2))
