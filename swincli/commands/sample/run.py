"""`run`: draws the images of `swincli sample` that do not exist yet, on all ranks, and packs them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch

from swincli.commands.sample.plan import GridImage, SamplePlan, make_plan, move_plan
from swincli.commands.sample.request import SampleRequest
from swincli.commands.typer_command import Result
from swincli.console import Advance, Console
from swincli.data.store.staging import clear_leftovers
from swincli.model.files.model_file import Model
from swincli.synthesis.figures.grids import tile
from swincli.synthesis.figures.labelled_grid import draw_labelled_grid
from swincli.synthesis.latents.files import MODEL_NOTE, write_latents
from swincli.synthesis.output.archives import PACKERS, Contents
from swincli.synthesis.output.image_writer import ImageWriter
from swincli.synthesis.output.provenance import NOTE, Output, encode_image, is_made, missing, read_picture, save_image
from swincli.synthesis.sample_set import collect_latents, render_samples
from swincli.synthesis.sampling import default_sampling_batch
from swincli.system.distributed import Processes
from swincli.system.overwrite import check_distinct, numbered


@dataclass(frozen=True)
class Pending:
    """Outputs of a plan that are still to be written: indices of images and pages; codes, grid and archive as flags."""

    images: list[int]
    pages: list[int]
    codes: bool
    grid: bool
    archive: bool


def run(
    request: SampleRequest,
    device: torch.device,
    console: Console,
    processes: Processes | None = None,
    *,
    model: Model | None = None,
) -> Result:
    """Draw the images and write all files of a request. Files that exist with the same note are kept.

    Args:
        request: Checked options.
        device: Where the model goes.
        console: Receives messages and progress.
        processes: The ranks that share the work; one by default.
        model: A loaded model, used instead of `request.checkpoint`.

    Raises:
        SwincliError: something cannot be opened or written, or a file with another note exists.
    """
    processes = processes or Processes()
    plan = processes.main_first(lambda: make_plan(request, device, model, console))
    if request.out is None and not request.force:
        folder = processes.from_main(lambda: choose_folder(plan, request.folder))
        if folder != request.folder:
            plan = move_plan(plan, request.folder, folder)
            console.say(f"{request.folder} holds images of other settings; writing to {folder}")
    pending = processes.from_main(lambda: find_pending(plan, force=request.force))
    console.say(f"{plan.model.path}, trained on {plan.model.images_seen:,} images")
    for line in _existing_files(plan, pending):
        console.say(line)
    if pending.codes and plan.codes:
        output = plan.codes
        processes.from_main(lambda: save_codes(plan, output))
    with console.progress("Sampling", len(pending.images)) as advance:
        processes.run_on_all(lambda progress: _draw_images(plan, pending.images, processes, progress), advance)
    if pending.pages:
        with console.progress("Drawing pages", len(pending.pages), "pages") as advance:
            processes.run_on_all(lambda progress: _draw_pages(plan, pending.pages, processes, progress), advance)
    processes.from_main(lambda: _write_grid_and_archive(plan, pending))
    return _result(plan)


def choose_folder(plan: SamplePlan, first: Path) -> Path:
    """The folder of a call without `--out`: `first`, or the next free one beside it.

    A folder with files of this plan comes before any other, so that an interrupted call goes on where it was.
    """
    free = None
    for folder in numbered(first):
        is_file = os.path.lexists(folder) and not folder.is_dir()
        state = "taken" if is_file else _state_of_folder(move_plan(plan, first, folder))
        if state == "own":
            return folder
        if state == "free" and free is None:
            free = folder
        if not os.path.lexists(folder):
            break
    return free or first


def _state_of_folder(plan: SamplePlan) -> Literal["own", "free", "taken"]:
    """Whether the plan's folder holds files of this plan, none of its names, or other files of its names."""
    if plan.archive is not None:
        clear_leftovers(plan.archive.path.resolve())
    there = [output for output in plan.outputs if os.path.lexists(output.path)]
    if not all(map(is_made, there)):
        return "taken"
    has_parts = plan.archive is not None and any(map(is_made, plan.files))
    return "own" if there or has_parts else "free"


def find_pending(plan: SamplePlan, *, force: bool) -> Pending:
    """The files that are still to be written; all of them with `force`.

    Outdated temporary files of an archive are removed, and a store whose replacement was killed returns.

    Raises:
        UsageError: the codes would be written over another result.
        DataError: without `force`, a file exists with another note.
    """
    codes_there = [plan.codes.path] if plan.codes else []
    named = {output.path for output in plan.outputs}  # a seed may be asked for twice
    check_distinct([*named, *codes_there], "Choose another name for --save-latents.")
    if plan.archive is not None:
        clear_leftovers(plan.archive.path.resolve())
    grid = plan.grid is not None and bool(missing([plan.grid.output], force=force))
    archive = plan.archive is not None and bool(missing([plan.archive], force=force))
    codes = plan.codes is not None and bool(missing([plan.codes], force=force))
    pages = missing([page.output for page in plan.pages], force=force)
    if plan.archive is None:
        return Pending(missing(plan.files, force=force), pages, codes, grid, archive)
    wanted = range(len(plan.files)) if archive else _images_of(plan.grid) if grid and plan.grid else []
    parts = [plan.files[index] for index in wanted]
    for part in parts:
        if force or not is_made(part):
            part.path.unlink(missing_ok=True)
    return Pending([wanted[index] for index in missing(parts)], pages, codes, grid, archive)


def _existing_files(plan: SamplePlan, pending: Pending) -> list[str]:
    """Messages about images that exist already."""
    if plan.archive is not None and not pending.archive:
        return [f"{plan.archive.path} already exists"]
    total = len({output.path for output in plan.files})
    existing = total - len(pending.images)
    return [f"{existing:,} of {total:,} images already exist"] if existing else []


def _images_of(grid: GridImage) -> list[int]:
    return [index for index in grid.places if index is not None]


def save_codes(plan: SamplePlan, output: Output) -> None:
    """Write the codes of the images.

    Raises:
        UsageError: codes of that space do not determine the images.
        ResourceError: the file cannot be written.
    """
    codes = collect_latents(plan.model, plan.drawing, plan.space)
    write_latents(output.path, codes, {MODEL_NOTE: plan.identity, NOTE: output.note})


def _draw_images(plan: SamplePlan, pending: Sequence[int], processes: Processes, advance: Advance) -> None:
    """Draw and save this rank's share of the images."""
    model, each = plan.model.recipe.model, max(1, -(-len(pending) // processes.world_size))
    group = min(plan.batch or default_sampling_batch(model.size), each)  # the same on every rank
    batch, ordered = min(plan.batch or plan.drawing.batch(plan.model), each), plan.drawing.in_order(pending)
    mine = [ordered[index] for index in processes.shard(len(pending), group)]
    files = iter(plan.files[index] for index in mine)
    with ImageWriter() as writer:
        for images in render_samples(plan.model, plan.drawing, mine, batch, plan.preview):
            for image, output in zip(images, files, strict=False):
                writer.add(output.path, partial(encode_image, output, image), image.nbytes)
            advance(len(images))


def _draw_pages(plan: SamplePlan, pending: Sequence[int], processes: Processes, advance: Advance) -> None:
    """Draw and save this rank's share of the pages."""
    with ImageWriter() as writer:
        for index in processes.shard(len(pending), 1):
            page = plan.pages[pending[index]]
            image = page.draw()
            writer.add(page.output.path, partial(encode_image, page.output, image), image.nbytes)
            advance()


def _write_grid_and_archive(plan: SamplePlan, pending: Pending) -> None:
    """Write the grid and the archive from the files of the images, then remove the temporary ones."""
    if pending.grid and plan.grid:
        _write_grid(plan, plan.grid)
    if pending.archive and plan.archive:
        unique = list({output.path: index for index, output in enumerate(plan.files)}.items())
        classes = plan.model.classes
        labels = plan.drawing.named.labels if classes else None
        contents = Contents(
            [path for path, _ in unique],
            None if labels is None else [int(labels[index]) for _, index in unique],
            classes.names if classes else None,
        )
        PACKERS[plan.archive.path.name](plan.archive, contents)
    if plan.parts_folder is not None:
        shutil.rmtree(plan.parts_folder, ignore_errors=True)


def _write_grid(plan: SamplePlan, grid: GridImage) -> None:
    images = [None if index is None else read_picture(plan.files[index].path) for index in grid.places]
    if grid.words is None:
        pixels = tile(torch.stack([image for image in images if image is not None]), grid.columns)
    else:
        pixels = draw_labelled_grid(images, grid.columns, grid.words)
    save_image(grid.output, pixels)


def _result(plan: SamplePlan) -> Result:
    images = [str(output.path) for output in ([plan.archive] if plan.archive else plan.files)]
    grid = str(plan.grid.output.path) if plan.grid else None
    attention = [str(page.output.path) for page in plan.attention]
    sweeps = [str(page.output.path) for page in plan.sweeps]
    palettes = [str(page.output.path) for page in plan.palettes]
    codes = str(plan.codes.path) if plan.codes else None
    facts = {
        "images": images,
        "count": len({output.path for output in plan.files}),
        "grid": grid,
        "attention": attention,
        "sweeps": sweeps,
        "palettes": palettes,
        "latents": codes,
        "classes": plan.drawing.named.class_names,
        **({"labels": plan.drawing.named.label_texts} if plan.drawing.named.label_texts else {}),
        **({"texts": [{"text": one.text, "nearest": one.nearest} for one in plan.texts]} if plan.texts else {}),
    }
    single = [path for path in (grid, codes) if path is not None]
    return Result(facts, [*images, *single, *attention, *sweeps, *palettes])
