"""Rules for the files that a command writes: no two the same, names that models can have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from swincli.errors import UsageError
from swincli.system.overwrite import check_distinct, check_utf8


def test_two_results_of_one_name(tmp_path: Path) -> None:
    check_distinct([tmp_path / "a.png", tmp_path / "b.png"], "Rename one.")
    with pytest.raises(UsageError, match="two results would be written to it") as raised:
        check_distinct([tmp_path / "a.png", tmp_path / "sub" / ".." / "a.png"], "Rename one.")
    assert raised.value.hint == "Rename one."


def test_a_name_that_is_not_utf8() -> None:
    check_utf8(Path("größe/模型.safetensors"))
    with pytest.raises(UsageError, match=r"run\\udcff: the name has bytes that are not UTF-8"):
        check_utf8(Path(os.fsdecode(b"run\xff")) if os.name != "nt" else Path("run\udcff"))
