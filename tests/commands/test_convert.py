"""The command line of `swincli convert`, and of other commands with an original checkpoint."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from release_skeleton import released_checkpoint

from swincli.commands.app import run
from swincli.commands.convert.request import ConvertRequest
from swincli.errors import UsageError
from swincli.model.files.model_file import load_model, save_model
from swincli.model.generator import Generator
from swincli.recipe import Recipe

Capture = pytest.CaptureFixture[str]
PARTS = ["g_ema", "g", "d", "g_optim", "d_optim"]


@pytest.fixture(scope="module")
def original(folder: Path) -> Path:
    path = folder / "000100.pt"
    torch.save(released_checkpoint([16, 16, 8], [8, 8, 4]), path)
    return path


def convert(*arguments: object) -> int:
    return run(["convert", *map(str, arguments)])


def test_there_and_back(original: Path, tmp_path: Path, capsys: Capture) -> None:
    model, back = tmp_path / "model.safetensors", tmp_path / "out" / "back.pt"
    assert convert(original, model, "--json") == 0
    output = capsys.readouterr()
    answer = json.loads(output.out)
    assert [(each["step"], each["name"]) for each in answer.pop("ancestors")] == [("convert", original.name)]
    assert answer == {"path": str(model), "images_seen": 400, "parts": PARTS}
    assert output.err == ""
    assert convert(model, back) == 0
    output = capsys.readouterr()
    assert output.out == f"{back}\n"
    assert "the original code cannot build these networks (model.g_channels = [16, 16, 8]" in output.err
    one, two = (torch.load(path, weights_only=False) for path in (original, back))
    assert list(one) == list(two)
    for part in ("g", "d", "g_ema"):
        assert all(torch.equal(one[part][key], two[part][key]) for key in one[part] if "_float_tensor" not in key)


def test_the_same_checkpoint_gives_the_same_bytes(original: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert convert(original, tmp_path / f"{name}.safetensors") == 0
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()


def test_images_seen_may_be_told(original: Path, tmp_path: Path, capsys: Capture) -> None:
    model, back = tmp_path / "model.safetensors", tmp_path / "back.pt"
    assert convert(original, model, "--images-seen", "27.2M", "--json") == 0
    assert json.loads(capsys.readouterr().out)["images_seen"] == 27_200_000
    assert convert(model, back, "--json") == 0
    assert convert(back, model, "--force", "--json") == 0
    assert [json.loads(line)["images_seen"] for line in capsys.readouterr().out.splitlines()] == [27_200_000] * 2


def test_what_is_missing_is_said(
    tmp_path: Path, original: Path, tiny_recipe: Callable[..., Recipe], capsys: Capture
) -> None:
    content = torch.load(original, weights_only=False)
    average = tmp_path / "average.pt"
    torch.save({"g_ema": content["g_ema"]}, average)
    assert convert(average, tmp_path / "average.safetensors", "--json") == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["parts"] == ["g_ema"]
    assert "has no g, d, g_optim, d_optim" in output.err
    assert "does not say how many images it was trained on" in output.err
    recipe = tiny_recipe()
    model = tmp_path / "model-000000001234.safetensors"
    save_model(model, Generator(recipe.model), recipe, 1234)
    assert convert(model, tmp_path / "run.pt", "--json") == 0
    output = capsys.readouterr()
    answer = json.loads(output.out)
    assert len(answer.pop("ancestors")) == 1
    assert answer == {"path": str(tmp_path / "run.pt"), "images_seen": 1234, "parts": ["g_ema"]}
    assert "has no g, d, g_optim, d_optim" in output.err
    assert set(torch.load(tmp_path / "run.pt", weights_only=False)) == {"g_ema", "args"}
    assert convert(model, tmp_path / "run.pt", "--force", "--quiet") == 0
    assert "has no" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.pt", "b.pt"], "a.pt to b.pt: one must be a .pt file, the other a .safetensors file"),
        (["a.safetensors", "b.safetensors"], "one must be a .pt file"),
        (["a.pt", "b"], "one must be a .pt file"),
        (["a.pt", "b.safetensors", "--images-seen", "many"], "--images-seen many: 'many' is not a number of images"),
        (["a.pt"], "missing argument 'OUT'"),
    ],
)
def test_wrong_use_exits_with_2(arguments: list[str], message: str, capsys: Capture) -> None:
    assert convert(*arguments) == 2
    output = capsys.readouterr()
    assert message in output.err
    assert output.out == ""


def test_a_named_model_may_have_a_dot_in_its_name() -> None:
    for name in ("hf:me/cats-v1.0", "hf:me/cats-v1.0@main", "hf:me/cats/model.safetensors", "builtin:cats32"):
        request = ConvertRequest(source=name, dest=Path("a.pt"))
        request.check()
        assert request.source == name  # as it was written, on Windows too
        with pytest.raises(UsageError, match="one must be a"):
            ConvertRequest(source=name, dest=Path("a.safetensors")).check()
    ConvertRequest(source="hf:me/cats-v1.0/ffhq.pt", dest=Path("a.safetensors")).check()


def test_failures_exit_with_1_and_leave_nothing(original: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out" / "model.safetensors"
    garbage = tmp_path / "garbage.pt"
    garbage.write_bytes(b"nothing")
    broken = tmp_path / "broken.pt"
    content = torch.load(original, weights_only=False)
    del content["g"]["input.input"]
    torch.save(content, broken)
    for source, message in (
        (tmp_path / "missing.pt", "no such model"),
        (garbage, "damaged"),
        (broken, "g: missing input.input"),
    ):
        assert convert(source, out) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"error: {source}")
        assert message in error
    assert not out.parent.exists()


class Payload:
    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.made),)


def test_code_in_a_checkpoint_is_not_run(original: Path, tmp_path: Path, capsys: Capture) -> None:
    path, made = tmp_path / "evil.pt", tmp_path / "made"
    torch.save(torch.load(original, weights_only=False) | {"args": Payload(made)}, path)
    for arguments in (
        ["convert", str(path), str(tmp_path / "model.safetensors")],
        ["sample", "--checkpoint", str(path), "--seeds", "0", "--out", str(tmp_path / "out")],
    ):
        assert run(arguments) == 1
        assert "refused: opening it would run code" in capsys.readouterr().err
    assert not made.exists()


def test_sample_takes_the_original_and_shows_the_right_colours(original: Path, tmp_path: Path) -> None:
    content = torch.load(original, weights_only=False)
    weights = content["g_ema"]
    for level in range(3):
        for end in ("conv.weight", "conv.bias", "bias"):
            weights[f"to_rgbs.{level}.{end}"].zero_()
    colour = (200, 100, 50)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    weights["to_rgbs.2.bias"].view(3).copy_((torch.tensor(colour) / 255 - mean) / std)  # in ImageNet's range
    path, model = tmp_path / "plain.pt", tmp_path / "plain.safetensors"
    torch.save(content, path)
    assert convert(path, model) == 0
    for checkpoint in (path, model):
        out = tmp_path / checkpoint.suffix[1:]
        assert run(["sample", "--checkpoint", str(checkpoint), "--seeds", "0-1", "--out", str(out)]) == 0
        with Image.open(out / "seed-000001.png") as image:
            assert np.asarray(image).reshape(-1, 3).tolist() == [list(colour)] * 256


def test_a_converted_model_is_the_same_model(original: Path, tmp_path: Path) -> None:
    assert convert(original, tmp_path / "model.safetensors") == 0
    one, two = (load_model(path, torch.device("cpu")) for path in (original, tmp_path / "model.safetensors"))
    assert one.recipe == two.recipe
    assert one.images_seen == two.images_seen == 400
    assert torch.equal(one.w_mean, two.w_mean)
    for name, value in one.generator.state_dict().items():
        assert torch.equal(value, two.generator.state_dict()[name])
