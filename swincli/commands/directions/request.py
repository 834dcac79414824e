"""Requests of `swincli directions`: the options of each verb, and the checks that need no model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import typer

from swincli.commands.options import CheckpointOption, ForceOption, measured_images, parsed_seeds, refuse_given
from swincli.commands.typer_command import GivenOptions
from swincli.errors import UsageError

FOUND_BY, SHAPE, OUTPUT = "Found by", "Shape", "Output"
SOURCES = ("positive", "scores", "label", "text", "component")
MOST_IMAGES = 1_000_000

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the direction, such as glasses.")]
OutOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="File of the direction; default: directions/MODEL/NAME.safetensors beside the model, or in the cache for "
        "models that come along.",
        rich_help_panel=OUTPUT,
    ),
]


@dataclass(frozen=True, kw_only=True)
class FindRequest:
    """The options of `swincli directions find`."""

    name: NameArgument
    checkpoint: CheckpointOption = None
    positive: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Pictures that show it, with --negative.", rich_help_panel=FOUND_BY),
    ] = None
    negative: Annotated[
        str | None, typer.Option(metavar="DIR", help="Pictures that do not.", rich_help_panel=FOUND_BY)
    ] = None
    scores: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv", help="Scores of the model's images: columns seed,score.", rich_help_panel=FOUND_BY
        ),
    ] = None
    label: Annotated[
        str | None,
        typer.Option(
            metavar="[NAME=]VALUE",
            help="A label of the pictures of --data, against all others; without --data, an attribute or class of the "
            "model. Of a flag or a number the NAME alone.",
            rich_help_panel=FOUND_BY,
        ),
    ] = None
    data: Annotated[
        str | None,
        typer.Option(
            metavar="STORE", help="A store with labels, or builtin:cats:5000, for --label.", rich_help_panel=FOUND_BY
        ),
    ] = None
    text: Annotated[
        str | None,
        typer.Option(metavar="WORDS", help="A text, for models of texts.", rich_help_panel=FOUND_BY),
    ] = None
    component: Annotated[
        str | None,
        typer.Option(
            metavar="pca|sefa:N@LAYERS", help="Give a name to a component of PCA or SeFa.", rich_help_panel=FOUND_BY
        ),
    ] = None
    num: Annotated[
        str, typer.Option(metavar="N", help="Generated images that are judged.", rich_help_panel=FOUND_BY)
    ] = "2000"
    share: Annotated[
        float,
        typer.Option(
            min=0.001,
            max=0.5,
            help="Share of images with the highest and with the lowest scores.",
            rich_help_panel=FOUND_BY,
        ),
    ] = 0.1
    orthogonal_to: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES", help="Take out what these directions have in common with it.", rich_help_panel=SHAPE
        ),
    ] = None
    layers: Annotated[
        str,
        typer.Option(metavar="LAYERS", help="Codes to move: coarse, middle, fine or numbers.", rich_help_panel=SHAPE),
    ] = "all"
    flip: Annotated[bool, typer.Option("--flip", help="Turn the direction around.", rich_help_panel=SHAPE)] = False
    out: OutOption = None
    force: ForceOption = False
    given: GivenOptions = ()

    @property
    def found_by(self) -> str:
        """The one of `SOURCES` that was given."""
        return next(name for name in SOURCES if getattr(self, name) is not None)

    @cached_property
    def images(self) -> int:
        """Number of generated images.

        Raises:
            UsageError: not a number, or too few.
        """
        return measured_images(self.num, 40, MOST_IMAGES)

    @property
    def orthogonal_names(self) -> list[str]:
        """The names of `--orthogonal-to`."""
        return [] if self.orthogonal_to is None else [name.strip() for name in self.orthogonal_to.split(",")]

    def check(self) -> None:
        """Check options that can be checked without a model.

        Raises:
            UsageError: an option cannot be read, or not exactly one way to find it was given.
        """
        given = [f"--{name}" for name in SOURCES if getattr(self, name) is not None]
        if len(given) != 1:
            said = " and ".join(given) or "nothing"
            raise UsageError(
                f"directions find: exactly one of --positive, --scores, --label, --text and --component, not {said}",
                "For example --positive smiling/ --negative neutral/",
            )
        if (self.positive is None) != (self.negative is None):
            raise UsageError("--positive, --negative: give both", "--negative has pictures that do not show it.")
        if self.data is not None and self.label is None:
            raise UsageError("--data: goes with --label", "For example --label eyes=glasses --data builtin:cats:5000")
        if self.component is not None and self.layers != "all":
            raise UsageError(
                "--layers: the layers of a component stand behind it", "For example --component pca:3@fine"
            )
        self._check_images()

    def _check_images(self) -> None:
        """`--scores` names the images itself, a component needs none; only scores have a highest and a lowest share."""
        _ = self.images
        by = f"--{self.found_by}"
        if by in ("--scores", "--component"):
            refuse_given(self.given, ["--num"], f"with {by}", "Leave it out.")
        if by in ("--text", "--component"):
            refuse_given(self.given, ["--share"], f"with {by}", "Leave it out.")
        if by == "--label" and self.data is None:
            hint = "Add --data STORE to judge images by its labels, or leave it out."
            refuse_given(self.given, ["--share"], "with --label of the model itself", hint)


@dataclass(frozen=True, kw_only=True)
class ExamplesRequest:
    """The options of `swincli directions from-examples`."""

    name: NameArgument
    positive: Annotated[
        str,
        typer.Option(
            metavar="SEEDS|FILE|DIR", help="10 to 30 examples: seeds, or codes (.npz), such as those of `project`."
        ),
    ]
    checkpoint: CheckpointOption = None
    rank: Annotated[int, typer.Option(min=1, metavar="N", help="Save the channel of this rank.")] = 1
    channels: Annotated[
        int, typer.Option(min=1, metavar="N", help="Save so many channels together, from --rank on.")
    ] = 1
    top: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="Number of channels to list.")] = 10
    out: OutOption = None
    force: ForceOption = False

    def check(self) -> None:
        """Check options that can be checked without a model.

        Raises:
            UsageError: the rank is not among those that are listed.
        """
        last = self.rank + self.channels - 1
        if last > self.top:
            raise UsageError(f"--rank, --channels: only {self.top} channels are listed", f"Add --top {last}.")


@dataclass(frozen=True, kw_only=True)
class ListRequest:
    """The options of `swincli directions list`."""

    checkpoint: CheckpointOption = None

    def check(self) -> None:
        """Check nothing."""


@dataclass(frozen=True, kw_only=True)
class ShowRequest:
    """The options of `swincli directions show`."""

    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="Name or file of a direction.")]
    checkpoint: CheckpointOption = None
    seeds: Annotated[str, typer.Option(metavar="LIST", help="Rows of the strip.")] = "0-3"
    reach: Annotated[float, typer.Option("--range", min=1, max=50, help="Largest step, in standard deviations.")] = 3.0
    num: Annotated[int, typer.Option(min=1, max=10_000, metavar="N", help="Images that are measured.")] = 64
    region: Annotated[
        str | None,
        typer.Option(metavar="X,Y,W,H", help="Where the change should be, in pixels, for locality."),
    ] = None
    data: Annotated[str | None, typer.Option(metavar="STORE", help="Real images, for the distance from them.")] = None
    out: Annotated[Path | None, typer.Option(metavar="FILE.png", help="The strip; default: NAME.png.")] = None
    force: ForceOption = False

    @cached_property
    def seed_list(self) -> list[int]:
        """The seeds of the rows.

        Raises:
            UsageError: not a list of seeds.
        """
        return parsed_seeds(self.seeds) or []

    def check(self) -> None:
        """Check options that can be checked without a model.

        Raises:
            UsageError: an option cannot be read.
        """
        _ = self.seed_list
        if self.out is not None and self.out.suffix != ".png":
            raise UsageError(f"--out {self.out}: the file name must end in .png", "For example --out smile.png")


@dataclass(frozen=True, kw_only=True)
class RenameRequest:
    """The options of `swincli directions rename`."""

    old: Annotated[str, typer.Argument(metavar="OLD", help="Name of a direction.")]
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")]
    checkpoint: CheckpointOption = None
    force: ForceOption = False

    def check(self) -> None:
        """Check nothing."""
