"""`SampleRequest`: the options of `swincli sample`, and the checks that need no model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import typer

from swincli.commands.options import (
    SOURCE,
    BatchOption,
    CheckpointOption,
    ClassesOption,
    EditOption,
    ForceOption,
    GuidanceOption,
    LabelOption,
    TextFileOption,
    TextsOption,
    TruncationCentresOption,
    TruncationLayersOption,
    TruncationOption,
    TunedOption,
    parsed_count,
    parsed_grid,
    parsed_seeds,
    refuse_given,
)
from swincli.commands.typer_command import GivenOptions
from swincli.errors import UsageError
from swincli.units import LARGEST_SEED, MOST_SEEDS

EDITS, OUTPUT, ATTENTION = "Mixing and sweeps", "Output", "Attention"

DEFAULT_OUT = Path("samples")
SEEDS_OF_TEXT = 8  # images of a text without --seeds

Format = Literal["png", "jpg", "webp", "npz", "zip", "store"]
SaveSpace = Literal["w_plus", "w", "z"]


@dataclass(frozen=True, kw_only=True)
class SampleRequest:
    """The options of `swincli sample`: which images, how they are edited, and which files are written."""

    seeds: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Seeds and ranges of seeds, e.g. 0-31,45.", rich_help_panel=SOURCE),
    ] = None
    count: Annotated[
        str | None,
        typer.Option(
            metavar="N", help="Number of seeds, e.g. 50k, starting at 0 or at --seeds.", rich_help_panel=SOURCE
        ),
    ] = None
    latents: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npz", help="Codes to use instead of seeds: an array z, w or w_plus.", rich_help_panel=SOURCE
        ),
    ] = None
    checkpoint: CheckpointOption = None
    tuned: TunedOption = None
    classes: ClassesOption = None
    label: LabelOption = None
    texts: TextsOption = None
    text_file: TextFileOption = None
    guidance: GuidanceOption = 1.0
    truncation: TruncationOption = 1.0
    truncation_layers: TruncationLayersOption = None
    truncation_centres: TruncationCentresOption = None
    showing: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Only images that show it: by the probe of a direction that was found by pictures or labels.",
            rich_help_panel=SOURCE,
        ),
    ] = None
    not_showing: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only images that do not show it.", rich_help_panel=SOURCE),
    ] = None
    edit: EditOption = None
    mix: Annotated[
        str | None,
        typer.Option(
            metavar="1,5:9,12@LAYERS",
            help="Style mixing, ROWS:COLUMNS@LAYERS: each row seed takes LAYERS (coarse, middle, fine or numbers such "
            "as 0-3) from each column seed.",
            rich_help_panel=EDITS,
        ),
    ] = None
    sweep: Annotated[
        str | None,
        typer.Option(
            metavar="pca|sefa:0-3@LAYERS|label:NAME",
            help="Also write each image moved along directions in w, found by PCA or SeFa, or with other values of an "
            "attribute.",
            rich_help_panel=EDITS,
        ),
    ] = None
    palette: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,NAME",
            help="Also write each image moved along two directions of `swincli directions`.",
            rich_help_panel=EDITS,
        ),
    ] = None
    sweep_steps: Annotated[
        int,
        typer.Option(
            min=2, max=99, metavar="N", help="Images per direction of --sweep and --palette.", rich_help_panel=EDITS
        ),
    ] = 7
    sweep_range: Annotated[
        float,
        typer.Option(
            help="Distance to each side, in standard deviations of w (sefa: of w along PCA 0).", rich_help_panel=EDITS
        ),
    ] = 3.0
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Output folder; default: samples, or samples-2, ... if it holds files of these names made otherwise.",
            rich_help_panel=OUTPUT,
        ),
    ] = None
    format: Annotated[
        Format,
        typer.Option(
            help="One file per image (png, jpg, webp), or all images in one file (npz, zip) or store.",
            rich_help_panel=OUTPUT,
        ),
    ] = "png"
    grid: Annotated[
        str | None,
        typer.Option(metavar="8x4", help="Also write a grid of COLUMNS x ROWS images.", rich_help_panel=OUTPUT),
    ] = None
    grid_labels: Annotated[
        bool, typer.Option("--grid-labels", help="Label each image of the grid.", rich_help_panel=OUTPUT)
    ] = False
    preview: Annotated[
        int | None,
        typer.Option(
            metavar="SIDE",
            help="Draw the running image at SIDE px, e.g. 64, enlarged to the model's size; levels above are left out.",
            rich_help_panel=OUTPUT,
        ),
    ] = None
    save_latents: Annotated[
        Path | None,
        typer.Option(metavar="FILE.npz", help="Also write the codes of the images.", rich_help_panel=OUTPUT),
    ] = None
    save_space: Annotated[
        SaveSpace | None, typer.Option(help="Space of the saved codes; default: w_plus.", rich_help_panel=OUTPUT)
    ] = None
    attention: Annotated[
        bool,
        typer.Option(
            "--attention", help="Also write attention maps for one pixel of each image.", rich_help_panel=ATTENTION
        ),
    ] = False
    attention_layers: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Layers by the side of their maps, e.g. 16,32; 16.1 is the first block at 16.",
            rich_help_panel=ATTENTION,
        ),
    ] = None
    attention_at: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X,Y", help="Pixel that attends; default: the centre; repeatable.", rich_help_panel=ATTENTION
        ),
    ] = None
    batch: BatchOption = None
    force: ForceOption = False
    given: GivenOptions = ()

    @cached_property
    def seed_list(self) -> list[int] | None:
        """The seeds of `--seeds` and `--count`, in order; None if neither was given. Texts alone have seeds 0 to 7.

        Raises:
            UsageError: either cannot be read, `--seeds` lists several seeds beside `--count`, or a seed is too large.
        """
        listed = parsed_seeds(self.seeds)
        number = parsed_count("--count", self.count)
        if number is None:
            return list(range(SEEDS_OF_TEXT)) if listed is None and self.has_texts else listed
        if not 1 <= number <= MOST_SEEDS:
            raise UsageError(f"--count {self.count}: must be from 1 to ten million", "For example --count 50k")
        if listed is not None and len(listed) > 1:
            hint = "With --count, --seeds is the first seed only."
            raise UsageError(f"--count {self.count}: --seeds {self.seeds} already lists {len(listed):,} seeds", hint)
        first = listed[0] if listed else 0
        if first + number - 1 > LARGEST_SEED:
            raise UsageError(
                f"--count {self.count}: starting at seed {first}, it exceeds the largest seed, {LARGEST_SEED}",
                "Start at a lower seed, or draw fewer images.",
            )
        return list(range(first, first + number))

    @property
    def wanted(self) -> str | list[str] | None:
        """The labels of `--class` or `--label`."""
        return self.classes or self.label or None

    @property
    def judged_by(self) -> dict[str, tuple[str, bool]]:
        """`--showing` and `--not-showing` by option: the direction, and whether images should show it."""
        given = {"--showing": (self.showing, True), "--not-showing": (self.not_showing, False)}
        return {option: (name, shown) for option, (name, shown) in given.items() if name is not None}

    @property
    def has_texts(self) -> bool:
        """Whether texts are given."""
        return bool(self.texts) or self.text_file is not None

    @property
    def folder(self) -> Path:
        """The folder of `--out`, or the first one that is tried."""
        return DEFAULT_OUT if self.out is None else self.out

    @property
    def grid_size(self) -> tuple[int, int] | None:
        """Columns and rows of `--grid`; None if it was not given.

        Raises:
            UsageError: not a grid size.
        """
        return parsed_grid(self.grid)

    @property
    def sweeps_labels(self) -> bool:
        """Whether `--sweep` goes through values of attributes."""
        return self.sweep is not None and self.sweep.startswith("label:")

    @property
    def palette_names(self) -> list[str]:
        """The names of `--palette`."""
        return [] if self.palette is None else [name.strip() for name in self.palette.split(",")]

    def check(self) -> None:
        """Check options that can be checked without a model.

        Raises:
            UsageError: an option cannot be read, contradicts another, or needs another.
        """
        if self.has_texts and (self.latents is not None or self.mix is not None or self.classes):
            hint = "Use them with --seeds."
            raise UsageError("--text, --text-file: cannot be combined with --latents, --mix or --class", hint)
        given = [option is not None for option in (self.seed_list, self.latents, self.mix)]
        grid = self.grid_size
        if sum(given) != 1:
            raise UsageError("--seeds, --latents, --mix: give exactly one of them", "For example --seeds 0-31,45")
        if self.latents is not None and (self.wanted or self.attention):
            hint = "Use them with --seeds."
            raise UsageError("--class, --label, --attention: cannot be combined with --latents", hint)
        if self.latents is not None and self.guidance != 1.0:
            raise UsageError("--guidance: no effect on codes of --latents", "Use it with --seeds or --text.")
        if self.judged_by:
            self._check_judged(next(iter(self.judged_by)))
        if self.classes is not None and self.label:
            raise UsageError("--class, --label: a model has classes or attributes", "Give one of them.")
        if self.mix is not None and (grid or self.attention or self.sweep):
            hint = "Leave them out; --mix writes its own grid."
            raise UsageError("--grid, --attention, --sweep: cannot be combined with --mix", hint)
        if self.mix is not None and self.palette:
            raise UsageError("--palette: cannot be combined with --mix", "Leave one of them out.")
        if self.attention and self.edit:
            raise UsageError("--attention: cannot be combined with --edit", "Leave one of them out.")
        if self.palette is not None and len(set(self.palette_names)) != 2:
            raise UsageError(f"--palette {self.palette}: two directions are needed", "For example --palette smile,age")
        if self.preview is not None and self.attention:
            raise UsageError("--preview: cannot be combined with --attention", "Leave one of them out.")
        if (self.attention_layers or self.attention_at) and not self.attention:
            raise UsageError("--attention-layers, --attention-at: need --attention", "Add --attention.")
        if self.grid_labels and not grid:
            raise UsageError("--grid-labels: needs --grid", "Add --grid 8x4.")
        if self.save_latents is None and self.save_space:
            raise UsageError(f"--save-space {self.save_space}: needs --save-latents", "Add --save-latents FILE.npz.")
        if self.save_latents is not None and self.save_latents.suffix != ".npz":
            hint = "For example --save-latents codes.npz"
            raise UsageError(f"--save-latents {self.save_latents}: the file name must end in .npz", hint)
        if not (math.isfinite(self.sweep_range) and self.sweep_range > 0):
            raise UsageError(f"--sweep-range {self.sweep_range}: must be above 0 and finite", "For example 3.")
        self._check_sweeps()

    def _check_sweeps(self) -> None:
        of_labels = self.sweeps_labels
        if of_labels and self.edit:
            hint = "Leave one of them out; --label NAME=all with --edit draws edited images of all values."
            raise UsageError(f"--edit: cannot be combined with --sweep {self.sweep}", hint)
        if self.palette is None and self.sweep is None:
            hint = "Add --sweep pca:0, or --palette smile,age."
            refuse_given(self.given, ["--sweep-steps", "--sweep-range"], "without --sweep or --palette", hint)
        if self.palette is None and of_labels:
            hint = "Leave it out: numbers go over the range of training."
            refuse_given(self.given, ["--sweep-range"], f"with --sweep {self.sweep}", hint)

    def _check_judged(self, option: str) -> None:
        """The probe judges plain images of neighbouring seeds, which are the ones that are kept in the cache."""
        others = (self.latents, self.mix, self.wanted, self.edit, self.texts, self.text_file)
        if any(others) or self.truncation != 1.0 or self.guidance != 1.0:
            raise UsageError(
                f"{option}: judges plain images of seeds, without labels, texts, edits, mixing and truncation",
                "Leave the other options out.",
            )
        seeds = self.seed_list or []
        if seeds != list(range(seeds[0], seeds[0] + len(seeds))):
            raise UsageError(f"{option}: needs neighbouring seeds", "For example --count 5000 or --seeds 0-4999")
