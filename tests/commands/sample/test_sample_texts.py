"""`sample --text`: images of texts, the training captions that are near, guidance, and walks between texts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sampled_models import pixels, sample
from text_stores import TEXTS, WordEncoder, captions_of

import swincli
from swincli.commands.app import run
from swincli.errors import ResourceError, UsageError
from swincli.model.files.attributes import Attributes
from swincli.model.files.model_file import load_model, mean_w_of_labels, save_model
from swincli.model.generator import Generator
from swincli.recipe import Recipe
from swincli.recipe.attributes import Attribute, Kind
from swincli.synthesis.latents import texts
from swincli.synthesis.latents.codes import codes_of_seeds
from swincli.synthesis.latents.texts import read_texts, without_text
from swincli.synthesis.latents.truncation import Truncation
from swincli.training.step.texts import known_texts

Capture = pytest.CaptureFixture[str]
KNOWN, NEAR, FAR = "a red square on the left", "the red square", "a submarine"


@pytest.fixture(scope="module")
def model(tiny_recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model of texts, whose images show what its text is."""
    recipe = tiny_recipe(TEXTS, "model.adain_gamma=1.0")
    captions = captions_of([(colour, side) for colour in range(3) for side in range(2)])
    rows = torch.from_numpy(captions.columns(slice(None)))
    attributes = Attributes((Attribute("caption", Kind("text", rows.shape[1])),), rows, known_texts(captions))
    torch.manual_seed(0)
    generator = Generator(recipe.model)
    for parameter in generator.parameters():
        parameter.data.mul_(2)
    path = tmp_path_factory.mktemp("texts") / "model.safetensors"
    save_model(path, generator, recipe, 10, None, attributes)
    return path


@pytest.fixture(autouse=True)
def encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "load_sentence_encoder", WordEncoder)


def test_each_seed_gives_an_image_of_each_text(model: Path, tmp_path: Path, capsys: Capture) -> None:
    assert sample(model, tmp_path / "o", "--text", KNOWN, "--text", NEAR, "--seeds", "1,2", "--json") == 0
    out = json.loads(capsys.readouterr().out)
    assert [Path(path).stem for path in out["images"]] == [
        f"seed-{seed:06d}-text-{text:03d}" for text in (0, 1) for seed in (1, 2)
    ]
    assert [each["text"] for each in out["texts"]] == [KNOWN, NEAR]
    assert out["texts"][0]["nearest"][0] == [KNOWN, pytest.approx(1, abs=1e-3)]
    first, second = (pixels(tmp_path / f"o/seed-000001-text-{text:03d}.png") for text in (0, 1))
    assert abs(first - second).mean() > 0.5
    (tmp_path / "texts.txt").write_text(f"\n{KNOWN}\r\n  {NEAR}\n\n")
    assert sample(model, tmp_path / "f", "--text-file", str(tmp_path / "texts.txt"), "--seeds", "1,2") == 0
    for path in (tmp_path / "o").iterdir():
        assert path.read_bytes() == (tmp_path / "f" / path.name).read_bytes()


def test_a_text_alone_gives_8_images_and_names_near_captions(model: Path, tmp_path: Path, capsys: Capture) -> None:
    assert sample(model, tmp_path / "o", "--text", KNOWN) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert len(list((tmp_path / "o").iterdir())) == 8
    assert f'"{KNOWN}": closest of the training captions: "{KNOWN}" 1.00' in told
    assert "unlike" not in told
    assert sample(model, tmp_path / "o2", "--text", FAR, "--seeds", "1") == 0
    assert f'"{FAR}" is unlike all training captions' in " ".join(capsys.readouterr().err.split())


def test_a_training_caption_needs_no_encoder_and_has_its_bits(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ResourceError("no encoder", 'pip install "swincli[text]"')

    monkeypatch.setattr(texts, "load_sentence_encoder", missing)
    loaded = load_model(model, torch.device("cpu"))
    (text,) = read_texts(loaded, [KNOWN])
    captions = captions_of([(colour, side) for colour in range(3) for side in range(2)])
    np.testing.assert_array_equal(text.columns.numpy(), captions.columns(np.array([captions.texts.index(KNOWN)]))[0])
    with pytest.raises(ResourceError, match="no encoder"):
        read_texts(loaded, [NEAR])


def test_another_encoder_is_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WordEncoder, "sha256", "1" * 64)
    with pytest.raises(ResourceError, match="needs the sentence encoder all-MiniLM-L6-v2"):
        read_texts(load_model(model, torch.device("cpu")), [NEAR])


def test_the_python_face_gives_the_same_bytes(model: Path, tmp_path: Path) -> None:
    assert sample(model, tmp_path / "o", "--text", NEAR, "--seeds", "3", "--guidance", "2") == 0
    images = swincli.load_model(model).sample([3], texts=[NEAR], guidance=2.0)
    np.testing.assert_array_equal(images[0], pixels(tmp_path / "o/seed-000003.png"))


def test_guidance_and_truncation_go_from_and_to_the_mean_of_the_text(model: Path) -> None:
    loaded = load_model(model, torch.device("cpu"))
    assert loaded.attributes is not None
    (text,) = read_texts(loaded, [KNOWN])
    labels = text.columns.expand(2, -1)
    plain, empty = (codes_of_seeds(loaded, [0, 1], labels=each) for each in (labels, labels * torch.nan))
    guided = codes_of_seeds(loaded, [0, 1], Truncation(guidance=3.0), labels)
    torch.testing.assert_close(guided, empty + 3 * (plain - empty))
    each = (labels, without_text(loaded.attributes, labels))
    mean, mean0 = (mean_w_of_labels(loaded.generator, one) for one in each)
    torch.testing.assert_close(codes_of_seeds(loaded, [0, 1], Truncation(0.0), labels)[:, 0], mean)
    guided = codes_of_seeds(loaded, [0, 1], Truncation(0.0, guidance=3.0), labels)[:, 0]
    torch.testing.assert_close(guided, mean0 + 3 * (mean - mean0))
    assert (mean[0] - loaded.w_mean).norm() > 0.1


def test_a_walk_between_texts(model: Path, tmp_path: Path) -> None:
    common = ["--checkpoint", str(model), "--device", "cpu", "--frames", "2"]
    assert run(["interpolate", "--text", KNOWN, "--text", NEAR, "--out", str(tmp_path / "w"), *common]) == 0
    frames = sorted((tmp_path / "w").iterdir())
    assert len(frames) == 2
    assert sample(model, tmp_path / "o", "--text", KNOWN, "--text", NEAR, "--seeds", "0") == 0
    np.testing.assert_array_equal(pixels(frames[0]), pixels(tmp_path / "o/seed-000000-text-000.png"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text", " "], "--text: text 1 is empty"),
        (["--text", "a", "--latents", "w.npz"], "cannot be combined with --latents, --mix or --class"),
        (["--text", "a", "--class", "0"], "cannot be combined with --latents, --mix or --class"),
        (["--text-file", "no.txt"], "no.txt"),
        (["--seeds", "1", "--guidance", "nan"], "--guidance nan: must be a finite number"),
    ],
)
def test_what_does_not_fit_is_said(
    model: Path, tmp_path: Path, arguments: list[str], message: str, capsys: Capture
) -> None:
    assert sample(model, tmp_path / "o", *arguments) in (1, 2)
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_model_without_texts_says_so(trained_run: Path, tmp_path: Path, capsys: Capture) -> None:
    for arguments in (["--text", "a cat"], ["--seeds", "1", "--guidance", "2"]):
        assert sample(trained_run, tmp_path / "o", *arguments) == 2
        assert "was not trained with texts" in " ".join(capsys.readouterr().err.split())


def test_an_empty_file_of_texts_says_so(model: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "t.txt").write_text("\n \n")
    assert sample(model, tmp_path / "o", "--text-file", str(tmp_path / "t.txt")) == 2
    assert "has no text" in capsys.readouterr().err


def test_an_error_in_python_names_its_argument(model: Path) -> None:
    with pytest.raises(UsageError, match="texts: text 2 is empty"):
        swincli.load_model(model).sample([0], texts=["a", ""])


def test_drawn_captions_are_told(model: Path, tmp_path: Path, capsys: Capture) -> None:
    assert sample(model, tmp_path / "o", "--seeds", "0-2", "--json") == 0
    told = json.loads(capsys.readouterr().out)["labels"]
    assert len(told) == 3
    assert all(re.fullmatch(r'caption="a \w+ square( on the \w+)?"', text) for text in told)


def test_a_text_is_no_value_of_a_label(model: Path, tmp_path: Path, capsys: Capture) -> None:
    for value in ("all", "a red square"):
        assert sample(model, tmp_path / "o", "--seeds", "1", "--label", f"caption={value}") == 2
        assert "It is a text: use --text." in capsys.readouterr().err
