"""The floors of token mixers: pool, identity and random."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from swincli.model.generator import Block, Generator
from swincli.model.mixers.floors import IdentityMixer, PoolMixer, RandomMixer
from swincli.ops import cpu_tiles
from swincli.recipe.schema import ModelSection


def section(mixer: str, size: int = 16) -> ModelSection:
    levels = size.bit_length() - 2
    return ModelSection(size=size, latent_dim=8, mapping_layers=1, g_channels=[8] * levels, mixer=mixer)


def test_pool_is_the_mean_of_3x3_without_padding_minus_the_input() -> None:
    x, mixer = torch.randn(1, 8, 8, 4, dtype=torch.float64, requires_grad=True), PoolMixer()
    out = mixer(x)
    torch.testing.assert_close(out[0, 3, 4], x[0, 2:5, 3:6].mean(dim=(0, 1)) - x[0, 3, 4])
    torch.testing.assert_close(out[0, 0, 7], x[0, :2, 6:].mean(dim=(0, 1)) - x[0, 0, 7])
    (slope,) = torch.autograd.grad(out[0, 3, 4].sum(), x)
    seen = slope[0].abs().sum(dim=-1) > 0
    assert seen.sum() == 9
    assert seen[2:5, 3:6].all()
    assert mixer(torch.full((1, 8, 8, 4), 2.5)).abs().max() == 0


def test_the_shift_of_the_norm_before_pool_has_no_gradient() -> None:
    torch.manual_seed(0)
    block = Block(section("pool"), 16, 8, 0)
    block(torch.randn(2, 16, 16, 8), torch.randn(2, 8)).square().sum().backward()
    for values in (block.norm1.style.weight.grad, block.norm1.style.bias.grad):
        gamma, beta = values.chunk(2)
        assert gamma.abs().max() > 1e-3
        assert beta.abs().max() < 1e-5 * gamma.abs().max()


def test_identity_adds_the_normalised_map() -> None:
    x = torch.randn(1, 16, 16, 8)
    assert IdentityMixer()(x) is x


@pytest.mark.parametrize(("resolution", "side"), [(16, 16), (32, 8)])
def test_random_has_one_matrix_of_the_map_or_of_every_window(resolution: int, side: int) -> None:
    torch.manual_seed(0)
    mixer = RandomMixer(resolution)
    assert mixer.matrix.shape == (side**2, side**2)
    torch.testing.assert_close(mixer.matrix.sum(dim=1), torch.ones(side**2))
    x = torch.randn(2, 32, 32, 3)
    out = mixer(x)[:, side : 2 * side, :side].flatten(1, 2)
    torch.testing.assert_close(out, mixer.matrix @ x[:, side : 2 * side, :side].flatten(1, 2))


@pytest.mark.parametrize(("size", "side"), [(16, 16), (32, 8)])
def test_random_sees_its_window_and_nothing_else(size: int, side: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(1, size, size, 3, requires_grad=True)
    (slope,) = torch.autograd.grad(RandomMixer(size)(x)[0, side - 1, 0, 1], x)
    seen = torch.zeros(size, size, 3)
    seen[:side, :side, 1] = 1
    assert torch.equal((slope[0] != 0).float(), seen)


def test_shifts_that_commute() -> None:
    """One position for pool, away from borders; a window for random, and nothing less."""
    torch.manual_seed(0)
    x = torch.randn(1, 32, 32, 3)

    def difference(mixer: nn.Module, rows: int, columns: int) -> Tensor:
        shift = (rows, columns), (1, 2)
        return (mixer(x.roll(*shift)) - mixer(x).roll(*shift)).abs()[0].amax(dim=-1)

    pool = difference(PoolMixer(), 1, 3)
    assert pool[2:-1, 4:-1].max() < 1e-5
    assert pool[0].max() > 1e-3
    random = RandomMixer(32)
    assert difference(random, 8, 16).max() < 1e-5
    assert difference(random, 0, 1).max() > 1e-3
    assert difference(random, 4, 0).max() > 1e-3


def test_the_matrix_of_random_comes_from_the_seed_and_is_saved() -> None:
    made = []
    for _ in range(2):
        torch.manual_seed(3)
        made.append(Generator(section("random")).state_dict())
    key = "levels.2.blocks.0.attention.matrix"
    assert torch.equal(made[0][key], made[1][key])
    assert not torch.equal(made[0][key], made[0]["levels.2.blocks.1.attention.matrix"])


@pytest.mark.parametrize("mixer", [PoolMixer(), IdentityMixer(), RandomMixer(32)])
@pytest.mark.parametrize("rows", [1, 8, 32])
def test_tiles_are_the_whole_map(mixer: nn.Module, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(2, 32, 32, 4)
    scale, shift = torch.randn(2, 2, 1, 1, 4)
    monkeypatch.setattr(cpu_tiles, "TILE_BYTES", rows * x[0, 0].nbytes)

    def normalise(values: Tensor, images: slice) -> Tensor:
        return values * scale[images] + shift[images]

    out = torch.empty_like(x)
    with torch.no_grad():
        mixer.add_tiled(x, normalise, out)  # type: ignore[operator]
        torch.testing.assert_close(out, x + mixer(x * scale + shift), rtol=0, atol=1e-5)
