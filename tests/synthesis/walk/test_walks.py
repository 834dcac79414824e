"""Walks of a small generator: key frames, fixed layers, classes, grids and batches."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sampled_models import save_shown_model

from swincli.errors import DataError, UsageError
from swincli.model.files.classes import Classes
from swincli.model.files.model_file import Model, load_model
from swincli.recipe import Recipe
from swincli.synthesis.latents.codes import codes_of_seeds, z_from_seeds
from swincli.synthesis.latents.files import Latents, write_latents
from swincli.synthesis.latents.truncation import Truncation
from swincli.synthesis.sampling import render
from swincli.synthesis.walk.key_frames import KeyFrames, WalkSpace, find_key_frames
from swincli.synthesis.walk.walks import FixedLayers, frames_of, images_along, make_walk

HALF = Truncation(0.5)
CPU = torch.device("cpu")


def shown_model(folder: Path, classes: Classes | None = None) -> Model:
    sizes = {"size": 16, "latent_dim": 16, "mapping_layers": 2, "g_width": 16, "d_width": 8, "adain_gamma": 1.0}
    sizes["classes"] = len(classes.names) if classes else 0
    recipe = Recipe.model_validate({"model": sizes, "data": {"path": "none"}})
    return load_model(save_shown_model(recipe, folder / "model.safetensors", classes), CPU)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return shown_model(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return shown_model(tmp_path_factory.mktemp("conditional"), Classes(("cat", "dog", "7"), (1, 2, 1)))


def key_frames(model: Model, seeds: list[int], space: WalkSpace = "w", of_class: str | None = None) -> KeyFrames:
    return find_key_frames(model, seeds, of_class, [], space, HALF)


def times(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(("space", "curve"), [("w", "linear"), ("w", "spline"), ("z", "linear")])
def test_a_walk_passes_the_images_of_its_seeds(model: Model, space: WalkSpace, curve: str) -> None:
    walk = make_walk(model, key_frames(model, [4, 7, 9], space), HALF, curve=curve, closed=True)
    expected = codes_of_seeds(model, [4, 7, 9, 4], HALF)
    torch.testing.assert_close(walk(times(0, 1, 2, 3)), expected, rtol=1e-4, atol=1e-4)
    (frame,) = frames_of(model, next(images_along(model, [walk], times(1), 4)), (1, 1))
    assert (frame.int() - render(model, expected[1:2])[0].int()).abs().max() <= 1


def test_z_and_w_go_different_ways(model: Model) -> None:
    ways = [
        make_walk(model, key_frames(model, [4, 7], space), HALF, curve="linear", closed=False)(times(0.5))
        for space in ("w", "z")
    ]
    ends = codes_of_seeds(model, [4, 7], HALF)
    torch.testing.assert_close(ways[0][0], ends.mean(dim=0))
    assert (ways[0] - ways[1]).abs().max() > 0.01


def test_rows_of_files_are_key_frames_after_the_seeds(model: Model, tmp_path: Path) -> None:
    z = z_from_seeds([1, 2, 3], 16)
    with torch.inference_mode():
        w = model.generator.map(z)
    write_latents(tmp_path / "z.npz", Latents("z", z[:1]))
    write_latents(tmp_path / "w.npz", Latents("w", w[1:2]))
    write_latents(tmp_path / "w_plus.npz", Latents("w_plus", model.generator.broadcast(w[2:])))
    files = [tmp_path / f"{name}.npz" for name in ("w", "w_plus", "z")]
    keys = find_key_frames(model, [8], None, files, "w", HALF)
    torch.testing.assert_close(keys.codes, codes_of_seeds(model, [8, 2, 3, 1], HALF))
    in_z = find_key_frames(model, [8], None, files[2:], "z", HALF)
    assert torch.equal(in_z.codes, z_from_seeds([8, 1], 16))
    with pytest.raises(UsageError, match=r"w\.npz: holds w; a walk in z needs z"):
        find_key_frames(model, [], None, files, "z", HALF)


def test_files_of_another_model_are_refused(model: Model, tmp_path: Path) -> None:
    write_latents(tmp_path / "w.npz", Latents("w", torch.zeros(2, 16)), {"model": "0123456789ab"})
    with pytest.raises(DataError, match="of another model"):
        find_key_frames(model, [], None, [tmp_path / "w.npz"], "w", HALF)


def test_layers_that_are_kept_do_not_move(model: Model) -> None:
    keys = key_frames(model, [4, 7])
    fixed = codes_of_seeds(model, [1], HALF)
    plain = make_walk(model, keys, HALF, curve="linear", closed=False)
    mixed = make_walk(model, keys, HALF, curve="linear", closed=False, fixed=[FixedLayers([0, 3], fixed)])
    before, after = plain(times(0, 0.4, 1)), mixed(times(0, 0.4, 1))
    assert torch.equal(after[:, [0, 3]], fixed[:, [0, 3]].expand(3, -1, -1))
    others = [layer for layer in range(before.shape[1]) if layer not in (0, 3)]
    assert torch.equal(after[:, others], before[:, others])


@pytest.mark.parametrize("space", ["w", "z"])
def test_a_walk_from_class_to_class(conditional: Model, space: WalkSpace) -> None:
    keys = key_frames(conditional, [5], space, "cat,dog")
    walk = make_walk(conditional, keys, HALF, curve="linear", closed=True)
    walked = walk(torch.linspace(0, 2, 201, dtype=torch.float64))
    for index, label in ((0, 0), (100, 1), (200, 0)):
        expected = codes_of_seeds(conditional, [5], HALF, torch.tensor([label]))
        torch.testing.assert_close(walked[index : index + 1], expected, rtol=1e-4, atol=1e-4)
    apart = (walked[0] - walked[100]).norm()
    assert walked.diff(dim=0).flatten(1).norm(dim=1).max() < 0.05 * apart  # no jump where the class changes


def test_z_of_a_file_do_not_decide_images_of_classes(conditional: Model, tmp_path: Path) -> None:
    write_latents(tmp_path / "z.npz", Latents("z", z_from_seeds([1, 2], 16)))
    for space in ("w", "z"):
        with pytest.raises(UsageError, match="z alone does not define"):
            find_key_frames(conditional, [], None, [tmp_path / "z.npz"], space, HALF)


def test_walks_side_by_side_are_the_single_ones_at_every_batch(model: Model) -> None:
    shares = key_frames(model, [0, 1, 2, 3, 4, 5, 6, 7]).split(4)
    torch.testing.assert_close(shares[1].codes, codes_of_seeds(model, [2, 3], HALF))
    walks = [make_walk(model, share, HALF, curve="linear", closed=False) for share in shares]
    wanted, seen = torch.linspace(0, 1, 3, dtype=torch.float64), {}
    for batch in (1, 3, 4, 64):
        frames = [
            frame for images in images_along(model, walks, wanted, batch) for frame in frames_of(model, images, (2, 2))
        ]
        seen[batch] = torch.stack(frames).int()
        assert seen[batch].shape == (3, 32, 32, 3)
        assert (seen[batch] - seen[1]).abs().max() <= 1
    alone = render(model, walks[3](wanted)).int()
    assert (seen[64][:, 16:, 16:] - alone).abs().max() <= 1
    assert (seen[1][0] - seen[1][2]).abs().max() > 2


def test_images_come_a_few_at_a_time(model: Model) -> None:
    """The number of images in memory is the batch size, for a walk of any length."""
    walk = make_walk(model, key_frames(model, [1, 2]), HALF, curve="linear", closed=False)
    images = images_along(model, [walk], torch.linspace(0, 1, 1_000_000, dtype=torch.float64), 3)
    assert [len(next(images)) for _ in range(4)] == [3, 3, 3, 3]
