"""`run`: makes the folder of `swincli card`, and sends it to a hub."""

from __future__ import annotations

import torch

from swincli.commands.card.request import CardRequest
from swincli.commands.model_options import open_model
from swincli.commands.typer_command import Result
from swincli.console import Console
from swincli.errors import ResourceError, SwincliError
from swincli.model.files.ancestry import to_notes
from swincli.model.files.hub import MODEL_FILE
from swincli.publishing.card import check_card_folder, write_card
from swincli.publishing.push import check_push, push_folder
from swincli.recipe.private import has_private_keys, machine_places, without_private_keys


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
    if has_private_keys(model.recipe):
        console.warn(
            f"{model.path}: holds run.mirror or run.on_event, which the copy leaves out. Its identity differs, so "
            f"codes, directions and tuned weights made for the original do not know {request.dest / MODEL_FILE}"
        )
    places = machine_places(without_private_keys(model.recipe))
    if places:
        named = ", ".join(f"{key} = {place}" for key, place in places.items())
        console.warn(f"{request.dest}: its recipe names folders of this machine ({named})")
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
