"""The Starlette app: what the page can ask for by HTTP, and its WebSocket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from swincli.errors import DataError, SwincliError, UsageError
from swincli.units import format_json
from swincli.version import __version__
from swincli.view.opened import Opened
from swincli.view.server import requests
from swincli.view.server.broker import LONG, Broker
from swincli.view.server.channel import Channel
from swincli.view.server.guard import Access, Guard
from swincli.view.server.runs import RunList
from swincli.view.server.uploads import MOST_BYTES, MOST_JSON, ReadyFiles, read_body
from swincli.view.server.worker_process import Start, Worker
from swincli.view.worker.loop import Message, Opening, words_of

PAGE = Path(__file__).resolve().parents[1] / "page"
MEDIA = {".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
WATCH_SECONDS = 2.0  # between two looks at the model's file

Answer = Callable[[Any, Request], Awaitable[Response]]


class View:
    """All that one `swincli view` holds.

    Attributes:
        broker: The queue before the worker.
        runs: The runs; None if a single model was opened.
    """

    def __init__(self, opened: Opened, worker: Worker, start: Start, opening: Opening) -> None:
        self.broker = Broker(worker, start, opening, self.tell)
        self.runs = RunList(opened.runs) if opened.runs is not None else None
        self._files, self._channels = ReadyFiles(), set[Channel]()
        self._page = {path.name: path for path in PAGE.iterdir() if path.suffix in MEDIA}
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed: str | None = None
        self._watched = str(opened.model), _mark(str(opened.model))  # the model's file as it was opened

    def tell(self, news: Message) -> None:
        """Send news to all open pages."""
        for channel in self._channels:
            self._do(channel.tell(news))

    def _do(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:  # noqa: ARG002
        """Listen to the worker and watch the model's file while the server runs."""
        self.broker.begin()
        self._do(self._watch_model())
        try:
            yield
        finally:
            for task in list(self._tasks):
                task.cancel()
            self.broker.end()
            self._files.clear()

    async def _watch_model(self) -> None:
        """Tell the pages when the file of the open model is replaced or gone."""
        while True:
            path, before = self._watched
            if (mark := _mark(path)) != before:
                self._watched = path, mark
                self._changed = "replaced" if mark is not None else "gone"
                self.tell({"event": "file", "change": self._changed})
            await asyncio.sleep(WATCH_SECONDS)

    async def page(self, request: Request) -> Response:
        """A file of the page: one of the package's, by its bare name."""
        path = self._page.get(request.path_params.get("name", "index.html"))
        if path is None:
            raise DataError("no such page")
        return FileResponse(path, media_type=MEDIA[path.suffix], headers={"Cache-Control": "no-cache"})

    async def about(self, request: Request) -> Response:  # noqa: ARG002
        """The open model, whether there are runs, and whether something is wrong."""
        return _json(
            {
                "version": __version__,
                "model": self.broker.facts,
                "runs": None if self.runs is None else str(self.runs.root),
                "trouble": self.broker.trouble,
                "change": self._changed,
            }
        )

    async def socket(self, socket: WebSocket) -> None:
        """The WebSocket of a page."""
        await socket.accept()
        channel = Channel(socket, self.broker)
        self._channels.add(channel)
        try:
            if self.broker.trouble is not None:
                await channel.tell({"event": "worker", "trouble": self.broker.trouble})
            await channel.serve()
        finally:
            self._channels.discard(channel)

    async def picture(self, request: Request) -> Response:
        """The PNG of a look, with its note."""
        look = requests.check_look({"look": request.url.query})
        name, content = await self.broker.ask({"kind": "png", "look": look})
        return _download(name, content, "image/png")

    async def latents(self, request: Request) -> Response:
        """The .npz file of some looks."""
        looks = requests.check_looks(requests.read_json(await read_body(request, MOST_JSON)), "looks")
        name, content = await self.broker.ask({"kind": "latents", "looks": looks})
        return _download(name, content, "application/octet-stream")

    async def codes(self, request: Request) -> Response:
        """Keep the codes of an uploaded .npz file, and return their names."""
        data, name = await read_body(request, MOST_BYTES), request.query_params.get("name", "codes")[:200]
        found = await self.broker.ask({"kind": "codes", "name": name, "data": data})
        self.broker.codes |= found
        return _json({"codes": list(found)})

    async def project(self, request: Request) -> Response:
        """Project an uploaded picture; the answer is a line of JSON for each report, and a last one."""
        asked = dict(request.query_params)
        steps = int(asked["steps"]) if asked.get("steps", "").isdecimal() and len(asked["steps"]) < 8 else 200
        settings = {"name": asked.get("name", "picture"), "space": asked.get("space", "w+"), "steps": steps}
        message = requests.projection(settings, await read_body(request, MOST_BYTES))

        def finish(done: Any) -> Message:
            self.broker.codes[done["code"]] = done["values"]
            return {"code": done["code"], "warnings": done["warnings"]}

        return self._long(message, finish)

    async def render(self, request: Request) -> Response:
        """Make the video of a walk; lines of JSON as for `project`."""
        walk = requests.walk(requests.read_json(await read_body(request, MOST_JSON)))
        name, path = self._files.new(".mp4")
        message = {"kind": "render", **walk, "out": str(path)}
        return self._long(message, lambda _: {"file": name})

    def _long(self, message: Message, finish: Callable[[Any], Message]) -> Response:
        """Lines of JSON about long work, which ends when the page leaves: {"progress"}, then {"done"} or {"error"}."""
        reports: asyncio.Queue[Message] = asyncio.Queue()

        async def lines() -> AsyncIterator[bytes]:
            ticket = self.broker.put(message, LONG, reports.put_nowait)
            ticket.answer.add_done_callback(lambda _: reports.put_nowait({}))
            try:
                while report := await reports.get():
                    yield _line({"progress": _with_picture(report)})
                done = await ticket.answer
                yield _line({"cancelled": True} if "cancelled" in done else {"done": finish(done)})
            except SwincliError as error:
                yield _line({"error": error.message, "hint": error.hint})
            finally:
                if not ticket.answer.done():  # the page was closed, or cancelled it
                    self.broker.cancel(ticket)

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    async def file(self, request: Request) -> Response:
        """A finished video."""
        path = self._files.get(request.path_params["name"])
        return FileResponse(path, media_type="video/mp4", filename="walk.mp4")

    async def reload(self, request: Request) -> Response:
        """Open the model again, or a model of a run."""
        asked = requests.read_json(await read_body(request, MOST_JSON))
        if "run" in asked:
            path = str(await run_in_threadpool(self._runs().model, str(asked["run"]), _count(asked.get("images_seen"))))
        elif self.broker.facts is not None:
            path = self.broker.facts["path"]
        else:
            raise UsageError("no model is open", "Open one of a run.")
        mark = _mark(path)
        facts = await self.broker.open(path)
        self._watched, self._changed = (path, mark), None
        return _json({"model": facts})

    def _runs(self) -> RunList:
        if self.runs is None:
            raise DataError("a single model was opened, so there are no runs", "Give a folder of runs.")
        return self.runs

    async def run_list(self, request: Request) -> Response:  # noqa: ARG002
        """How all runs stand."""
        runs = self._runs()
        return _json({"root": str(runs.root), "runs": await run_in_threadpool(runs.overview)})

    async def run_curves(self, request: Request) -> Response:
        """The curves of a run; nothing (204) if they are those of `mark`."""
        name, mark = request.query_params.get("run", ""), request.query_params.get("mark")
        if mark and mark == await run_in_threadpool(self._runs().mark, name):
            return Response(status_code=204)
        return _json(await run_in_threadpool(self._runs().curves, name))

    async def run_grids(self, request: Request) -> Response:
        """Images seen at the grids of a run."""
        return _json({"grids": await run_in_threadpool(self._runs().grids, request.query_params.get("run", ""))})

    async def run_grid(self, request: Request) -> Response:
        """A grid of a run: of its images, or of training images."""
        text = request.query_params.get("at", "")
        at = None if text == "reals" else _count(int(text) if text.isdecimal() and len(text) < 19 else None)
        path = await run_in_threadpool(self._runs().grid, request.query_params.get("run", ""), at)
        return FileResponse(path, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})

    async def run_recipe(self, request: Request) -> Response:
        """The recipe of a run, and its difference from that of `other`."""
        name, other = request.query_params.get("run", ""), request.query_params.get("other")
        found = await run_in_threadpool(self._runs().recipe, name)
        if other:
            found["difference"] = await run_in_threadpool(self._runs().difference, name, other)
        return _json(found)


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise UsageError("request: not a number of images")
    return value


def _mark(path: str) -> tuple[int, ...] | None:
    """What changes when a file is replaced; None without a file."""
    with suppress(OSError):
        stat = Path(path).stat()
        return stat.st_mtime_ns, stat.st_size, stat.st_ino
    return None


def _with_picture(report: Message) -> Message:
    import base64

    content = report.pop("content", None)
    return report if content is None else {**report, "picture": base64.b64encode(content).decode()}


def _line(record: Message) -> bytes:
    return json.dumps(record).encode() + b"\n"


def _json(record: Any, status: int = 200) -> Response:
    return Response(format_json(record), status, media_type="application/json")


def _download(name: str, content: bytes, media: str) -> Response:
    disposition = f"attachment; filename=\"{name}\"; filename*=UTF-8''{quote(name)}"
    return Response(content, media_type=media, headers={"Content-Disposition": disposition})


def _said(answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint whose expected errors are sentences in JSON."""

    @wraps(answer)
    async def endpoint(request: Request) -> Response:
        try:
            return await answer(request)
        except SwincliError as error:
            status = 400 if isinstance(error, UsageError) else 404 if isinstance(error, DataError) else 503
            return JSONResponse({"error": error.message, "hint": error.hint}, status)
        except Exception as error:
            return JSONResponse(words_of(error), 500)

    return endpoint


def make_app(view: View, access: Access) -> Starlette:
    """The app of a view."""
    endpoints = [
        ("/", view.page, "GET"),
        ("/page/{name}", view.page, "GET"),
        ("/api/about", view.about, "GET"),
        ("/api/picture.png", view.picture, "GET"),
        ("/api/latents", view.latents, "POST"),
        ("/api/codes", view.codes, "POST"),
        ("/api/project", view.project, "POST"),
        ("/api/render", view.render, "POST"),
        ("/api/file/{name}", view.file, "GET"),
        ("/api/open", view.reload, "POST"),
        ("/api/runs", view.run_list, "GET"),
        ("/api/curves", view.run_curves, "GET"),
        ("/api/grids", view.run_grids, "GET"),
        ("/api/grid.png", view.run_grid, "GET"),
        ("/api/recipe", view.run_recipe, "GET"),
    ]
    routes = [Route(path, _said(answer), methods=[method]) for path, answer, method in endpoints]
    return Starlette(
        routes=[*routes, WebSocketRoute("/api/socket", view.socket)],
        middleware=[Middleware(Guard, access=access)],
        lifespan=view.lifespan,
    )
