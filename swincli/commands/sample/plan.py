"""What `swincli sample` is going to write, settled before anything is drawn: every file, with the note in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from swincli.commands.open_model import open_model
from swincli.commands.sample.pages import Page, attention_pages, sweep_pages
from swincli.commands.sample.request import Format, Request, SaveSpace
from swincli.commands.truncation_options import read_truncation
from swincli.errors import UsageError
from swincli.model.files.file_hash import model_identity
from swincli.model.files.model_file import Model
from swincli.synthesis.figures.labelled_grid import GridLabels
from swincli.synthesis.figures.mixing import MixGrid, mix_samples, parse_mix
from swincli.synthesis.latents.files import open_latents
from swincli.synthesis.latents.layer_ranges import parse_code_layers
from swincli.synthesis.latents.truncation import Truncation
from swincli.synthesis.output.archives import PACKED, digest
from swincli.synthesis.output.provenance import Output
from swincli.synthesis.sample_set import SampleSet, latent_samples, seed_samples


@dataclass(frozen=True)
class Sheet:
    """Many of the images in one picture.

    Attributes:
        output: Its file.
        places: Which image lies where, row by row; None for an empty place.
        columns: Images a row.
        words: What is written around them; None for the images alone.
    """

    output: Output
    places: Sequence[int | None]
    columns: int
    words: GridLabels | None


@dataclass(frozen=True)
class Plan:
    """All that is to be there in the end.

    Attributes:
        model: What draws.
        identity: Which model that is.
        drawing: The images.
        files: One an image; hidden ones, to be packed, where there is a product.
        product: What they are packed into.
        sheet: A grid of them.
        pages: Pictures of single images besides: attention, sweeps.
        codes: A file of the codes that they are made of.
        space: The kind of those codes.
        batch: Images at once.
    """

    model: Model
    identity: str
    drawing: SampleSet
    files: list[Output]
    product: Output | None
    sheet: Sheet | None
    attention: list[Page]
    sweeps: list[Page]
    codes: Output | None
    space: SaveSpace
    batch: int | None

    @property
    def pages(self) -> list[Page]:
        """Pictures of single images."""
        return self.attention + self.sweeps

    @property
    def hidden(self) -> Path | None:
        """The folder of files that are to be packed."""
        return self.files[0].path.parent if self.product else None


def make_plan(request: Request, place: torch.device) -> Plan:
    """Open what is asked for, and settle what is to be written.

    Raises:
        SwincliError: something cannot be opened, does not fit the model, or cannot be meant.
    """
    model = open_model(request.checkpoint, place, request.tuned)
    truncation = read_truncation(model, request.truncation, request.truncation_layers, request.truncation_centres)
    drawing, mixed = _drawing(model, request, truncation)
    identity = model_identity(model.path)
    origin, how = _origin(model, identity, request), _how(request)
    notes = [f"{origin} {text}{how}" for text in drawing.named.origins]
    if drawing.named.class_names is not None:
        notes = [f"{note} class={name}" for note, name in zip(notes, drawing.named.class_names, strict=True)]
    whole = f"{origin}{how} images={len(drawing)} notes={digest(notes)}"
    files, product = _files(request, drawing, notes, whole)
    space = request.save_space or SaveSpace.w_plus
    return Plan(
        model=model,
        identity=identity,
        drawing=drawing,
        files=files,
        product=product,
        sheet=_mix_sheet(request, mixed, whole) if mixed else _grid_sheet(request, drawing, notes, origin + how),
        attention=list(attention_pages(model, request, drawing, truncation, notes)) if request.attention else [],
        sweeps=list(sweep_pages(model, request, drawing, notes)) if request.sweep is not None else [],
        codes=Output(request.save_latents, f"{whole} space={space}") if request.save_latents else None,
        space=space,
        batch=request.batch,
    )


def _drawing(model: Model, request: Request, truncation: Truncation) -> tuple[SampleSet, MixGrid | None]:
    if request.latents is not None:
        codes = open_latents(request.latents, model)
        return latent_samples(model, codes, request.latents, truncation), None
    if request.mix is None:
        return seed_samples(model, request.seeds or [], request.of_class, truncation), None
    try:
        mix = parse_mix(request.mix)
        layers = parse_code_layers(mix.layers, model.recipe.model.num_ws)
    except ValueError as error:
        raise UsageError(f"--mix {request.mix}: {error}", "For example --mix 1,5:9,12@coarse") from None
    return mix_samples(model, mix, layers, request.of_class, truncation)


def _origin(model: Model, identity: str, request: Request) -> str:
    text = f"checkpoint={model.path.name} model={identity}"
    return text if request.tuned is None else f"{text} tuned={request.tuned.name}:{model_identity(request.tuned)}"


def _how(request: Request) -> str:
    text = f" truncation={request.truncation}"
    if request.truncation_layers is not None:
        text += f" truncation-layers={request.truncation_layers}"
    if request.truncation_centres is not None:
        text += f" truncation-centres={request.truncation_centres}"
    return text


def _files(request: Request, drawing: SampleSet, notes: list[str], whole: str) -> tuple[list[Output], Output | None]:
    """The files of the images, and what they are packed into."""
    folder, suffix, product = request.out, f".{request.format}", None
    if request.format in (Format.npz, Format.zip, Format.store):
        product = Output(request.out / PACKED[request.format], f"swincli sample {whole}")
        folder, suffix = request.out / f".{product.path.name}.parts", ".png"
    stems = drawing.named.stems
    return [Output(folder / f"{stem}{suffix}", note) for stem, note in zip(stems, notes, strict=True)], product


def _grid_sheet(request: Request, drawing: SampleSet, notes: list[str], how: str) -> Sheet | None:
    if request.grid is None:
        return None
    columns, rows = request.grid
    places = list(range(min(columns * rows, len(drawing))))
    words = GridLabels(captions=[drawing.named.captions[index] for index in places]) if request.grid_labels else None
    kind = f"grid={columns}x{rows}{'-labelled' if words else ''}"
    output = Output(request.out / "grid.png", f"{how} {kind} notes={digest([notes[index] for index in places])}")
    return Sheet(output, places, columns, words)


def _mix_sheet(request: Request, page: MixGrid, whole: str) -> Sheet:
    output = Output(request.out / "mix.png", f"{whole} {page.labels.title} places={digest([str(page.places)])}")
    return Sheet(output, page.places, page.columns, page.labels)
