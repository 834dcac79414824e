"""Class labels drawn for seeds, and labels of grid rows."""

from __future__ import annotations

import pytest
import torch

from swincli.synthesis.latents.classes import draw_labels, labels_by_row, seeds_by_row
from swincli.synthesis.latents.codes import z_from_seeds


def test_a_seed_s_label_does_not_depend_on_its_neighbours() -> None:
    labels = draw_labels(range(100), [0.25] * 4)
    assert labels.dtype == torch.int64
    assert set(labels.tolist()) == {0, 1, 2, 3}
    assert draw_labels([50, 3], [0.25] * 4).tolist() == [labels[50], labels[3]]
    assert draw_labels([], [1.0]).tolist() == []


def test_labels_come_as_often_as_they_should() -> None:
    labels = draw_labels(range(4000), [0.7, 0.0, 0.3])
    counts = torch.bincount(labels, minlength=3) / 4000
    assert counts.tolist() == pytest.approx([0.7, 0.0, 0.3], abs=0.03)


def test_labels_have_nothing_to_do_with_z() -> None:
    seeds = range(2000)
    labels = draw_labels(seeds, [0.5, 0.5]).double()
    z = z_from_seeds(seeds, 16).double()
    together = torch.corrcoef(torch.cat([labels[None], z.T]))[0, 1:]
    assert together.abs().max() < 0.1


def test_rows_show_classes_in_order() -> None:
    assert labels_by_row(4, 2) == [0, 0, 1, 1]
    assert labels_by_row(3, 3) == [0, 1, 2]
    assert labels_by_row(4, 8) == [0, 2, 4, 6]
    assert labels_by_row(1, 5) == [0]


def test_a_column_shows_one_z_in_every_class() -> None:
    assert seeds_by_row([0, 0, 1, 1], 3) == [[0, 1, 2], [3, 4, 5], [0, 1, 2], [3, 4, 5]]
    assert seeds_by_row([0, 4, 6], 2) == [[0, 1]] * 3
