from __future__ import annotations

import json
import os
import re
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from swincli.commands.app import run
from swincli.metrics.metric import Context
from swincli.metrics.registry import METRICS
from swincli.model.files.model_file import save_model
from swincli.model.files.shipped_models import shipped_models
from swincli.model.generator import Generator
from swincli.recipe import Recipe
from swincli.recipe.schema import ModelSection

SMALL = Recipe(model=ModelSection(size=16, latent_dim=8, mapping_layers=1, g_width=8, min_heads=2, window=4))
Capture = pytest.CaptureFixture[str]


class MeanColours(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, 2).flatten(1)


@pytest.fixture(scope="session")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("detector") / "tiny.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(MeanColours()).save(str(path))
    return path


@pytest.fixture(autouse=True)
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SWINCLI_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def reals() -> Path:
    """A folder of seven dark pictures."""
    folder = Path("reals")
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(7):
        Image.fromarray(random.integers(0, 100, (16, 16, 3), np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def trained() -> Path:
    """A run folder under runs/ with one model."""
    folder = Path("runs/first")
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    save_model(folder / "model-000000001000.safetensors", Generator(SMALL.model), SMALL, 1000)
    (folder / "recipe.toml").write_text("")
    return folder


def evaluate(scripted: Path, *arguments: object) -> int:
    shared = ["--detector-weights", str(scripted), "--device", "cpu"]
    return run(["evaluate", *map(str, arguments), *shared])


def test_pictures_against_pictures_print_one_line(reals: Path, scripted: Path, capsys: Capture) -> None:
    assert evaluate(scripted, "--data", reals, "--images", reals) == 0
    printed = capsys.readouterr()
    assert printed.out == "fid 0\n"
    assert "tiny.pt" in printed.err
    assert "warning: under 2,048 images" in printed.err


def test_files_without_an_image_are_counted_once(reals: Path, scripted: Path, capsys: Capture) -> None:
    (reals / "labels.json").write_text("{}")
    assert evaluate(scripted, "--data", reals, "--images", reals) == 0
    assert capsys.readouterr().err.count("passed over 1 file without an image") == 1


def test_a_model_is_judged_by_the_images_that_sample_draws(
    reals: Path, trained: Path, scripted: Path, capsys: Capture
) -> None:
    assert evaluate(scripted, "--data", reals, "--checkpoint", trained, "--num", 6, "--seed", 2, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    fakes = printed["protocol"]["fakes"]
    assert (fakes["num"], fakes["seeds"], fakes["images_seen"]) == (6, [12, 17], 1000)
    assert run(["sample", "--seeds", "12-17", "--checkpoint", str(trained), "--out", "drawn", "--device", "cpu"]) == 0
    capsys.readouterr()
    assert evaluate(scripted, "--data", reals, "--images", "drawn", "--json") == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["fid"] == pytest.approx(printed["metrics"]["fid"], rel=1e-6)


@pytest.mark.parametrize("name", shipped_models())
def test_a_shipped_model_is_measured_and_its_judge_named(
    name: str, reals: Path, scripted: Path, capsys: Capture
) -> None:
    model = ["--checkpoint", f"builtin:{name}", "--data", reals, "--num", "4", "--metric", "fid"]
    assert evaluate(scripted, *model, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["metrics"]["fid"] > 0
    assert answer["protocol"]["fakes"]["judged_by"]["name"] == "EfficientNet-Lite0"


def test_the_newest_run_is_judged_where_nothing_else_is_named(
    reals: Path, trained: Path, scripted: Path, capsys: Capture
) -> None:
    newer = Path("runs/second")
    newer.mkdir()
    save_model(newer / "model-000000002000.safetensors", Generator(SMALL.model), SMALL, 2000)
    old = trained / "model-000000001000.safetensors"
    os.utime(old, (old.stat().st_atime, old.stat().st_mtime - 100))
    assert evaluate(scripted, "--data", reals, "--num", 3, "--json") == 0
    assert json.loads(capsys.readouterr().out)["protocol"]["fakes"]["images_seen"] == 2000


def test_the_result_joins_the_runs_record(reals: Path, trained: Path, scripted: Path, capsys: Capture) -> None:
    for truncation in ("1", "0.5"):
        assert evaluate(scripted, "--data", reals, "--checkpoint", trained, "--num", 3, "--truncation", truncation) == 0
    first, second = map(json.loads, (trained / "metrics.jsonl").read_text().splitlines())
    assert first["images_seen"] == 1000
    assert f"fid {first['metrics']['fid']:.5g}\n" in capsys.readouterr().out
    assert first["metrics"] != second["metrics"]
    assert second["protocol"]["fakes"]["truncation"] == 0.5
    assert set(first) == {"images_seen", "metrics", "protocol", "time", "intervals"}


def test_metrics_that_draw_images_get_the_truncation(
    reals: Path, trained: Path, scripted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Context] = []
    monkeypatch.setitem(METRICS, "fid", replace(METRICS["fid"], check=seen.append))
    assert evaluate(scripted, "--data", reals, "--checkpoint", trained, "--num", 3, "--truncation", 0.5) == 0
    assert evaluate(scripted, "--data", reals, "--images", reals) == 0
    assert [context.truncation for context in seen] == [0.5, 1]


def test_a_record_that_cannot_be_written_costs_no_result(
    reals: Path, trained: Path, scripted: Path, capsys: Capture
) -> None:
    (trained / "metrics.jsonl").mkdir()
    assert evaluate(scripted, "--data", reals, "--num", 3) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("fid ")
    assert "warning: not recorded in the run" in printed.err


def test_the_same_command_prints_the_same_digits(reals: Path, trained: Path, scripted: Path, capsys: Capture) -> None:
    outputs = []
    for batch in ("2", "2", "5"):
        assert evaluate(scripted, "--data", reals, "--num", 7, "--batch", batch, "--json") == 0
        outputs.append(json.loads(capsys.readouterr().out)["metrics"]["fid"])
    assert outputs[0] == outputs[1]
    assert outputs[2] == pytest.approx(outputs[0], rel=1e-3)  # some pixels differ by one level of 255
    assert trained.is_dir()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--metric", "fidd"], 2, 'unknown metric "fidd"'),
        (["--metric", ","], 2, "--metric: no metric given"),
        (["--detector", "clip"], 2, 'unknown detector "clip"'),
        (["--detector", "weights/typo.pt"], 2, "--detector weights/typo.pt: no such file"),
        (["--detector", "clip.pt"], 2, "--detector clip.pt: no such file"),
        (["--detector", "./"], 2, "--detector ./: is a folder"),
        (["--num", "many"], 2, "--num many: 'many' is not a number"),
        (["--num", "1"], 2, "--num 1: metrics need at least 2"),
        (["--images", "reals", "--checkpoint", "runs"], 2, "--images and --checkpoint"),
        (["--images", "reals", "--truncation", "0.5"], 2, "--truncation"),
        (["--images", "nowhere"], 1, "nowhere: no such store, folder or archive"),
        (["--seed", "90000"], 2, "--seed 90000"),
        (["--reference", "own.npz"], 2, "--data and --reference: only one"),
        (["--num-reference", "1"], 2, "--num-reference 1: metrics need at least 2"),
        (["--save-reference", "reals.zip"], 2, "--save-reference reals.zip: the file name must end in .npz"),
        (["--protocol", "style"], 2, 'unknown protocol "style"'),
        (["--protocol", "full", "--num-reference", "5"], 2, "--protocol full: uses all reals"),
        (
            ["--protocol", "styleswin", "--truncation", "0.7"],
            2,
            "--protocol styleswin: cannot be combined with",
        ),
        (["runs/first"], 2, "runs/first: unexpected argument"),
        (["--compare", "runs/first"], 2, "--data, --device: cannot be combined with --compare"),
        (["--compare", "runs/first", "--seed", "0"], 2, "--seed, --data, --device: cannot be combined with --compare"),
        (
            ["--compare", "runs/first", "--no-intervals"],
            2,
            "--data, --intervals, --device: cannot be combined with --compare",
        ),
        (["--detector-size", "299"], 2, "--detector-size: only for a detector from a file, not for inception"),
        (["--detector", "efficientnet", "--detector-pixels", "clip"], 2, "--detector-pixels: only for a detector from"),
        (
            ["--detector", "efficientnet", "--detector-weights", "a.pt"],
            2,
            "--detector-weights: replaces Inception's",
        ),
        ([], 1, "no trained model under runs/"),
        (["--checkpoint", "nowhere"], 1, "nowhere"),
        (["--detector-weights", "nowhere.pt", "--images", "reals"], 1, "nowhere.pt: no such file"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    arguments: list[str], code: int, message: str, reals: Path, capsys: Capture
) -> None:
    assert run(["evaluate", "--data", str(reals), "--device", "cpu", *arguments]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("error:") == 1
    assert message in printed.err


def test_a_missing_reference_is_said_before_anything_is_loaded(capsys: Capture) -> None:
    assert run(["evaluate", "--data", "nowhere"]) == 1
    assert "nowhere: no such store, folder or archive" in capsys.readouterr().err


def test_a_damaged_picture_is_named(reals: Path, scripted: Path, capsys: Capture) -> None:
    (reals / "3.png").write_bytes((reals / "3.png").read_bytes()[:70])
    assert evaluate(scripted, "--data", reals, "--images", reals) == 1
    assert "error: reals/3.png: damaged" in capsys.readouterr().err
    assert not Path("cache/reference").exists()


def test_all_metrics_of_two_folders_in_one_pass(scripted: Path, capsys: Capture) -> None:
    random = np.random.default_rng(1)
    for name, high in (("many-reals", 100), ("many-fakes", 120)):
        Path(name).mkdir()
        for number in range(24):
            pixels = random.integers(0, high, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(Path(name) / f"{number}.png")
    metrics = "fid,kid,precision,recall,dc,fid-infinity,spectrum"
    detector = ["--detector", str(scripted), "--detector-size", "32", "--device", "cpu"]
    command = ["evaluate", "--data", "many-reals", "--images", "many-fakes", "--metric", metrics, *detector, "--json"]
    assert run(command) == 0
    first = json.loads(capsys.readouterr().out)
    assert set(first["metrics"]) == {
        *("fid", "kid", "kid_std", "precision", "recall", "density", "coverage", "fid_infinity"),
        *("spectrum", "window_grid"),
    }
    assert first["metrics"]["spectrum"] > 1  # dB
    assert run(command) == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["metrics"] == first["metrics"]
    assert "cached" in output.err


@pytest.mark.parametrize("strength", ["inf", "nan"])
def test_a_truncation_without_end_is_refused(
    strength: str, reals: Path, trained: Path, scripted: Path, capsys: Capture
) -> None:
    assert evaluate(scripted, "--data", reals, "--checkpoint", trained, "--truncation", strength) == 2
    assert "--truncation" in capsys.readouterr().err
    assert not (trained / "metrics.jsonl").exists()


def test_what_a_metric_cannot_do_without(scripted: Path, reals: Path, capsys: Capture) -> None:
    common = ["evaluate", "--data", str(reals), "--images", str(reals), "--detector", str(scripted), "--device", "cpu"]
    assert run([*common, "--metric", "is"]) == 2
    assert "has no class logits" in capsys.readouterr().err
    assert run([*common, "--metric", "fid-infinity"]) == 1
    assert "--metric fid-infinity: needs at least 20 images per side, not 7" in capsys.readouterr().err
    Image.new("RGB", (20, 16)).save(reals / "wider.png")
    assert run([*common, "--metric", "spectrum"]) == 1
    assert "needs images of one size" in capsys.readouterr().err


def test_saved_statistics_take_the_place_of_the_pictures(reals: Path, scripted: Path, capsys: Capture) -> None:
    assert evaluate(scripted, "--data", reals, "--save-reference", "kept/own.npz", "--metric", "fid,kid") == 0
    assert capsys.readouterr().out == "kept/own.npz\n"
    common = ["--images", reals, "--metric", "fid,kid", "--json"]
    assert evaluate(scripted, "--reference", "kept/own.npz", *common) == 0
    found = json.loads(capsys.readouterr().out)
    assert evaluate(scripted, "--data", reals, *common, "--save-reference", "again.npz") == 0
    expected = json.loads(capsys.readouterr().out)
    assert expected["reference"] == "again.npz"
    assert found["metrics"] == pytest.approx(expected["metrics"], rel=1e-9, abs=1e-9)
    assert found["protocol"]["reference"]["statistics"] == "kept/own.npz"
    assert found["protocol"]["reference"]["source"] == "reals"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "--data or --reference: one of them is required"),
        (["--reference", "gone.npz"], 1, "gone.npz: no such file"),
        (["--reference", "own.npz", "--num-reference", "5"], 2, "--num-reference: cannot be combined with --reference"),
        (["--reference", "own.npz", "--save-reference", "new.npz"], 2, "--save-reference: needs real images"),
        (["--reference", "own.npz", "--metric", "spectrum"], 1, "own.npz: has no spectrum"),
        (["--reference", "part.npz", "--protocol", "full"], 1, "part.npz: was made from 4 images drawn from 7, but"),
        (["--reference", "part.npz", "--protocol", "styleswin"], 1, "--protocol styleswin uses 50,000"),
        (
            ["--reference", "own.npz", "--protocol", "styleswin"],
            0,
            "warning: reals: has 7 images, fewer than the 50,000 of the protocol",
        ),
        (["--reference", "own.npz", "--detector", "other.pt"], 1, "own.npz: of another detector (tiny.pt"),
    ],
)
def test_what_saved_statistics_cannot_be_used_for(
    arguments: list[str], code: int, message: str, reals: Path, scripted: Path, capsys: Capture
) -> None:
    assert evaluate(scripted, "--data", reals, "--save-reference", "own.npz", "--quiet") == 0
    assert evaluate(scripted, "--data", reals, "--num-reference", 4, "--save-reference", "part.npz", "--quiet") == 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(nn.Sequential(MeanColours(), nn.Identity())).save("other.pt")
    capsys.readouterr()
    given = ["--detector", str(scripted)] if "--detector" not in arguments else []
    size = ["--detector-size", "299", "--detector-pixels", "inception"]
    assert run(["evaluate", "--images", str(reals), "--device", "cpu", *given, *size, *arguments]) == code
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("error:") == (code > 0)


def test_a_protocol_says_what_it_could_not_have(reals: Path, scripted: Path, capsys: Capture) -> None:
    command = ["--data", reals, "--images", reals, "--protocol", "styleswin", "--num", 5, "--num-reference", 6]
    assert evaluate(scripted, *command, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    protocol = printed["protocol"]
    assert protocol["preset"] == "styleswin (num 5, num-reference 6)"
    assert protocol["fakes"]["num"] == 5
    assert (protocol["reference"]["num"], protocol["reference"]["drawn_from"]) == (6, 7)
    assert evaluate(scripted, "--data", reals, "--images", reals, "--protocol", "styleswin") == 0
    said = capsys.readouterr().err
    assert "warning: reals: has 7 images, fewer than the 50,000 of the reference; all are used" in said
    assert "warning: reals: has 7 images, fewer than the 50,000 of the protocol" in said


def test_intervals_come_where_pictures_are_few_or_when_asked_for(reals: Path, scripted: Path, capsys: Capture) -> None:
    command = ["--data", reals, "--images", reals, "--num", 6, "--metric", "fid,kid,pr,dc,spectrum"]
    assert evaluate(scripted, *command) == 0
    assert re.search(r"^fid +0(\.\d+)? \[0, \d", capsys.readouterr().err, re.MULTILINE)
    results = []
    for option in ("--intervals", "--intervals", "--no-intervals"):
        assert evaluate(scripted, *command, option, "--json") == 0
        results.append(json.loads(capsys.readouterr().out))
    assert results[0]["intervals"] == results[1]["intervals"]
    assert results[0]["intervals"].keys() == results[0]["metrics"].keys() - {"kid_std"}
    for name, (low, high) in results[0]["intervals"].items():
        assert low <= results[0]["metrics"][name] <= high
        assert low < high
    assert results[2]["intervals"] == {}
    assert results[2]["metrics"] == results[0]["metrics"]


def test_runs_are_compared_by_what_was_measured(reals: Path, trained: Path, scripted: Path, capsys: Capture) -> None:
    second = Path("runs/second")
    second.mkdir()
    for folder, num in ((trained, 3), (second, 3), (second, 4)):
        if folder == second and not (second / "recipe.toml").exists():
            save_model(second / "model-000000002000.safetensors", Generator(SMALL.model), SMALL, 2000)
            (second / "recipe.toml").touch()
        assert evaluate(scripted, "--data", reals, "--checkpoint", folder, "--num", num) == 0
    capsys.readouterr()
    assert run(["evaluate", "--compare", "runs/first", "runs/second", "--plots", "drawn"]) == 0
    printed = capsys.readouterr()
    first, other = printed.out.splitlines()
    assert first.startswith("runs/first fid ")
    assert other.startswith("runs/second fid ")
    assert "1,000" in printed.err
    assert "2,000" in printed.err
    assert Path("drawn/comparison.png").is_file()
    assert run(["evaluate", "--compare", "runs/first", "runs/second", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [row["run"] for row in data["runs"]] == ["runs/first", "runs/second"]
    assert data["runs"][1]["metrics"]["fid"]["interval"] is not None
    assert data["cautions"] == []
    assert run(["evaluate", "--compare"]) == 2
    assert "--compare: needs runs" in capsys.readouterr().err
    assert run(["evaluate", "--compare", "runs"]) == 1
    assert "runs: no measurements of this run" in capsys.readouterr().err
