"""What every token mixer must do: a row of the table is a test of each."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from swincli.model.generator import Block, Generator
from swincli.model.mixers.registry import MIXERS
from swincli.ops import cpu_tiles
from swincli.recipe.networks import KEY_MIXERS, PADDED_MIXERS, WINDOW_MIXERS
from swincli.recipe.schema import ModelSection

CHANNELS = 32
BEHIND_A_CLOSED_GATE = re.compile(r"attention\.(table|write_q|mix|read_kv)\b.*")
WITHOUT_GRADIENT: dict[str, re.Pattern[str]] = {
    "latent": BEHIND_A_CLOSED_GATE,
    "latent-kmeans": BEHIND_A_CLOSED_GATE,
}
"""Parameters of a mixer that start without a gradient, with reasons in its module."""


def section(name: str, **keys: Any) -> ModelSection:
    """A model whose largest map has this mixer."""
    return ModelSection(size=16, latent_dim=8, mapping_layers=1, g_channels=[CHANNELS] * 3, mixer=name, **keys)


def made(name: str, side: int = 16, **keys: Any) -> nn.Module:
    torch.manual_seed(0)
    mixer = MIXERS[name].build(section(name, **keys), side, CHANNELS, 1)
    for module in mixer.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.1)
    return mixer


def mixed(name: str, mixer: nn.Module, x: Tensor) -> Tensor:
    out: Tensor = mixer(x, torch.ones(len(x), 8, device=x.device)) if MIXERS[name].takes_w else mixer(x)
    return out


@pytest.fixture(params=list(MIXERS))
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


def test_shape_dtype_and_the_same_result_twice(name: str) -> None:
    mixer, x = made(name), torch.randn(2, 16, 16, CHANNELS)
    out = mixed(name, mixer, x)
    assert (out.shape, out.dtype) == (x.shape, x.dtype)
    assert torch.equal(out, mixed(name, mixer, x))
    assert (out[:1] - mixed(name, mixer, x[:1])).abs().max() < 1e-5  # images do not mix


def test_every_parameter_of_a_block_has_a_gradient(name: str) -> None:
    torch.manual_seed(0)
    block = Block(section(name, adain_gamma=1.0), 16, CHANNELS, 1)
    block(torch.randn(2, 16, 16, CHANNELS), torch.randn(2, 8)).square().sum().backward()
    dead = {key for key, value in block.named_parameters() if value.grad is None or not value.grad.any()}
    expected = WITHOUT_GRADIENT.get(name)
    assert dead == {key for key, _ in block.named_parameters() if expected and expected.fullmatch(key)}


def test_without_autograd_the_same_as_with_it(name: str) -> None:
    torch.manual_seed(0)
    block, x, w = (
        Block(section(name, adain_gamma=1.0), 16, CHANNELS, 1),
        torch.randn(2, 16, 16, CHANNELS),
        torch.randn(2, 8),
    )
    with torch.no_grad():
        tiled = block(x, w)
    assert (tiled - block(x, w)).abs().max() < 1e-5


def test_multiply_adds_are_those_of_the_table(name: str) -> None:
    config = section(name)
    with torch.device("meta"):
        mixer = made(name)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        mixed(name, mixer, torch.empty(1, 16, 16, CHANNELS, device="meta"))
    expected = MIXERS[name].multiply_adds(config, 16)
    assert abs(counter.get_total_flops() / 2 - expected) <= 0.02 * max(expected, 1)


def test_double_backward(name: str) -> None:
    mixer, x = made(name), torch.randn(1, 16, 16, CHANNELS, requires_grad=True)
    (slope,) = torch.autograd.grad(mixed(name, mixer, x).square().sum(), x, create_graph=True)
    slope.square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_under_autocast_it_is_close(name: str) -> None:
    mixer, x = made(name), torch.randn(2, 16, 16, CHANNELS)
    expected = mixed(name, mixer, x)
    for path in (contextlib.nullcontext(), cpu_tiles.as_on_a_gpu()):
        with path, torch.autocast("cpu", torch.bfloat16):
            out = mixed(name, mixer, x)
        assert (out.float() - expected).abs().max() < 0.03 * expected.abs().max()


@pytest.mark.parametrize("way", ["large maps", "GPU"])
def test_second_gradients_of_a_block_are_the_plain_ones(monkeypatch: pytest.MonkeyPatch, name: str, way: str) -> None:
    """As path length takes them: of the gradient of w. Large maps save less and recompute it."""
    block = Block(section(name, adain_gamma=1.0), 16, CHANNELS, 1).double()
    random = torch.Generator().manual_seed(0)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.1, generator=random)
    x = torch.randn(1, 16, 16, CHANNELS, dtype=torch.float64, generator=random, requires_grad=True)
    w = torch.randn(1, 8, dtype=torch.float64, generator=random, requires_grad=True)

    def second() -> list[Tensor]:
        (slope,) = torch.autograd.grad(block(x, w).square().sum(), w, create_graph=True)
        given = [x, *block.parameters()]
        return list(torch.autograd.grad(slope.square().sum(), given, allow_unused=True, materialize_grads=True))

    expected = second()
    monkeypatch.setattr(cpu_tiles, "LARGE_BYTES", 0)
    with cpu_tiles.as_on_a_gpu() if way == "GPU" else contextlib.nullcontext():
        found = second()
    largest = max(gradient.abs().max().item() for gradient in expected)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-12 * largest)


def test_a_step_from_the_start_wakes_the_branch(name: str) -> None:
    torch.manual_seed(0)
    generator = Generator(section(name))
    target, z = torch.randn(2, 3, 16, 16), torch.randn(2, 8)
    adam = torch.optim.Adam(generator.parameters(), lr=1e-3)
    losses = []
    for _ in range(6):
        loss = (generator(z) - target).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    "name",
    [name if name in ("dw7", "gnconv3") else pytest.param(name, marks=pytest.mark.slow) for name in MIXERS],
)
def test_no_branch_is_dead_at_the_learning_rate_of_g(name: str) -> None:
    """After 100 steps towards a target it varies over the map by more than 1e-3 of its input."""
    torch.manual_seed(0)
    block = Generator(section(name)).levels[2].blocks[1]
    x, w, target = torch.randn(2, 16, 16, CHANNELS), torch.randn(2, 8), torch.randn(2, 16, 16, CHANNELS)
    seen: list[tuple[Tensor, Tensor]] = []
    block.attention.register_forward_hook(lambda _, given, out: seen.append((given[0].detach(), out.detach())))
    adam = torch.optim.Adam(block.parameters(), lr=5e-5, betas=(0.0, 0.99))
    losses = []
    for _ in range(100):
        loss = (block(x, w) - target).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    before, after = (values.std(dim=(1, 2)).mean() for values in seen[-1])
    assert losses[-1] < losses[0]
    assert after > 1e-3 * before


def test_depthwise_kernels_start_as_their_centre() -> None:
    """By the release's rule, Xavier with gain 0.02, their std would be 0.003 at most: a branch that says nothing."""
    seen = set()
    for name in MIXERS:
        torch.manual_seed(0)
        for block in Generator(section(name)).levels[2].blocks:
            for kernel in (value for value in block.attention.parameters() if value.ndim == 4):
                centre = torch.zeros_like(kernel, dtype=torch.bool)
                centre[..., kernel.shape[2] // 2, kernel.shape[3] // 2] = True
                assert kernel.shape[1] == 1
                assert (kernel[centre] - 1).abs().max() < 0.06
                assert 0.015 < kernel[~centre].std() < 0.025
                seen.add(name)
    assert seen == {*PADDED_MIXERS, "kv2", "strided", "axial"}


def test_recipes_know_which_mixers_read_the_options_of_windows_and_the_border(name: str) -> None:
    with_mask, with_start = made(name, score_mask="gaussian"), made(name, bias_init="manhattan")
    assert any(".mask." in key for key in with_mask.state_dict()) == (name in WINDOW_MIXERS)
    bias = {key: value for key, value in with_start.state_dict().items() if "position_bias" in key}
    has_decay = any(value.min() < -1 for value in bias.values())  # random numbers of std 0.02 have none
    assert has_decay == (name in WINDOW_MIXERS)
    x = torch.randn(1, 16, 16, CHANNELS)
    sizes = [sum(value.numel() for value in made(name, kv_heads=heads).parameters()) for heads in (None, 2)]
    assert (sizes[0] != sizes[1]) == (name in KEY_MIXERS)
    zeros, mirrored = (mixed(name, made(name, mixer_padding=padding), x) for padding in ("zeros", "reflect"))
    assert torch.equal(zeros, mirrored) == (name not in PADDED_MIXERS)


@pytest.mark.parametrize("name", [name for name, mixer in MIXERS.items() if mixer.smallest > 4])
def test_small_maps_have_double_attention(name: str) -> None:
    names = [key for key, _ in Generator(section(name)).levels[0].named_parameters() if "attention" in key]
    reference = [key for key, _ in Generator(section("double")).levels[0].named_parameters() if "attention" in key]
    assert names == reference


@pytest.mark.parametrize(("window", "shifts"), [(8, [0, 0]), (4, [0, 2])])
def test_with_small_windows_a_map_of_8_px_has_several(window: int, shifts: list[int]) -> None:
    halves = Generator(section("dw7", window=window)).levels[1].blocks[0].attention.halves
    assert [(half.side, half.shift) for half in halves] == [(window, shift) for shift in shifts]
