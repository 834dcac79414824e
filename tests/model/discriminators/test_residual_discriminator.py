"""The residual discriminators: one logit per image (StyleGAN2), and one per patch."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from swincli.model.discriminators.residual import PatchDiscriminator, ResidualBlock, ResidualDiscriminator
from swincli.model.meta_init import meta_init
from swincli.ops import fir
from swincli.recipe.schema import ModelSection

TINY = {"latent_dim": 16, "g_width": 16, "d_width": 8, "mapping_layers": 2}


@pytest.mark.parametrize(("size", "count"), [(256, 28_864_129), (1024, 29_012_513)])
def test_the_plain_one_has_stylegan2_s_parameters(size: int, count: int) -> None:
    with meta_init():
        discriminator = ResidualDiscriminator(ModelSection(size=size, spectral_norm=False))
    assert sum(parameter.numel() for parameter in discriminator.parameters()) == count


def test_a_block_adds_what_passes_it_by() -> None:
    torch.manual_seed(0)
    block = ResidualBlock(3, 5, spectral=False).double()
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    smooth = fir.blur(F.pad(x, (1, 1, 1, 1)), padding=0)[:, :, ::2, ::2]
    weight = block.skip.weight / math.sqrt(3)
    expected = (block.body(x) + torch.einsum("oi,bihw->bohw", weight[:, :, 0, 0], smooth)) / math.sqrt(2)
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize(("size", "side"), [(16, 4), (32, 4), (64, 8), (128, 16)])
def test_a_logit_for_every_patch(size: int, side: int) -> None:
    discriminator = PatchDiscriminator(ModelSection(size=size, **TINY))
    assert discriminator(torch.randn(2, 3, size, size)).shape == (2, 1, side, side)


def test_a_logit_sees_66_pixels_and_no_more() -> None:
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(ModelSection(size=128, spectral_norm=False, **TINY)).double()
    image = torch.randn(2, 3, 128, 128, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(discriminator(image)[0, 0, 8, 8], image)
    seen = gradient.abs().sum(dim=1) > 0
    assert not seen[1].any()  # nor anything of another image
    assert seen[0].any(dim=0).sum() == 66
    assert seen[0].any(dim=1).sum() == 66
