"""`swincli directions`, and `--edit` and `--palette` of the commands that draw."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_backbone import install_tiny_backbone

import swincli
from swincli.commands.app import run
from swincli.commands.directions.files import read_scores
from swincli.data.store.reader import Store
from swincli.errors import SwincliError
from swincli.model.files.file_hash import model_identity
from swincli.model.files.model_file import load_model, save_model
from swincli.model.generator import Generator
from swincli.recipe import Recipe
from swincli.synthesis.latents import w_clusters
from swincli.synthesis.latents.codes import w_of_seeds

Capture = pytest.CaptureFixture[str]
NUM = "80"


@pytest.fixture(scope="module", autouse=True)
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A backbone that takes no time, fewer w, and a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        install_tiny_backbone(patch)
        patch.setattr(w_clusters, "SAMPLES", 1000)
        patch.setenv("SWINCLI_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def _save(path: Path, seed: int) -> Path:
    sizes = {"size": 16, "latent_dim": 8, "mapping_layers": 1, "g_width": 16, "d_width": 8, "adain_gamma": 1.0}
    recipe = Recipe.model_validate({"model": sizes, "data": {"path": "none"}})
    torch.manual_seed(seed)
    generator = Generator(recipe.model)
    for parameter in generator.parameters():
        parameter.data.mul_(2)
    save_model(path, generator, recipe, 10)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _save(tmp_path_factory.mktemp("run") / "model-000000000010.safetensors", 0)


@pytest.fixture(scope="module")
def scores(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scores of 300 seeds that are the first number of w."""
    w = w_of_seeds(load_model(model, torch.device("cpu")), range(300))
    path = tmp_path_factory.mktemp("scores") / "scores.csv"
    path.write_text("\ufeffseed;score\r\n" + "".join(f"{n};{w[n, 0]}\r\n" for n in range(300)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def found(model: Path, scores: Path) -> Path:
    """The model with the directions bright (by scores) and pca0."""
    assert _directions(model, "find", "bright", "--scores", str(scores)) == 0
    assert _directions(model, "find", "pca0", "--component", "pca:0") == 0
    return model


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Light pictures, and dark ones."""
    random, folders = np.random.default_rng(0), []
    for name, low in (("light", 150), ("dark", 0)):
        folder = tmp_path_factory.mktemp(name)
        for number in range(8):
            pixels = random.integers(low, low + 100, (20, 24, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
        folders.append(str(folder))
    return folders[0], folders[1]


def _directions(model: Path, verb: str, *arguments: str) -> int:
    return run(["directions", verb, *arguments, "--checkpoint", str(model), "--device", "cpu", "--quiet"])


def _sample(model: Path, out: Path, *arguments: str) -> int:
    return run(["sample", "--checkpoint", str(model), "--out", str(out), "--device", "cpu", "--quiet", *arguments])


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def _facts(capsys: Capture) -> dict:
    return json.loads(capsys.readouterr().out)


def test_scores_give_the_direction_that_they_come_from(found: Path, capsys: Capture) -> None:
    assert _directions(found, "list", "--json") == 0
    facts = _facts(capsys)
    bright = next(one for one in facts["directions"] if one["name"] == "bright")
    assert Path(bright["path"]) == found.parent / "directions" / model_identity(found) / "bright.safetensors"
    assert bright["quality"]["accuracy"] > 0.9
    assert bright["quality"]["correlation"] > 0.75
    assert bright["source"] == "scores of scores.csv"


def test_pictures_teach_a_direction_that_scores_follow(
    model: Path, folders: tuple[str, str], tmp_path: Path, capsys: Capture
) -> None:
    light, dark = folders
    out = ["--out", str(tmp_path / "light.safetensors")]
    sides = ["--positive", light, "--negative", dark]
    assert _directions(model, "find", "light", *sides, "--num", NUM, "--share", "0.25", *out, "--json") == 0
    facts = _facts(capsys)
    assert facts["quality"]["judge_accuracy"] == 1
    assert _directions(model, "find", "light", *sides, "--num", NUM, "--share", "0.25", *out) == 1
    assert "light.safetensors: exists already" in capsys.readouterr().err
    strip = tmp_path / "strip.png"
    shown = ["--num", "8", "--range", "2", "--data", light, "--seeds", "1,2", "--out", str(strip), "--json"]
    assert _directions(model, "show", str(tmp_path / "light.safetensors"), *shown) == 0
    facts = _facts(capsys)
    assert facts["score_changes"]["light"] > 0
    assert 0 < facts["locality"] <= 1
    assert len(facts["distances"]) == len(facts["offsets"])
    assert _pixels(strip).shape[0] > 2 * 128


def test_labels_of_a_store_teach_a_direction(
    model: Path, labelled_store: Store, tmp_path: Path, capsys: Capture
) -> None:
    name = labelled_store.manifest.label_names[0]  # type: ignore[index]
    data = ["--data", str(labelled_store.path)]
    out = ["--out", str(tmp_path / "one.safetensors")]
    code = _directions(model, "find", "one", "--label", name, *data, "--num", NUM, "--share", "0.25", *out)
    said = capsys.readouterr().err
    assert code == 0 or "pictures of" in said  # the store is tiny
    assert _directions(model, "find", "one", "--label", "none such", *data) == 2
    assert f"--label none such: {labelled_store.path} has no such label" in capsys.readouterr().err


def test_a_condition_is_orthogonal(found: Path, scores: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "free.safetensors"
    arguments = ["--scores", str(scores), "--orthogonal-to", "pca0", "--layers", "0-1", "--out", str(out), "--json"]
    assert _directions(found, "find", "free", *arguments) == 0
    assert _facts(capsys)["layers"] == "0-1"
    loaded = swincli.load_model(found, "cpu")
    w = loaded.map(seeds=[1])
    moved = loaded.edit(w, {str(out): 1.0})[:, 0] - w
    along = loaded.edit(w, {"pca0": 1.0})[:, 0] - w
    assert abs(moved @ along.T).item() < 1e-5 * np.linalg.norm(moved) * np.linalg.norm(along) + 1e-6
    assert (
        _directions(
            found, "find", "free", "--component", "pca:0", "--orthogonal-to", "pca0", "--out", f"{out}2.safetensors"
        )
        == 1
    )
    assert "made of these alone" in capsys.readouterr().err


def test_a_name_is_checked_with_a_file_too(found: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "b.safetensors"
    assert _directions(found, "find", "../back", "--component", "pca:0", "--out", str(out)) == 2
    assert "'../back': not a name for a direction" in capsys.readouterr().err
    assert not out.exists()


def test_a_named_component_moves_as_its_sweep(found: Path, tmp_path: Path) -> None:
    loaded = swincli.load_model(found, "cpu")
    w = loaded.map(seeds=[4])
    expected = loaded.synthesise(loaded.edit(w, {"pca0": 2.0}))
    assert _sample(found, tmp_path, "--seeds", "4", "--edit", "pca0=+2") == 0
    assert np.abs(_pixels(tmp_path / "seed-000004.png") - expected[0]).max() <= 1
    assert _sample(found, tmp_path / "f", "--seeds", "4", "--edit", "pca0=+3", "--edit", "pca0=-1") == 0
    assert np.abs(_pixels(tmp_path / "f/seed-000004.png") - expected[0]).max() <= 1
    assert (
        _directions(found, "find", "back", "--component", "pca:0", "--flip", "--out", str(tmp_path / "b.safetensors"))
        == 0
    )
    assert _sample(found, tmp_path / "b", "--seeds", "4", "--edit", f"{tmp_path / 'b.safetensors'}=-2") == 0
    assert np.abs(_pixels(tmp_path / "b/seed-000004.png") - expected[0]).max() <= 1


def test_edits_of_saved_codes_and_other_edits_go_to_other_folders(
    found: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = tmp_path / "codes.npz"
    monkeypatch.chdir(tmp_path)
    common = ["--checkpoint", str(found), "--device", "cpu", "--quiet"]
    assert run(["sample", "--seeds", "4", "--save-latents", str(codes), *common]) == 0
    assert run(["sample", "--seeds", "4", "--edit", "bright=1", *common]) == 0
    assert run(["sample", "--latents", str(codes), "--edit", "bright=1", *common, "--out", "codes"]) == 0
    edited = _pixels(tmp_path / "samples-2/seed-000004.png")
    assert np.abs(edited - _pixels(tmp_path / "codes/latent-0000.png")).max() <= 1
    assert np.abs(edited - _pixels(tmp_path / "samples/seed-000004.png")).max() > 1


def test_a_palette(found: Path, tmp_path: Path) -> None:
    assert _sample(found, tmp_path, "--seeds", "4", "--palette", "bright,pca0", "--sweep-steps", "3") == 0
    page = _pixels(tmp_path / "seed-000004-palette-bright-pca0.png")
    assert page.shape[0] > 3 * 128
    preview = ["--palette", "bright,pca0", "--sweep-steps", "3", "--preview", "8"]
    assert _sample(found, tmp_path / "preview", "--seeds", "4", *preview) == 0
    assert (_pixels(tmp_path / "preview/seed-000004-palette-bright-pca0.png") != page).any()


def test_a_walk_between_edits(found: Path, tmp_path: Path) -> None:
    out = tmp_path / "walk"
    arguments = ["--seeds", "4", "--edit", "bright=-2", "--edit", "bright=2", "--frames", "2", "--out", str(out)]
    assert run(["interpolate", "--checkpoint", str(found), "--device", "cpu", "--quiet", *arguments]) == 0
    frames = sorted(out.glob("*.png"))
    for name, edit in ((frames[0], "-2"), (frames[-1], "2")):
        assert _sample(found, tmp_path / edit, "--seeds", "4", "--edit", f"bright={edit}") == 0
        assert np.abs(_pixels(name) - _pixels(tmp_path / edit / "seed-000004.png")).max() <= 1


def test_examples_give_a_channel_that_can_be_drawn(model: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "channel.safetensors"
    assert _directions(model, "from-examples", "channel", "--positive", "1-12", "--out", str(out), "--json") == 0
    facts = _facts(capsys)
    assert facts["space"] == "style"
    assert facts["channels"] == [facts["ranking"][0]["channel"]]
    assert _sample(model, tmp_path / "a", "--seeds", "3") == 0
    assert _sample(model, tmp_path / "b", "--seeds", "3", "--edit", f"{out}=0") == 0
    assert _sample(model, tmp_path / "c", "--seeds", "3", "--edit", f"{out}=10") == 0
    plain, still, moved = (_pixels(tmp_path / name / "seed-000003.png") for name in "abc")
    assert np.abs(plain - still).max() <= 1
    assert np.abs(plain - moved).max() > 1
    three = ["--positive", "1-12", "--channels", "3", "--out", str(out), "--force", "--json"]
    capsys.readouterr()
    assert _directions(model, "from-examples", "channel", *three) == 0
    facts = _facts(capsys)
    assert facts["channels"] == [one["channel"] for one in facts["ranking"][:3]]
    refused = ["--seeds", "3", "--edit", f"{out}=1", "--save-latents", str(tmp_path / "w.npz")]
    assert _sample(model, tmp_path / "d", *refused) == 2
    assert "style channels cannot be combined with --save-latents" in capsys.readouterr().err
    with pytest.raises(SwincliError, match="style channels are no codes"):
        swincli.load_model(model, "cpu").edit(np.zeros((1, 8)), {str(out): 1.0})


def test_examples_that_are_none(model: Path, tmp_path: Path, capsys: Capture) -> None:
    assert _directions(model, "from-examples", "some", "--positive", str(tmp_path)) == 1
    assert "a folder without codes (.npz)" in capsys.readouterr().err
    assert _directions(model, "from-examples", "some", "--positive", "1,1,1,1,1,1") == 1
    assert "1 different examples; at least 5 are needed" in capsys.readouterr().err
    assert _directions(model, "from-examples", "some", "--positive", "smiling") == 2
    assert "--positive smiling:" in capsys.readouterr().err
    assert _directions(model, "from-examples", "some", "--positive", "1-9", "--rank", "11") == 2
    assert "only 10 channels are listed" in capsys.readouterr().err


def test_a_damaged_file_is_listed_as_such(tmp_path: Path, capsys: Capture) -> None:
    own = _save(tmp_path / "model.safetensors", 3)
    assert _directions(own, "find", "good", "--component", "pca:1") == 0
    folder = tmp_path / "directions" / model_identity(own)
    (folder / "bad.safetensors").write_bytes(b"nothing")
    capsys.readouterr()
    assert _directions(own, "list") == 0
    bad, good = capsys.readouterr().out.splitlines()
    assert "damaged" in bad
    assert good.startswith("good")
    assert "pca:1" in good


def test_renaming(model: Path, capsys: Capture) -> None:
    assert _directions(model, "find", "old", "--component", "sefa:1@coarse") == 0
    assert _directions(model, "rename", "old", "new") == 0
    capsys.readouterr()
    assert _directions(model, "list", "--json") == 0
    assert {one["name"] for one in _facts(capsys)["directions"]} >= {"new"}
    assert _directions(model, "rename", "old", "newer") == 2
    assert "has no direction of this name" in capsys.readouterr().err


def test_a_direction_of_another_model_is_refused(found: Path, tmp_path: Path, capsys: Capture) -> None:
    other = _save(tmp_path / "other.safetensors", 1)
    file = found.parent / "directions" / model_identity(found) / "bright.safetensors"
    assert _sample(other, tmp_path / "out", "--seeds", "1", "--edit", f"{file}=1") == 1
    assert f"{file}: a direction of another model" in capsys.readouterr().err
    assert _sample(other, tmp_path / "out", "--seeds", "1", "--edit", "bright=1") == 2
    assert "--edit bright:" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "exactly one of"),
        (["--positive", "a"], 2, "--positive, --negative: give both"),
        (["--component", "pca:0", "--text", "smiling"], 2, "not --text and --component"),
        (["--text", "smiling"], 2, "was not trained with texts"),
        (["--component", "pca:99"], 2, "this model has directions 0-7"),
        (["--component", "pca:0-2"], 2, "3 components"),
        (["--component", "pca:0", "--layers", "coarse"], 2, "stand behind it"),
        (["--component", "pca:0", "--orthogonal-to", "nothing"], 2, "nothing: "),
        (["--label", "x"], 2, "was trained without labels"),
        (["--component", "pca:0", "--data", "x"], 2, "--data: goes with --label"),
        (["--label", "eyes=glasses", "--data", "builtin:cats:50:x"], 2, "builtin:cats:50:x"),
        (["--label", "hair=red", "--data", "builtin:cats:50"], 2, "builtin:cats:50 has no such slot"),
        (["--label", "red", "--data", "builtin:cats:50"], 2, "composed pictures have a label a slot"),
        (["--label", "eyes=read", "--data", "builtin:cats:50"], 2, "--label read: builtin:cats:50 has no such label"),
        (["--label", "x", "--data", "nowhere"], 2, "--data nowhere: neither a store nor composed pictures"),
        (["--scores", "nowhere.csv"], 1, "nowhere.csv: no such file"),
        (["--component", "pca:0", "--num", "3"], 2, "--num 3: must be from 40"),
        (["--component", "pca:0", "--out", "a.npz"], 2, "must end in .safetensors"),
    ],
)
def test_bad_requests(arguments: list[str], code: int, said: str, model: Path, capsys: Capture) -> None:
    assert _directions(model, "find", "some", *arguments) == code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "line 1 names no columns seed and score"),
        ("seed,score\n1,0.5\n-3,1\n", "line 3: there is no seed '-3'"),
        ("seed,score\n4294967296,1\n", "line 2: there is no seed '4294967296'"),
        ("seed,score\n1,much\n", "line 2: 'much' is not a number"),
        ("seed,score\n1,nan\n", "line 2: 'nan' is not a number"),
        ("seed,score\n1,1\n1,2\n", "line 3: seed 1 has a score already"),
        ("seed,score\n1\n", "line 2: has 1 columns"),
        ('seed,score\n"1","2"\n2,2\n', "all are equal"),
        ("seed,score\n1,1\n2,2\n", "too few"),
        ("seed,score\n1,1_0\n", "line 2: '1_0' is not a number"),
        ('seed,score\n1,"0,5"\n', "line 2: '0,5' is not a number"),
        ("seed;score\n1;1.000,5\n", "line 2: '1.000,5' is not a number"),
        ("seed,score\n1,1\n2," + "9" * 140_000, "line 3 is not CSV: field larger than field limit"),
        ('seed,score\n1,"' + "9,\n" * 70_000, "is not CSV: field larger than field limit"),
        ("seed,score" + "e" * 140_000, "line 1 is not CSV: field larger than field limit"),
    ],
)
def test_bad_scores(content: str, said: str, model: Path, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(content)
    assert _directions(model, "find", "some", "--scores", str(path)) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("separator", [";", "\t"])
def test_scores_with_decimal_commas(separator: str, tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(f"seed{separator}note{separator}score\n1{separator}a{separator}0,5\n2{separator}{separator}-1.5\n")
    seeds, scores = read_scores(path)
    assert (seeds, scores.tolist()) == ([1, 2], [0.5, -1.5])


def test_scores_in_another_encoding(model: Path, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "scores.csv"
    path.write_bytes("seed,score,größe\n".encode("latin-1"))
    assert _directions(model, "find", "some", "--scores", str(path)) == 1
    assert "scores.csv: not UTF-8 text" in capsys.readouterr().err


def test_folders_that_teach_nothing(model: Path, folders: tuple[str, str], tmp_path: Path, capsys: Capture) -> None:
    light, _ = folders
    assert _directions(model, "find", "some", "--positive", light, "--negative", light) == 1
    assert "8 pictures are in both" in capsys.readouterr().err
    copies = tmp_path / "copies"
    copies.mkdir()
    for number in range(8):
        Image.new("RGB", (16, 16), "red").save(copies / f"{number}.png")
    assert _directions(model, "find", "some", "--positive", str(copies), "--negative", light) == 1
    assert f"--positive {copies}: 1 different pictures" in capsys.readouterr().err
    lonely = tmp_path / "lonely"
    lonely.mkdir()
    Image.new("RGB", (16, 16)).save(lonely / "one.png")
    assert _directions(model, "find", "some", "--positive", light, "--negative", str(lonely)) == 1
    assert "only one image" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--edit", "bright"], "--edit bright: 'bright' is not a direction and a number"),
        (["--palette", "bright"], "two directions are needed"),
        (["--edit", "bright=1", "--attention"], "cannot be combined with --edit"),
        (["--edit", "bright=1", "--save-latents", "z.npz", "--save-space", "z"], "no z gives an edited image"),
    ],
)
def test_bad_edits(arguments: list[str], said: str, found: Path, tmp_path: Path, capsys: Capture) -> None:
    assert _sample(found, tmp_path / "out", "--seeds", "1", *arguments) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
