"""`InterpolateRequest`: the options of `swincli interpolate`, and the checks that need no model."""

from __future__ import annotations

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
    parsed_grid,
    parsed_seeds,
)
from swincli.errors import UsageError

DEFAULT_OUT = Path("walk.mp4")
WALK, VIDEO = "Walk", "Video"


@dataclass(frozen=True, kw_only=True)
class InterpolateRequest:
    """The options of `swincli interpolate`: the key frames, the path between them, and the video."""

    seeds: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Key frames: seeds and ranges of seeds, e.g. 1,5,9.", rich_help_panel=SOURCE),
    ] = None
    latents: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE.npz",
            help="More key frames: codes, e.g. written by `project`; repeatable.",
            rich_help_panel=SOURCE,
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
    edit: EditOption = None
    mix: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SEED@LAYERS",
            help="Keep LAYERS (coarse, middle, fine or numbers such as 0-3) fixed at those of SEED; repeatable.",
            rich_help_panel=WALK,
        ),
    ] = None
    space: Annotated[
        Literal["w", "z"], typer.Option(help="Interpolate linearly in w, or spherically in z.", rich_help_panel=WALK)
    ] = "w"
    curve: Annotated[
        Literal["linear", "spline"],
        typer.Option(help="Path in w: straight lines, or one smooth spline.", rich_help_panel=WALK),
    ] = "linear"
    loop: Annotated[bool, typer.Option("--loop", help="Return to the first key frame.", rich_help_panel=WALK)] = False
    frames: Annotated[
        str,
        typer.Option(
            metavar="N|LIST",
            help="Frames between two key frames: one number for all, or one for each pair, e.g. 60,30.",
            rich_help_panel=WALK,
        ),
    ] = "60"
    easing: Annotated[
        Literal["none", "smooth", "smoother"], typer.Option(help="Slow down near key frames.", rich_help_panel=WALK)
    ] = "none"
    pace: Annotated[
        Literal["latent", "perceptual"],
        typer.Option(help="Equal steps in latent space, or equal perceived steps.", rich_help_panel=WALK),
    ] = "latent"
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|DIR",
            help="A .mp4, .gif or .webp file, or a folder for PNGs; default: walk.mp4, or the next free "
            "walk-2.mp4, ...",
            rich_help_panel=VIDEO,
        ),
    ] = None
    fps: Annotated[float, typer.Option(help="Frames per second.", rich_help_panel=VIDEO)] = 30.0
    quality: Annotated[int, typer.Option(min=1, max=100, help="Quality of .mp4 and .webp.", rich_help_panel=VIDEO)] = 85
    grid: Annotated[
        str | None,
        typer.Option(
            metavar="3x2", help="Several walks side by side, which divide the key frames.", rich_help_panel=VIDEO
        ),
    ] = None
    enlarge: Annotated[
        int, typer.Option(min=1, max=64, metavar="N", help="Draw each pixel as N x N pixels.", rich_help_panel=VIDEO)
    ] = 1
    batch: BatchOption = None
    force: ForceOption = False

    @cached_property
    def seed_list(self) -> list[int]:
        """The seeds of `--seeds`, in order; with texts and without it, seed 0.

        Raises:
            UsageError: not a list of seeds.
        """
        return parsed_seeds(self.seeds) or ([0] if self.has_texts else [])

    @property
    def has_texts(self) -> bool:
        """Whether texts are given."""
        return bool(self.texts) or self.text_file is not None

    @property
    def wanted(self) -> str | list[str] | None:
        """The labels of `--class` or `--label`."""
        return self.classes or self.label or None

    @property
    def grid_size(self) -> tuple[int, int]:
        """Columns and rows of walks.

        Raises:
            UsageError: not a grid size.
        """
        return parsed_grid(self.grid) or (1, 1)

    def check(self) -> None:
        """Check options that can be checked without a model.

        Raises:
            UsageError: an option cannot be read, contradicts another, or needs another.
        """
        seeds, _ = self.seed_list, self.grid_size
        if self.has_texts and (self.classes is not None or self.space == "z"):
            raise UsageError("--text, --text-file: cannot be combined with --class or --space z", "Leave them out.")
        if not seeds and not self.latents:
            raise UsageError("--seeds, --latents: give key frames by one of them", "For example --seeds 1,5,9")
        if self.guidance != 1.0 and not seeds and not self.mix:
            raise UsageError("--guidance: no effect on codes of --latents", "Use it with --seeds or --text.")
        if self.wanted and not seeds:
            raise UsageError("--class, --label: need --seeds", "Leave them out.")
        if self.classes is not None and self.label:
            raise UsageError("--class, --label: a model has classes or attributes", "Give one of them.")
        if self.space == "z" and self.curve == "spline":
            raise UsageError("--curve spline: cannot be combined with --space z", "Leave out --space z.")
        if self.space == "z" and self.truncation_centres is not None:
            hint = "Leave out --space z; in w only the key frames are truncated."
            raise UsageError("--truncation-centres: in z, the nearest centre would change from frame to frame", hint)
        if self.space == "z" and self.edit:
            raise UsageError("--edit: cannot be combined with --space z", "Leave out --space z.")
        if self.pace == "perceptual" and (self.easing != "none" or "," in self.frames):
            raise UsageError(
                "--pace perceptual: cannot be combined with --easing or a list of --frames",
                "It makes all steps equal. Leave out --easing, and give one number of --frames.",
            )
