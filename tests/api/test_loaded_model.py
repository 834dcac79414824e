"""`swincli.load_model`: the same bytes as `swincli sample`, codes that come back, and wrong input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import swincli
from swincli.commands.app import run


@pytest.fixture(scope="module")
def model(trained_run: Path) -> swincli.LoadedModel:
    return swincli.load_model(trained_run, "cpu")


def test_it_says_what_it_is(model: swincli.LoadedModel, trained_run: Path) -> None:
    assert model.path.parent == trained_run
    assert (model.resolution, model.latent_dim, model.images_seen, model.classes) == (16, 16, 8, None)
    assert repr(model) == f"<swincli model {model.path}: 16 px, 8 images seen, cpu>"


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        ({}, []),
        ({"truncation": 0.5}, ["--truncation", "0.5"]),
        ({"truncation": 0.5, "truncation_layers": 2}, ["--truncation", "0.5", "--truncation-layers", "2"]),
        ({"batch": 2}, ["--batch", "2"]),
        ({"preview": 8}, ["--preview", "8"]),
    ],
)
def test_seeds_give_the_bytes_of_the_command(
    options: dict[str, float], flags: list[str], model: swincli.LoadedModel, trained_run: Path, tmp_path: Path
) -> None:
    command = [
        "sample",
        "--checkpoint",
        str(trained_run),
        "--seeds",
        "3,1,7",
        "--out",
        str(tmp_path),
        "--device",
        "cpu",
    ]
    assert run([*command, *flags, "-q"]) == 0
    files = [tmp_path / f"seed-{seed:06d}.png" for seed in (3, 1, 7)]
    images = model.sample([3, 1, 7], **options)  # type: ignore[arg-type]
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, np.stack([np.asarray(Image.open(file)) for file in files]))


def test_codes_come_back_as_the_images_of_their_seeds(model: swincli.LoadedModel) -> None:
    w = model.map(seeds=[1, 2, 3], truncation=0.7)
    assert (w.shape, w.dtype) == ((3, model.latent_dim), np.float32)
    images = model.sample(seeds=[1, 2, 3], truncation=0.7)
    np.testing.assert_array_equal(model.synthesise(w), images)
    previews = model.synthesise(w, preview=8)
    assert previews.shape == images.shape
    np.testing.assert_array_equal(previews, model.sample(seeds=[1, 2, 3], truncation=0.7, preview=8))
    w_plus = np.repeat(w[:, None], model.num_ws, axis=1)
    np.testing.assert_array_equal(model.synthesise(w_plus, batch=3), images)


def test_z_is_mapped_like_the_seeds_that_draw_it(model: swincli.LoadedModel) -> None:
    from swincli.synthesis.latents.codes import z_from_seeds

    z = z_from_seeds([1, 2], model.latent_dim).numpy()
    np.testing.assert_array_equal(model.map(z=z), model.map(seeds=[1, 2]))


def test_nothing_gives_nothing(model: swincli.LoadedModel) -> None:
    assert model.sample([]).shape == (0, 16, 16, 3)
    assert model.map([]).shape == (0, 16)
    assert model.synthesise(np.empty((0, 16))).shape == (0, 16, 16, 3)


def test_wrong_input_is_refused(model: swincli.LoadedModel) -> None:
    with pytest.raises(swincli.SwincliError, match=r"codes of shape \[2, 3\]: this model takes \[N, 16\] or"):
        model.synthesise(np.zeros((2, 3)))
    with pytest.raises(swincli.SwincliError, match="either seeds or z"):
        model.map()
    with pytest.raises(swincli.SwincliError, match="--class cat"):
        model.sample([1], classes="cat")
    with pytest.raises(swincli.SwincliError, match="no such"):
        swincli.load_model("no-such-run", "cpu")
