"""`swincli report`: a run as one page, and as Markdown."""

from __future__ import annotations

import base64
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from manifest_facts import FACTS

from swincli.commands.app import run
from swincli.data.store.store_writer import StoreWriter
from swincli.errors import ResourceError
from swincli.model.files.ancestry import Ancestor
from swincli.publishing.report import is_report

Capture = pytest.CaptureFixture[str]
VOID = {"meta", "img", "br", "input"}
METRIC = {
    "metrics": {"fid": 30.0},
    "intervals": {"fid": [29.0, 31.0]},
    "protocol": {
        "fakes": {"num": 1000, "truncation": 1.0, "source": "m", "judged_by": {"name": "E", "sha256": "0"}},
        "reference": {"content_hash": "abc", "num": 1000, "source": "cats|1k"},
        "detector": {"name": "inception", "sha256": "0123"},
        "resize": "clean-fid",
    },
    "time": "2026-11-28T22:20:13+00:00",
}


class Reader(HTMLParser):
    """Checks that every element is closed, and collects what a browser would load and show."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.images: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        assert not any(name.startswith("on") for name in values)
        self.loaded += [values[name] or "" for name in ("src", "href") if name in values]
        if tag == "img":
            self.images.append(values["alt"] or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words += data


def read(path: Path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    assert reader.open == []
    assert all(each.startswith(("data:image/webp;base64,", "data:text/plain;base64,", "#")) for each in reader.loaded)
    assert all(reader.images)
    reader.words = " ".join(reader.words.split())
    return reader


@pytest.fixture
def folder(trained_run: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, with a name that HTML and Markdown would take for theirs."""
    return Path(shutil.copytree(trained_run, tmp_path / "run <b>|"))


def report(*arguments: object) -> int:
    return run(["report", *map(str, arguments), "--device", "cpu"])


def test_a_page_of_everything(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    lines = [METRIC | {"images_seen": 4, "metrics": {"fid": 20.0}}, METRIC | {"images_seen": 8}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert report(folder, "--samples", "4", "-o", tmp_path / "page.html", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    page = read(tmp_path / "page.html")
    assert answer["metrics"] == {"fid": {"value": 30.0, "images_seen": 8}}
    assert (answer["state"], answer["images_seen"]) == ("finished", 8)
    assert "run <b>|" in page.words
    assert "<b>" not in (tmp_path / "page.html").read_text()
    for text in (
        "trained on 8 images, drawn from a store of 10",
        "FID30 95 %: 29 to 31".replace(" 95", "95"),
        "20 at 4",
        "Measured with 1,000 generated images",
        "The model after 4 images has a better fid",
        "There are 10 training images",
        "Of 4 samples of the newest model",
        "model.size",
        "energynot measured",
        "swincli prepare-data",
        "torch",
    ):
        assert text in page.words, text
    assert sum("nearest" in told for told in page.images) == 4
    assert "Sample grid after 8 images" in page.images
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.count("<svg") >= 4
    assert "script-src &#39;sha256-" in text
    assert is_report(tmp_path / "page.html")


def test_a_run_without_metrics_store_models_or_statistics(folder: Path, capsys: Capture) -> None:
    assert report(folder, "--samples", "0") == 0
    assert capsys.readouterr().out == f"{folder / 'report.html'}\n"
    assert "Nothing was measured" in read(folder / "report.html").words
    for path in [*folder.glob("model-*"), folder / "stats.jsonl", folder / "environment.txt", folder / "reals.png"]:
        path.unlink()
    shutil.rmtree(folder / "samples")
    recipe = (folder / "recipe.toml").read_text()
    (folder / "recipe.toml").write_text(re.sub(r'(?m)^path = ".*"$', 'path = "/gone"', recipe))
    assert report(folder) == 0  # replaces its own page
    page = read(folder / "report.html")
    for text in ("/gone: there is no store", "no sample grid yet", "no line of statistics yet", "Left out"):
        assert text in page.words
    assert page.images == []


def test_a_model_that_cannot_be_opened_leaves_out_its_part(folder: Path, capsys: Capture) -> None:
    store = Path(re.search(r'(?m)^path = "(.*)"$', (folder / "recipe.toml").read_text())[1])  # type: ignore[index]
    assert store.exists()
    recipe = (folder / "recipe.toml").read_text()
    (folder / "recipe.toml").write_text(re.sub(r'(?m)^path = ".*"$', 'path = "/gone"', recipe))
    assert report(folder, "--samples", "2") == 0
    assert "the report is without nearest training images" in " ".join(capsys.readouterr().err.split())


def test_a_store_of_another_resolution_leaves_out_its_part(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    random = np.random.default_rng(0)
    with StoreWriter(tmp_path, 8) as writer:
        for _ in range(4):
            writer.add(random.integers(0, 256, (8, 8, 3), np.uint8))
        writer.finish(None, FACTS)
    recipe = (folder / "recipe.toml").read_text()
    (folder / "recipe.toml").write_text(re.sub(r'(?m)^path = ".*"$', f'path = "{tmp_path}"', recipe))
    assert report(folder, "--samples", "2") == 0
    err = " ".join(capsys.readouterr().err.split())
    assert f"{tmp_path}: has images of 8 px, not of 16 px as in training" in err
    assert "the report is without nearest training images" in err


def test_markdown_for_a_pull_request(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    (folder / "metrics.jsonl").write_text(json.dumps(METRIC | {"images_seen": 8}) + "\n")
    assert report(folder, "--markdown", "--base", "quickstart") == 0
    text = capsys.readouterr().out
    assert text.startswith("## Report of run <b>|")
    assert "| fid | 30 | 29 to 31 | 8 |" in text
    assert "| `model.size` | 16 | 32 |" in text
    assert "Beside `quickstart`:" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({re.sub(r"\\\|", "", row).count("|") for row in rows}) <= 3
    assert "data:image" not in text
    assert report(folder, "--markdown", "-o", tmp_path / "r.md") == 0
    assert (tmp_path / "r.md").read_text().startswith("## Report of")
    assert not (folder / "report.html").exists()


def test_damaged_lines_and_copies_of_grids_are_passed_over(folder: Path) -> None:
    grids = sorted((folder / "samples").glob("fakes-*.png"))
    for name in ("fakes-000000000000 (1).png", "fakes-best.png", "fakes-².png"):
        shutil.copy(grids[0], folder / "samples" / name)
    lines: list[Any] = [METRIC | {"images_seen": 8}, {"protocol": {}}, METRIC | {"protocol": {"fakes": {"num": 10}}}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert report(folder, "--samples", "0") == 0
    page = read(folder / "report.html")
    told = [text for text in page.images if text.startswith("Sample grid after")]
    assert sorted(set(told)) == [f"Sample grid after {int(path.stem[6:]):,} images" for path in grids]
    assert "--data 'cats|1k' --num 1000" in page.words


def test_keys_of_the_owner_are_in_no_report(folder: Path, tmp_path: Path) -> None:
    kept = (folder / "recipe.toml").read_text()
    secret = 'on_event = "curl https://ntfy.sh/secret"\nmirror = "/backup"\n'
    for recipe in (folder / "recipe.toml", base := tmp_path / "base.toml"):
        recipe.write_text(kept.replace("[run]\n", f"[run]\n{secret}"))
    assert report(folder, "--samples", "0", "--base", base) == 0
    assert report(folder, "--markdown", "-o", tmp_path / "r.md") == 0
    page = (folder / "report.html").read_text()
    coded = re.search(r"data:text/plain;base64,([^\"]+)", page)
    assert coded is not None
    for text in (page, base64.b64decode(coded[1]).decode(), (tmp_path / "r.md").read_text()):
        assert "ntfy" not in text
        assert "/backup" not in text


def test_what_is_in_the_way_and_what_cannot_be(
    folder: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "thesis.html").write_text("my thesis")
    assert report(folder, "--samples", "0", "-o", tmp_path / "thesis.html") == 1
    assert "exists, and was not made by this command" in capsys.readouterr().err
    assert (tmp_path / "thesis.html").read_text() == "my thesis"
    assert report(folder, "-o", tmp_path / "r.pdf") == 2
    assert "the name must end in .html" in capsys.readouterr().err
    assert report(folder, "--markdown", "-o", tmp_path / "r.html") == 2
    assert report(tmp_path / "none") == 1
    assert "no such run folder" in capsys.readouterr().err
    assert report(folder, "--base", "none") == 2
    assert "none: no such recipe" in capsys.readouterr().err
    full = ResourceError("writing r.html: no space left on the disk", "Free some space.")
    monkeypatch.setattr("swincli.commands.report.run.write_atomically", Mock(side_effect=full))
    assert report(folder, "--samples", "0", "-o", tmp_path / "r.html") == 1
    assert not (tmp_path / "r.html").exists()
    assert str(Ancestor("tune", "a")) == "tuned around pictures from a"
