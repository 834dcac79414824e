"""`run`: opens what `swincli view` was given, and serves the page until Ctrl-C."""

from __future__ import annotations

import signal

from swincli.commands.view.perceive import perceive
from swincli.commands.view.request import ViewRequest
from swincli.console import Console
from swincli.system.stop_signals import reason_and_code
from swincli.view.opened import find_opened
from swincli.view.server.serve import Place, serve
from swincli.view.worker.loop import Opening


def run(request: ViewRequest, console: Console) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        SwincliError: there is nothing to open, the model cannot be read, or the port is taken.
    """
    opened = find_opened(request.opened)
    opening = Opening(str(opened.model) if opened.model else None, request.device, perceive)
    if opened.model is not None:
        console.say(f"Opening {opened.model} ...")
    place = Place(request.host, request.port, browser=not request.no_browser)

    def say(address: str) -> None:
        console.emit({"address": address, "model": opening.model, "runs": str(opened.runs or "")}, [address])
        console.say("Press Ctrl-C to end it.")

    try:
        serve(opened, opening, place, say)
    except KeyboardInterrupt as error:  # the usual way to end a page
        if reason_and_code(error)[1] != 128 + signal.SIGINT:
            raise
