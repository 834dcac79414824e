"""Networks on the meta device: names and shapes of weights, without values."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from swincli.model.discriminators.registry import make_discriminator
from swincli.model.generator import Generator
from swincli.model.meta_init import meta_init
from swincli.recipe.schema import ModelSection

CONFIG = {"size": 16, "latent_dim": 8, "mapping_layers": 1, "g_width": 8, "d_width": 8}


@pytest.mark.parametrize("change", [{}, {"style": "adabn", "classes": 3}, {"discriminator": "patch"}])
def test_names_shapes_and_kinds_are_those_of_real_ones(change: dict[str, object]) -> None:
    config = ModelSection.model_validate(CONFIG | change)
    before = torch.random.get_rng_state()
    with meta_init():
        hollow = [Generator(config), make_discriminator(config)]
    assert torch.equal(torch.random.get_rng_state(), before)
    for network, real in zip(hollow, [Generator(config), make_discriminator(config)], strict=True):
        state, expected = network.state_dict(), real.state_dict()
        assert {name: (value.shape, value.dtype) for name, value in state.items()} == {
            name: (value.shape, value.dtype) for name, value in expected.items()
        }
        assert all(value.is_meta for value in state.values())


def test_outside_of_it_weights_have_values() -> None:
    with meta_init():
        Generator(ModelSection.model_validate(CONFIG))
    weights = Generator(ModelSection.model_validate(CONFIG)).state_dict().values()
    assert not any(value.is_meta for value in weights)
    assert torch.randn(9).std() > 0


def test_networks_without_values_need_no_compiler() -> None:
    code = (
        "import sys; from swincli.model.generator import Generator; from swincli.recipe.schema import ModelSection;"
        "from swincli.model.discriminators.wavelet import WaveletDiscriminator;"
        "from swincli.model.meta_init import meta_init\n"
        "with meta_init(): Generator(ModelSection()), WaveletDiscriminator(ModelSection())\n"
        "sys.exit(any(name in sys.modules for name in ('sympy', 'torch._dynamo')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
