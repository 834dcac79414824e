"""PPL against its definition in double precision, and its random draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from picture_folders import PictureFolder
from torch import Tensor

from swincli.console import Console
from swincli.errors import ResourceError, UsageError
from swincli.metrics.definitions.ppl import EPSILON, draw_codes, path_lengths, trimmed_mean
from swincli.metrics.evaluate import evaluate
from swincli.metrics.metric import Context
from swincli.metrics.networks import perceptual_input, stlpips
from swincli.metrics.networks.detectors import Detector
from swincli.metrics.networks.stlpips import PerceptualDistance
from swincli.metrics.registry import METRICS
from swincli.metrics.streams.images import open_images, stream_subset
from swincli.model.files.classes import Classes
from swincli.model.files.model_file import Model
from swincli.model.generator import Generator
from swincli.model.pretrained.packaged import PackagedWeights
from swincli.recipe import Recipe

CPU = torch.device("cpu")


def mean_square(one: Tensor, other: Tensor) -> Tensor:
    return (one - other).square().mean(dim=(1, 2, 3))


def silent(_: int = 1) -> None:
    pass


def new_model(recipe: Recipe, classes: Classes | None = None) -> Model:
    torch.manual_seed(0)
    section = recipe.model
    generator = Generator(section).eval().requires_grad_(False)
    for parameter in generator.parameters():
        parameter.mul_(2.0)  # so that images differ as much as those of a trained model
    return Model(generator, recipe, 0, torch.zeros(section.latent_dim), Path("model"), classes)


@pytest.fixture
def model(tiny_recipe: Callable[..., Recipe]) -> Model:
    return new_model(tiny_recipe())


@pytest.fixture(scope="module")
def random_distance() -> PerceptualDistance:
    """The network with random weights, without a file."""
    torch.manual_seed(1)
    network = PerceptualDistance().eval()
    for weight in network.weights:
        torch.nn.init.uniform_(weight)
    return network.requires_grad_(False)


@pytest.mark.parametrize("space", ["w", "z"])
def test_a_length_is_that_of_the_step_in_double_precision(model: Model, space: str) -> None:
    lengths = path_lengths(model, space, 6, 0, mean_square, 6, silent)
    exact = replace(model, generator=model.generator.double())
    generator = exact.generator
    deviation = torch.tensor(model.recipe.model.pixel_std, dtype=torch.float64)[:, None, None]
    for number, length in enumerate(lengths):
        first, second = draw_codes([number], model.recipe.model.latent_dim).double()
        if space == "w":
            start, end = generator.map(first), generator.map(second)

            def path(t: float, start: Tensor = start, end: Tensor = end) -> Tensor:
                return generator.synthesise(generator.broadcast(start + t * (end - start)))
        else:
            a, b = first / first.norm(), second / second.norm()
            angle = torch.acos((a * b).sum())

            def path(t: float, a: Tensor = a, b: Tensor = b, angle: Tensor = angle) -> Tensor:
                return generator((torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle) * 4)

        slope = (path(EPSILON) - path(0)) / EPSILON
        assert length == pytest.approx(float((2 * deviation * slope).square().mean()), rel=0.02)


@pytest.mark.parametrize("space", ["w", "z"])
def test_the_batch_makes_no_difference_and_seeds_share_no_pair(
    model: Model, random_distance: PerceptualDistance, space: str
) -> None:
    told: list[int] = []
    whole = path_lengths(model, space, 3, 3, random_distance, 3, told.append)
    parts = path_lengths(model, space, 3, 3, random_distance, 2, told.append)
    assert told == [3, 2, 1]
    assert whole.min() > 0
    np.testing.assert_allclose(parts, whole, rtol=0.02)
    np.testing.assert_array_equal(path_lengths(model, space, 3, 3, random_distance, 3, silent), whole)
    assert not set(whole) & set(path_lengths(model, space, 3, 4, random_distance, 3, silent))


def test_a_generator_that_changes_more_has_longer_paths(model: Model) -> None:
    calm = trimmed_mean(path_lengths(model, "w", 20, 0, mean_square, 20, silent))
    model.generator.levels[-1].to_rgb.conv.weight.mul_(3)
    for level in model.generator.levels:
        level.to_rgb.conv.weight.mul_(2)
    assert trimmed_mean(path_lengths(model, "w", 20, 0, mean_square, 20, silent)) > 3.9 * calm


@pytest.mark.parametrize("size", [16, 64])
def test_pictures_of_any_size_are_brought_to_one_that_the_distance_takes(
    tiny_recipe: Callable[..., Recipe], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Size] = []

    def watching(one: Tensor, other: Tensor) -> Tensor:
        seen.append(one.shape)
        return mean_square(one, other)

    monkeypatch.setattr(perceptual_input, "LARGEST", 32)
    model = new_model(tiny_recipe(f"model.size={size}", "model.g_width=32", "model.d_width=32"))
    path_lengths(model, "w", 1, 0, watching, 1, silent)
    assert seen == [(1, 3, 32, 32)]


def test_both_codes_of_a_pair_have_one_class(tiny_recipe: Callable[..., Recipe]) -> None:
    classes = Classes(("a", "b"), (0, 10))
    model = new_model(tiny_recipe("model.classes=2"), classes)
    lengths = path_lengths(model, "w", 5, 0, mean_square, 5, silent)
    model.generator.embedding.linear.weight[:, 0] += 5  # of a class that is never drawn
    np.testing.assert_array_equal(path_lengths(model, "w", 5, 0, mean_square, 5, silent), lengths)
    model.generator.embedding.linear.weight[:, 1] += 5
    assert (path_lengths(model, "w", 5, 0, mean_square, 5, silent) != lengths).all()


def test_the_mean_leaves_out_a_hundredth_at_either_end() -> None:
    lengths = np.random.default_rng(0).permutation(np.r_[np.full(2, -1e6), np.full(396, 5.0), np.full(2, 1e9)])
    assert trimmed_mean(lengths) == 5
    assert trimmed_mean(np.array([1.0, 3.0])) == 2


def test_pictures_alone_have_no_path(picture_folder: PictureFolder, tiny: Detector, quiet: Console) -> None:
    folder = str(picture_folder("some", 3))
    with open_images(folder) as images, pytest.raises(UsageError, match="--metric ppl: needs a model") as caught:
        evaluate(stream_subset(images, 3, 0), images, ["ppl"], tiny, console=quiet)
    assert "--checkpoint" in (caught.value.hint or "")


def test_missing_weights_are_named(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stlpips, "WEIGHTS", replace(stlpips.WEIGHTS, module="no_such_package"))
    with pytest.raises(ResourceError, match="stlpips-pytorch is not installed") as caught:
        METRICS["ppl"].check(Context(model=model))
    assert "stlpips-pytorch==" in (caught.value.hint or "")


def test_both_values_come_with_a_model(
    model: Model,
    random_distance: PerceptualDistance,
    picture_folder: PictureFolder,
    tiny: Detector,
    quiet: Console,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(PackagedWeights, "require", lambda _: tmp_path)
    monkeypatch.setattr(stlpips, "load_perceptual", lambda *_: random_distance)
    with open_images(str(picture_folder("some", 4))) as images:
        stream = stream_subset(images, 4, 0)
        result = evaluate(stream, images, ["fid", "ppl"], tiny, console=quiet, model=model)
    assert set(result.values) == {"fid", "ppl_w", "ppl_z"}
    assert result.protocol.networks["ppl"].sha256 == stlpips.WEIGHTS.sha256
    assert "LPIPS" in dict(result.protocol.rows())["ppl by"]
    assert result.values["ppl_w"] == trimmed_mean(path_lengths(model, "w", 4, 0, random_distance, 16, silent))
