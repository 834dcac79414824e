from __future__ import annotations

import re
from collections.abc import Mapping
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from swincli.data.preparing.report_page import (
    PAIRS,
    PATHS,
    SHOWN,
    ReportText,
    names_of_images,
    names_of_skipped,
    render_page,
)
from swincli.data.preparing.survey import EXAMPLES, SourceRecord, Survey

VOID = {"meta", "img", "br"}


class Reader(HTMLParser):
    """Checks that every element is closed, and collects what a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            if name in ("src", "href"):
                self.sources.append(value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    assert all(source.startswith("data:image/jpeg;base64,") for source in reader.sources)
    assert set(reader.tags).isdisjoint({"script", "link", "iframe", "object", "embed", "form", "base"})
    return reader


def page_of(survey: Survey, thumbnails: Mapping[str, Image.Image] | None = None, *, has_manifest: bool = True) -> str:
    text = ReportText("photos", "a summary", {"crop": "center"}, "by me", has_manifest)
    return render_page(text, survey, thumbnails or {})


def pile() -> Survey:
    survey = Survey()
    for number in range(8):
        survey.add(
            SourceRecord(f"cats/{number}.png", width=40, height=30, mode="RGB", kind="PNG", label="cats", place=number)
        )
    survey.add(
        SourceRecord("cats/twin.png", width=40, height=30, mode="L", reason="duplicate of ...", same_as="cats/3.png")
    )
    survey.add(SourceRecord("notes.txt", reason="not an image (PNG, ...)"))
    survey.add(SourceRecord("small.png", width=4, height=3, mode="P", reason="too small: 4 x 3 px"))
    return survey


def test_everything_is_told() -> None:
    survey = pile()
    picture = Image.new("RGB", (8, 8), "red")
    wanted = names_of_images(survey) | names_of_skipped(survey)
    assert {"cats/0.png", "cats/3.png", "cats/twin.png", "small.png"} <= wanted
    assert "notes.txt" not in wanted
    reader = read(page_of(survey, dict.fromkeys(wanted, picture)))
    for words in (
        "photos", "a summary", "by me", "1 duplicate", "too small: 4 x 3 px", "notes.txt: not an image (PNG, ...)",
        "16 to 31 px", "40 x 30 px", "colour", "grey", "palette", "1 label", "center", "cats/twin.png",
    ):  # fmt: skip
        assert words in reader.words
    assert len(reader.sources) == 8 + 2 + 1


def test_pictures_that_could_not_be_read_again_are_blank() -> None:
    reader = read(page_of(pile()))
    assert reader.sources == []
    assert "cats/twin.png" in reader.words


def test_nothing_left_out() -> None:
    survey = Survey()
    survey.add(SourceRecord("a.png", width=40, height=30, mode="RGB", kind="PNG", place=0))
    assert "Skipped filesNone." in read(page_of(survey)).words


@settings(max_examples=40)
@given(name=st.text(max_size=30), reason=st.text(max_size=20), label=st.text(max_size=9))
def test_names_are_never_markup(name: str, reason: str, label: str) -> None:
    hostile = f'</li><script>alert("{name}")</script><img src=x onerror=y>&amp;{name}'
    survey = Survey()
    survey.add(SourceRecord(hostile, width=5, height=5, mode="RGB", label=label + hostile, place=0, kind="PNG"))
    survey.add(SourceRecord(hostile + "2", reason=reason + hostile))
    survey.add(SourceRecord(hostile + "3", width=5, height=5, reason="duplicate of " + hostile, same_as=hostile))
    text = ReportText(hostile, hostile, {hostile: hostile}, hostile)
    reader = read(render_page(text, survey, {hostile: Image.new("RGB", (2, 2))}))
    assert "<script>alert(" in reader.words


@pytest.mark.parametrize("name", ["a\nb", "a\x00b", "a\u202eb", "a\udcffb"])
def test_what_cannot_be_printed_is_spelled_out(name: str) -> None:
    survey = Survey()
    survey.add(SourceRecord(name, reason="damaged"))
    page = page_of(survey)
    assert name not in page
    assert f"a\\u{ord(name[1]):04x}b" in page
    page.encode("utf-8")


def test_the_page_is_bounded() -> None:
    survey = Survey()
    for number in range(1500):
        survey.add(SourceRecord(f"{number}.png", width=9, height=9, mode="RGB", place=number, label=f"label {number}"))
        survey.add(
            SourceRecord(f"{number}-twin.png", width=9, height=9, reason="duplicate of x", same_as=f"{number}.png")
        )
        survey.add(SourceRecord(f"{number}-small.png", width=9, height=9, reason="too small: 9 x 9 px"))
    wanted = names_of_images(survey) | names_of_skipped(survey)
    assert len(wanted) <= EXAMPLES + 2 * PAIRS + 2 * SHOWN
    page = page_of(survey, dict.fromkeys(wanted, Image.effect_noise((96, 96), 90).convert("RGB")))
    reader = read(page)
    assert len(reader.sources) <= EXAMPLES + 2 * PAIRS + SHOWN
    assert reader.tags.count("li") == 2 * PATHS
    assert "and 1,000 more paths; manifest.json lists all of them" in reader.words
    assert "manifest.json" not in page_of(survey, has_manifest=False)
    assert f"and {1500 - PAIRS:,} more pairs" in reader.words
    assert len(page) < 4 * 2**20
    assert not re.search(r"https?:", page)
