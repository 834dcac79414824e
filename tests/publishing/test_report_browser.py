"""The report in Chromium: its slider, without JavaScript, on a phone and in the dark; skipped without a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsers import add_axe, open_chromium, serious
from PIL import Image

from swincli.commands.app import run

pytestmark = pytest.mark.slow

SEEN = (0, 4, 8)
SHOWN = "#time figure.shown"
IN_VIEW = "() => [...document.querySelectorAll('#time figure')].filter((each) => each.checkVisibility()).length"


@pytest.fixture(scope="module")
def report(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run with three sample grids of different colours."""
    folder = Path(shutil.copytree(trained_run, tmp_path_factory.mktemp("report") / "run"))
    for number, seen in enumerate(SEEN):
        Image.new("RGB", (32, 32), (80 * number, 0, 0)).save(folder / "samples" / f"fakes-{seen:012d}.png")
    assert run(["report", str(folder), "--samples", "4", "--device", "cpu", "-q"]) == 0
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_chromium() as opened:
        yield opened


def open_report(browser: Any, report: Path, width: int = 1280, **options: Any) -> Any:
    """A tab with the report, which remembers what goes wrong and what it loads."""
    page = browser.new_context(viewport={"width": width, "height": 900}, **options).new_page()
    page.set_default_timeout(120_000)
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("console", lambda said: page.faults.append(said.text) if said.type == "error" else None)
    page.on("request", lambda asked: page.faults.append(asked.url) if asked.url.startswith("http") else None)
    page.goto(report.as_uri())
    return page


def colour(page: Any) -> int:
    """Red of the grid that is shown."""
    red: int = page.evaluate(
        """(shown) => {
            const image = document.querySelector(shown + ' img'), canvas = document.createElement('canvas');
            const context = canvas.getContext('2d');
            context.drawImage(image, 0, 0);
            return context.getImageData(1, 1, 1, 1).data[0];
        }""",
        SHOWN,
    )
    return red


def test_the_slider_shows_one_moment_after_the_other(browser: Any, report: Path) -> None:
    page = open_report(browser, report)
    slider, said = page.get_by_role("slider", name="moment"), page.locator("#time output")
    assert page.evaluate(IN_VIEW) == 1
    assert (said.inner_text(), colour(page)) == ("8 images", 160)
    slider.fill("0")
    assert (said.inner_text(), colour(page), page.evaluate(IN_VIEW)) == ("0 images", 0, 1)
    slider.press("ArrowRight")
    assert (said.inner_text(), colour(page)) == ("4 images", 80)
    assert slider.get_attribute("aria-valuetext") == "4 images"
    page.emulate_media(media="print")
    assert page.evaluate(IN_VIEW) == 1
    assert not slider.is_visible()
    assert page.faults == []
    page.context.close()


def test_without_javascript_all_is_there_to_read(browser: Any, report: Path) -> None:
    page = open_report(browser, report, java_script_enabled=False)
    for caption in ("0 images", "4 images", "8 images"):
        assert page.locator("#time figcaption", has_text=caption).is_visible()
    assert page.locator("#time .control").is_hidden()
    for heading in ("Pictures", "Metrics", "Curves", "Copies and spectrum", "Recipe", "Data", "Cost and environment"):
        assert page.get_by_role("heading", name=heading, exact=True).is_visible()
    assert page.locator("svg.chart").first.is_visible()
    recipe = page.locator("#recipe pre")
    assert not recipe.is_visible()
    page.get_by_text("The whole recipe").click()
    assert "size = 16" in recipe.inner_text()
    page.get_by_role("link", name="Data").click()
    assert page.url.endswith("#data")
    assert page.faults == []
    page.context.close()


@pytest.mark.parametrize(
    ("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)], ids=["light", "dark", "phone"]
)
def test_axe_finds_no_serious_fault_in_the_report(browser: Any, report: Path, scheme: str, width: int) -> None:
    page = open_report(browser, report, width, color_scheme=scheme, bypass_csp=True)
    add_axe(page)
    assert serious(page) == []
    for summary in page.locator("summary").all():
        summary.click()
    assert serious(page) == []
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")  # nothing sticks out
    page.context.close()
