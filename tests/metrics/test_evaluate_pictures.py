from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from picture_folders import PictureFolder
from scripted_networks import save_script
from torch import Tensor, nn

from swincli.console import Console
from swincli.errors import DataError, ResourceError, UsageError
from swincli.metrics import evaluate as evaluation
from swincli.metrics import registry
from swincli.metrics.definitions.fid import frechet_distance
from swincli.metrics.definitions.moments import Moments
from swincli.metrics.evaluate import Evaluation, evaluate, save_reference
from swincli.metrics.networks.detectors import Detector, load_detector
from swincli.metrics.networks.resize import pillow_resize
from swincli.metrics.networks.weight_files import find_detector_weights
from swincli.metrics.protocol import Fakes, append_record
from swincli.metrics.registry import Metric, parse_metrics
from swincli.metrics.streams.features import Collected, collect
from swincli.metrics.streams.images import ImageSet, open_images, stream_batches, stream_subset
from swincli.metrics.streams.reference_files import Statistics, open_statistics

CPU = torch.device("cpu")


def measured(
    fakes: Path, reals: Path, detector: Detector, console: Console, metrics: Sequence[str] = ("fid",), batch: int = 4
) -> Evaluation:
    with open_images(str(fakes)) as judged, open_images(str(reals)) as reference:
        stream = stream_subset(judged, 50_000, 0)
        return evaluate(stream, reference, metrics, detector, console=console, batch=batch)


def test_fid_is_small_for_alike_sides_and_grows_with_their_difference(
    picture_folder: PictureFolder, tiny: Detector, quiet: Console
) -> None:
    reals = picture_folder("reals", 60, seed=0)
    alike, darker, black = (
        measured(picture_folder(f"b{brightness}", 60, seed=brightness, brightness=brightness), reals, tiny, quiet)
        for brightness in (128, 108, 40)
    )
    values = [result.values["fid"] for result in (alike, darker, black)]
    assert 0 < 5 * values[0] < values[1]
    assert 5 * values[1] < values[2]
    assert measured(reals, reals, tiny, quiet).values["fid"] == pytest.approx(0, abs=1e-9)


def test_fid_is_that_of_features_computed_one_by_one(
    picture_folder: PictureFolder, tiny: Detector, quiet: Console
) -> None:
    folders = [picture_folder("fakes", 30, seed=1), picture_folder("reals", 40, seed=2, brightness=120, side=24)]
    sides = []
    for folder in folders:
        with open_images(str(folder)) as images:
            resized = [pillow_resize().single(load()) for load in images.read(np.arange(images.count))]
        sides.append(np.stack([tiny.detect(torch.from_numpy(picture)[None]).features[0] for picture in resized]))
    expected = frechet_distance(*(Moments.of(side) for side in sides))
    assert measured(*folders, tiny, quiet).values["fid"] == pytest.approx(expected, rel=1e-6)


def test_the_batch_makes_no_difference_and_neither_does_a_second_run(
    picture_folder: PictureFolder, tiny: Detector, quiet: Console, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fakes, reals = picture_folder("fakes", 21, seed=1), picture_folder("reals", 21, seed=2)
    values = []
    for number, batch in enumerate((1, 5, 64, 64)):
        monkeypatch.setenv("SWINCLI_CACHE", str(tmp_path / f"cache-{number}"))
        values.append(measured(fakes, reals, tiny, quiet, batch=batch).values["fid"])
    assert values[:2] == pytest.approx([values[2]] * 2, rel=1e-6)
    assert values[2] == values[3]


def test_generated_batches_count_like_files(picture_folder: PictureFolder, tiny: Detector, quiet: Console) -> None:
    folder, reals = picture_folder("fakes", 10, seed=1), picture_folder("reals", 10, seed=2)
    with open_images(str(folder)) as images, open_images(str(reals)) as reference:
        pictures = torch.from_numpy(np.stack([load() for load in images.read(np.arange(10))]))
        stream = stream_batches(pictures.split(3), Fakes("ema", 10, 16, images_seen=7))
        result = evaluate(stream, reference, ["fid"], tiny, console=quiet)
    assert result.values == measured(folder, reals, tiny, quiet).values
    assert result.protocol.fakes.images_seen == 7


def test_the_protocol_says_how_it_was_measured(picture_folder: PictureFolder, tiny: Detector, quiet: Console) -> None:
    result = measured(picture_folder("fakes", 3, seed=1), picture_folder("reals", 4), tiny, quiet)
    protocol = json.loads(json.dumps(result.as_dict()))["protocol"]
    assert (protocol["fakes"]["num"], protocol["reference"]["num"]) == (3, 4)
    assert protocol["detector"] == {"name": "tiny.pt", "sha256": tiny.sha256, "width": 12}
    assert protocol["resize"] == "clean-fid (Pillow bicubic, float32, 299x299)"
    assert protocol["quantisation"] == "uint8"
    assert set(protocol["versions"]) == {"swincli", "torch", "numpy", "pillow", "clean-fid"}
    assert len(protocol["reference"]["content_hash"]) == 64
    shown = dict(result.protocol.rows())
    assert "tiny.pt" in shown["detector"]
    assert tiny.sha256[:12] in shown["detector"]


def test_few_pictures_earn_a_caution_and_many_do_not(
    picture_folder: PictureFolder, tiny: Detector, quiet: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes, reals = picture_folder("fakes", 3, seed=1), picture_folder("reals", 4)
    (caution,) = measured(fakes, reals, tiny, quiet).cautions
    assert "2,048" in caution
    assert "biased" in caution
    monkeypatch.setitem(registry.METRICS, "fid", replace(registry.METRICS["fid"], enough=3))
    assert measured(fakes, reals, tiny, quiet).cautions == []


def test_sides_of_two_known_sizes_earn_a_caution(tiny: Detector, quiet: Console, picture_folder: PictureFolder) -> None:
    with open_images(str(picture_folder("reals", 3))) as reference:
        stream = stream_batches([torch.zeros(2, 8, 8, 3, dtype=torch.uint8)], Fakes("ema", 2, 8))
        known = replace(reference, resolution=16)
        assert any("8 px" in caution for caution in evaluate(stream, known, ["fid"], tiny, console=quiet).cautions)


def test_a_new_metric_is_one_row_and_shares_the_pass(
    picture_folder: PictureFolder, tiny: Detector, quiet: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    def distances(fakes: Collected, reference: Collected, context: registry.Context) -> dict[str, float]:
        assert fakes.features.shape == (5, 12)
        assert reference.features.shape == (6, 12)
        apart = np.linalg.norm(fakes.features[:, None] - reference.features[None], axis=2)
        return {"nearest": float(apart.min()), "farthest": float(apart.max()) + context.seed}

    monkeypatch.setitem(registry.METRICS, "distances", Metric(frozenset({"features"}), distances, 2, ""))
    seen: list[int] = []
    network = tiny.network
    counting = replace(tiny, network=lambda images: seen.append(len(images)) or network(images))
    fakes, reals = picture_folder("fakes", 5, seed=1), picture_folder("reals", 6)
    result = measured(fakes, reals, counting, quiet, ["fid", "distances"])
    assert list(result.values) == ["fid", "nearest", "farthest"]
    assert sum(seen) == 11
    assert parse_metrics("distances,fid") == ["distances", "fid"]


def test_names_of_metrics_are_checked() -> None:
    assert parse_metrics(" FID, fid ,") == ["fid"]
    with pytest.raises(UsageError, match='unknown metric "fidd"') as caught:
        parse_metrics("fid,fidd")
    assert caught.value.hint == f'Did you mean "fid"? There are: {", ".join(registry.METRICS)}.'
    with pytest.raises(UsageError, match="names no metric"):
        parse_metrics(" ,")


def test_fewer_pictures_than_promised_are_an_error(
    picture_folder: PictureFolder, tiny: Detector, quiet: Console
) -> None:
    with open_images(str(picture_folder("reals", 3))) as reference:
        stream = stream_batches([torch.zeros(4, 8, 8, 3, dtype=torch.uint8)], Fakes("ema", 9, 8))
        with pytest.raises(DataError, match="4 pictures came, not 9"):
            evaluate(stream, reference, ["fid"], tiny, console=quiet)


def test_features_that_are_not_finite_are_an_error(tmp_path: Path, quiet: Console) -> None:
    class Logarithm(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean((2, 3)).log()

    weights = find_detector_weights(save_script(Logarithm(), tmp_path / "log.pt"), quiet)
    dark = [lambda: np.zeros((8, 8, 3), np.uint8)] * 2
    with pytest.raises(ResourceError, match=r"log\.pt: gives features that are not finite"):
        collect(dark, load_detector(weights, CPU), frozenset({"moments"}), 2, lambda _=1: None)


def test_decoding_in_threads_leaves_the_warning_filters_alone(
    picture_folder: PictureFolder, tiny: Detector, quiet: Console
) -> None:
    before = list(warnings.filters)
    measured(picture_folder("fakes", 60, seed=1), picture_folder("reals", 60), tiny, quiet)
    assert list(warnings.filters) == before


def test_a_result_is_one_line_of_the_runs_metrics(
    picture_folder: PictureFolder, tiny: Detector, quiet: Console, tmp_path: Path
) -> None:
    result = measured(picture_folder("fakes", 3, seed=1), picture_folder("reals", 4), tiny, quiet)
    for _ in range(2):
        append_record(tmp_path, result.values, result.protocol)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 2
    assert json.loads(lines[1])["metrics"] == result.values
    assert json.loads(lines[1])["protocol"]["detector"]["name"] == "tiny.pt"
    with pytest.raises(ResourceError, match=r"metrics\.jsonl"):
        append_record(tmp_path / "gone", result.values, result.protocol)


def test_nothing_of_it_imports_torchvision(picture_folder: PictureFolder, tiny_weights: Path) -> None:
    arguments = ["evaluate", "--data", str(picture_folder("reals", 3)), "--detector-weights", str(tiny_weights)]
    code = (
        "import sys; from swincli.commands.app import run\n"
        f"code = run({[*arguments, '--images', arguments[2], '--device', 'cpu']!r})\n"
        "sys.exit(code or 3 * any(name.split('.')[0] == 'torchvision' for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "fid 0\n"


def test_what_needs_no_pictures_costs_no_pass(
    picture_folder: PictureFolder, tiny: Detector, quiet: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    network = tiny.network
    counting = replace(tiny, network=lambda images: seen.append(len(images)) or network(images))
    counts = Metric(frozenset(), lambda fakes, reals, _: {"counts": fakes.count + reals.count / 100}, 2, "")
    monkeypatch.setitem(registry.METRICS, "counts", counts)
    fakes, reals = picture_folder("fakes", 5, seed=1), picture_folder("reals", 6)
    result = measured(fakes, reals, counting, quiet, ["counts"])
    assert result.values == {"counts": 5.06}
    assert len(result.protocol.reference.content_hash) == 64
    assert seen == []


def test_a_metric_that_lacks_something_says_so_before_the_pictures_are_gone_through(
    picture_folder: PictureFolder, tiny: Detector, quiet: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(context: registry.Context) -> None:
        if context.model is None:
            raise UsageError("no model")

    monkeypatch.setitem(registry.METRICS, "fid", replace(registry.METRICS["fid"], check=check))
    silent = replace(tiny, network=lambda _: pytest.fail("looked at a picture"))
    with pytest.raises(UsageError, match="no model"):
        measured(picture_folder("fakes", 5), picture_folder("reals", 6), silent, quiet)


def test_intervals_against_many_or_unknown_reals_draw_the_fakes_alone(
    picture_folder: PictureFolder, tiny: Detector, quiet: Console, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fakes, reals = picture_folder("fakes", 9, seed=1), picture_folder("reals", 10, brightness=120)
    path = tmp_path / "own.npz"
    with open_images(str(fakes)) as judged, open_images(str(reals)) as images:

        def ends(reference: ImageSet | Statistics) -> tuple[float, float]:
            stream = stream_subset(judged, 50, 0)
            return evaluate(stream, reference, ["fid"], tiny, console=quiet, intervals=True).intervals["fid"]

        both = ends(images)
        save_reference(path, images, ["fid"], tiny, console=quiet)
        alone = ends(open_statistics(path))
        monkeypatch.setenv("SWINCLI_CACHE", str(tmp_path / "other"))
        monkeypatch.setattr(evaluation, "FEW_REALS", 5)
        assert ends(images) == pytest.approx(alone, rel=1e-6)
    assert sum(both) == pytest.approx(sum(alone), rel=1e-6)  # around the same value
    assert both[1] - both[0] > alone[1] - alone[0] > 0
