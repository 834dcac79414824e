"""Position encodings against their formulas."""

from __future__ import annotations

import pytest
import torch

from swincli.model.blocks.upsample import Upsample
from swincli.recipe.schema import ModelSection


def without_and_with(position: str) -> tuple[torch.Tensor, torch.Tensor, Upsample]:
    """Results of an upsampling at strength 0 and at strength 2, `[1, 8, 8, 12]`."""
    torch.manual_seed(0)
    upsample = Upsample(ModelSection(position=position), 8, 8, 12)  # type: ignore[arg-type]
    x = torch.randn(1, 4, 4, 8, generator=torch.Generator().manual_seed(1))
    without = upsample(x)
    if upsample.position_strength is not None:
        torch.nn.init.constant_(upsample.position_strength, 2.0)
    return without, upsample(x), upsample


def test_none_adds_nothing_and_learns_nothing() -> None:
    without, with_position, upsample = without_and_with("none")
    assert torch.equal(without, with_position)
    assert sorted(upsample.state_dict()) == ["norm.bias", "norm.weight", "reduction.weight"]


def test_learned_vectors_are_added_by_column_and_row() -> None:
    without, with_position, upsample = without_and_with("learned")
    columns, rows = upsample.get_parameter("position.columns"), upsample.get_parameter("position.rows")
    assert columns.shape == rows.shape == (8, 6)
    for row, column in ((0, 0), (3, 5), (7, 1)):
        added = (with_position - without)[0, row, column]
        torch.testing.assert_close(added, 2 * torch.cat([columns[column], rows[row]]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("position", ["spe", "learned"])
def test_every_encoding_starts_without_strength(position: str) -> None:
    none, _, _ = without_and_with("none")
    without, with_position, _ = without_and_with(position)
    assert torch.equal(without, none)
    assert not torch.allclose(with_position, none)
