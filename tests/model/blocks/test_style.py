"""Every kind of style injection against its formula."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from swincli.model.blocks.adaptive_norm import AdaptiveBatchNorm, AdaptiveInstanceNorm, AdaptiveLayerNorm
from swincli.model.blocks.cross_attention import STYLE_TOKENS, CrossAttention
from swincli.model.blocks.mlp import ModulatedLinear
from swincli.model.blocks.style import LatentProjection
from swincli.model.generator import Generator
from swincli.recipe.schema import ModelSection

TINY = {"size": 16, "latent_dim": 16, "g_width": 16, "d_width": 8, "mapping_layers": 2, "adain_gamma": 1.0}
LATENT = 16


@pytest.fixture
def x() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(3, 4, 4, 8, dtype=torch.float64) * 5 + 3


@pytest.fixture
def w() -> Tensor:
    torch.manual_seed(2)
    return torch.randn(3, LATENT, dtype=torch.float64)


def modulated(normal: Tensor, style: torch.nn.Module, w: Tensor) -> Tensor:
    gamma, beta = style(w).chunk(2, dim=1)
    return gamma[:, None, None] * normal + beta[:, None, None]


def normalised(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    mean, variance = x.mean(dim=dims, keepdim=True), x.var(dim=dims, correction=0, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt()


@pytest.mark.parametrize(
    ("kind", "dims"),
    [(AdaptiveInstanceNorm, (1, 2)), (AdaptiveLayerNorm, (3,)), (AdaptiveBatchNorm, (0, 1, 2))],
)
def test_adaptive_norms_differ_in_what_they_normalise_over(
    kind: type[torch.nn.Module], dims: tuple[int, ...], x: Tensor, w: Tensor
) -> None:
    norm = kind(8, LATENT).double()
    torch.testing.assert_close(norm(x, w), modulated(normalised(x, dims), norm.style, w))


@pytest.mark.parametrize("kind", [AdaptiveInstanceNorm, AdaptiveLayerNorm, AdaptiveBatchNorm])
def test_their_scale_starts_around_what_the_recipe_says(kind: type[torch.nn.Module]) -> None:
    norm = kind(8, LATENT, 1.0)
    gamma, beta = norm.style(torch.zeros(1, LATENT)).chunk(2, dim=1)
    assert torch.equal(gamma, torch.ones(1, 8))
    assert torch.equal(beta, torch.zeros(1, 8))


def test_batch_norm_keeps_running_statistics_and_uses_them_when_not_training(x: Tensor, w: Tensor) -> None:
    norm = AdaptiveBatchNorm(8, LATENT).double()
    norm(x, w)
    mean, variance = x.mean(dim=(0, 1, 2)), x.var(dim=(0, 1, 2))
    torch.testing.assert_close(norm.norm.running_mean, 0.1 * mean)
    torch.testing.assert_close(norm.norm.running_var, 0.9 + 0.1 * variance)
    norm.eval()
    kept = {name: value.clone() for name, value in norm.named_buffers()}
    expected = (x - 0.1 * mean) / (0.9 + 0.1 * variance + 1e-5).sqrt()
    torch.testing.assert_close(norm(x, w), modulated(expected, norm.style, w))
    assert all(torch.equal(value, kept[name]) for name, value in norm.named_buffers())


def test_with_batch_norm_an_image_does_not_depend_on_its_neighbours_when_not_training() -> None:
    torch.manual_seed(0)
    generator = Generator(ModelSection(style="adabn", **TINY))
    z = torch.randn(4, LATENT)
    assert not torch.allclose(generator(z)[:1], generator(z[:1]), atol=1e-4)
    generator.eval()
    torch.testing.assert_close(generator(z)[:1], generator(z[:1]))


def test_a_modulated_layer_is_a_layer_of_its_own_for_every_image(x: Tensor, w: Tensor) -> None:
    layer = ModulatedLinear(8, 5, LATENT).double()
    torch.nn.init.normal_(layer.linear.bias)
    out = layer(x, w)
    for image in range(3):
        weight = layer.linear.weight * layer.style(w[image])
        weight = weight / (weight.square().sum(dim=1, keepdim=True) + 1e-8).sqrt()
        torch.testing.assert_close(out[image], F.linear(x[image], weight, layer.linear.bias))


def test_a_modulated_layer_starts_around_no_modulation() -> None:
    assert torch.equal(ModulatedLinear(8, 5, LATENT).style(torch.zeros(1, LATENT)), torch.ones(1, 8))


def test_cross_attention_looks_up_each_position_in_the_tokens(x: Tensor, w: Tensor) -> None:
    torch.manual_seed(0)
    module = CrossAttention(8, 2, LATENT).double()
    out = module(x, w)
    for image in range(3):
        tokens = module.tokens(w[image]).view(STYLE_TOKENS, 8)
        k, v = module.kv(tokens).chunk(2, dim=1)
        for row, column in ((0, 0), (2, 3)):
            q = module.q(module.norm(x[image, row, column]))
            heads = []
            for head in (slice(0, 4), slice(4, 8)):
                weights = (k[:, head] @ q[head] / 2).softmax(dim=0)
                heads.append(weights @ v[:, head])
            torch.testing.assert_close(out[image, row, column], module.proj(torch.cat(heads)))


def test_cross_attention_is_not_the_same_everywhere(x: Tensor, w: Tensor) -> None:
    module = CrossAttention(8, 2, LATENT).double()
    out = module(x, w)
    assert (out[:, 0, 0] - out[:, 2, 3]).abs().max() > 1e-3


def test_the_projection_is_linear_and_of_unit_variance() -> None:
    torch.manual_seed(0)
    projection = LatentProjection(512, 64, 4)
    one, other = torch.randn(2, 512)
    out = projection(torch.stack([one, other, 2 * one - other]))
    assert out.shape == (3, 4, 4, 64)
    torch.testing.assert_close(out[2], 2 * out[0] - out[1], rtol=1e-4, atol=1e-4)
    assert out[0].std().item() == pytest.approx(1.0, abs=0.1)


def test_without_style_only_the_first_code_reaches_the_image() -> None:
    torch.manual_seed(0)
    generator = Generator(ModelSection(style="none", **TINY))
    w_plus = torch.randn(1, 6, LATENT, requires_grad=True)
    (gradient,) = torch.autograd.grad(generator.synthesise(w_plus).square().sum(), w_plus)
    assert (gradient.abs().sum(dim=2) > 0).tolist() == [[True] + 5 * [False]]


@pytest.mark.parametrize("style", ["adaln", "adabn", "modulated-mlp", "cross-attention"])
def test_with_style_every_code_reaches_the_image(style: str) -> None:
    torch.manual_seed(0)
    generator = Generator(ModelSection(style=style, **TINY))
    w_plus = torch.randn(1, 6, LATENT, requires_grad=True)
    (gradient,) = torch.autograd.grad(generator.synthesise(w_plus).square().sum(), w_plus)
    assert (gradient.abs().sum(dim=2) > 0).all()
