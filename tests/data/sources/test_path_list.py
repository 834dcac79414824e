from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pytest

from swincli.data.preparing.labels import read_labels
from swincli.data.sources import open_source
from swincli.errors import DataError

GIF = b"GIF89a" + bytes(range(40))


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A folder with pictures in two others beside it, and where a list goes."""
    for name in ("cats/a.gif", "cats/b c.gif", "dogs/ü.gif", "list/d.gif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(GIF)
    return tmp_path / "list" / "train.txt"


def test_paths_are_relative_to_the_list_and_sorted(listed: Path, read: Any) -> None:
    listed.write_text("\ufeff../dogs/ü.gif\r\n\r\n  d.gif \n../cats/b c.gif\n./d.gif\n", encoding="utf-8")
    assert read(listed) == {"../cats/b c.gif": GIF, "../dogs/ü.gif": GIF, "d.gif": GIF}


def test_absolute_paths(listed: Path, read: Any) -> None:
    path = listed.parent / "d.gif"
    listed.write_text(f"{path}\n")
    assert read(listed) == {str(path): GIF}


def test_what_is_missing_is_named(listed: Path, read: Any) -> None:
    listed.write_bytes(b"d.gif\nhttps://host/a.png\ngone.gif\n../cats\ncaf\xe9.gif\n")
    found = read(listed)
    assert found.pop("d.gif") == GIF
    assert found.pop("../cats") == "not a file"
    assert set(found) == {"https:/host/a.png", "gone.gif", "caf\\udce9.gif"}
    assert set(found.values()) == {"cannot be read: No such file or directory"}


def test_folders_are_labels_whatever_leads_to_them(listed: Path) -> None:
    listed.write_text("../cats/a.gif\n../dogs/ü.gif\n", encoding="utf-8")
    with open_source(str(listed)) as source:
        assert read_labels("folders", source) == {"../cats/a.gif": "cats", "../dogs/ü.gif": "dogs"}


@pytest.mark.parametrize("content", [b"a\0b\n", b"x" * 5000])
def test_what_is_no_list(content: bytes, listed: Path) -> None:
    listed.write_bytes(b"d.gif\n" + content)
    with pytest.raises(DataError, match=r"train\.txt: line 2 is not a path"):
        open_source(str(listed))


def test_an_empty_list(listed: Path) -> None:
    listed.write_text("\n\n")
    with pytest.raises(DataError, match="holds no files"):
        open_source(str(listed))


@pytest.mark.parametrize(("on_disk", "listed"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_names_may_be_in_another_form_of_unicode(on_disk: Any, listed: Any, tmp_path: Path, read: Any) -> None:
    (tmp_path / unicodedata.normalize(on_disk, "é.gif")).write_bytes(GIF)
    (tmp_path / "l.txt").write_text(unicodedata.normalize(listed, "é.gif"), encoding="utf-8")
    assert read(tmp_path / "l.txt") == {unicodedata.normalize(listed, "é.gif"): GIF}
