"""What `swincli sample` does: draws what is not there yet, in as many processes as there are, and packs it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from swincli.commands.sample.plan import Plan, Sheet, make_plan
from swincli.commands.sample.request import Request
from swincli.console import Advance, Console
from swincli.synthesis.figures.grids import tile
from swincli.synthesis.figures.labelled_grid import draw_labelled_grid
from swincli.synthesis.latents.files import MODEL_NOTE, write_latents
from swincli.synthesis.output.archives import PACKERS, Contents
from swincli.synthesis.output.provenance import NOTE, Output, is_made, missing, read_picture, save_image, save_images
from swincli.synthesis.sample_set import collect_latents, render_samples
from swincli.synthesis.sampling import default_sampling_batch
from swincli.system.distributed import Processes


@dataclass(frozen=True)
class Due:
    """What of a plan is not there yet: indices of images and pages, and whether codes, sheet and product are not."""

    images: list[int]
    pages: list[int]
    codes: bool
    sheet: bool
    product: bool


def sample(request: Request, place: torch.device, console: Console, processes: Processes) -> None:
    """Draw what is asked for and tell where it lies. What is there already, made in the same way, is left as it is.

    Raises:
        SwincliError: something cannot be opened or written, or files made in another way are in the way.
    """
    plan = processes.main_first(lambda: make_plan(request, place))
    due = processes.from_main(lambda: find_due(plan, force=request.force))
    console.say(f"{plan.model.path}, trained on {plan.model.images_seen:,} images")
    for line in _already(plan, due):
        console.say(line)
    if due.codes and plan.codes:
        output = plan.codes
        processes.from_main(lambda: save_codes(plan, output))
    with console.progress("Sampling", len(due.images)) as advance:
        processes.run_on_all(lambda told: _draw_images(plan, due.images, processes, told), advance)
    if due.pages:
        with console.progress("Drawing pages", len(due.pages), "pages") as advance:
            processes.run_on_all(lambda told: _draw_pages(plan, due.pages, processes, told), advance)
    processes.from_main(lambda: _finish(plan, due))
    if processes.is_main:
        _tell(plan, console)


def find_due(plan: Plan, *, force: bool) -> Due:
    """What is still to be made; with `force` everything.

    Raises:
        DataError: without `force`, something is in the way that was made in another way.
    """
    sheet = plan.sheet is not None and bool(missing([plan.sheet.output], force=force))
    product = plan.product is not None and bool(missing([plan.product], force=force))
    codes = plan.codes is not None and bool(missing([plan.codes], force=force))
    pages = missing([page.output for page in plan.pages], force=force)
    if plan.product is None:
        return Due(missing(plan.files, force=force), pages, codes, sheet, product)
    wanted = range(len(plan.files)) if product else _shown(plan.sheet) if sheet and plan.sheet else []
    parts = [plan.files[index] for index in wanted]
    for part in parts:
        if force or not is_made(part):
            part.path.unlink(missing_ok=True)  # hidden, and so ours
    return Due([wanted[index] for index in missing(parts)], pages, codes, sheet, product)


def _already(plan: Plan, due: Due) -> list[str]:
    """What is said of images that are there already."""
    if plan.product is not None and not due.product:
        return [f"{plan.product.path} is there already"]
    total = len({output.path for output in plan.files})
    there = total - len(due.images)
    return [f"{there:,} of {total:,} images are there already"] if there else []


def _shown(sheet: Sheet) -> list[int]:
    return [index for index in sheet.places if index is not None]


def save_codes(plan: Plan, output: Output) -> None:
    """Write the codes that the images are made of.

    Raises:
        UsageError: codes of that kind do not decide the images.
        ResourceError: the file cannot be written.
    """
    codes = collect_latents(plan.model, plan.drawing, plan.space.value)
    write_latents(output.path, codes, {MODEL_NOTE: plan.identity, NOTE: output.note})


def _draw_images(plan: Plan, due: Sequence[int], processes: Processes, advance: Advance) -> None:
    """This process's share of the images."""
    most = plan.batch or default_sampling_batch(plan.model.recipe.model.size)
    batch = max(1, min(most, -(-len(due) // processes.world_size)))
    mine = [due[index] for index in processes.shard(len(due), batch)]
    done = 0
    for pictures in render_samples(plan.model, plan.drawing, mine, batch):
        save_images([plan.files[index] for index in mine[done : done + len(pictures)]], pictures)
        done += len(pictures)
        advance(len(pictures))


def _draw_pages(plan: Plan, due: Sequence[int], processes: Processes, advance: Advance) -> None:
    for index in processes.shard(len(due), 1):
        page = plan.pages[due[index]]
        save_image(page.output, page.draw())
        advance()


def _finish(plan: Plan, due: Due) -> None:
    """Lay the sheet out and pack the images, once all of them are there."""
    if due.sheet and plan.sheet:
        _lay_out(plan, plan.sheet)
    if due.product and plan.product:
        unique = list({output.path: index for index, output in enumerate(plan.files)}.items())
        labels, classes = plan.drawing.named.labels, plan.model.classes
        contents = Contents(
            [path for path, _ in unique],
            None if labels is None else [int(labels[index]) for _, index in unique],
            classes.names if classes else None,
        )
        PACKERS[plan.product.path.name](plan.product, contents)
    if plan.hidden is not None:
        shutil.rmtree(plan.hidden, ignore_errors=True)


def _lay_out(plan: Plan, sheet: Sheet) -> None:
    pictures = [None if index is None else read_picture(plan.files[index].path) for index in sheet.places]
    if sheet.words is None:
        laid = tile(torch.stack([picture for picture in pictures if picture is not None]), sheet.columns)
    else:
        laid = draw_labelled_grid(pictures, sheet.columns, sheet.words)
    save_image(sheet.output, laid)


def _tell(plan: Plan, console: Console) -> None:
    images = [str(output.path) for output in ([plan.product] if plan.product else plan.files)]
    sheet = str(plan.sheet.output.path) if plan.sheet else None
    attention = [str(page.output.path) for page in plan.attention]
    sweeps = [str(page.output.path) for page in plan.sweeps]
    codes = str(plan.codes.path) if plan.codes else None
    facts = {
        "images": images,
        "count": len({output.path for output in plan.files}),
        "grid": sheet,
        "attention": attention,
        "sweeps": sweeps,
        "latents": codes,
        "classes": plan.drawing.named.class_names,
    }
    alone = [path for path in (sheet, codes) if path is not None]
    console.emit(facts, [*images, *alone, *attention, *sweeps])
