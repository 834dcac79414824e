"""`swincli card`: a model as a folder for a hub."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from attribute_stores import ATTRIBUTES
from huggingface_hub import ModelCard
from PIL import Image

from swincli.commands.app import run
from swincli.data.images.digital_source import TRAINED, generated_by
from swincli.data.store.reader import Store
from swincli.model.files.ancestry import Ancestor
from swincli.model.files.find_checkpoint import METADATA, find_checkpoint, model_name
from swincli.model.files.model_file import load_model, save_model
from swincli.model.files.tensor_file import read_tensors, write_tensors
from swincli.model.generator import Generator
from swincli.publishing.card import FILES, yaml_of
from swincli.recipe import Recipe, dump_recipe
from swincli.training.step.labels import training_attributes, training_classes

Capture = pytest.CaptureFixture[str]
FAKES = {"source": f"runs/cats/{model_name(400)}", "num": 1000, "seeds": [0, 999], "truncation": 1.0}
PROTOCOL = {
    "fakes": FAKES,
    "reference": {"source": "/home/me/cats-1k", "num": 1000, "content_hash": "abcdef0123456789"},
    "detector": {"name": "inception", "sha256": "0123"},
    "resize": "clean-fid",
}


@pytest.fixture(scope="module")
def model(tiny_recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in a run folder with measurements of it, and of another."""
    folder = tmp_path_factory.mktemp("cats")
    recipe = tiny_recipe()
    torch.manual_seed(0)
    ancestors = (Ancestor("fine-tune", "hf:some/dogs@0123456", "abc", 800), Ancestor("prune", "big.safetensors"))
    save_model(folder / model_name(400), Generator(recipe.model), recipe, 400, ancestors=ancestors)
    lines = [
        {"images_seen": 400, "metrics": {"fid": 30.5}, "protocol": PROTOCOL},
        {
            "images_seen": 400,
            "metrics": {"fid": 20.25, "kid": 0.1, "kid_std": 0.01},
            "intervals": {"fid": [19.0, 21.5]},
            "protocol": PROTOCOL,
        },
        {"images_seen": 200, "metrics": {"fid": 1.0}, "protocol": PROTOCOL},
        {"images_seen": 400, "metrics": {"fid": 1.0}, "protocol": PROTOCOL | {"fakes": {"source": "other"}}},
        {"images_seen": 400, "metrics": {"fid": 2.0}, "protocol": PROTOCOL | {"fakes": FAKES | {"truncation": 0.5}}},
        {"images_seen": 400, "metrics": {"kid": None, "fid": float("nan")}, "protocol": PROTOCOL},
        {"images_seen": 400, "metrics": {"is": 2.0}, "protocol": PROTOCOL, "intervals": {"is": [1.0]}},
        {"images_seen": 400, "metrics": {"fid": 3.0}, "protocol": PROTOCOL | {"detector": {"name": "inception"}}},
        {"images_seen": 400, "metrics": {"fid": 4.0}, "protocol": {"fakes": FAKES}},
        {"images_seen": 400, "metrics": {"fid": 5.0}, "protocol": PROTOCOL | {"fakes": "many"}},
        {"images_seen": 400},
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder / model_name(400)


def card(*arguments: object) -> int:
    return run(["card", *map(str, arguments), "--device", "cpu"])


def test_a_folder_that_programs_and_people_read(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    dest = tmp_path / "hub"
    options = (
        "--license",
        "cc-by-4.0",
        "--data-credit",
        'me: "all | of" it',
        "--title",
        "Cats: 16 px",
        "--tag",
        "cats",
    )
    assert card(model.parent, dest, *options, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert sorted(path.name for path in dest.iterdir()) == sorted(FILES)
    assert (dest / "model.safetensors").read_bytes() == model.read_bytes()
    assert generated_by((dest / "samples.png").read_bytes()) == TRAINED
    with Image.open(dest / "samples.png") as grid:
        assert grid.size == (8 * 16, 4 * 16)
    read = ModelCard.load(dest / "README.md")
    data = read.data.to_dict()
    assert (data["license"], data["library_name"], data["base_model"]) == ("cc-by-4.0", "swincli", ["some/dogs"])
    assert data["pipeline_tag"] == "unconditional-image-generation"
    assert {"styleswin", "cats", "16px"} <= set(data["tags"])
    results = {each.metric_type: each for each in read.data.eval_results}
    assert sorted(results) == ["fid", "is", "kid"]
    assert "interval_95" not in results["is"].metric_args
    assert (results["fid"].metric_value, results["fid"].dataset_name) == (20.25, "cats-1k")
    assert results["fid"].metric_args["interval_95"] == [19.0, 21.5]
    assert results["fid"].metric_args["detector"] == "inception"
    assert "fine-tuned from hf:some/dogs@0123456 (abc, 800 images)" in read.text
    assert "| fid | 20.25 | 19 to 21.5 |" in read.text
    assert "They are of images without truncation." in read.text
    assert 'Credit: me: "all | of" it' in read.text
    assert answer["front_matter"]["license"] == "cc-by-4.0"
    assert [each["step"] for each in answer["ancestors"]] == ["fine-tune", "prune"]
    assert run_snippet(dest, monkeypatch)["images"].shape == (3, 16, 16, 3)
    assert find_checkpoint(str(dest)) == dest / "model.safetensors"


def test_a_card_without_choices_says_what_is_missing(model: Path, tmp_path: Path, capsys: Capture) -> None:
    assert card(model, tmp_path / "hub") == 0
    err = " ".join(capsys.readouterr().err.split())
    assert "without --license nobody may use the model" in err
    assert "its recipe names folders of this machine (data.path = /" in err
    text = (tmp_path / "hub" / "README.md").read_text()
    assert 'license: "unknown"' in text
    assert "nobody but its author may use this model until one is" in text
    assert "Credit: none given" in text


def test_an_older_model_is_copied_without_keys_of_its_owner(
    labelled_store: Store, tiny_recipe: Callable[..., Recipe], tmp_path: Path, capsys: Capture
) -> None:
    secret = ("run.on_event=curl ntfy.sh/secret", "run.mirror=/backup", "train.init=C:\\\\models\\\\a.pt")
    recipe, path = tiny_recipe("model.classes=2", "data.path=datasets/cats", *secret), tmp_path / "m.safetensors"
    save_model(path, Generator(recipe.model), recipe, 400, training_classes(2, labelled_store))
    about, tensors = read_tensors(path, METADATA)
    write_tensors(path, tensors, METADATA, about | {"recipe": dump_recipe(recipe), "more": 1})
    assert card(path, tmp_path / "hub", "--license", "mit") == 0
    err = " ".join(capsys.readouterr().err.split())
    assert f"{path}: holds run.mirror or run.on_event, which the copy leaves out. Its identity differs" in err
    assert "its recipe names folders of this machine (train.init = C:" in err
    for file in (tmp_path / "hub").iterdir():
        assert b"secret" not in file.read_bytes(), file
        assert b"/backup" not in file.read_bytes(), file
    copied, same = read_tensors(tmp_path / "hub" / "model.safetensors", METADATA)
    assert copied == about | {"more": 1}
    assert {name: value.tolist() for name, value in same.items()} == {
        name: value.tolist() for name, value in tensors.items()
    }
    assert load_model(tmp_path / "hub" / "model.safetensors", torch.device("cpu")).classes is not None


def test_an_existing_folder(model: Path, tmp_path: Path, capsys: Capture) -> None:
    dest = tmp_path / "hub"
    assert card(model, dest) == 0
    assert card(model, dest) == 1
    assert f"error: {dest}: holds a card" in capsys.readouterr().err
    assert card(model, dest, "--force") == 0
    (dest / "thesis.tex").touch()
    assert card(model, dest, "--force") == 1
    assert f"error: {dest}: is not just a card: it holds thesis.tex" in " ".join(capsys.readouterr().err.split())
    assert card(model, model) == 1
    assert "is a file" in capsys.readouterr().err


@pytest.mark.parametrize("file", ["model.safetensors", "README.md"])
def test_a_full_disk_leaves_nothing(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, file: str
) -> None:
    def full(source: object, *_: object) -> None:
        if file in str(source):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source))

    real = Path.write_text
    monkeypatch.setattr(shutil, "copyfile", lambda _, to: full(to) or Path(to).write_bytes(model.read_bytes()))
    monkeypatch.setattr(Path, "write_text", lambda path, *a, **k: full(path) or real(path, *a, **k))
    assert card(model, tmp_path / "hub") == 1
    assert "no space left on the disk" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--license", "CC BY"], "--license CC BY: not a licence identifier"),
        (["--push", "cats"], "--push cats: not of the form OWNER/NAME"),
        (["--private"], "--private: needs --push"),
    ],
)
def test_wrong_use(model: Path, tmp_path: Path, capsys: Capture, arguments: list[str], message: str) -> None:
    assert card(model, tmp_path / "hub", *arguments) == 2
    assert f"error: {message}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_yaml_of_nested_values_is_read_by_others() -> None:
    import yaml

    values = {"a": "x: y # z", "b": [1, "two"], "c": [{"d": {"e": None, "f": 0.5}, "g": [{"h": True}]}, {"i": []}]}
    assert yaml.safe_load(yaml_of(values)) == values


def run_snippet(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the lines of the README leave behind."""
    monkeypatch.chdir(folder)
    found: dict[str, Any] = {}
    exec(ModelCard.load(folder / "README.md").text.split("```python\n")[1].split("```")[0], found)
    return found


def test_the_card_of_a_model_with_attributes(
    attribute_store: Store, tiny_recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(ATTRIBUTES)
    kept = training_attributes(recipe.model, attribute_store)
    save_model(tmp_path / "m.safetensors", Generator(recipe.model), recipe, 0, attributes=kept)
    assert card(tmp_path / "m.safetensors", tmp_path / "hub", "--license", "mit") == 0
    text = (tmp_path / "hub" / "README.md").read_text()
    assert "attributes: colour: red, green, blue; dark: yes or no; size: 10 to 30; tags: left, right." in text
    assert "model.sample(seeds=[1, 2, 3], labels={'colour': 'red'})" in text
    assert run_snippet(tmp_path / "hub", monkeypatch)["chosen"].shape == (3, 16, 16, 3)


def test_the_card_of_a_shipped_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swincli.publishing.card.generate", lambda *_: [torch.zeros(32, 64, 64, 3, dtype=torch.uint8)])
    assert card("builtin:cats64", tmp_path / "hub", "--license", "cc-by-4.0") == 0
    text = (tmp_path / "hub" / "README.md").read_text()
    assert text.count("David Revoy") == 2
    assert "\n- **Figures**: FID 123.6" in text
    assert "\\u000a" not in text
    assert "None but those in its author's notes." in text
    assert text.count("\n# ") == 1
    assert run_snippet(tmp_path / "hub", monkeypatch)["chosen"].shape == (3, 64, 64, 3)
