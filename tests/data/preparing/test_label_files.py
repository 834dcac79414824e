"""Label files as people and programs write them: nothing in them is ignored without a word."""

from __future__ import annotations

import json
import unicodedata
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from swincli.data.preparing.labels import read_labels
from swincli.data.sources import open_source
from swincli.errors import DataError

GIF = b"GIF89a" + b"\0" * 40
NAMES = ("cat/1.gif", "cat/2, old.gif", "dog/3.gif")
WANTED = dict(zip(NAMES, ("a", "b", "a"), strict=True))


@dataclass
class Heard:
    labels: dict[str, str]
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put(tmp_path_factory.mktemp("labelled") / "p", *NAMES)


def put(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(GIF)
    return root


def read(path: Path, root: Path) -> Heard:
    notes: list[str] = []
    warnings: list[str] = []
    with open_source(str(root)) as source:
        labels = read_labels(str(path), source, notes.append, warnings.append)
    assert notes[0] == str(path)
    return Heard(labels, notes[1:], warnings)


def table(folder: Path, content: str, encoding: str = "utf-8", name: str = "l.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(root: Path, tmp_path: Path, encoding: str, end: str) -> None:
    content = end.join(["cat/1.gif,a", '"cat/2, old.gif",b', "dog/3.gif,a", ""])
    assert read(table(tmp_path, content, encoding), root) == Heard(WANTED)


@pytest.mark.parametrize(
    "content",
    [
        './cat/1.gif, a\ncat\\1.gif,a\n"./cat/2, old.gif",b\ndog\\3.gif,a',
        'cat/1.gif,a,\n"cat/2, old.gif",b,,\ndog/3.gif,a,\n',  # trailing commas
        '"cat/1.gif", "a"\n"cat/2, old.gif", "b"\n"dog/3.gif", "a"\n',
        "cat/1.gif;a\ncat/2, old.gif;b\ndog/3.gif;a\n",
        "cat/1.gif\ta\ncat/2, old.gif\tb\ndog/3.gif\ta\n",
        "cat/1.gif|a\ncat/2, old.gif|b\ndog/3.gif|a\n",
        ";;\n;\ncat/1.gif;a\ncat/2, old.gif;b\ndog/3.gif;a\n",  # empty rows of a spreadsheet
        'a,cat/1.gif\nb,"cat/2, old.gif"\na,dog/3.gif\n',  # the label first
    ],
)
def test_separators_quotes_and_slashes(root: Path, tmp_path: Path, content: str) -> None:
    assert read(table(tmp_path, content), root) == Heard(WANTED)


def test_spaces_may_separate(tmp_path: Path) -> None:
    root = put(tmp_path / "p", "a b.gif", "c.gif")
    assert read(table(tmp_path, "a b.gif 3\nc.gif 4\n", name="val.txt"), root).labels == {"a b.gif": "3", "c.gif": "4"}


@pytest.mark.parametrize(
    ("heading", "order", "told"),
    [
        ("path,label", "pl", None),
        ("Path,Label", "pl", None),
        ("file_name,category", "pl", "paths from column 1, labels from column 2"),
        ("Bild;Tier", "pl", "paths from column 1, labels from column 2"),
        ("class,filename", "lp", "paths from column 2, labels from column 1"),
        ("File Name\tClass Name\tsplit", "plx", "paths from column 1, labels from column 2"),
        (",filename,label", "xpl", "paths from column 2, labels from column 3"),  # as pandas writes an index
    ],
)
def test_headings(root: Path, tmp_path: Path, heading: str, order: str, told: str | None) -> None:
    separator = next(letter for letter in "\t;," if letter in heading)
    rows = [
        separator.join({"p": f'"{name}"', "l": label, "x": "7"}[cell] for cell in order)
        for name, label in WANTED.items()
    ]
    heard = read(table(tmp_path, "\n".join([heading, *rows])), root)
    assert heard.labels == WANTED
    assert heard.warnings == []
    assert heard.notes == ([] if told is None else [f"{tmp_path / 'l.csv'}: line 1 is taken for a heading; {told}"])


def test_several_columns_of_which_none_is_called_label_are_attributes(root: Path, tmp_path: Path) -> None:
    rows = "".join(f'"{name}",{label},x\n' for name, label in WANTED.items())
    with pytest.raises(DataError, match="line 1 is not `path,label`"):
        read(table(tmp_path, rows), root)
    columns = read(table(tmp_path, "file,breed,owner\n" + rows), root).labels
    assert columns.names == ["breed", "owner"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("dog/3.gif", "line 4 is not `path,label`: dog/3.gif"),
        ("dog/3.gif,", "line 4 is not `path,label`: dog/3.gif"),
        (",a", "line 4 is not `path,label`: ,a"),
        ("dog/3.gif,a,b", "line 4 is not `path,label`: dog/3.gif,a,b"),
        ("cat/1.gif,z", r"line 2 and line 4: cat/1\.gif has two labels, a and z"),
    ],
)
def test_a_wrong_line_is_named(root: Path, tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(table(tmp_path, f'path,label\ncat/1.gif,a\n"cat/2, old.gif",b\n{row}\n'), root)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('path,label\n\ncat/1.gif,"a\n\nb"\ndog/3.gif\n', "line 6 is not `path,label`: dog/3.gif"),
        ('"cat/1\n.gif",a\n"dog\n/3.gif",b\ndog/3.gif,"c\nd",e\n', "line 5 is not `path,label`: dog/3.gif"),
        ('path,label\n"cat/1.gif","a\nb"\ndog/3.gif,a\ndog/3.gif,"b\nc"\n', "line 4 and line 5: dog/3.gif has two"),
        ('path,hair,age\ncat/1.gif,"a\nb",1\ndog/3.gif,"a\nb",1,2\n', "line 4 has not the 3 cells"),
    ],
)
def test_lines_are_counted_through_breaks_in_quotes(
    content: str, message: str, end: str, root: Path, tmp_path: Path
) -> None:
    """A row that has several lines is named by its first one."""
    with pytest.raises(DataError, match=message):
        read(table(tmp_path, content.replace("\n", end)), root)


def test_rows_without_a_picture_are_told_with_line_and_name(root: Path, tmp_path: Path) -> None:
    rows = "".join(f'"{name}",{label}\n' for name, label in WANTED.items())
    extra = "".join(f"gone/{number}.gif,c\n" for number in range(5))
    path = table(tmp_path, rows + "\n" + extra)
    heard = read(path, root)
    assert heard.labels == WANTED
    named = "gone/0.gif (line 5), gone/1.gif (line 6), gone/2.gif (line 7), ..."
    assert heard.warnings == [f"{path}: 5 rows without a picture in {root}: {named}"]
    pairs = [[name, label] for name, label in WANTED.items()] + [["gone.gif", 3]]
    heard = read(table(tmp_path, json.dumps({"labels": pairs}), name="l.json"), root)
    assert "1 row without a picture" in heard.warnings[0]
    assert "gone.gif (labels[3])" in heard.warnings[0]


@pytest.mark.parametrize("above", ["/data/photos/", "C:\\photos\\", "photos/", "../photos/"])
def test_paths_below_other_folders(root: Path, tmp_path: Path, above: str) -> None:
    rows = "".join(f'"{above}{name}",{label}\n' for name, label in WANTED.items())
    heard = read(table(tmp_path, rows), root)
    assert heard.labels == WANTED
    assert "are matched by their ends, such as" in heard.notes[0]
    assert heard.notes[0].endswith("and cat/1.gif")


@pytest.mark.parametrize(
    "shorten", [lambda path: path.name, lambda path: path.stem, lambda path: str(path.with_suffix(""))]
)
def test_names_without_folders_or_suffixes(root: Path, tmp_path: Path, shorten: object) -> None:
    assert callable(shorten)
    rows = "".join(f'"{shorten(Path(name))}",{label}\n' for name, label in WANTED.items())
    assert read(table(tmp_path, rows), root).labels == WANTED


def test_an_end_that_several_pictures_have_is_no_match(tmp_path: Path) -> None:
    root = put(tmp_path / "p", "cat/1.gif", "dog/1.gif", "dog/2.gif")
    with pytest.raises(DataError, match=r"2 pictures of .* have no label: cat/1\.gif, dog/1\.gif"):
        read(table(tmp_path, "1.gif,a\n2.gif,b\n"), root)
    with pytest.raises(DataError, match=r"line 1 and line 2: dog/2\.gif has two labels, a and b"):
        read(table(tmp_path, "x/dog/2.gif,a\ny/dog/2.gif,b\n"), root)


@pytest.mark.parametrize(("on_disk", "typed"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_composed_and_decomposed_names_are_the_same(tmp_path: Path, on_disk: str, typed: str) -> None:
    root = put(tmp_path / "p", unicodedata.normalize(on_disk, "süß/élan.gif"))  # type: ignore[arg-type]
    label = unicodedata.normalize(typed, "größer")  # type: ignore[arg-type]
    row = unicodedata.normalize(typed, f"süß/élan.gif,{label}\n")  # type: ignore[arg-type]
    assert list(read(table(tmp_path, row), root).labels.values()) == ["größer"]
    with open_source(str(root)) as source:
        assert list(read_labels("folders", source).values()) == ["süß"]


def test_two_files_that_differ_in_unicode_alone_may_have_one_label(tmp_path: Path) -> None:
    root = put(tmp_path / "p", *(unicodedata.normalize(form, "é.gif") for form in ("NFC", "NFD")))  # type: ignore[arg-type]
    assert set(read(table(tmp_path, "é.gif,a\n"), root).labels.values()) == {"a"}


def test_numbers_with_a_point_are_whole(root: Path, tmp_path: Path) -> None:
    rows = "".join(f'"{name}",{number}.0\n' for number, name in enumerate(NAMES, start=1))
    assert list(read(table(tmp_path, rows), root).labels.values()) == ["1", "2", "3"]
    rows = "".join(f'"{name}",{number}.5\n' for number, name in enumerate(NAMES, start=1))
    assert list(read(table(tmp_path, rows), root).labels.values()) == ["1.5", "2.5", "3.5"]


def test_json_with_an_object_of_labels(root: Path, tmp_path: Path) -> None:
    assert read(table(tmp_path, json.dumps({"labels": WANTED}), name="l.json"), root).labels == WANTED


def test_stylegans_labels_in_the_only_folder_of_a_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("photos/00000/img0.gif", GIF)
        archive.writestr("photos/00000/img1.gif", GIF)
        archive.writestr("photos/dataset.json", '{"labels": [["00000\\\\img0.gif", 5], ["00000/img1.gif", 6]]}')
    with open_source(str(tmp_path / "x.zip")) as source:
        assert source.label_file == "photos/dataset.json"
        assert [entry.name for entry in source] == ["photos/00000/img0.gif", "photos/00000/img1.gif"]
        assert list(read_labels("dataset.json", source).values()) == ["5", "6"]
        assert list(read_labels("photos/dataset.json", source).values()) == ["5", "6"]


def test_a_name_in_other_letters_is_pointed_at(tmp_path: Path) -> None:
    root = put(tmp_path / "p", "a.GIF", "b.gif")
    with pytest.raises(DataError, match=r"1 picture of .* has no label: a\.GIF") as caught:
        read(table(tmp_path, "a.gif,x\nb.gif,y\n"), root)
    assert caught.value.hint == "Upper and lower case count: the file has a.gif, the picture is a.GIF."
