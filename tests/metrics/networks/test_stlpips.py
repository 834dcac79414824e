"""Shift-tolerant LPIPS: against a plain implementation, and on damaged pictures."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter
from torch import Tensor

from swincli.errors import ResourceError
from swincli.metrics.networks.stlpips import WEIGHTS, PerceptualDistance, load_perceptual

CPU = torch.device("cpu")
needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("stlpips_pytorch") is None, reason="no weights of the perceptual distance"
)


@pytest.fixture(scope="module")
def distance() -> PerceptualDistance:
    return load_perceptual(WEIGHTS.require(), CPU)


def picture(seed: int = 0, side: int = 48) -> Image.Image:
    """Smooth colours with a few hard-edged boxes."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (5, 5, 3), dtype=np.uint8))
    image = coarse.resize((side, side), Image.Resampling.BICUBIC)
    for _ in range(6):
        x, y, width, height = random.integers(4, side // 2, 4)
        image.paste(tuple(random.integers(0, 256, 3).tolist()), (int(x), int(y), int(x + width), int(y + height)))
    return image


def as_images(*pictures: Image.Image) -> Tensor:
    return torch.stack([torch.from_numpy(np.array(image)).permute(2, 0, 1) / 127.5 - 1 for image in pictures])


def layer_by_layer(weights: dict[str, Tensor], one: Tensor, other: Tensor) -> Tensor:
    """A plain implementation that uses the names of the file."""
    slices = ((None, 0, 2), (5, 6, 8), (11, 12, 14, 16), (19, 20, 22, 24), (27, 28, 30, 32))
    maps = []
    for x in (one, other):
        x = (x - weights["scaling_layer.shift"]) / weights["scaling_layer.scale"]
        maps.append([])
        for number, (pool, *convolutions) in enumerate(slices, 1):
            if pool is not None:
                blur = weights[f"net.slice{number}.{pool}.filt"]
                x = F.conv2d(F.pad(F.max_pool2d(x, 2, 1), (2, 2, 2, 2), mode="reflect"), blur, None, 2, 0, 1, len(blur))
            for layer in convolutions:
                name = f"net.slice{number}.{layer}"
                x = F.relu(F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1))
            maps[-1].append(x / (x.norm(dim=1, keepdim=True) + 1e-10))
    parts = [
        F.conv2d((a - b) ** 2, weights[f"lin{depth}.model.1.weight"]).mean(dim=(1, 2, 3))
        for depth, (a, b) in enumerate(zip(*maps, strict=True))
    ]
    return torch.stack(parts).sum(0)


@needs_weights
def test_it_is_the_network_of_the_file(distance: PerceptualDistance) -> None:
    weights = torch.load(WEIGHTS.require(), map_location="cpu", weights_only=True)
    one, other = (
        as_images(picture(0), picture(1)),
        as_images(picture(2), picture(0).transpose(Image.Transpose.ROTATE_90)),
    )
    torch.testing.assert_close(distance(one, other), layer_by_layer(weights, one, other))


@needs_weights
def test_it_is_nothing_between_equal_pictures_and_grows_with_what_is_done_to_one(distance: PerceptualDistance) -> None:
    image = picture()
    blurred = [image.filter(ImageFilter.GaussianBlur(radius)) for radius in (0.5, 1, 2, 4)]
    changed = as_images(image, *blurred, picture(1))
    values = distance(as_images(image).expand_as(changed), changed).tolist()
    assert values[0] == 0
    assert values[:5] == sorted(values[:5])
    assert values[1] > 0
    assert values[5] > values[2]
    assert distance(changed[5:], changed[:1]).item() == pytest.approx(values[5])


@needs_weights
def test_moving_a_picture_by_a_pixel_counts_for_little(distance: PerceptualDistance) -> None:
    whole = as_images(picture(side=56))
    here, moved = whole[..., 4:52, 4:52], whole[..., 4:52, 5:53]
    assert distance(here, moved).item() < 0.25 * distance(here, as_images(picture(1))).item()


@pytest.fixture(scope="module")
def network() -> PerceptualDistance:
    """The network with random weights."""
    torch.manual_seed(0)
    network = PerceptualDistance().requires_grad_(False)
    for weight in network.weights:
        torch.nn.init.uniform_(weight)
    return network


def test_gradients_reach_the_pictures_and_not_the_weights(network: PerceptualDistance) -> None:
    image = torch.rand(1, 3, 32, 32, requires_grad=True)
    network(image, torch.rand(1, 3, 32, 32)).sum().backward()
    assert image.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in network.parameters())


def test_features_of_one_side_can_be_kept(network: PerceptualDistance) -> None:
    one, other = torch.rand(2, 2, 3, 32, 48)
    kept = network.features(one)
    assert [tuple(layer.shape[:2]) for layer in kept] == [(2, 64), (2, 128), (2, 256), (2, 512), (2, 512)]
    assert torch.equal(network.between(kept, network.features(other)), network(one, other))


def test_files_that_are_something_else_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(ResourceError, match=r"other\.pth: not the weights of shift-tolerant LPIPS"):
        load_perceptual(path, CPU)
    package = tmp_path / "stlpips_pytorch" / "weights" / "vST0.0"
    package.mkdir(parents=True)
    (package.parents[1] / "__init__.py").write_text("raise RuntimeError('must not be imported')\n")
    path.rename(package / "vgg_shift_tolerant.pth")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ResourceError, match=r"vgg_shift_tolerant\.pth: not the weights of shift-tolerant LPIPS"):
        WEIGHTS.require()
    with pytest.raises(ResourceError, match="no_such is not installed"):
        replace(WEIGHTS, package="no_such", module="no_such_package").require()
