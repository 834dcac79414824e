"""The command line of `swincli sample`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sampled_models import pixels, sample

from swincli.model.files.model_file import load_model
from swincli.synthesis.latents.codes import z_from_seeds

Capture = pytest.CaptureFixture[str]


def test_files_are_named_by_seed_and_listed(model: Path, tmp_path: Path, capsys: Capture) -> None:
    assert sample(model, tmp_path / "out", "--seeds", "0-2,45", "--grid", "2x2") == 0
    expected = [str(tmp_path / "out" / f"{name}.png") for name in (*(f"seed-{s:06d}" for s in (0, 1, 2, 45)), "grid")]
    assert capsys.readouterr().out.splitlines() == expected
    assert pixels(tmp_path / "out/grid.png").shape == (32, 32, 3)
    with Image.open(tmp_path / "out/seed-000045.png") as image:
        assert "seed=45" in image.text["swincli"]  # type: ignore[attr-defined]


def test_json(model: Path, tmp_path: Path, capsys: Capture) -> None:
    assert sample(model, tmp_path / "out", "--seeds", "3", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "images": [str(tmp_path / "out/seed-000003.png")],
        "count": 1,
        "grid": None,
        "attention": [],
        "sweeps": [],
        "palettes": [],
        "latents": None,
        "classes": None,
    }


def test_attention_is_drawn_for_every_seed(model: Path, tmp_path: Path, capsys: Capture) -> None:
    drawn = ["--attention", "--attention-layers", "8,16.1", "--attention-at", "3,4", "--attention-at", "15,15"]
    assert sample(model, tmp_path / "out", "--seeds", "3,7", *drawn) == 0
    names = ["seed-000003.png", "seed-000007.png", "seed-000003-attention.png", "seed-000007-attention.png"]
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / "out" / name) for name in names]
    with Image.open(tmp_path / "out" / names[2]) as page:
        assert page.width > 3 * 512
        assert page.height > 4 * 512  # two points by two layers
        assert "seed=3" in page.text["swincli"]  # type: ignore[attr-defined]
    assert sample(model, tmp_path / "out", "--seeds", "3", "--attention", "--json", "--force") == 0
    assert json.loads(capsys.readouterr().out)["attention"] == [str(tmp_path / "out" / names[2])]


def test_a_seed_gives_the_same_image_at_every_batch_size(model: Path, tmp_path: Path) -> None:
    for batch in ("1", "3", "8"):
        assert sample(model, tmp_path / batch, "--seeds", "0-7", "--batch", batch) == 0
    for seed in range(8):
        images = [pixels(tmp_path / batch / f"seed-{seed:06d}.png") for batch in ("1", "3", "8")]
        assert max(np.abs(images[0] - other).max() for other in images[1:]) <= 1


def test_different_seeds_differ_and_truncation_draws_them_together(model: Path, tmp_path: Path) -> None:
    spread = []
    for truncation in ("1.0", "0.5", "0"):
        assert sample(model, tmp_path / truncation, "--seeds", "0-7", "--truncation", truncation) == 0
        images = np.stack([pixels(tmp_path / truncation / f"seed-{seed:06d}.png") for seed in range(8)])
        spread.append(images.std(axis=0).mean())
    assert spread[0] > spread[1] > spread[2] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "5-2"], "--seeds 5-2: the range 5-2 runs backwards; write 2-5"),
        (["--seeds", "a"], "--seeds a: 'a' is not a seed"),
        (["--seeds", "4294967296"], "above the largest seed"),
        (["--seeds", "0", "--grid", "8"], "--grid 8: '8' is not a grid size"),
        ([], "--seeds, --latents, --mix: give exactly one of them"),
        (["--seeds", "0", "--latents", "a.npz"], "--seeds, --latents, --mix: give exactly one of them"),
        (["--seeds", "0", "--batch", "0"], "--batch"),
        (["--seeds", "0", "--attention", "--attention-layers", "32"], "the model has no layer 32"),
        (["--seeds", "0", "--attention", "--attention-at", "16,0"], "--attention-at 16,0: outside the image"),
        (["--seeds", "0", "--attention-at", "1,1"], "--attention-layers, --attention-at: need --attention"),
        (["--seeds", "0", "--grid-labels"], "--grid-labels: needs --grid"),
        (["--seeds", "0-3", "--count", "2"], "--count 2: --seeds 0-3 already lists 4 seeds"),
        (["--count", "0"], "--count 0: must be from 1 to ten million"),
        (["--count", "many"], "--count many: 'many' is not a number of images"),
        (["--seeds", "4294967295", "--count", "2"], "it exceeds the largest seed"),
        (["--seeds", "0", "--mix", "1:2"], "--seeds, --latents, --mix: give exactly one of them"),
        (["--mix", "1:2", "--grid", "2x2"], "cannot be combined with --mix"),
        (["--mix", "1,2"], "--mix 1,2: row seeds and column seeds are needed"),
        (["--mix", "1:2@fine"], "--mix 1:2@fine: this model has no fine layers, only 0-5"),
        (["--seeds", "0", "--sweep", "pca"], "--sweep pca: a method and directions are needed"),
        (["--seeds", "0", "--sweep", "pca:16"], "this model has directions 0-15, not 16"),
        (["--seeds", "0", "--sweep", "sefa:0@7"], "this model has layers 0-5, not 7"),
        (["--seeds", "0", "--sweep-range", "nan"], "--sweep-range nan: must be above 0"),
        (["--seeds", "0", "--truncation", "inf"], "--truncation inf: must be a finite number"),
        (["--seeds", "0", "--truncation-layers", "3"], "--truncation-layers 3: has no effect without --truncation"),
        (["--seeds", "0", "--truncation", "0.5", "--truncation-layers", "7"], "w+ of this model has 6 codes"),
        (
            ["--seeds", "0", "--truncation", "0.5", "--truncation-centres", "501"],
            "--truncation-centres 501: too many centres",
        ),
        (["--seeds", "0", "--preview", "12"], "--preview 12: the image does not pass this size"),
        (["--seeds", "0", "--preview", "8", "--attention"], "--preview: cannot be combined with --attention"),
        (["--seeds", "0", "--save-space", "w"], "--save-space w: needs --save-latents"),
        (["--seeds", "0", "--save-latents", "a.npy"], "the file name must end in .npz"),
    ],
)
def test_wrong_use_exits_with_2(
    model: Path, tmp_path: Path, capsys: Capture, arguments: list[str], message: str
) -> None:
    assert sample(model, tmp_path / "out", *arguments) == 2
    output = capsys.readouterr()
    assert message in output.err
    assert "hint:" in output.err
    assert output.out == ""
    assert not (tmp_path / "out").exists()


def test_latents_of_a_seed_give_its_image(model: Path, tmp_path: Path, capsys: Capture) -> None:
    z = z_from_seeds([5, 6], 16)
    generator = load_model(model, torch.device("cpu")).generator
    w = generator.map(z)
    arrays = {"z": z, "w": w, "w_plus": generator.broadcast(w)}
    assert sample(model, tmp_path / "seeds", "--seeds", "5-6", "--truncation", "0.8") == 0
    for name, values in arrays.items():
        np.savez(tmp_path / f"{name}.npz", **{name: values.detach().numpy()})
        arguments = ("--latents", str(tmp_path / f"{name}.npz"), "--truncation", "0.8", "--grid", "2x1")
        capsys.readouterr()
        assert sample(model, tmp_path / name, *arguments) == 0
        files = [tmp_path / name / f"{stem}.png" for stem in ("latent-0000", "latent-0001", "grid")]
        assert capsys.readouterr().out.splitlines() == list(map(str, files))
        for file, seed in zip(files, (5, 6), strict=False):
            assert np.abs(pixels(file) - pixels(tmp_path / f"seeds/seed-{seed:06d}.png")).max() <= 1


def test_missing_and_garbage_checkpoints_exit_with_1(tmp_path: Path, capsys: Capture) -> None:
    garbage = tmp_path / "garbage.safetensors"
    garbage.write_bytes(b"no model at all")
    for checkpoint in (garbage, tmp_path / "missing"):
        assert sample(checkpoint, tmp_path / "out", "--seeds", "0") == 1
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert str(checkpoint) in error
        assert "Traceback" not in error


def test_a_folder_that_cannot_be_made(model: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "file").write_text("in the way")
    assert sample(model, tmp_path / "file" / "out", "--seeds", "0") == 1
    assert "error: writing" in capsys.readouterr().err
