"""A page of the tiniest model, whose worker is a thread; and a folder of runs that were never trained."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sampled_models import save_shown_model
from viewed_pages import HOST, Page, ThreadWorker, no_network

from swincli.recipe import Recipe, dump_recipe
from swincli.view.opened import Opened
from swincli.view.worker.loop import Opening


@pytest.fixture(scope="session")
def shown_model(tiny_recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 16 px model whose images differ from seed to seed."""
    recipe = tiny_recipe("model.adain_gamma=1.0")
    return save_shown_model(recipe, tmp_path_factory.mktemp("viewed") / "shown.safetensors")


@pytest.fixture(scope="session")
def runs(tiny_recipe: Callable[..., Recipe], shown_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs: "a" with logs, grids and a model, "more/b" with another batch and nothing yet."""
    root = tmp_path_factory.mktemp("runs")
    for name, override in (("a", "train.batch=4"), ("more/b", "train.batch=2")):
        run = root / name
        (run / "samples").mkdir(parents=True)
        (run / "recipe.toml").write_text(dump_recipe(tiny_recipe(override)))
    run = root / "a"
    (run / "model-000000000016.safetensors").write_bytes(shown_model.read_bytes())
    for seen in (8, 16):
        Image.new("RGB", (32, 32), (seen, 0, 0)).save(run / "samples" / f"fakes-{seen:012d}.png")
    Image.new("RGB", (32, 32)).save(run / "reals.png")
    lines = [json.dumps({"images_seen": seen, "loss/d": seen / 10, "time": "2026-01-01T00:00:00"}) for seen in (8, 16)]
    (run / "stats.jsonl").write_text("\n".join([*lines, "{damaged", '{"images_seen": "many"}']) + "\n")
    measured = {"images_seen": 16, "metrics": {"fid": 50.0}, "in_training": True, "protocol": {"fakes": {"num": 1000}}}
    (run / "metrics.jsonl").write_text(json.dumps(measured) + "\n")
    (root / "secret.txt").write_text("secret")
    return root


@pytest.fixture(scope="session")
def open_page(shown_model: Path) -> Callable[..., Any]:
    """Makes a context of a page: `open_page(model=..., runs=..., access=...)`."""
    pytest.importorskip("starlette")
    pytest.importorskip("httpx2")
    from contextlib import contextmanager

    from starlette.testclient import TestClient

    from swincli.view.server.app import View, make_app
    from swincli.view.server.guard import local_access
    from swincli.view.server.worker_process import open_worker

    @contextmanager
    def opening(model: Path | None = shown_model, runs: Path | None = None, access: Any = None) -> Iterator[Page]:
        workers: list[ThreadWorker] = []

        def start(connection: Connection, opening: Opening) -> ThreadWorker:
            workers.append(ThreadWorker(connection, opening))
            return workers[-1]

        asked = Opening(str(model) if model else None, "cpu", no_network)
        view = View(Opened(model, runs), open_worker(start, asked), start, asked)
        app = make_app(view, access or local_access())
        with TestClient(app, base_url=f"http://{HOST}", follow_redirects=False) as client:
            yield Page(client, view, workers)

    return opening


@pytest.fixture(scope="session")
def page(open_page: Callable[..., Any], runs: Path) -> Iterator[Page]:
    """A page of the model and the runs that tests share."""
    with open_page(runs=runs) as opened:
        yield opened
