from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from swincli.errors import DataError
from swincli.metrics.compare import compare_runs, plot_comparison, read_run
from swincli.metrics.protocol import DetectorRecord, FakesRecord, Protocol, ReferenceRecord, append_record
from swincli.metrics.registry import METRICS


def protocol(
    images_seen: int | None,
    num: int = 1000,
    content_hash: str = "cats",
    resize: str = "bicubic",
    pixels: str | None = None,
) -> Protocol:
    reference, detector = ReferenceRecord("reals", 500, 16, content_hash), DetectorRecord("tiny", "0123", 12, pixels)
    fakes = FakesRecord("model", num, 16, (0, num - 1), 1.0, images_seen)
    return Protocol(fakes, reference, detector, resize, "uint8", 0, "cpu", {})


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Two runs, each measured twice with one protocol; the second run also once with another protocol."""
    folders = [tmp_path / "first", tmp_path / "second"]
    for number, folder in enumerate(folders):
        folder.mkdir()
        append_record(folder, {"fid": 30.0 - number}, protocol(1000))
        append_record(folder, {"fid": 20.0 - number, "kid": 0.5}, protocol(2000), {"fid": (19.0, 21.0)})
    append_record(folders[1], {"fid": 90.0, "kid": 0.4}, protocol(3000, num=50))
    return folders


def test_the_newest_values_that_were_measured_alike_are_compared(runs: list[Path]) -> None:
    comparison = compare_runs([read_run(run) for run in runs])
    assert comparison.names == ["fid", "kid"]
    first, second = comparison.rows
    assert (first.cells["fid"].value, second.cells["fid"].value) == (20, 19)
    assert first.cells["fid"].interval == (19, 21)
    assert second.cells["fid"].images_seen == 2000
    assert comparison.cautions == []


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"num": 50}, "fakes 50 instead of 1,000"),
        ({"content_hash": "dogs"}, "reference dogs instead of cats"),
        ({"resize": "box"}, "resize box instead of bicubic"),
        ({"pixels": "clip"}, "detector tiny 0123 with clip pixels instead of tiny 0123"),
    ],
)
def test_a_run_that_was_measured_otherwise_is_marked_and_named(
    other: dict[str, object], words: str, runs: list[Path], tmp_path: Path
) -> None:
    third = tmp_path / "third"
    third.mkdir()
    append_record(third, {"fid": 5.0, "is": 2.0}, protocol(9000, **other))
    comparison = compare_runs([read_run(run) for run in (*runs, third)])
    assert [row.cells["fid"].comparable for row in comparison.rows] == [True, True, False]
    assert comparison.rows[2].cells["is"].comparable
    assert "is" not in comparison.rows[0].cells
    assert comparison.cautions == [f"{third}: fid not comparable with the other runs: {words}"]
    written = json.loads(json.dumps(comparison.as_dict()))
    assert written["runs"][2]["metrics"]["fid"]["value"] == 5


@pytest.mark.parametrize("name", ["label_accuracy", "accuracy:hair", "accuracy_of_reals:hair", "r2:size"])
def test_label_accuracy_is_of_a_store_and_of_no_detector(name: str, tmp_path: Path) -> None:
    runs = []
    for index, other in enumerate(({}, {"resize": "box"}, {"content_hash": "dogs"})):
        runs.append(tmp_path / str(index))
        runs[-1].mkdir()
        append_record(runs[-1], {name: 0.5}, protocol(1000, **other))
    comparison = compare_runs([read_run(run) for run in runs])
    assert [row.cells[name].comparable for row in comparison.rows] == [True, True, False]
    assert comparison.cautions == [
        f"{runs[2]}: {name} not comparable with the other runs: reference dogs instead of cats"
    ]


def test_records_without_the_normalisation_are_those_with_the_usual_one(runs: list[Path], tmp_path: Path) -> None:
    third = tmp_path / "third"
    third.mkdir()
    append_record(third, {"fid": 5.0}, protocol(9000, pixels="imagenet"))
    assert compare_runs([read_run(run) for run in (*runs, third)]).cautions == []


def test_lines_that_are_none_are_passed_over(runs: list[Path]) -> None:
    log = runs[0] / "metrics.jsonl"
    expected = read_run(runs[0])
    log.write_text('[]\n{"metrics": 1}\n' + log.read_text() + '{"images_seen": 3, "met')
    assert read_run(runs[0]) == expected


def test_values_are_compared_by_the_conditions_that_they_depend_on(tmp_path: Path) -> None:
    """ppl and the inception score use no reals, the spectrum and ppl no detector."""
    values = dict.fromkeys(("fid", "is", "is_std", "spectrum", "window_grid", "ppl_w", "ppl_z"), 1.0)
    for run, conditions in (("a", {}), ("b", {"content_hash": "dogs"}), ("c", {"resize": "box"}), ("d", {"num": 9})):
        (tmp_path / run).mkdir()
        append_record(tmp_path / run, values, protocol(10, **conditions))

    def marked(run: str) -> set[str]:
        rows = compare_runs([read_run(tmp_path / name) for name in ("a", "a", run)]).rows
        return {name for name, cell in rows[-1].cells.items() if not cell.comparable}

    assert marked("a") == set()
    assert marked("b") == {"fid", "spectrum", "window_grid"}
    assert marked("c") == {"fid", "is", "is_std"}
    assert marked("d") == set(values)


def test_the_registry_names_every_value() -> None:
    named = {name for row in METRICS.values() for name in (row.headline, *row.others)}
    assert named >= {
        "fid",
        "fid_infinity",
        "kid",
        "kid_std",
        "precision",
        "recall",
        "density",
        "coverage",
        "is",
        "is_std",
    }
    assert named >= {"is", "is_std", "spectrum", "window_grid", "authenticity", "ppl_w", "ppl_z"}


def test_values_that_are_no_numbers_are_null_in_the_log_and_read_back(tmp_path: Path) -> None:
    append_record(tmp_path, {"fid": math.nan, "kid": 0.5}, protocol(10), {"fid": (math.nan, math.inf)})

    def refuse(name: str) -> None:
        raise AssertionError(name)

    json.loads((tmp_path / "metrics.jsonl").read_text(), parse_constant=refuse)
    old = json.dumps(json.loads((tmp_path / "metrics.jsonl").read_text())).replace("null", "NaN", 1)
    with (tmp_path / "metrics.jsonl").open("a") as log:
        log.write(f"{old}\n")
    (new, earlier) = read_run(tmp_path).measurements
    for measurement in (new, earlier):
        assert math.isnan(measurement.values["fid"])
        assert measurement.values["kid"] == 0.5


def test_a_run_without_measurements_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone: no such run"):
        read_run(tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no measurements of this run"):
        read_run(tmp_path / "empty")


def test_the_plot_shows_every_run(runs: list[Path], tmp_path: Path) -> None:
    append_record(runs[0], {"fid": math.nan, "kid_std": 1.0, "is": 2.0, "pr": 0.5}, protocol(None))
    plot_comparison(compare_runs([read_run(run) for run in runs]), tmp_path / "plots/comparison.png")
    pixels = np.asarray(Image.open(tmp_path / "plots/comparison.png").convert("RGB")).reshape(-1, 3).astype(int)
    for color in ((31, 119, 180), (255, 127, 14)):  # matplotlib's first two
        assert (np.abs(pixels - color).max(axis=1) < 4).sum() > 100


def test_values_that_are_not_numbers_are_read_as_nan(runs: list[Path]) -> None:
    append_record(runs[0], {"fid": math.nan, "is": 2.0}, protocol(4000), {"fid": (19.0, math.inf)})
    newest = read_run(runs[0]).measurements[-1]
    assert math.isnan(newest.values["fid"])
    assert newest.values["is"] == 2
    assert newest.intervals["fid"] == pytest.approx((19, math.nan), nan_ok=True)
