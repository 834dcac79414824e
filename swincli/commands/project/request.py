"""`ProjectRequest`: the options of `swincli project`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from swincli.commands.options import BatchOption, CheckpointOption, ForceOption, refuse_given
from swincli.commands.typer_command import GivenOptions
from swincli.errors import UsageError
from swincli.units import LARGEST_SEED

INPUT, OPTIMISATION, OUTPUT = "Pictures", "Optimisation", "Output"


@dataclass(frozen=True, kw_only=True)
class ProjectRequest:
    """The options of `swincli project`: which pictures, how codes are optimised, and which files are written."""

    images: Annotated[list[str], typer.Argument(metavar="IMAGE", help="Picture files, or folders or zips of pictures.")]
    checkpoint: CheckpointOption = None
    crop: Annotated[
        Literal["center", "none"],
        typer.Option(help="Cut out the largest central square, or accept only square pictures.", rich_help_panel=INPUT),
    ] = "center"
    space: Annotated[
        Literal["w", "w+"],
        typer.Option(
            help="w stays close to images that the model generates; w+ comes closer to the picture.",
            rich_help_panel=OPTIMISATION,
        ),
    ] = "w"
    steps: Annotated[
        int, typer.Option(min=1, metavar="N", help="Optimisation steps (Adam).", rich_help_panel=OPTIMISATION)
    ] = 1000
    loss: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Network of the perceptual loss: discriminator, stlpips, inception, none, or a TorchScript file such "
            "as vgg16.pt; default: the model's own discriminator, else stlpips.",
            rich_help_panel=OPTIMISATION,
        ),
    ] = None
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the noise.", rich_help_panel=OPTIMISATION)
    ] = 0
    tune: Annotated[
        bool,
        typer.Option(
            "--tune",
            help="Also fine-tune the generator to the pictures (pivotal tuning); writes tuned.safetensors.",
            rich_help_panel=OPTIMISATION,
        ),
    ] = False
    tune_steps: Annotated[
        int, typer.Option(min=1, metavar="N", help="Fine-tuning steps per batch.", rich_help_panel=OPTIMISATION)
    ] = 350
    out: Annotated[Path, typer.Option(metavar="DIR", help="Output folder.", rich_help_panel=OUTPUT)] = Path(
        "projections"
    )
    video: Annotated[
        bool, typer.Option("--video", help="Also write a video of the optimisation.", rich_help_panel=OUTPUT)
    ] = False
    batch: BatchOption = None
    force: ForceOption = False
    given: GivenOptions = ()

    def check(self) -> None:
        """Check that there are pictures, and that options have an effect.

        Raises:
            UsageError: there are none, or one has none.
        """
        if not self.tune:
            refuse_given(self.given, ["--tune-steps"], "without --tune", "Add --tune.")
        if not self.images:
            raise UsageError("IMAGE: name at least one picture", "For example swincli project portrait.jpg")
