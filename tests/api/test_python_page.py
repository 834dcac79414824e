"""The blocks of docs/guides/python.md run, from top to bottom."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from swincli.data.store.reader import Store

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "guides" / "python.md").read_text(encoding="utf-8")


def test_the_page_runs(
    trained_run: Path,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(trained_run, tmp_path / "runs" / "quickstart")
    shutil.copytree(store.path, tmp_path / "datasets" / "photos-256")
    Image.new("RGB", (20, 30), "tan").save(tmp_path / "me.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SWINCLI_CACHE", str(tmp_path / "cache"))
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) >= 7
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "python.md", "exec"), names)
    assert names["images"].shape == (3, 16, 16, 3)  # type: ignore[attr-defined]
    assert names["again"].shape == (1, 16, 16, 3)  # type: ignore[attr-defined]
    assert "no-such-run" in capsys.readouterr().out
    assert (tmp_path / "seed-1.png").is_file()
