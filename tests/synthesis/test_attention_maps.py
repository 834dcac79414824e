"""Attention maps recorded in the generator's forward pass."""

from __future__ import annotations

import pytest
import torch

from swincli.errors import UsageError
from swincli.model.generator import Block, Generator
from swincli.ops.window_attention import window_attention
from swincli.recipe.schema import ModelSection
from swincli.synthesis.attention_maps import (
    AttentionMap,
    Layer,
    default_layers,
    parse_layers,
    parse_point,
    record_attention,
)

CONFIG = ModelSection(size=32, latent_dim=8, mapping_layers=1, g_width=16, window=4, adain_gamma=1.0)


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.manual_seed(0)
    network = Generator(CONFIG).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.mul_(3)  # makes attention non-uniform
    return network


@pytest.fixture(scope="module")
def w(generator: Generator) -> torch.Tensor:
    return generator.map(torch.randn(1, 8, generator=torch.Generator().manual_seed(1)))


def test_every_map_is_a_distribution_over_its_own_window(generator: Generator, w: torch.Tensor) -> None:
    layers, points = [Layer(4, 1), Layer(8, 2), Layer(16, 1), Layer(32, 2)], [(0, 0), (31, 31), (13, 22), (16, 16)]
    _, recorded = record_attention(generator, generator.broadcast(w), layers, points)
    assert len(recorded) == len(layers) * len(points)
    for maps, (point, layer) in zip(recorded, [(p, one) for p in points for one in layers], strict=True):
        side = layer.resolution
        assert [one.heads for one in maps] == [(1, 2), (3, 4)]
        assert [one.shift for one in maps] == [0, 2 if side > 4 else 0]
        for one in maps:
            assert (one.column, one.row) == tuple(place * side // 32 for place in point)
            assert one.weights.sum().item() == pytest.approx(1, abs=1e-5)
            left, top, right, bottom = one.window
            assert left <= one.column < right <= side
            assert top <= one.row < bottom <= side
            outside = torch.ones(side, side, dtype=torch.bool)
            outside[top:bottom, left:right] = False
            assert torch.equal(one.weights == 0, outside)
            assert one.weights.max() > 1.01 / (~outside).sum()


def test_windows_are_cut_at_the_border() -> None:
    def window(column: int, row: int, shift: int) -> tuple[int, int, int, int]:
        return AttentionMap(Layer(16, 1), (1, 2), 8, shift, row, column, torch.empty(16, 16)).window

    assert window(9, 3, 0) == (8, 0, 16, 8)
    assert window(9, 3, 4) == (4, 0, 12, 4)
    assert window(15, 12, 4) == (12, 12, 16, 16)


def test_recording_changes_nothing_and_leaves_nothing_behind(generator: Generator, w: torch.Tensor) -> None:
    image, _ = record_attention(generator, generator.broadcast(w), [Layer(16, 1)], [(3, 4)])
    with torch.inference_mode():
        assert torch.equal(image, generator.synthesise(generator.broadcast(w)))
    assert not any(module._forward_pre_hooks for module in generator.modules())


def test_weights_explain_what_the_heads_put_out(generator: Generator, w: torch.Tensor) -> None:
    """The sum of the values, weighted by the recorded map, is the output of the block's second group of heads."""
    block = generator.get_submodule("levels.2.blocks.0")
    assert isinstance(block, Block)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    handle = block.register_forward_hook(lambda _, given, out: seen.append(given))  # noqa: ARG005
    _, [maps] = record_attention(generator, generator.broadcast(w), [Layer(16, 1)], [(10, 24)])
    handle.remove()
    with torch.inference_mode():
        attend, qkv = block.attention.groups_with_qkv(block.norm1(*seen[0]))[1]
        out = window_attention(qkv.unsqueeze(4), [attend.grid], [attend.bias()])
    weights = attend.weights_of(qkv, 12, 5)
    assert torch.equal(maps[1].weights, weights[0].mean(dim=0))
    mixed = torch.einsum("bhyx,byxhd->bhd", weights, qkv[:, :, :, 2]).flatten(1)
    torch.testing.assert_close(mixed, out[:, 12, 5], rtol=1e-4, atol=1e-6)


def test_swins_attention_has_one_group_a_block() -> None:
    torch.manual_seed(0)
    network = Generator(CONFIG.model_copy(update={"attention": "single"})).requires_grad_(False)
    _, recorded = record_attention(
        network, network.broadcast(torch.zeros(1, 8)), [Layer(16, 1), Layer(16, 2)], [(8, 8)]
    )
    assert [[(one.heads, one.shift) for one in maps] for maps in recorded] == [[((1, 4), 0)], [((1, 4), 2)]]


def test_layers_as_they_are_written() -> None:
    assert parse_layers("16, 8.1,4.2", CONFIG) == [Layer(16, 2), Layer(8, 1), Layer(4, 2)]
    assert default_layers(CONFIG) == [Layer(8, 2), Layer(16, 2)]
    assert default_layers(CONFIG.model_copy(update={"size": 16, "window": 16})) == [Layer(16, 2)]
    for text, words in [("64", "no layer 64"), ("12", "no layer 12"), ("8.3", "no layer 8.3"), ("8.0", "no layer 8.0")]:
        with pytest.raises(UsageError, match=f"--attention-layers {text}: the model has {words}") as caught:
            parse_layers(text, CONFIG)
        assert caught.value.hint is not None
        assert "4, 8, 16, 32 px" in caught.value.hint
    for text in ("", "a", "8,", "-8", "8.12"):
        with pytest.raises(UsageError, match="is not a layer"):
            parse_layers(text, CONFIG)


def test_points_as_they_are_written() -> None:
    assert parse_point("0, 31", 32) == (0, 31)
    for text in ("32,0", "0,32"):
        with pytest.raises(UsageError, match=f"--attention-at {text}: outside the image of 32 x 32 px"):
            parse_point(text, 32)
    for text in ("", "5", "1,2,3", "a,b", "-1,2", "1.5,2"):
        with pytest.raises(UsageError, match="not a point"):
            parse_point(text, 32)
