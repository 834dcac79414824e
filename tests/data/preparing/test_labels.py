from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swincli.data.preparing.labels import number_labels, read_labels, renumbered
from swincli.data.sources import open_source
from swincli.errors import DataError

GIF = b"GIF89a" + b"\0" * 40


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("cat/1.gif", "cat/young/2.gif", "dog/3.gif"):
        (tmp_path / "p" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "p" / name).write_bytes(GIF)
    return tmp_path / "p"


def read(text: str | Path, root: Path) -> dict[str, str]:
    with open_source(str(root)) as source:
        return read_labels(str(text), source)


def save(root: Path, name: str, content: str) -> Path:
    path = root.parent / name
    path.write_text(content, encoding="utf-8")
    return path


WANTED = {"cat/1.gif": "a", "cat/young/2.gif": "b", "dog/3.gif": "a"}


def test_the_first_folder_is_the_label(root: Path) -> None:
    assert read("folders", root) == {"cat/1.gif": "cat", "cat/young/2.gif": "cat", "dog/3.gif": "dog"}


@pytest.mark.parametrize("header", ["", "path,label\n", "Path, Label\n"])
def test_csv(root: Path, header: str) -> None:
    rows = 'cat/1.gif,a\n\n./cat/young/2.gif , b\ncat\\1.gif,a\nelsewhere.gif,c\n"dog/3.gif",a\n'
    assert read(save(root, "l.csv", header + rows), root) == WANTED
    assert read(save(root, "bom.csv", "\ufeff" + header + rows), root) == WANTED


def test_stylegans_json(root: Path) -> None:
    rows = [["cat/1.gif", 3], ["cat/young/2.gif", 0], ["dog/3.gif", 3]]
    labels = {"cat/1.gif": "3", "cat/young/2.gif": "0", "dog/3.gif": "3"}
    assert read(save(root, "dataset.json", json.dumps({"labels": rows})), root) == labels


def test_labels_inside_the_zip(root: Path) -> None:
    packed = root.parent / "p.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("00000/img0.gif", GIF)
        archive.writestr("dataset.json", '{"labels": [["00000/img0.gif", 5]]}')
    assert read("dataset.json", packed) == {"00000/img0.gif": "5"}
    with pytest.raises(DataError, match=r"other\.json does not exist"):
        read("other.json", packed)


def test_missing_labels_are_counted_and_named(root: Path) -> None:
    for number in range(5):
        (root / f"{number}.gif").write_bytes(GIF)
    with pytest.raises(DataError, match=r"5 pictures of .* have no label: 0\.gif, 1\.gif, 2\.gif, \.\.\.$"):
        read("folders", root)
    with pytest.raises(DataError, match=r"7 pictures of .* have no label") as caught:
        read(save(root, "l.csv", "cat/1.gif,a"), root)
    assert "such as 0.gif" in str(caught.value.hint)
    for number in range(1, 5):
        (root / f"{number}.gif").unlink()
    with pytest.raises(DataError, match=r"1 picture of .* has no label: 0\.gif$"):
        read("folders", root)


def test_files_that_are_no_pictures_need_no_label(root: Path) -> None:
    (root / "README.txt").write_text("about these pictures")
    (root / "dataset.json").write_text("{}")
    assert len(read("folders", root)) == 3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("l.json", "{", "is not JSON"),
        ("l.json", '{"labels": null}', "has no list of labels"),
        ("l.json", "[1]", "has no list of labels"),
        ("l.json", '{"labels": [["a", 1, 2]]}', "is not a pair of path and label"),
        ("l.json", '{"labels": [["a", [0.5]]]}', "is not a pair of path and label"),
        ("l.json", '{"labels": [["a", true]]}', "is not a pair of path and label"),
        ("l.json", '{"labels": []}', "holds no labels"),
        ("l.csv", "", "holds no labels"),
        ("l.csv", "a.png,1\nb.png\n", "line 2 is not"),
        ("l.csv", "a.png,1,2\n", "line 1 is not"),
        ("l.csv", "a.png,\n", "line 1 is not"),
        ("l.csv", "a.png,1\na.png,2\n", "a.png has two labels, 1 and 2"),
        ("l.csv", '"a.png,1', "is not CSV"),
    ],
)
def test_a_malformed_file_is_named(root: Path, name: str, content: str, message: str) -> None:
    path = save(root, name, content)
    with pytest.raises(DataError, match=message) as caught:
        read(path, root)
    assert str(path) in caught.value.message


def test_a_file_that_is_no_text(root: Path) -> None:
    (root.parent / "l.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="is not a text file"):
        read(root.parent / "l.csv", root)
    with pytest.raises(DataError, match="does not exist"):
        read("missing.csv", root)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.text(max_size=60), kind=st.sampled_from(["csv", "json"]))
def test_any_text_raises_nothing_but_data_errors(content: str, kind: str, root: Path) -> None:
    path = root.parent / f"l.{kind}"
    path.write_text(content, encoding="utf-8", errors="replace")
    try:
        labels = read(path, root)
    except DataError:
        return
    assert sorted(labels) == sorted(WANTED)


def test_labels_are_numbered_by_name_and_numbers_by_size() -> None:
    numbers, names = number_labels(["dog", "cat", "dog", "ape"])
    assert (numbers.tolist(), names) == ([2, 1, 2, 0], ["ape", "cat", "dog"])
    numbers, names = number_labels(["10", "9", "0", "10"])
    assert (numbers.tolist(), names) == ([2, 1, 0, 2], ["0", "9", "10"])
    numbers, names = number_labels(["1", "01", "0"])
    assert (numbers.tolist(), names) == ([2, 1, 0], ["0", "01", "1"])
    assert number_labels(["٣", "2"])[1] == ["2", "٣"]  # digits of other scripts are names


def test_numbers_do_not_depend_on_the_hash_seed() -> None:
    code = "from swincli.data.preparing.labels import number_labels as n; print(n(['1', '01', '001', '0', '00'])[1])"
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in (1, 3)
    }
    assert told == {"['0', '00', '001', '01', '1']\n"}


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["0", "1", "2"], None),
        (["0", "2", "5"], "2 is 1, 5 is 2"),
        (["1", "2"], "1 is 0, 2 is 1"),
        (["cat", "7"], None),
    ],
)
def test_gaps_in_numbers_are_told(names: list[str], told: str | None) -> None:
    assert renumbered(names) == told


def test_a_bare_name_is_that_of_the_source_first(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    for folder, label in ((root, 1), (root.parent, 7)):
        rows = [[name, label] for name in WANTED]
        (folder / "dataset.json").write_text(json.dumps({"labels": rows}))
    told: list[str] = []
    with open_source(str(root)) as source:
        assert set(read_labels("dataset.json", source, told.append).values()) == {"1"}
        assert set(read_labels("./dataset.json", source, told.append).values()) == {"7"}
        assert told == [str(root / "dataset.json"), "./dataset.json"]
        (root / "dataset.json").unlink()
        assert set(read_labels("dataset.json", source).values()) == {"7"}


def test_absolute_paths_are_labelled_below_the_folder_that_holds_them(root: Path) -> None:
    listed = save(root, "list.txt", "\n".join(str(root / name) for name in WANTED))
    assert set(read("folders", listed).values()) == {"cat", "dog"}
    one = save(root, "one.txt", f"{root / 'dog/3.gif'}\n")
    with pytest.raises(DataError, match="has no label"):
        read("folders", one)


def test_control_characters_do_not_reach_the_terminal(root: Path) -> None:
    path = save(root, "l.json", json.dumps({"labels": [[name, "a\x1b[2Jb\x07"] for name in WANTED]}))
    assert set(read(path, root).values()) == {"a\\x1b[2Jb\\x07"}
