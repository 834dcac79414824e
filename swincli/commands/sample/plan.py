"""`SamplePlan`: every file that `swincli sample` will write, with its provenance note, before anything is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from swincli.commands.model_options import listed_texts, open_model, open_texts, read_truncation
from swincli.commands.options import parsed
from swincli.commands.sample.judged_seeds import judged_seeds
from swincli.commands.sample.pages import FigurePage, attention_pages, palette_pages, sweep_pages
from swincli.commands.sample.request import SampleRequest, SaveSpace
from swincli.console import Console
from swincli.errors import UsageError
from swincli.model.files.file_hash import model_identity
from swincli.model.files.model_file import Model
from swincli.synthesis.figures.labelled_grid import GridLabels
from swincli.synthesis.figures.mixing import Mix, MixGrid, mix_samples, parse_mix
from swincli.synthesis.latents.edits import EXAMPLE, Edits, open_edits, parse_edit
from swincli.synthesis.latents.files import open_latents
from swincli.synthesis.latents.layer_ranges import parse_code_layers
from swincli.synthesis.latents.texts import Text
from swincli.synthesis.latents.truncation import Truncation
from swincli.synthesis.output.archives import PACKED, digest
from swincli.synthesis.output.provenance import Output
from swincli.synthesis.output.sample_notes import origin_note, settings_note
from swincli.synthesis.sample_set import SampleSet, edited_samples, latent_samples, seed_samples
from swincli.synthesis.sampling import preview_levels


@dataclass(frozen=True)
class GridImage:
    """One PNG with many of the images: the grid of `--grid`, or that of `--mix`.

    Attributes:
        output: Its file.
        places: Index of the image in each cell, row by row; None for an empty cell.
        columns: Cells per row.
        words: The labels around the cells; None for a plain grid.
    """

    output: Output
    places: Sequence[int | None]
    columns: int
    words: GridLabels | None


@dataclass(frozen=True)
class SamplePlan:
    """All files of one call, and what draws them.

    Attributes:
        model: The generator, with the tuned weights applied.
        identity: 12 hexadecimal digits of the model file's hash.
        drawing: The images: names, classes and codes.
        files: One per image. With an archive they are temporary files in a hidden folder.
        archive: The .npz, .zip or store that holds all images; None for one file per image.
        grid: The grid of images; None without one.
        attention: Pages of attention maps.
        sweeps: Pages of sweeps.
        palettes: Pages of palettes.
        codes: The file of the images' codes; None without one.
        space: The space of those codes.
        batch: Images per batch; None to choose it by resolution.
        preview: Side of the running image to show; None for the whole image.
        texts: The texts of the images; None without texts.
    """

    model: Model
    identity: str
    drawing: SampleSet
    files: list[Output]
    archive: Output | None
    grid: GridImage | None
    attention: list[FigurePage]
    sweeps: list[FigurePage]
    palettes: list[FigurePage]
    codes: Output | None
    space: SaveSpace
    batch: int | None
    preview: int | None
    texts: list[Text] | None = None

    @property
    def pages(self) -> list[FigurePage]:
        """All pages about single images."""
        return self.attention + self.sweeps + self.palettes

    @property
    def outputs(self) -> list[Output]:
        """All files of the output folder, without temporary ones."""
        images = self.files if self.archive is None else [self.archive]
        return [*images, *([self.grid.output] if self.grid else []), *(page.output for page in self.pages)]

    @property
    def parts_folder(self) -> Path | None:
        """The hidden folder of the temporary files; None without an archive."""
        return self.files[0].path.parent if self.archive else None


def move_plan(plan: SamplePlan, old: Path, new: Path) -> SamplePlan:
    """The same plan with another output folder."""

    def moved(output: Output) -> Output:
        return replace(output, path=new / output.path.relative_to(old))

    def moved_pages(pages: list[FigurePage]) -> list[FigurePage]:
        return [replace(page, output=moved(page.output)) for page in pages]

    return replace(
        plan,
        files=[moved(output) for output in plan.files],
        archive=moved(plan.archive) if plan.archive else None,
        grid=replace(plan.grid, output=moved(plan.grid.output)) if plan.grid else None,
        attention=moved_pages(plan.attention),
        sweeps=moved_pages(plan.sweeps),
        palettes=moved_pages(plan.palettes),
    )


def make_plan(
    request: SampleRequest, device: torch.device, model: Model | None = None, console: Console | None = None
) -> SamplePlan:
    """Open the model and the codes, and list the files.

    Args:
        request: Checked options.
        device: Where the model goes.
        model: A loaded model, used instead of `request.checkpoint`.
        console: Hears which training captions are near to texts.

    Raises:
        SwincliError: the model or the codes cannot be opened, or an option does not fit the model.
    """
    model = open_model(request.checkpoint, device, request.tuned, model)
    texts = open_texts(model, listed_texts(request.texts, request.text_file), console or Console(quiet=True))
    truncation = read_truncation(
        model, request.truncation, request.truncation_layers, request.truncation_centres, request.guidance
    )
    preview_levels(model.recipe.model, request.preview)  # raises the UsageError before anything is drawn
    drawing, mixed = _read_drawing(model, request, truncation, texts, console or Console(quiet=True))
    edits, plain = _read_edits(model, request), model
    if edits is not None:
        model, drawing = edits.editor.model, edited_samples(drawing, edits)
    identity = model_identity(model.path)
    origin, settings = _origin_note(model, identity, request), _settings_note(request, edits)
    notes = [f"{origin} {text}{settings}" for text in drawing.named.origins]
    if drawing.named.class_names is not None:
        notes = [f"{note} class={name}" for note, name in zip(notes, drawing.named.class_names, strict=True)]
    if drawing.named.label_texts is not None:
        notes = [f"{note} labels={text}" for note, text in zip(notes, drawing.named.label_texts, strict=True)]
    whole = f"{origin}{settings} images={len(drawing)} notes={digest(notes)}"
    files, archive = _image_files(request, drawing, notes, whole)
    space = request.save_space or "w_plus"
    return SamplePlan(
        model=model,
        identity=identity,
        drawing=drawing,
        files=files,
        archive=archive,
        grid=_mix_grid(request, mixed, whole) if mixed else _image_grid(request, drawing, notes, origin + settings),
        attention=list(attention_pages(model, request, drawing, truncation, notes)) if request.attention else [],
        sweeps=list(sweep_pages(model, request, drawing, truncation, notes)) if request.sweep is not None else [],
        palettes=list(palette_pages(plain, request, drawing, notes)) if request.palette is not None else [],
        codes=Output(request.save_latents, f"{whole} space={space}") if request.save_latents else None,
        space=space,
        batch=request.batch,
        preview=request.preview,
        texts=texts,
    )


def _read_drawing(
    model: Model, request: SampleRequest, truncation: Truncation, texts: list[Text] | None, console: Console
) -> tuple[SampleSet, MixGrid | None]:
    """The images of `--latents`, `--seeds` or `--mix`, and the layout of a mix."""
    if request.latents is not None:
        codes = open_latents(request.latents, model)
        return latent_samples(model, codes, request.latents, truncation), None
    if request.mix is None:
        seeds = request.seed_list or []
        if request.judged_by:
            seeds = judged_seeds(model, seeds, request.judged_by, console)
        return seed_samples(model, seeds, request.wanted, truncation, texts), None

    def parse(text: str) -> tuple[Mix, list[int]]:
        mix = parse_mix(text)
        return mix, parse_code_layers(mix.layers, model.recipe.model.num_ws)

    mix, layers = parsed("--mix", request.mix, parse, "For example --mix 1,5:9,12@coarse")
    return mix_samples(model, mix, layers, request.wanted, truncation)


def _read_edits(model: Model, request: SampleRequest) -> Edits | None:
    """The edits of all `--edit` together; None without one.

    Raises:
        UsageError: one cannot be read, names no direction, or moves style channels beside what needs codes of w+.
    """
    if not request.edit:
        return None
    amounts = [amount for text in request.edit for amount in parsed("--edit", text, parse_edit, EXAMPLE)]
    edits = open_edits(model, [amounts])
    needs = {"--save-latents": request.save_latents, "--sweep": request.sweep, "--palette": request.palette}
    given = [option for option, value in needs.items() if value is not None]
    if edits.editor.moves_channels and given:
        raise UsageError(
            f"--edit: style channels cannot be combined with {given[0]}, which works on codes of w+",
            "Leave one of them out.",
        )
    if request.save_space == "z":
        raise UsageError("--save-space z: no z gives an edited image", "Save w_plus.")
    return edits


def _origin_note(model: Model, identity: str, request: SampleRequest) -> str:
    """The part of a note that names the model file."""
    tuned = request.tuned
    return origin_note(model, identity, None if tuned is None else f"{tuned.name}:{model_identity(tuned)}")


def _settings_note(request: SampleRequest, edits: Edits | None) -> str:
    layers, centres = request.truncation_layers, request.truncation_centres
    text = settings_note(request.truncation, layers, centres, request.preview)
    if request.guidance != 1.0:
        text += f" guidance={float(request.guidance)}"
    if edits is not None:
        text += f" {edits.note}"
    return text


def _image_files(
    request: SampleRequest, drawing: SampleSet, notes: list[str], whole: str
) -> tuple[list[Output], Output | None]:
    """The files of the images, and the archive that they are packed into."""
    folder, suffix, archive = request.folder, f".{request.format}", None
    if request.format in PACKED:
        archive = Output(request.folder / PACKED[request.format], f"swincli sample {whole}")
        folder, suffix = request.folder / f".{archive.path.name}.parts", ".png"
    stems = drawing.named.stems
    return [Output(folder / f"{stem}{suffix}", note) for stem, note in zip(stems, notes, strict=True)], archive


def _image_grid(request: SampleRequest, drawing: SampleSet, notes: list[str], settings: str) -> GridImage | None:
    if request.grid_size is None:
        return None
    columns, rows = request.grid_size
    places = list(range(min(columns * rows, len(drawing))))
    words = GridLabels(captions=[drawing.named.captions[index] for index in places]) if request.grid_labels else None
    kind = f"grid={columns}x{rows}{'-labelled' if words else ''}"
    output = Output(
        request.folder / "grid.png", f"{settings} {kind} notes={digest([notes[index] for index in places])}"
    )
    return GridImage(output, places, columns, words)


def _mix_grid(request: SampleRequest, page: MixGrid, whole: str) -> GridImage:
    output = Output(request.folder / "mix.png", f"{whole} {page.labels.title} places={digest([str(page.places)])}")
    return GridImage(output, page.places, page.columns, page.labels)
