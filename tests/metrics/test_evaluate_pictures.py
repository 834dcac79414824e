from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from picture_folders import PictureFolder
from scripted_networks import save_script
from torch import Tensor, nn

from swincli.commands.app import run
from swincli.console import Console
from swincli.errors import DataError, ResourceError, UsageError
from swincli.metrics import evaluate as evaluation
from swincli.metrics import registry
from swincli.metrics.definitions.fid import frechet_distance
from swincli.metrics.definitions.kid import SUBSET_SIZE
from swincli.metrics.definitions.moments import Moments
from swincli.metrics.evaluate import Evaluation, evaluate, save_reference
from swincli.metrics.metric import Context, Metric
from swincli.metrics.networks.detectors import Detector, load_detector
from swincli.metrics.networks.resize import pillow_resize
from swincli.metrics.networks.weight_files import find_detector_weights
from swincli.metrics.protocol import FakesRecord, append_record
from swincli.metrics.registry import parse_metrics
from swincli.metrics.streams.features import SideStatistics, compute_statistics
from swincli.metrics.streams.images import ImageSet, open_images, stream_batches, stream_subset
from swincli.metrics.streams.reference_files import ReferenceStatistics, open_statistics

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
            resized = [pillow_resize(32).single(load()) for load in images.read(np.arange(images.count))]
        sides.append(np.stack([tiny.detect(torch.from_numpy(picture)[None]).features[0] for picture in resized]))
    expected = frechet_distance(*(Moments.from_features(side) for side in sides))
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
        stream = stream_batches(pictures.split(3), FakesRecord("ema", 10, 16, images_seen=7))
        result = evaluate(stream, reference, ["fid"], tiny, console=quiet)
    assert result.values == measured(folder, reals, tiny, quiet).values
    assert result.protocol.fakes.images_seen == 7


def test_the_protocol_says_how_it_was_measured(picture_folder: PictureFolder, tiny: Detector, quiet: Console) -> None:
    result = measured(picture_folder("fakes", 3, seed=1), picture_folder("reals", 4), tiny, quiet)
    protocol = json.loads(json.dumps(result.as_dict()))["protocol"]
    assert (protocol["fakes"]["num"], protocol["reference"]["num"]) == (3, 4)
    assert protocol["detector"] == {
        "name": "tiny.pt",
        "sha256": tiny.sha256,
        "width": 12,
        "pixels": "inception",
    }
    assert protocol["resize"] == "clean-fid (Pillow bicubic, float32, 32x32)"
    assert protocol["quantisation"] == "uint8"
    for word in ("EXIF", "sRGB", "over white", "16 bits"):
        assert word in protocol["decoding"]
    assert dict(result.protocol.rows())["decoding"] == protocol["decoding"]
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


def test_kid_has_enough_images_from_where_its_subsets_are_whole() -> None:
    enough = registry.METRICS["kid"].enough
    sizes = [min(SUBSET_SIZE, count // 2) for count in (enough - 1, enough)]
    assert sizes == [SUBSET_SIZE - 1, SUBSET_SIZE]


def test_few_reals_are_enough_for_a_metric_that_uses_none(
    picture_folder: PictureFolder, tiny: Detector, quiet: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Metric(
        needs=frozenset({"samples"}),
        measure=lambda fakes, *_: len(fakes.samples),
        values=lambda number: {"number": number},
        enough=5,
        least=4,
        caution="few",
    )
    monkeypatch.setitem(registry.METRICS, "number", row)
    fakes, reals = picture_folder("fakes", 5, seed=1), picture_folder("reals", 3)
    assert measured(fakes, reals, tiny, quiet, ["number"]).cautions == []
    assert registry.METRICS["kid"].uses_reals
    for name, by_detector in (("text", True), ("label-accuracy", False)):
        assert registry.METRICS[name].uses_reals
        assert registry.METRICS[name].uses_detector == by_detector
    assert not registry.METRICS["is"].uses_reals
    assert not registry.METRICS["ppl"].uses_reals
    with pytest.raises(DataError, match="needs at least 4 images per side, not 3"):
        measured(reals, fakes, tiny, quiet, ["number"])


def test_sides_of_two_known_sizes_earn_a_caution(tiny: Detector, quiet: Console, picture_folder: PictureFolder) -> None:
    with open_images(str(picture_folder("reals", 3))) as reference:
        stream = stream_batches([torch.zeros(2, 8, 8, 3, dtype=torch.uint8)], FakesRecord("ema", 2, 8))
        known = replace(reference, resolution=16)
        assert any("8 px" in caution for caution in evaluate(stream, known, ["fid"], tiny, console=quiet).cautions)


def test_a_new_metric_is_one_row_and_shares_the_pass(
    picture_folder: PictureFolder, tiny: Detector, quiet: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    def distances(fakes: SideStatistics, reals: SideStatistics, _: Context) -> np.ndarray:
        assert fakes.features.shape == (5, 12)
        assert reals.features.shape == (6, 12)
        return np.linalg.norm(fakes.features[:, None] - reals.features[None], axis=2)

    row = Metric(
        needs=frozenset({"features"}),
        measure=distances,
        values=lambda apart: {"nearest": float(apart.min()), "farthest": float(apart.max())},
        enough=2,
        caution="",
        interval=lambda apart, deviation: {"nearest": (float(apart.min()) - deviation, float(apart.max()))},
        bootstrap=lambda fakes, reals, seed, _: fakes.count + reals.count + seed,
        plot=lambda folder, apart, fakes, images: drawn.append((folder, apart.shape, fakes.count, images.count)),
        aliases=("nearest",),
    )
    drawn: list[object] = []
    monkeypatch.setitem(registry.METRICS, "distances", row)
    seen: list[int] = []
    network = tiny.network
    counting = replace(tiny, network=lambda images: seen.append(len(images)) or network(images))
    fakes, reals = picture_folder("fakes", 5, seed=1), picture_folder("reals", 6)
    with open_images(str(fakes)) as judged, open_images(str(reals)) as reference:
        stream, options = stream_subset(judged, 50, 0), {"seed": 7, "intervals": True, "plots": Path("plots")}
        result = evaluate(stream, reference, ["fid", "distances"], counting, console=quiet, **options)
    assert list(result.values) == ["fid", "nearest", "farthest"]
    low, high = result.intervals["nearest"]
    assert low == pytest.approx(result.values["nearest"] - 5 - 6 - 7)
    assert high == result.values["farthest"]
    assert drawn == [(Path("plots"), (5, 6), 5, 6)]
    assert sum(seen) == 11
    assert parse_metrics("nearest,fid,distances") == ["distances", "fid"]


def test_metrics_that_share_a_computation_run_it_once(
    picture_folder: PictureFolder, tiny: Detector, quiet: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def counting(name: str) -> Callable[..., object]:
        original = getattr(registry.METRICS["pr" if name == "measure" else "fid"], name)

        def call(*arguments: object) -> object:
            calls.append(name)
            return original(*arguments)

        return call

    for name, rows in (("measure", ("pr", "dc")), ("bootstrap", ("fid", "fid-infinity"))):
        counted = counting(name)
        for row in rows:
            monkeypatch.setitem(registry.METRICS, row, replace(registry.METRICS[row], **{name: counted}))
    folders = picture_folder("fakes", 20, seed=1), picture_folder("reals", 20, seed=2)
    with open_images(str(folders[0])) as judged, open_images(str(folders[1])) as reference:
        names = ["fid", "pr", "dc", "fid-infinity"]
        result = evaluate(stream_subset(judged, 50, 0), reference, names, tiny, console=quiet, intervals=True)
    assert sorted(calls) == ["bootstrap", "measure"]
    assert result.intervals.keys() == {"fid", "precision", "recall", "density", "coverage", "fid_infinity"}


def test_names_of_metrics_are_checked() -> None:
    assert parse_metrics(" FID, fid ,") == ["fid"]
    with pytest.raises(UsageError, match=r'unknown metric "fidd"; did you mean "fid"\?') as caught:
        parse_metrics("fid,fidd")
    assert caught.value.hint == f"Choose from {', '.join(registry.METRICS)}."
    assert parse_metrics("precision,fid_infinity,recall,authenticity") == ["pr", "fid-infinity", "memorization"]
    with pytest.raises(UsageError, match="no metric given"):
        parse_metrics(" ,")


def test_fewer_pictures_than_promised_are_an_error(
    picture_folder: PictureFolder, tiny: Detector, quiet: Console
) -> None:
    with open_images(str(picture_folder("reals", 3))) as reference:
        stream = stream_batches([torch.zeros(4, 8, 8, 3, dtype=torch.uint8)], FakesRecord("ema", 9, 8))
        with pytest.raises(DataError, match="gave 4 images, not 9"):
            evaluate(stream, reference, ["fid"], tiny, console=quiet)


def test_features_that_are_not_finite_are_an_error(tmp_path: Path, quiet: Console) -> None:
    class Logarithm(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean((2, 3)).log()

    weights = find_detector_weights(save_script(Logarithm(), tmp_path / "log.pt"), quiet)
    dark = [lambda: np.zeros((8, 8, 3), np.uint8)] * 2
    with pytest.raises(ResourceError, match=r"log\.pt: gives features that are not finite"):
        compute_statistics(dark, load_detector(weights, CPU), frozenset({"moments"}), 2, lambda _=1: None)


def test_decoding_in_threads_leaves_the_warning_filters_alone(
    picture_folder: PictureFolder, tiny: Detector, quiet: Console
) -> None:
    before = list(warnings.filters)
    measured(picture_folder("fakes", 40, seed=1), picture_folder("reals", 40), tiny, quiet)
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


def test_evaluate_does_not_import_torchvision(
    picture_folder: PictureFolder, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(picture_folder("reals", 3))
    arguments = ["evaluate", "--data", folder, "--images", folder, "--detector-weights", str(tiny_weights)]
    assert run([*arguments, "--device", "cpu"]) == 0
    assert capsys.readouterr().out == "fid 0\n"
    assert not [name for name in sys.modules if name.split(".")[0] == "torchvision"]  # no test imports it either


def test_what_needs_no_pictures_costs_no_pass(
    picture_folder: PictureFolder, tiny: Detector, quiet: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    network = tiny.network
    counting = replace(tiny, network=lambda images: seen.append(len(images)) or network(images))
    counts = Metric(
        needs=frozenset(),
        measure=lambda fakes, reals, _: fakes.count + reals.count / 100,
        values=lambda count: {"counts": count},
        enough=2,
        caution="",
    )
    monkeypatch.setitem(registry.METRICS, "counts", counts)
    fakes, reals = picture_folder("fakes", 5, seed=1), picture_folder("reals", 6)
    result = measured(fakes, reals, counting, quiet, ["counts"])
    assert result.values == {"counts": 5.06}
    assert len(result.protocol.reference.content_hash) == 64
    assert seen == []


def test_a_metric_that_lacks_something_says_so_before_the_pictures_are_gone_through(
    picture_folder: PictureFolder, tiny: Detector, quiet: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(context: Context) -> None:
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

        def ends(reference: ImageSet | ReferenceStatistics) -> tuple[float, float]:
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
