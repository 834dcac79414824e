"""Every variant in the tables: it can be built and run, has gradients, and differs from the default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import pytest
import torch
from torch import nn

from swincli.errors import RecipeError
from swincli.model.blocks.attention import ATTENTIONS
from swincli.model.blocks.position import POSITIONS
from swincli.model.blocks.style import STYLES
from swincli.model.blocks.upsample import UPSAMPLINGS
from swincli.model.discriminators.registry import DISCRIMINATORS, make_discriminator
from swincli.model.files import model_file
from swincli.model.files.model_file import mean_w
from swincli.model.generator import Generator
from swincli.model.meta_init import meta_init
from swincli.recipe import load_recipe
from swincli.recipe.schema import ModelSection

TINY = {"latent_dim": 16, "g_width": 16, "d_width": 8, "mapping_layers": 2, "adain_gamma": 1.0}
TABLES: dict[str, Mapping[str, Any]] = {
    "style": STYLES,
    "attention": ATTENTIONS,
    "position": POSITIONS,
    "upsampling": UPSAMPLINGS,
    "discriminator": DISCRIMINATORS,
}
GENERATORS = [
    *({key: name} for key, table in TABLES.items() if key != "discriminator" for name in table),
    {"relative_bias": False},
    {"style": "none", "attention": "single", "position": "none", "relative_bias": False},
    {"style": "adabn", "attention": "single", "position": "learned", "upsampling": "nearest"},
]


def described(keys: dict[str, Any]) -> str:
    return ",".join(f"{key}={value}" for key, value in keys.items())


def tiny(size: int = 16, **keys: Any) -> ModelSection:
    return ModelSection(size=size, **{**TINY, **keys})


def seeded_generator(config: ModelSection) -> Generator:
    torch.manual_seed(0)
    return Generator(config)


@pytest.mark.parametrize("key", TABLES)
def test_the_schema_names_what_the_table_holds(key: str) -> None:
    field = ModelSection.model_fields[key]
    assert get_args(field.annotation) == tuple(TABLES[key])
    assert field.default == next(iter(TABLES[key]))


@pytest.mark.parametrize("key", TABLES)
def test_an_unknown_variant_is_answered_with_the_known_ones(key: str) -> None:
    with pytest.raises(RecipeError, match=rf'model\.{key} \(--set\): must be .*, not "adqin"') as caught:
        load_recipe("emoji64", [f"model.{key}=adqin"])
    for name in TABLES[key]:
        assert f'"{name}"' in caught.value.message


@pytest.mark.parametrize("size", [16, 32])
@pytest.mark.parametrize("keys", GENERATORS, ids=described)
def test_a_generator_s_images_and_gradients(keys: dict[str, Any], size: int) -> None:
    generator = seeded_generator(tiny(size, **keys))
    image = generator(torch.randn(2, 16))
    assert image.shape == (2, 3, size, size)
    image.square().mean().backward()
    for name, parameter in generator.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("keys", GENERATORS, ids=described)
def test_z_reaches_the_image_in_both_modes_and_the_steps_make_up_the_whole(
    keys: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    generator, z = seeded_generator(tiny(**keys)).requires_grad_(False), torch.randn(3, 16)
    for train in (True, False):
        one, other = generator.train(train)(z[:2])
        assert (one - other).abs().max() > 1e-4
    monkeypatch.setattr(model_file, "MEAN_SAMPLES", 100)
    assert mean_w(generator).shape == (16,)
    assert torch.equal(generator.synthesise(generator.broadcast(generator.map(z))), generator(z))


@pytest.mark.parametrize("keys", [keys for keys in GENERATORS if tiny(**keys) != tiny()], ids=described)
def test_a_variant_is_unlike_the_default(keys: dict[str, Any]) -> None:
    """Both get the same weights where they share them, and strength 1 for the position encoding, which starts at 0."""
    default, variant = seeded_generator(tiny()), seeded_generator(tiny(**keys))
    for generator in (default, variant):
        own = dict(generator.named_parameters())
        with torch.no_grad():
            for name, value in default.named_parameters():
                if name in own and own[name].shape == value.shape:
                    own[name].copy_(torch.ones(1) if name.endswith("position_strength") else value)
    z = torch.randn(2, 16)
    assert not torch.allclose(default(z), variant(z), atol=1e-6)


@pytest.mark.parametrize("spectral", [True, False])
@pytest.mark.parametrize("size", [16, 32])
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow if kind == "features" else ()) for kind in DISCRIMINATORS]
)
def test_a_discriminator_s_logits_and_gradients(kind: str, size: int, spectral: bool) -> None:
    torch.manual_seed(0)
    discriminator = make_discriminator(tiny(size, discriminator=kind, spectral_norm=spectral))
    images = torch.randn(4, 3, size, size, requires_grad=True)
    logits = discriminator(images)
    assert logits.shape[0] == 4
    assert logits.dim() == (4 if kind == "patch" else 2)
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    (gradient.square().sum() + logits.sum()).backward()
    for name, parameter in discriminator.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("kind", [kind for kind in DISCRIMINATORS if kind != "features"])  # its heads always have it
@pytest.mark.parametrize("spectral", [True, False])
def test_spectral_norm_is_honoured_by_every_discriminator(kind: str, spectral: bool) -> None:
    discriminator = make_discriminator(tiny(discriminator=kind, spectral_norm=spectral))
    vectors = [name for name, _ in discriminator.named_buffers()]
    weights = [name for name, parameter in discriminator.named_parameters() if parameter.dim() > 1]
    assert sorted(vectors) == sorted(
        f"{name.removesuffix('weight')}{vector}" for name in weights for vector in "uv" if spectral
    )


@pytest.mark.parametrize(
    ("kind", "widths"), [("wavelet", [4, 10, 12]), ("plain", [4, 6, 10, 12]), ("patch", [4, 6, 10, 12])]
)
def test_widths_are_honoured_by_every_discriminator(kind: str, widths: list[int]) -> None:
    discriminator = make_discriminator(tiny(32, discriminator=kind, d_channels=[12, 10, 6, 4]))
    weights = discriminator.named_parameters()
    trunk = [parameter.shape[1] for name, parameter in weights if name.endswith("conv1.kernel.weight")]
    last = discriminator.get_parameter("final_conv.kernel.weight").shape[0]
    assert [*trunk, last] == widths


def test_the_default_generator_has_nothing_of_the_variants() -> None:
    with meta_init():
        generator = Generator(ModelSection())
    assert dict(generator.named_buffers()) == {}
    assert not any("cross" in name or "start" in name for name, _ in generator.named_modules())
    assert [type(child) for child in generator.children()] == [nn.Sequential, nn.ModuleList]
