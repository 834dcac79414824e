"""Latents of cells beside double attention."""

from __future__ import annotations

import contextlib
import copy

import pytest
import torch
from float32_twins import check_float32
from torch import Tensor

from swincli.model.blocks.attention import GroupedAttention
from swincli.model.generator import Generator
from swincli.model.mixers import latent
from swincli.model.mixers.latent import ASSIGNMENTS, LatentAttention, cell_side, soft_clusters
from swincli.ops import cpu_tiles
from swincli.ops.cpu_tiles import as_on_a_gpu
from swincli.recipe.schema import ModelSection

CHANNELS, HEADS, LATENT_DIM = 8, 4, 6


def mixer(assign: str = "softmax", *, resolution: int = 8, kv_heads: int | None = None) -> LatentAttention:
    random = torch.Generator().manual_seed(1)
    windows = GroupedAttention(CHANNELS, HEADS, 4, resolution, kv_heads=kv_heads)
    module = LatentAttention(windows, CHANNELS, HEADS, LATENT_DIM, assign=assign, cell=4).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=random)
    return module


def given(resolution: int = 8, batch: int = 2) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    x = torch.randn(batch, resolution, resolution, CHANNELS, dtype=torch.float64, requires_grad=True)
    return x, torch.randn(batch, LATENT_DIM, dtype=torch.float64, requires_grad=True)


def adain(x: Tensor, style: Tensor) -> Tensor:
    """`[B, P, C]`, normalised over P."""
    gamma, beta = style[:, None].chunk(2, dim=-1)
    return gamma * (x - x.mean(dim=1, keepdim=True)) / (x.var(dim=1, correction=0, keepdim=True) + 1e-5).sqrt() + beta


def attention(q: Tensor, k: Tensor, v: Tensor, *, over: int = -1) -> Tensor:
    """Attention by heads of `[P, C]` to `[K, C]`; the softmax is over the keys (-1) or over the queries (-2)."""
    q, k, v = (each.unflatten(-1, (HEADS, -1)).transpose(0, 1) for each in (q, k, v))
    weights = (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(dim=over)
    weights = weights / weights.sum(dim=-1, keepdim=True)
    return (weights @ v).transpose(0, 1).flatten(1)


def plain(module: LatentAttention, x: Tensor, w: Tensor, *, over: int = -1) -> Tensor:
    """The definition, cell by cell."""
    cells = [(slice(top, top + 4), slice(left, left + 4)) for top in range(0, 8, 4) for left in range(0, 8, 4)]
    q, k, v = module.windows.project(x).flatten(4).unbind(3)
    images = []
    for image in range(len(x)):
        latents = []
        for rows, columns in cells:
            place = torch.cat([encoded(columns.start // 4), encoded(rows.start // 4)])
            start = module.table + place
            pixels = (part[image, rows, columns].flatten(0, 1) for part in (k, v))
            latents.append(start + attention(module.write_q(start), *pixels, over=over))
        images.append(torch.cat(latents))
    tokens, mix = torch.stack(images), module.mix
    qkv = mix.qkv(adain(tokens, mix.norm1.style(w)))
    tokens = tokens + mix.proj(torch.stack([attention(*each.chunk(3, dim=-1)) for each in qkv]))
    tokens = tokens + mix.mlp(adain(tokens, mix.norm2.style(w)), w)
    keys, values = module.read_kv(tokens).chunk(2, dim=-1)
    gate = module.gate.tanh().repeat_interleave(CHANNELS // HEADS)
    outs = []
    for image, inside in enumerate(module.windows.attend(module.windows.project(x))):
        out = inside.clone()
        for number, (rows, columns) in enumerate(cells):
            own = slice(4 * number, 4 * number + 4)
            read = attention(q[image, rows, columns].flatten(0, 1), keys[image, own], values[image, own])
            out[rows, columns] = inside[rows, columns] + gate * read.unflatten(0, (4, 4))
        outs.append(out)
    return module.windows.proj(torch.stack(outs))


def encoded(place: int) -> Tensor:
    """Sine encoding of a position in a quarter of the channels each: frequencies 1 and 1 / 10000 for 8 channels."""
    angles = (place + 1) * torch.tensor([1.0, 1e-4], dtype=torch.float64)[: CHANNELS // 4]
    return torch.cat([angles.sin(), angles.cos()])


def everything(function: object, module: LatentAttention, x: Tensor, w: Tensor) -> list[Tensor]:
    inputs = [x, w, *module.parameters()]
    out = function(x, w)  # type: ignore[operator]
    first = torch.autograd.grad(out.tanh().square().sum(), inputs, create_graph=True)
    length = torch.stack([one.square().sum() for one in first]).sum()
    return [out, *first, *torch.autograd.grad(length, inputs)]


@pytest.mark.parametrize("assign", ASSIGNMENTS)
@pytest.mark.parametrize("way", ["whole", "pieces", "GPU"])
def test_it_is_the_plain_one_with_both_gradients(monkeypatch: pytest.MonkeyPatch, way: str, assign: str) -> None:
    module, (x, w) = mixer(assign), given()
    over = -1 if assign == "softmax" else -2
    if way == "pieces":
        monkeypatch.setattr(cpu_tiles, "LARGE_BYTES", 0)
        monkeypatch.setattr(cpu_tiles, "TILE_BYTES", 1)
    with as_on_a_gpu() if way == "GPU" else contextlib.nullcontext():
        found = everything(module, module, x, w)
    expected = everything(lambda x, w: plain(module, x, w, over=over), module, x, w)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7 * max(1, other.abs().max().item()))


@pytest.mark.parametrize("size", [1, 2**11, 2**21])
@pytest.mark.parametrize(("assign", "kv_heads"), [("softmax", None), ("kmeans-soft", None), ("softmax", 2)])
def test_in_tiles_it_is_the_same(monkeypatch: pytest.MonkeyPatch, size: int, assign: str, kv_heads: int | None) -> None:
    module, (x, w) = mixer(assign, resolution=16, kv_heads=kv_heads), given(16, batch=3)
    with torch.no_grad():
        expected = x + module(2 * x + 1, w)
        monkeypatch.setattr(cpu_tiles, "TILE_BYTES", size)
        out = torch.empty_like(x)
        module.add_tiled(x, lambda values, images: 2 * values + 1, out, w)  # noqa: ARG005
    torch.testing.assert_close(out, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("assign", ASSIGNMENTS)
def test_it_starts_as_double_attention_to_the_bit(assign: str) -> None:
    torch.manual_seed(0)
    double = GroupedAttention(CHANNELS, HEADS, 4, 8)
    module = LatentAttention(copy.deepcopy(double), CHANNELS, HEADS, LATENT_DIM, assign=assign, cell=4)
    x, w = (value.detach().float() for value in given())
    assert torch.equal(module(x, w), double(x))
    with as_on_a_gpu():
        assert torch.equal(module(x, w), double(x))
    with torch.no_grad():
        out, expected = torch.empty_like(x), torch.empty_like(x)
        module.add_tiled(x, lambda values, images: values, out, w)  # noqa: ARG005
        double.add_tiled(x, lambda values, images: values, expected)  # noqa: ARG005
    assert torch.equal(out, expected)
    module(x, w).square().sum().backward()
    assert module.gate.grad is not None
    assert module.gate.grad.abs().min() > 0  # so the gate opens
    torch.nn.init.constant_(module.gate, 0.1)
    module(x, w).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in module.parameters())


def test_cells_that_change_places_change_the_places_of_their_results(monkeypatch: pytest.MonkeyPatch) -> None:
    zeros = torch.zeros(1, CHANNELS, dtype=torch.float64)
    monkeypatch.setattr(latent, "padded_sine_table", lambda length, *_, **__: zeros.expand(length, -1))
    module, (x, w) = mixer(), given()
    module.windows.halves[1].shift = 0  # shifted windows connect neighbours
    moved = x.roll(4, 2)
    torch.testing.assert_close(module(moved, w), module(x, w).roll(4, 2), rtol=1e-9, atol=1e-10)


def test_a_pixel_reaches_the_whole_map_through_the_latents() -> None:
    module, (x, w) = mixer(resolution=16), given(16, batch=1)

    def reached() -> int:
        (gradient,) = torch.autograd.grad(module(x, w)[0, 0, 0].sum(), x)
        return int((gradient[0].abs().sum(dim=-1) > 0).sum())

    assert reached() == 256
    with torch.no_grad():
        module.gate.zero_()
    assert reached() == 16  # of the regular window; the shifted one is cut by the border


def test_every_key_divides_itself_among_the_clusters() -> None:
    q, k, v = (torch.randn(1, 2, count, 3, dtype=torch.float64) for count in (4, 9, 9))
    assert torch.allclose(soft_clusters(q, k, torch.ones_like(v)), torch.ones(1, 2, 4, 3, dtype=torch.float64))
    same = q[:, :, :1].expand(-1, -1, 4, -1)  # equal clusters share everything equally
    torch.testing.assert_close(soft_clusters(same, k, v), v.mean(dim=2, keepdim=True).expand_as(same))


def test_the_first_block_of_a_resolution_has_no_latents() -> None:
    config = ModelSection(size=16, latent_dim=LATENT_DIM, g_channels=[CHANNELS] * 3)
    first, second = (latent.build(config, 16, CHANNELS, index, "softmax") for index in (0, 1))
    assert {name for name, _ in second.named_parameters()} > {name for name, _ in first.named_parameters()}
    double = GroupedAttention(CHANNELS, HEADS, 8, 16)
    double.load_state_dict(first.state_dict())
    x, w = (value.detach().float() for value in given(16))
    with torch.no_grad():
        out = torch.empty_like(x)
        first.add_tiled(x, lambda values, images: values, out, w)  # noqa: ARG005
        assert torch.equal(out, x + double(x))
    assert torch.equal(first(x, w), double(x))


def test_weights_of_double_attention_can_be_taken_over() -> None:
    double, module = GroupedAttention(CHANNELS, HEADS, 4, 8).double(), mixer()
    missing, unexpected = module.load_state_dict(double.state_dict(), strict=False)
    assert unexpected == []
    assert not any(name.startswith(("qkv", "proj", "halves")) for name in missing)
    copied, (x, w) = copy.deepcopy(module), given()
    with torch.no_grad():
        module.qkv.weight.zero_()
        assert torch.equal(copied.windows.project(x), double.project(x))  # a copy has windows of its own
        copied.gate.zero_()
        assert torch.equal(copied(x, w), double(x))


def test_large_maps_have_few_latents() -> None:
    cells = {side: (side // cell_side(side)) ** 2 for side in (64, 128, 256, 1024)}
    assert cells == {64: 64, 128: 256, 256: 64, 1024: 1024}


@pytest.mark.parametrize("assign", ASSIGNMENTS)
def test_in_float32_it_is_the_plain_one_to_1e_5(assign: str) -> None:
    module, (x, w) = mixer(assign), given()
    check_float32(module, (x, w), plain(module, x, w, over=-1 if assign == "softmax" else -2))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["latent", "latent-kmeans"])
def test_what_is_read_of_the_latents_wakes_in_100_steps(name: str) -> None:
    """Gate times read, beside what the windows give: at the learning rate of G, from gates of 0."""
    torch.manual_seed(0)
    config = ModelSection(size=16, latent_dim=8, mapping_layers=1, g_channels=[32] * 3, mixer=name)
    block = Generator(config).levels[2].blocks[1]
    x, w, target = torch.randn(2, 16, 16, 32), torch.randn(2, 8), torch.randn(2, 16, 16, 32)
    adam = torch.optim.Adam(block.parameters(), lr=5e-5, betas=(0.0, 0.99))
    for _ in range(100):
        loss = (block(x, w) - target).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    with torch.no_grad():
        given_x = block.norm1(x, w)
        both = block.attention(given_x, w)
        block.attention.gate.zero_()
        windows = block.attention(given_x, w)
    assert (both - windows).std() > 1e-3 * windows.std()
