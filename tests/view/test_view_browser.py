"""`swincli view` as a user has it: the command in a process, and its page in Chromium; skipped without a browser."""

from __future__ import annotations

import io
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from browsers import add_axe, open_chromium, serious
from PIL import Image

pytestmark = pytest.mark.slow
MODEL = "builtin:cats32"
WAIT = 120_000  # milliseconds; a busy machine needs them


class Server:
    """The command in a process."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "swincli", "view", *arguments, "--no-browser"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()

    def worker(self) -> psutil.Process:
        children = psutil.Process(self.process.pid).children(recursive=True)
        return max(children, key=lambda child: child.memory_info().rss)

    def end(self) -> int:
        """End it as Ctrl-C does, if it still runs, and return its exit code."""
        assert self.process.stdout is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.stdout.close()
        return self.process.wait(60)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    pytest.importorskip("uvicorn", reason="needs the extra view")
    with open_chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    started = Server(MODEL)
    yield started
    assert started.end() == 0  # Ctrl-C is the usual way to end it


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    """Starts servers, and ends them after the test."""
    started: list[Server] = []

    def start_one(*arguments: str) -> Server:
        started.append(Server(*arguments))
        return started[-1]

    yield start_one
    for server in started:
        server.end()


@pytest.fixture
def tab(browser: Any, server: Server) -> Iterator[Any]:
    with_page = new_tab(browser, server.address)
    yield with_page
    assert with_page.faults == []
    with_page.context.close()


def new_tab(browser: Any, address: str, **options: Any) -> Any:
    """A tab at an address, which remembers what its console says is wrong."""
    page = browser.new_context(viewport={"width": 1400, "height": 900}, accept_downloads=True, **options).new_page()
    page.set_default_timeout(WAIT)
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("console", lambda said: page.faults.append(said.text) if said.type == "error" else None)
    page.goto(address)
    page.wait_for_selector(".tile.drawn")
    settle(page)
    return page


def settle(page: Any) -> None:
    """Wait until the large picture is that of the settings."""
    is_settled = """async () => {
        const {lookText, parseLook} = await import('/page/state.js');
        const wanted = lookText(parseLook(new URLSearchParams(location.hash.slice(1)).get('look') ?? ''));
        const {look, preview} = document.getElementById('frame').dataset;
        return look === wanted && preview === 'false';
    }"""
    end = time.monotonic() + WAIT / 1000
    while not page.evaluate(is_settled):  # `wait_for_function` takes the promise for an answer
        assert time.monotonic() < end
        page.wait_for_timeout(50)


def url_of(page: Any) -> str:
    """The address now."""
    found: str = page.evaluate("() => location.href")
    return found


def pixels(page: Any) -> np.ndarray:
    """The large picture."""
    rows = page.evaluate("""() => {
        const {width, height} = large;
        return [width, height, [...large.getContext('2d').getImageData(0, 0, width, height).data]];
    }""")
    return np.array(rows[2]).reshape(rows[1], rows[0], 4)[..., :3]


def move(page: Any, label: str, value: float) -> None:
    """Move a slider as a drag does."""
    slider = page.locator(f'.controls input[type=range][aria-label^="{label}"]').first
    slider.evaluate(
        """(slider, value) => { slider.value = value;
        for (const name of ['input', 'change']) slider.dispatchEvent(new Event(name)); }""",
        str(value),
    )
    settle(page)


def test_sliders_change_pixels_and_a_permalink_and_undo_restore_them(tab: Any, browser: Any) -> None:
    first = pixels(tab)
    shown = [first]
    for label, value in (("Truncation", 0.5), ("16 px", 0.8), ("PCA 0", 2.5)):
        move(tab, label, value)
        shown.append(pixels(tab))
        assert np.abs(shown[-1] - shown[-2]).max() > 3
    other = new_tab(browser, url_of(tab))
    assert (pixels(other) == shown[-1]).all()
    assert other.locator('[data-name="linked"]').count() == 0
    other.context.close()
    elsewhere = new_tab(browser, re.sub("model=[0-9a-f]+", "model=000000000000", url_of(tab)))
    assert "another model" in elsewhere.inner_text('[data-name="linked"]')
    elsewhere.context.close()
    for wanted in shown[-2::-1]:
        tab.keyboard.press("Control+z")
        settle(tab)
        assert (pixels(tab) == wanted).all()
    assert tab.locator("#undo").is_disabled()


def test_the_grid_goes_on_and_arrow_keys_choose(tab: Any) -> None:
    tab.fill("#first-seed", "4000000000")
    tab.press("#first-seed", "Enter")
    tab.wait_for_selector('.tile[aria-label="Seed 4000000003"].drawn')
    tab.click('.tile[aria-label="Seed 4000000003"]')
    tab.focus("#grid")
    tab.keyboard.press("ArrowRight")
    settle(tab)
    assert "seed%3D4000000004" in url_of(tab)
    tab.evaluate("() => { grid.scrollTop = 5000; }")
    tab.wait_for_function("() => document.querySelectorAll('.tile.drawn').length > 20")
    assert len(tab.query_selector_all(".tile")) < 200  # only what is visible exists


def test_a_png_is_downloaded_with_its_note(tab: Any) -> None:
    move(tab, "Truncation", 0.7)
    with tab.expect_download() as waiting:
        tab.click("#png")
    path = waiting.value.path()
    assert waiting.value.suggested_filename == "seed-000000.png"
    with Image.open(path) as image:
        assert "seed=0 truncation=0.7" in image.info["swincli"]
        assert (np.asarray(image).astype(int) == pixels(tab)).all()


def test_attention_is_shown_where_one_clicks(tab: Any) -> None:
    tab.click("#frame", position={"x": 100, "y": 100})
    tab.wait_for_selector("#attention:not([hidden]) select")
    before = tab.inner_text("#attention p")
    tab.focus("#frame")
    tab.keyboard.press("ArrowRight")
    tab.wait_for_function("text => document.querySelector('#attention p').textContent !== text", arg=before)
    painted = tab.evaluate(
        "() => overlay.getContext('2d').getImageData(0, 0, 512, 512).data.some((value) => value > 0)"
    )
    assert painted
    tab.keyboard.press("Escape")
    assert tab.locator("#attention").is_hidden()


def test_a_walk_is_played_written_and_downloaded(tab: Any, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    for seed in ("3", "12"):
        tab.fill("#seed", seed)
        tab.press("#seed", "Enter")
        settle(tab)
        tab.click("#keep")
    tab.fill('[data-walk="frames"]', "4")
    tab.press('[data-walk="frames"]', "Tab")
    tab.click("#play")
    tab.wait_for_function("() => caption.textContent.startsWith('Frame')")
    tab.click("#play")
    tab.click("#render")
    tab.wait_for_selector("#download-walk")
    with tab.expect_download() as waiting:
        tab.click("#download-walk")
    file = tmp_path / "walk.mp4"
    waiting.value.save_as(file)
    with av.open(str(file)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 8


def test_a_photograph_is_projected(tab: Any, tmp_path: Path) -> None:
    photo = tmp_path / "cat.png"
    Image.fromarray(pixels(tab).astype(np.uint8)).resize((90, 60)).save(photo)
    before = pixels(tab)
    tab.set_input_files("#file", str(photo))
    tab.select_option("#steps", "60")
    tab.evaluate("() => { document.querySelector('#steps option').value = '8'; }")  # fewer than people are offered
    tab.click("#project")
    tab.wait_for_selector("#photo:not([open])", state="attached")
    settle(tab)
    assert re.search("code%3D[0-9a-f]{12}", url_of(tab))
    assert (pixels(tab) != before).any()
    (tmp_path / "no.png").write_bytes(b"no picture")
    tab.set_input_files("#file", str(tmp_path / "no.png"))
    tab.click("#project")
    tab.wait_for_function("() => document.querySelector('#photo .bad')?.textContent.includes('not an image')")


def test_two_tabs_a_killed_worker_and_a_lost_connection(browser: Any, start: Callable[..., Server]) -> None:
    started = start(MODEL)
    one, other = (new_tab(browser, started.address) for _ in range(2))
    started.worker().kill()
    for page in (one, other):
        page.wait_for_function("() => document.body.textContent.includes('was killed')")
    for page in (one, other):
        page.wait_for_selector('[data-name="worker"]', state="detached")
    move(one, "Truncation", 0.4)
    assert (pixels(one) != pixels(other)).any()
    assert started.end() == 0
    one.wait_for_function("() => document.body.textContent.includes('is lost')")
    port = started.address.rsplit(":", 1)[1].strip("/")
    start(MODEL, "--port", port)
    one.wait_for_selector('[data-name="link"]', state="detached")
    move(one, "Truncation", 0.9)
    for page in (one, other):
        page.context.close()


@pytest.mark.parametrize(
    ("scheme", "width"), [("light", 1400), ("dark", 1400), ("light", 390)], ids=["light", "dark", "phone"]
)
def test_axe_finds_no_serious_fault(
    browser: Any, start: Callable[..., Server], runs: Path, scheme: str, width: int
) -> None:
    started = start(str(runs))
    page = new_tab(browser, started.address, color_scheme=scheme, bypass_csp=True)
    page.set_viewport_size({"width": width, "height": 850})
    add_axe(page)
    page.click("#keep")
    page.fill("#seed", "5")
    page.press("#seed", "Enter")
    page.click("#keep")
    page.wait_for_selector("#play")
    faults = {"explore": serious(page)}
    page.click("#help")
    faults["help"] = serious(page)
    page.keyboard.press("Escape")
    page.click("#tab-runs")
    page.wait_for_selector(".chart")
    faults["runs"] = serious(page)
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")  # nothing sticks out
    page.context.close()
    assert faults == {"explore": [], "help": [], "runs": []}


def test_a_picture_that_is_downloaded_is_that_of_the_command(tab: Any, tmp_path: Path) -> None:
    from sampled_models import sample

    from swincli.model.files.shipped_models import find_shipped_model

    with tab.expect_download() as waiting:
        tab.click("#png")
    assert sample(find_shipped_model(MODEL), tmp_path, "--seeds", "0", "--quiet", "--batch", "1") == 0
    one, other = (
        np.asarray(Image.open(io.BytesIO(path.read_bytes()))).astype(int)
        for path in (waiting.value.path(), tmp_path / "seed-000000.png")
    )
    assert np.abs(one - other).max() <= 1  # threads may differ between two processes
