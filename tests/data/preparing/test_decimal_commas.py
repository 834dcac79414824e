"""Numbers with decimal commas, as spreadsheets write them in most of Europe; and cells that only look like numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from swincli.commands.app import run
from swincli.console import Console
from swincli.data.preparing.attribute_kinds import tell_kinds
from swincli.data.preparing.label_files import read_label_file
from swincli.data.store.reader import Store
from swincli.errors import DataError

QUIET = Console(quiet=True)
POINTS = {
    "age": ["20.0", "31.5", "", "-4.25", "1e-3", "+7", "20.0", ".5"],
    "glasses": ["1.0", "0.0", "1.0", "", "0.0", "1.0", "0.0", "1.0"],
    "hair": ["red", "blue", "red", "", "red", "dark, brown", "red", "red"],
    "tags": ["a|b", "a", "none", "", "b", "a", "b", "a|1.5"],
}
KINDS = {"age": "number", "glasses": "flag", "hair": "class", "tags": "several"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("commas") / "photos"
    root.mkdir()
    for number in range(8):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(root / f"{number}.png")
    return root


def spelled(separator: str, *, commas: bool, names: list[str], end: str = "\n") -> str:
    """The table, with commas or points in numbers and flags."""
    columns = {
        name: [
            cell.replace(".", ",") if commas and KINDS[name] in ("number", "flag") else cell for cell in POINTS[name]
        ]
        for name in names
    }
    rows = zip(*columns.values(), strict=True)
    lines = [["path", *names], *([f"{number}.png", *cells] for number, cells in enumerate(rows))]
    return "".join(separator.join(line) + end for line in lines)


def stored(path: Path, photos: Path, dest: Path, *options: str) -> Store:
    arguments = ["--labels", str(path), "--resolution", "16", "--workers", "1", "--quiet", *options]
    assert run(["prepare-data", str(photos), str(dest), *arguments]) == 0
    return Store.open(dest)


@pytest.mark.parametrize("separator", [";", "\t"])
@pytest.mark.parametrize("names", [["age", "hair"], ["age", "glasses"], ["hair", "age", "glasses"], ["age", "tags"]])
def test_a_table_with_commas_gives_what_one_with_points_gives(
    separator: str, names: list[str], photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "commas.csv").write_text(spelled(separator, commas=True, names=names, end="\r\n"))
    (tmp_path / "points.csv").write_text(spelled(separator, commas=False, names=names))
    commas, points = (stored(tmp_path / f"{name}.csv", photos, tmp_path / name) for name in ("commas", "points"))
    assert commas.attributes is not None
    assert points.attributes is not None
    assert commas.attributes.each == points.attributes.each
    assert {one.name: one.kind.name for one in commas.attributes.each} == {name: KINDS[name] for name in names}
    assert commas.content_hash == points.content_hash


def test_a_single_column_that_is_called_a_number(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text(spelled(";", commas=True, names=["age"]))
    store = stored(tmp_path / "l.csv", photos, tmp_path / "store", "--label-kind", "age=number")
    assert store.attributes is not None
    assert (store.attributes.each[0].low, store.attributes.each[0].high) == (-4.25, 31.5)


def test_captions_of_labels_say_points(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "l.csv").write_text(spelled(";", commas=True, names=["age", "hair"]))
    arguments = ["--stats", str(photos), "--labels", str(tmp_path / "l.csv"), "--captions", "labels", "--json"]
    assert run(["prepare-data", *arguments]) == 0
    assert "age 31.5, blue hair" in json.dumps(json.loads(capsys.readouterr().out)["captions"])


def kinds(content: str, **given: str) -> dict[str, str]:
    table = read_label_file(content, "l.csv", [f"{n}.png" for n in range(8)], "photos").columns
    assert table is not None
    return tell_kinds(table, given, QUIET)


def test_rows_with_fewer_semicolons_than_commas() -> None:
    """Unknown cells at the end of rows leave as many commas as semicolons, or more."""
    rows = "".join(f"{n}.png;{n},5;{n * n},25;{'x' * (n == 3)}{'y' * (n == 4)};;\n" for n in range(8))
    assert kinds("path;age;size;hair;a;b\n" + rows) == {"age": "number", "size": "number", "hair": "class"}


def test_commas_stay_in_tables_that_they_separate() -> None:
    rows = "".join(f'{n}.png,"{n},5",{n}.5\n' for n in range(4))
    assert kinds("path,size,age\n" + rows) == {"size": "class", "age": "number"}


def test_classes_keep_their_commas() -> None:
    rows = "".join(f"{n}.png;{n % 2},5;{n},5\n" for n in range(4))
    table = read_label_file("path;size;age\n" + rows, "l.csv", ["0.png", "1.png"], "photos").columns
    assert table is not None
    assert tell_kinds(table, {"size": "class"}, QUIET)["size"] == "class"
    assert table.cells["1.png"] == ("1,5", "1,5")


@pytest.mark.parametrize("cell", ["1_00", "0x1F", "٣", "1.234,5", "1 000"])
@pytest.mark.parametrize("separator", [",", ";"])
def test_what_no_spreadsheet_takes_for_a_number_is_named(cell: str, separator: str) -> None:
    rows = [["path", "hair", "age"], *([f"{n}.png", "red", f"{n}0"] for n in range(3)), ["3.png", "blue", f'"{cell}"']]
    content = "".join(separator.join(row) + "\n" for row in rows)
    with pytest.raises(DataError, match=f'line 5: age is "{cell}", which is no number'):
        kinds(content)
