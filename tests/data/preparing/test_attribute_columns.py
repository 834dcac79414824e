"""Tables of attributes: kinds told from cells, kinds that are given, unknown cells, and one error for each mistake."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from swincli.commands.app import run
from swincli.console import Console
from swincli.data.preparing.attribute_kinds import encode_columns, parse_kinds, tell_kinds
from swincli.data.preparing.label_files import AttributeColumns, read_label_file
from swincli.data.preparing.prepare import PrepareOptions, prepare
from swincli.data.store.reader import Store
from swincli.data.store.verify import verify_store
from swincli.errors import DataError, SwincliError, UsageError

QUIET = Console(quiet=True)


class Told(Console):
    """A console that notes its warnings."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def columns(*cells: str, name: str = "age") -> AttributeColumns:
    return AttributeColumns(
        "l.csv",
        [name],
        {f"{number}.png": (cell,) for number, cell in enumerate(cells)},
        {f"{number}.png": f"line {number + 2}" for number in range(len(cells))},
    )


def told(*cells: str) -> str | None:
    try:
        return tell_kinds(columns(*cells), {}, QUIET).get("age")
    except DataError:
        return None


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["yes", "No", "yes"], "flag"),
        (["1", "-1", ""], "flag"),
        (["0", "1", "NaN"], "flag"),
        (["3", "1", "2", "2"], "class"),
        (["3.5", "1", "2"], "number"),
        (["1990", "2001", "2010"], "number"),
        (["-4", "1e3", "7"], "number"),
        (["red", "blue", "red"], "class"),
        (["a;b", "b", "c | a"], "several"),
        (["same", "same", ""], None),
        (["", "nan", "?"], None),
        ([f"name {number}" for number in range(60)], None),
    ],
)
def test_kinds_are_told_from_the_cells(cells: list[str], kind: str | None) -> None:
    assert told(*cells) == kind


def test_columns_become_numbers_and_unknown_cells_nan() -> None:
    table = AttributeColumns(
        "l.csv",
        ["hair", "hat", "age", "tags"],
        {
            "a": ("red", "yes", "30", "x;y"),
            "b": ("blue", "", "10.5", "none"),
            "c": ("", "no", "", "y"),
        },
        dict.fromkeys("abc", "line 2"),
    )
    found = encode_columns(table, tell_kinds(table, {}, QUIET), QUIET)
    assert [one.values for one in found.each] == [("blue", "red"), (), (), ("x", "y")]
    assert [one.missing for one in found.each] == [1, 1, 1, 0]
    assert (found.each[2].low, found.each[2].high) == (10.5, 30.0)
    nan = np.nan
    expected = [[1, 1, 30, 1, 1], [0, nan, 10.5, 0, 0], [nan, 0, nan, 0, 1]]
    np.testing.assert_array_equal(found.values, np.array(expected, np.float32))
    assert found.take(slice(2, 3)).each[0].missing == 1


def test_a_value_on_one_image_and_a_column_that_says_nothing_are_warned_of() -> None:
    console = Told()
    table = columns("red", "red", "blue")
    encode_columns(table, tell_kinds(table, {}, console), console)
    assert console.warnings == ["labels: age: blue on one image alone, too few to learn from"]
    with pytest.raises(DataError, match="no column that says anything"):
        tell_kinds(columns("red", "red"), {}, console)
    assert "left out" in console.warnings[-1]


@pytest.mark.parametrize(
    ("cells", "given", "problem"),
    [
        (("3", "4", "5.5", "old"), {}, 'l.csv: line 5: age is "old", which is no number'),
        (("3", "inf", "5.5", "6"), {}, 'line 3: age is "inf", which is no number'),
        (("3", "4", "5"), {"age": "flag"}, 'line 2: age is "3", which is no flag'),
        (("3", "4"), {"ages": "class"}, '--label-kind ages: l.csv has no such column; did you mean "age"'),
    ],
)
def test_mistakes_have_a_line_and_a_name(cells: tuple[str, ...], given: dict[str, str], problem: str) -> None:
    with pytest.raises(SwincliError) as caught:
        tell_kinds(columns(*cells), given, QUIET)
    assert problem in caught.value.message


def test_given_kinds_win() -> None:
    assert tell_kinds(columns("3", "4", "5.5"), {"age": "class"}, QUIET) == {"age": "class"}
    assert parse_kinds(["age=number", "hair colour = skip"]) == {"age": "number", "hair colour": "skip"}
    for text in ("age", "=class", "age=text", "age="):
        with pytest.raises(UsageError, match="not NAME=KIND"):
            parse_kinds([text])


NAMES = ["0.png", "1.png"]


def read(content: str, *, attributes: bool = False) -> AttributeColumns | None:
    return read_label_file(content, "l.csv", NAMES, "photos", attributes=attributes).columns


def test_tables_of_one_label_column_stay_classes() -> None:
    for content in ("path,label\n0.png,a\n1.png,b\n", "0.png,a\n1.png,b\n", "path,class,age\n0.png,a,3\n1.png,b,4\n"):
        assert read(content) is None
    found = read("path,class,age\n0.png,a,3\n1.png,b,4\n", attributes=True)
    assert found is not None
    assert found.names == ["class", "age"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_columns_of_any_separator_with_windows_line_ends_and_quotes(separator: str) -> None:
    rows = [["name", "hair/colour", "age"], ["0.png", '"dark, brown"', "3"], ["1.png", "", ""]]
    found = read("\r\n".join(separator.join(row) for row in rows) + "\r\n")
    assert found is not None
    assert found.names == ["hair_colour", "age"]
    assert found.cells == {"0.png": ("dark, brown", "3"), "1.png": ("", "")}
    assert found.where == {"0.png": "line 2", "1.png": "line 3"}


@pytest.mark.parametrize("heading", ["path;hair;age", '"path\n(of file)";hair;age'])
def test_a_heading_may_have_line_breaks(heading: str) -> None:
    found = read(f"{heading}\n0.png;red;3\n1.png;;4\n")
    assert found is not None
    assert found.names == ["hair", "age"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("name,age,age\n0.png,1,2\n1.png,3,4\n", '"age" is no name of a column, or names two'),
        ("name,age,hair\n0.png,1,2,3\n1.png,3,4\n", "line 2 has not the 3 cells of the heading"),
        ("name,age,hair\n0.png,1,2\n0.png,3,4\n1.png,3,4\n", "line 2 and line 3: 0.png has two labels, 1, 2 and 3, 4"),
    ],
)
def test_malformed_tables_are_named(content: str, problem: str) -> None:
    with pytest.raises(DataError) as caught:
        read(content)
    assert problem in caught.value.message


TABLE = "name,shade,number\n" + "".join(f"{n}.png,{'ab'[n % 2]},{n * 1.5}\n" for n in range(10))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Prepares ten pictures with a table of two attributes, or as the options say."""
    folder, random = tmp_path_factory.mktemp("tables"), np.random.default_rng(0)
    (folder / "l.csv").write_text(TABLE)
    (folder / "p").mkdir()
    for number in range(10):
        picture = random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(picture).save(folder / "p" / f"{number}.png")

    def make(name: str, **options: object) -> Path:
        wanted = PrepareOptions(16, workers=1, **{"labels": str(folder / "l.csv"), **options})  # type: ignore[arg-type]
        prepare(str(folder / "p"), folder / name, wanted, QUIET)
        return folder / name

    return make


def test_a_store_holds_them_and_verify_finds_damage(prepared: Callable[..., Path]) -> None:
    path = prepared("store")
    store = Store.open(path)
    assert store.attributes is not None
    assert store.attributes.of("shade")[:, 0].tolist() == [0, 1] * 5
    assert store.attributes.of("number")[:, 0].tolist() == [number * 1.5 for number in range(10)]
    verify_store(path, QUIET)
    content = bytearray((path / "attributes.npy").read_bytes())
    content[-8:-4] = np.float32(1 - store.attributes.of("shade")[-1, 0]).tobytes()
    (path / "attributes.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"attributes\.npy"):
        verify_store(path, QUIET)
    content[-8:-4] = np.float32(7).tobytes()
    (path / "attributes.npy").write_bytes(content)
    with pytest.raises(DataError, match="a value of shade that it cannot have"):
        Store.open(path)
    assert Store.open(prepared("store", force=True)).attributes is not None


def test_parts_of_a_split_share_values_and_ranges(prepared: Callable[..., Path]) -> None:
    path = prepared("split", split="train:0.6,test:0.4")
    train, test = (Store.open(path / part).attributes for part in ("train", "test"))
    assert train is not None
    assert test is not None
    assert train.each == test.each
    assert sorted([*train.of("number")[:, 0], *test.of("number")[:, 0]]) == [number * 1.5 for number in range(10)]


def test_a_zip_cannot_hold_them(prepared: Callable[..., Path]) -> None:
    with pytest.raises(UsageError, match=r"--format zip: StyleGAN's dataset.json holds one class"):
        prepared("images.zip", format="zip")


def test_the_attributes_are_in_the_content_hash_and_listed(
    prepared: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path, plain = prepared("hashed"), prepared("plain", labels=None)
    assert Store.open(path).content_hash != Store.open(plain).content_hash
    assert b"attributes" not in (plain / "manifest.json").read_bytes()
    assert run(["prepare-data", "--stats", str(path), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["attributes"]
    assert [one["name"] for one in listed] == ["shade", "number"]
    assert (listed[1]["low"], listed[1]["high"]) == (0.0, 13.5)


def test_label_kinds_need_a_table(prepared: Callable[..., Path]) -> None:
    with pytest.raises(UsageError, match="--label-kind: needs --labels"):
        prepared("none", labels=None, label_kinds=("age=class",))
