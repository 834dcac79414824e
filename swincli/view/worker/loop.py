"""The worker's loop: it reads messages of the server, draws, and answers.

Messages are dicts. The server sends {"id", "kind", ...}; the answer is {"id", "done": ...} or {"id", "error", "hint"},
after any number of {"id", "progress": ...}. The first message of the worker is {"ready": facts} or {"error", "hint"}.
Long work looks for messages between two steps, so pictures are answered meanwhile and it can be cancelled.

The module imports nothing heavy: the server names `serve` as what the process starts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from swincli.errors import SwincliError

if TYPE_CHECKING:
    import torch

    from swincli.view.worker.projecting import Perceive
    from swincli.view.worker.studio import Studio
    from swincli.view.worker.walking import WalkPlayer

Message = dict[str, Any]
PROGRESS_SECONDS = 0.15  # between two reports of long work


@dataclass(frozen=True)
class Opening:
    """What the worker starts with.

    Attributes:
        model: The model's file; None to wait for one.
        device: A value of `--device`.
        perceive: Chooses the network of a projection's loss.
    """

    model: str | None
    device: str
    perceive: Perceive


class CancelledWorkError(Exception):
    """The page does not want the long work any more."""


def run_process(connection: Connection, opening: Opening) -> None:
    """Serve in a process of its own, which ends with its parent; Ctrl-C is left to the parent."""
    from contextlib import nullcontext

    from swincli.system import runtime
    from swincli.system.openmp import adapt_spinning
    from swincli.system.stop_signals import init_worker

    init_worker()
    runtime.configure()
    with nullcontext() if opening.device in ("cuda", "mps") else adapt_spinning():
        serve(connection, opening)


def serve(connection: Connection, opening: Opening) -> None:
    """Answer messages until the other end is closed."""
    try:
        desk = Desk(connection, opening)
        connection.send({"ready": desk.facts()})
    except Exception as error:
        connection.send(words_of(error))
        return
    while True:
        try:
            message = connection.recv()
            desk.answer(message)
        except (EOFError, OSError):  # the server has ended
            return


class Desk:
    """Answers messages, one after another."""

    def __init__(self, connection: Connection, opening: Opening) -> None:
        from swincli.system import runtime

        self._connection, self._perceive = connection, opening.perceive
        self._device: torch.device = runtime.choose_device(opening.device)
        self._studio: Studio | None = None
        self._player: WalkPlayer | None = None
        self._long: Any = None  # the id of the long work
        self._cancelled = False
        if opening.model is not None:
            self._open({"path": opening.model})

    def facts(self) -> Message | None:
        """What the page needs to know of the model; None without one."""
        from swincli.view.worker.attention import attention_layers

        if self._studio is None:
            return None
        return {**self._studio.facts(), "attention": attention_layers(self._studio.model.recipe.model)}

    def answer(self, message: Message) -> None:
        """Answer one message."""
        number = message["id"]
        try:
            done = self._handlers()[message["kind"]](message)
        except CancelledWorkError:
            done = {"cancelled": True}
        except (EOFError, BrokenPipeError):
            raise
        except Exception as error:
            self._connection.send({"id": number, **words_of(error)})
            return
        self._connection.send({"id": number, "done": done})

    def _handlers(self) -> dict[str, Callable[[Message], Any]]:
        return {
            "open": self._open,
            "picture": self._picture,
            "tiles": self._tiles,
            "attention": self._attention,
            "directions": self._directions,
            "walk": self._walk,
            "png": self._png,
            "latents": self._latents,
            "codes": self._codes,
            "project": self._project,
            "render": self._render,
            "cancel": self._cancel,
        }

    @property
    def studio(self) -> Studio:
        """The open model.

        Raises:
            SwincliError: there is none.
        """
        if self._studio is None:
            raise SwincliError("no model is open", "Open one of a run.")
        return self._studio

    def _open(self, message: Message) -> Message | None:
        from pathlib import Path

        from swincli.model.files.model_file import load_model
        from swincli.view.worker.studio import Studio, in_own_memory
        from swincli.view.worker.walking import WalkPlayer

        if self._long is not None:
            raise SwincliError("a projection or a video is being made", "Wait for its end, or cancel it.")
        codes = message.get("codes", {})
        studio = Studio(in_own_memory(load_model(Path(message["path"]), self._device)))
        for code in codes.values():
            if code.shape == (studio.model.recipe.model.num_ws, studio.model.recipe.model.latent_dim):
                studio.add_code(code)
        self._studio, self._player = studio, WalkPlayer(studio)
        return self.facts()

    def _picture(self, message: Message) -> Message:
        from swincli.view.look import parse_look

        look = parse_look(message["look"])
        return {**self._draw(self.studio.w_plus(look), message), "text": self.studio.words_of_text(look)}

    def _draw(self, w_plus: torch.Tensor, message: Message) -> Message:
        """A picture; or its next preview above the levels that are shown, if the whole one takes long."""
        from swincli.view.worker.studio import encode

        renderer = self.studio.renderer
        until = renderer.preview_levels(w_plus, message["above"]) if "above" in message else None
        content, media = encode(renderer.draw(w_plus, until))
        return {"content": content, "media": media, "levels": until}

    def _tiles(self, message: Message) -> Message:
        from swincli.view.look import parse_look
        from swincli.view.worker.studio import encode

        tiles = [encode(tile) for tile in self.studio.tiles(parse_look(message["look"]), message["seeds"])]
        return {"tiles": tiles, "at_once": self.studio.renderer.tiles_at_once()}

    def _attention(self, message: Message) -> Message:
        from swincli.view.look import parse_look
        from swincli.view.worker.attention import attention

        return attention(self.studio, parse_look(message["look"]), message["layer"], tuple(message["point"]))

    def _directions(self, message: Message) -> Message:
        from swincli.view.worker.edits import list_directions

        return {"families": list_directions(self.studio.found, message["layers"])}

    def _walk(self, message: Message) -> Message:
        assert self._player is not None
        return self._draw(self._player.code(self._walk_settings(message), message["frame"]), message)

    def _walk_settings(self, message: Message) -> Any:
        from swincli.view.worker.walking import WalkSettings

        _ = self.studio  # raises the error of a page without a model
        return WalkSettings(**{**message["walk"], "keys": tuple(message["walk"]["keys"])})

    def _png(self, message: Message) -> tuple[str, bytes]:
        from swincli.view.look import parse_look
        from swincli.view.worker.downloads import png

        return png(self.studio, parse_look(message["look"]))

    def _latents(self, message: Message) -> tuple[str, bytes]:
        from swincli.view.look import parse_look
        from swincli.view.worker.downloads import latents

        return latents(self.studio, [parse_look(look) for look in message["looks"]])

    def _codes(self, message: Message) -> dict[str, torch.Tensor]:
        from swincli.view.worker.downloads import read_codes

        names = read_codes(self.studio, message["name"], message["data"])
        return {name: self.studio.codes[name].cpu() for name in names}

    def _project(self, message: Message) -> Message:
        from swincli.view.worker.projecting import Upload, project
        from swincli.view.worker.studio import encode

        studio, last = self.studio, [0.0]
        warnings: list[str] = []
        upload = Upload(message["name"], message["data"], message["space"], message["steps"])

        def watch(step: int, steps: int, loss: float, codes: torch.Tensor) -> None:
            self._between()
            if time.monotonic() - last[0] < PROGRESS_SECONDS and step < steps:
                return
            content, media = encode(studio.renderer.draw(codes[:1]))
            self._report({"step": step, "steps": steps, "loss": loss, "content": content, "media": media})
            last[0] = time.monotonic()

        with self._as_long(message["id"]):
            w_plus = project(studio, upload, self._perceive, warnings.append, watch)
        return {"code": studio.add_code(w_plus), "values": w_plus.detach().cpu(), "warnings": warnings}

    def _render(self, message: Message) -> Message:
        from pathlib import Path

        from swincli.view.worker.walking import render_walk

        last = [0.0]

        def watch(done: int, frames: int) -> None:
            self._between()
            if time.monotonic() - last[0] >= PROGRESS_SECONDS or done == frames:
                self._report({"step": done, "steps": frames})
                last[0] = time.monotonic()

        with self._as_long(message["id"]):
            render_walk(self.studio, self._walk_settings(message), Path(message["out"]), watch)
        return {}

    def _cancel(self, message: Message) -> Message:
        self._cancelled = self._cancelled or (self._long is not None and message["what"] == self._long)
        return {}

    def _as_long(self, number: Any) -> Any:
        """A block of long work, which only one message at a time can be."""
        from contextlib import contextmanager

        @contextmanager
        def block() -> Any:
            if self._long is not None:
                raise SwincliError("a projection or a video is being made", "Wait for its end, or cancel it.")
            self._long, self._cancelled = number, False
            try:
                yield
            finally:
                self._long = None

        return block()

    def _report(self, progress: Message) -> None:
        self._connection.send({"id": self._long, "progress": progress})

    def _between(self) -> None:
        """Answer what waits, and stop if the long work was cancelled."""
        while self._connection.poll():
            self.answer(self._connection.recv())
        if self._cancelled:
            raise CancelledWorkError


def words_of(error: Exception) -> Message:
    """An error as a sentence and a hint, for the page."""
    from swincli.system.process_limits import explain_limit

    known = error if isinstance(error, SwincliError) else explain_limit(error)
    if known is not None:
        return {"error": known.message, "hint": known.hint}
    return {"error": f"unexpected {type(error).__name__}: {error}", "hint": "Reload the page, or start it again."}
