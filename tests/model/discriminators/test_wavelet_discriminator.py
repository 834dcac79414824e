"""The wavelet discriminator: shapes, parameter counts, spectral norm, minibatch deviation and gradients."""

from __future__ import annotations

import pytest
import torch
from inverse_wavelet import inverse_dwt

from swincli.errors import UsageError
from swincli.model.blocks.layers import EqualLinear, SpectralWeight
from swincli.model.discriminators.epilogue import append_minibatch_std
from swincli.model.discriminators.wavelet import WaveletDiscriminator
from swincli.model.meta_init import meta_init
from swincli.ops import fir
from swincli.ops.wavelet import dwt, filter_banks, wavelet_filters
from swincli.recipe.schema import ModelSection

TINY = {"latent_dim": 16, "g_width": 16, "d_width": 8, "mapping_layers": 2}


@pytest.mark.parametrize(("size", "count"), [(64, 20_745_729), (256, 26_211_585), (1024, 27_736_641)])
def test_parameter_counts_are_the_papers(size: int, count: int) -> None:
    with meta_init():
        discriminator = WaveletDiscriminator(ModelSection(size=size))
    assert sum(parameter.numel() for parameter in discriminator.parameters()) == count


@pytest.mark.parametrize("wavelet", ["haar", "db2", "bior2.2"])
@pytest.mark.parametrize("spectral", [True, False])
@pytest.mark.parametrize("size", [16, 64])
def test_one_logit_an_image(size: int, spectral: bool, wavelet: str) -> None:
    discriminator = WaveletDiscriminator(ModelSection(size=size, spectral_norm=spectral, wavelet=wavelet, **TINY))
    assert discriminator(torch.randn(3, 3, size, size)).shape == (3, 1)


def test_every_parameter_gets_a_gradient() -> None:
    discriminator = WaveletDiscriminator(ModelSection(size=16, **TINY))
    discriminator(torch.randn(4, 3, 16, 16)).sum().backward()
    assert [name for name, parameter in discriminator.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("spectral", [True, False])
def test_r1_gradients_are_right(spectral: bool) -> None:
    torch.manual_seed(0)
    section = ModelSection(size=16, spectral_norm=spectral, latent_dim=4, g_width=16, d_width=2)
    discriminator = WaveletDiscriminator(section).double().eval()
    image = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    parameter = discriminator.trunk[0].conv1.kernel.weight

    def penalty() -> torch.Tensor:
        x = image.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
        return gradient.square().sum()

    (analytic,) = torch.autograd.grad(penalty(), parameter)
    direction = torch.randn_like(parameter)
    step = 1e-6
    with torch.no_grad():
        parameter += step * direction
    above = penalty()
    with torch.no_grad():
        parameter -= 2 * step * direction
    below = penalty()
    torch.testing.assert_close((analytic * direction).sum(), (above - below) / (2 * step), rtol=1e-5, atol=1e-9)


def test_the_image_pyramid_is_the_releases_chain_of_transforms() -> None:
    image = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    filters = wavelet_filters(filter_banks("haar"))
    chain = dwt(fir.downsample(inverse_dwt(dwt(image, filters), "haar")), filters)
    torch.testing.assert_close(dwt(fir.downsample(image), filters), chain)


def test_a_wavelet_too_long_for_the_smallest_image_is_refused() -> None:
    with pytest.raises(UsageError, match=r"model\.wavelet: db20 has 40 taps"):
        WaveletDiscriminator(ModelSection(size=16, wavelet="db20", **TINY))


def test_spectral_weight_converges_to_norm_one_and_moves_in_training_only() -> None:
    torch.manual_seed(0)
    weight = SpectralWeight(6, 3, 3, 3)
    for _ in range(100):
        weight()
    assert torch.linalg.matrix_norm(weight().flatten(1), 2).item() == pytest.approx(1.0, abs=1e-4)
    weight.eval()
    before = weight.u.clone()
    weight()
    assert torch.equal(weight.u, before)


def test_spectral_weight_keeps_a_pending_backward_right() -> None:
    weight = SpectralWeight(4, 5)
    first = weight().square().sum()
    expected = torch.autograd.grad(first, weight.weight, retain_graph=True)[0]
    weight()
    assert torch.equal(torch.autograd.grad(first, weight.weight)[0], expected)


@pytest.mark.parametrize(("batch", "group"), [(1, 1), (2, 2), (3, 3), (4, 4), (6, 3), (8, 4), (5, 1), (7, 1)])
def test_minibatch_deviation(batch: int, group: int) -> None:
    x = torch.randn(batch, 5, 4, 4, dtype=torch.float64)
    out = append_minibatch_std(x, 4)
    assert out.shape == (batch, 6, 4, 4)
    for member in range(batch):
        mates = x[member % (batch // group) :: batch // group]
        expected = (mates.var(dim=0, correction=0) + 1e-8).sqrt().mean()
        torch.testing.assert_close(out[member, 5], expected.expand(4, 4))


def test_equalised_layers_scale_at_run_time() -> None:
    layer = EqualLinear(64, 8, lr_mul=0.01, bias_init=2.0)
    assert layer.weight.std().item() == pytest.approx(100, rel=0.2)
    x = torch.randn(3, 64)
    torch.testing.assert_close(layer(x), x @ (layer.weight * 0.01 / 8).T + 0.02)
