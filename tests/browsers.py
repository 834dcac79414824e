"""Chromium for tests: where it is, and a page in it. Without a browser such tests are skipped with the reason."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


def find_chromium() -> str | None:
    """The browser that SWINCLI_CHROMIUM names, or an installed one."""
    named = os.environ.get("SWINCLI_CHROMIUM")
    return named or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def find_axe() -> Path | None:
    """axe.min.js of the npm package axe-core: in the folder that AXE_CORE names, or in node_modules here."""
    places = [os.environ.get("AXE_CORE"), ROOT / "node_modules" / "axe-core"]
    found = [Path(place) / "axe.min.js" for place in places if place]
    return next((path for path in found if path.is_file()), None)


@contextmanager
def open_chromium() -> Iterator[Any]:
    """A browser; the test is skipped where Playwright or Chromium is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("needs Chromium: install it, or name it in SWINCLI_CHROMIUM")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


def add_axe(page: Any) -> None:
    """Load axe-core into a page whose context bypasses the page's policy; the test is skipped without axe-core."""
    axe = find_axe()
    if axe is None:
        pytest.skip("needs npm's axe-core: in node_modules, or name its folder in AXE_CORE")
    page.add_script_tag(content=axe.read_text(encoding="utf-8"))


def serious(page: Any) -> list[str]:
    """What axe finds that is serious or critical."""
    found = page.evaluate("async () => (await axe.run(document, {resultTypes: ['violations']})).violations")
    return [
        f"{fault['id']}: {node['html'][:120]}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]
