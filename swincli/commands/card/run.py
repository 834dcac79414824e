"""`run`: makes the folder of `swincli card`, and sends it to a hub."""

from __future__ import annotations

import torch

from swincli.commands.card.request import CardRequest
from swincli.commands.model_options import open_model
from swincli.commands.typer_command import Result
from swincli.console import Console
from swincli.errors import ResourceError, SwincliError
from swincli.model.files.ancestry import to_notes
from swincli.publishing.card import check_card_folder, write_card
from swincli.publishing.push import check_push, push_folder


def run(request: CardRequest, device: torch.device, console: Console) -> Result:
    """Make the folder; with `--push`, send it.

    Args:
        request: Checked options.
        device: Where the samples are drawn.
        console: Receives messages and warnings.

    Raises:
        SwincliError: the model cannot be opened, the folder not be written, or the hub not be reached.
    """
    check_card_folder(request.dest, force=request.force)
    if request.push is not None:
        check_push(request.push)
    model = open_model(request.checkpoint, device)
    front = write_card(request.dest, model, request.choices, force=request.force)
    if request.license is None:
        console.warn(f"{request.dest}: without --license nobody may use the model")
    if any(str(value).startswith("/") for value in (model.recipe.data.path, model.recipe.train.init) if value):
        console.warn(f"{request.dest}: its recipe names folders of this machine ({model.recipe.data.path})")
    for ancestor in model.ancestors:
        console.say(f"{model.path.name}: {ancestor}")
    facts = {
        "path": str(request.dest),
        "front_matter": front,
        "ancestors": to_notes(model.ancestors),
        "images_seen": model.images_seen,
        "url": None,
    }
    if request.push is None:
        return Result(facts, [str(request.dest)])
    try:
        url = push_folder(request.dest, request.push, private=request.private)
    except SwincliError as error:
        raise ResourceError(f"{error.message}; the folder {request.dest} is complete", error.hint) from error
    return Result(facts | {"url": url}, [str(request.dest), url])
