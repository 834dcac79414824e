"""Statistics merged from the shares of several processes equal those of one process."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from picture_folders import PictureFolder
from scripted_networks import save_script
from torch import Tensor, nn
from torchrun import torchrun

from swincli.commands.app import run
from swincli.console import Console
from swincli.errors import DataError
from swincli.metrics.definitions.ppl import path_lengths
from swincli.metrics.metric import Context
from swincli.metrics.networks.detectors import Detector, load_detector
from swincli.metrics.networks.weight_files import choose_detector
from swincli.metrics.registry import METRICS
from swincli.metrics.streams import features, shards
from swincli.metrics.streams.features import SideStatistics, Statistic, compute_statistics
from swincli.metrics.streams.images import open_images
from swincli.metrics.streams.shards import merge_shares, sample_bytes_used, samples_that_fit
from swincli.model.files.model_file import Model, save_model
from swincli.model.generator import Generator
from swincli.recipe import Recipe
from swincli.recipe.schema import ModelSection
from swincli.system.cache import cache_folder
from swincli.system.distributed import Processes

EVERYTHING: frozenset[Statistic] = frozenset({"moments", "features", "logits", "spectrum", "samples"})
SMALL = Recipe(model=ModelSection(size=16, latent_dim=8, mapping_layers=1, g_width=8, min_heads=2, window=4))
CPU = torch.device("cpu")
Capture = pytest.CaptureFixture[str]


class ColoursAndClasses(nn.Module):
    """Mean colours of nine parts as features [B, 27], and three of them as logits [B, 3]."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        colours = F.adaptive_avg_pool2d(x, 3).flatten(1)
        return colours, 4 * colours[:, ::9]


@pytest.fixture(scope="session")
def classifier_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_script(ColoursAndClasses(), tmp_path_factory.mktemp("detector") / "classes.pt")


@pytest.fixture(scope="session")
def classifier(classifier_file: Path, quiet: Console) -> Detector:
    """A detector with 27 features and 3 classes."""
    return load_detector(choose_detector(str(classifier_file), None, 16, "0-1", quiet), CPU)


def silent(count: int = 1) -> None:
    pass


def in_shares(
    folder: Path, detector: Detector, world: int, needs: frozenset[Statistic] = EVERYTHING
) -> list[SideStatistics]:
    """Statistics of each rank's share, in batches of four."""
    with open_images(str(folder)) as images:
        parts = []
        for rank in range(world):
            share = Processes(rank, world).shard(images.count, 4)
            parts.append(
                compute_statistics(images.read(np.arange(share.start, share.stop)), detector, needs, 4, silent)
            )
        return parts


@pytest.fixture(scope="module")
def sides_of_worlds(shared_picture_folder: PictureFolder, classifier: Detector) -> dict[int, list[SideStatistics]]:
    """Fakes and reals, merged from the shares of several numbers of processes; of twelve two have empty shares."""
    folders = shared_picture_folder("fakes", 38, 1, 140), shared_picture_folder("reals", 37, 2)
    return {
        world: [merge_shares(in_shares(folder, classifier, world)) for folder in folders] for world in (1, 2, 3, 12)
    }


OF_THE_SIDES = [name for name, row in METRICS.items() if not row.collective and row.check is METRICS["fid"].check]
"""Metrics that need nothing but the statistics of both sides."""


@pytest.mark.parametrize("name", OF_THE_SIDES)
@pytest.mark.parametrize(
    "world", [pytest.param(2, marks=pytest.mark.slow), 3, pytest.param(12, marks=pytest.mark.slow)]
)
def test_every_metric_comes_out_as_in_one_process(
    sides_of_worlds: dict[int, list[SideStatistics]], name: str, world: int
) -> None:
    row = METRICS[name]
    values = [row.values(row.measure(*sides_of_worlds[number], Context())) for number in (1, world)]
    assert values[1] == pytest.approx(values[0], rel=1e-9, nan_ok=True)
    assert any(value != 0 for value in values[0].values())


def test_what_is_joined_is_all_of_it_in_order(picture_folder: PictureFolder, classifier: Detector) -> None:
    folder = picture_folder("reals", 21)
    (whole,), parts = in_shares(folder, classifier, 1), in_shares(folder, classifier, 3)
    joined = merge_shares(parts)
    assert (joined.count, joined.moments.count, joined.spectrum.count) == (21, 21, 21)
    np.testing.assert_array_equal(joined.features, whole.features)
    np.testing.assert_array_equal(joined.logits, whole.logits)
    np.testing.assert_array_equal(joined.samples, whole.samples)
    np.testing.assert_allclose(joined.moments.scatter, whole.moments.scatter, rtol=1e-12)
    np.testing.assert_allclose(joined.spectrum.total, whole.spectrum.total, rtol=1e-12)


def test_sizes_that_differ_between_two_shares_are_an_error(picture_folder: PictureFolder, classifier: Detector) -> None:
    parts = [
        *in_shares(picture_folder("small", 4), classifier, 1),
        *in_shares(picture_folder("large", 4, side=32), classifier, 1),
    ]
    with pytest.raises(DataError, match="16 x 16 and 32 x 32 px"):
        merge_shares(parts)


@pytest.fixture(scope="module")
def ten_pictures(shared_picture_folder: PictureFolder) -> Path:
    return shared_picture_folder("ten", 10)


@pytest.mark.parametrize("room", [0, 1, 768, 3000, 4 * 768, 9 * 768, 30_000])  # of bytes; a picture takes 768
def test_samples_are_the_first_of_all_that_there_is_room_for(
    ten_pictures: Path, classifier: Detector, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    monkeypatch.setattr(features, "SAMPLE_BYTES", room)
    monkeypatch.setattr(shards, "SAMPLE_BYTES", room)
    (whole,) = in_shares(ten_pictures, classifier, 1, frozenset({"samples"}))
    taken, kept = 0, []
    for part in in_shares(ten_pictures, classifier, 3, frozenset({"samples"})):
        kept += samples_that_fit(taken, part.samples)
        taken += sample_bytes_used(part)
    assert len(kept) == len(whole.samples) == min(10, room // 768)
    np.testing.assert_array_equal(kept, whole.samples)


def test_a_picture_that_has_no_room_lets_no_later_one_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SAMPLE_BYTES", 100)
    small, large = np.zeros((2, 2, 3), np.uint8), np.zeros((6, 6, 3), np.uint8)
    assert sample_bytes_used(SideStatistics(2, samples=[small])) == 100  # the second one did not fit
    assert sample_bytes_used(SideStatistics(2, samples=[small, small])) == 24
    assert len(samples_that_fit(0, [small, large, small])) == 1


@pytest.mark.parametrize("space", ["w", "z"])
def test_shares_of_pairs_are_those_of_one_process(space: str) -> None:
    torch.manual_seed(0)
    model = Model(Generator(SMALL.model).eval(), SMALL, 0, torch.zeros(8), Path("model"))

    def lengths(share: range | None) -> NDArray[np.float64]:
        return path_lengths(model, space, 11, 2, mean_square, 4, silent, share)

    shares = [Processes(rank, 4).shard(11, 4) for rank in range(4)]
    np.testing.assert_array_equal(np.concatenate([lengths(share) for share in shares]), lengths(None))


def mean_square(one: Tensor, other: Tensor) -> Tensor:
    return (one - other).square().mean(dim=(1, 2, 3))


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A run that holds a model."""
    folder = tmp_path / "run"
    folder.mkdir()
    torch.manual_seed(0)
    save_model(folder / "model-000000001000.safetensors", Generator(SMALL.model), SMALL, 1000)
    (folder / "recipe.toml").write_text("")
    return folder


def command(reals: Path, trained: Path, classifier_file: Path, metrics: str) -> list[object]:
    options = ["--data", reals, "--checkpoint", trained, "--num", 22, "--batch", 4, "--metric", metrics]
    options += ["--detector", classifier_file, "--detector-size", 16, "--device", "cpu", "--json", "--no-intervals"]
    return ["evaluate", *options]


def alone(capsys: Capture, *arguments: object) -> dict[str, Any]:
    capsys.readouterr()
    assert run([*map(str, arguments)]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


@pytest.mark.slow
def test_two_processes_measure_as_one_does(
    picture_folder: PictureFolder, classifier_file: Path, trained: Path, tmp_path: Path, capsys: Capture
) -> None:
    arguments = command(
        picture_folder("reals", 21), trained, classifier_file, "fid,kid,pr,dc,fid-infinity,is,spectrum,memorization"
    )
    saved = tmp_path / "saved.npz"
    done = torchrun("-m", "--", "swincli", *arguments, "--save-reference", saved)
    assert done.returncode == 0, done.stderr
    shared = json.loads(done.stdout)  # one object, from rank 0
    assert done.stderr.count("Fakes: 22 images") == 1
    remembered = alone(capsys, *arguments)
    by_file = alone(capsys, "evaluate", "--reference", saved, *arguments[3:])
    shutil.rmtree(cache_folder())
    fresh = alone(capsys, *arguments)
    for other in (remembered, by_file, fresh):
        assert shared["metrics"] == pytest.approx(other["metrics"], rel=1e-6, abs=1e-12)
    assert (shared["protocol"], shared["cautions"]) == (fresh["protocol"], fresh["cautions"])
    assert len((trained / "metrics.jsonl").read_text().splitlines()) == 4  # one each


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("stlpips_pytorch") is None, reason="no weights of the perceptual distance")
def test_two_processes_share_the_pairs(
    picture_folder: PictureFolder, classifier_file: Path, trained: Path, capsys: Capture
) -> None:
    arguments = command(picture_folder("reals", 21), trained, classifier_file, "ppl,fid")
    done = torchrun("-m", "--", "swincli", *arguments)
    assert done.returncode == 0, done.stderr
    expected = alone(capsys, *arguments)["metrics"]
    assert json.loads(done.stdout)["metrics"] == pytest.approx(expected, rel=1e-6)
    assert expected["ppl_w"] > 0


@pytest.mark.slow
def test_a_picture_that_one_process_cannot_read_ends_all_with_one_error(
    picture_folder: PictureFolder, classifier_file: Path
) -> None:
    fakes, reals = picture_folder("fakes", 12), picture_folder("reals", 12)
    (fakes / "0011.png").write_text("broken")
    options = ["--data", reals, "--images", fakes, "--batch", 4, "--detector", classifier_file, "--device", "cpu"]
    done = torchrun("-m", "--", "swincli", "evaluate", *options, "--detector-size", 16, processes=3)
    assert done.returncode != 0
    assert done.stdout == ""
    assert done.stderr.count("error: ") == 1
    assert f"error: {fakes / '0011.png'}: not an image" in done.stderr
    assert "another process" not in done.stderr
