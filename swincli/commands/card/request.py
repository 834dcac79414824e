"""`CardRequest`: the options of `swincli card`, and the checks that need no file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from swincli.commands.options import ForceOption
from swincli.errors import UsageError

if TYPE_CHECKING:
    from swincli.publishing.card import CardChoices

WORDS, HUB = "Words", "Hub"


@dataclass(frozen=True, kw_only=True)
class CardRequest:
    """The options of `swincli card`: the model, the folder, its words, and where it is sent."""

    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="Run folder, model file, builtin:NAME or hf:OWNER/NAME.")
    ]
    dest: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to make.")]
    title: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Title; default: the name of the run.", rich_help_panel=WORDS)
    ] = None
    license: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Licence of the weights, such as cc-by-4.0 or mit.", rich_help_panel=WORDS),
    ] = None
    data_credit: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Authors and licence of the training images; default: what their store says.",
            rich_help_panel=WORDS,
        ),
    ] = None
    tag: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="A further tag; repeatable.", rich_help_panel=WORDS)
    ] = None
    push: Annotated[
        str | None,
        typer.Option(metavar="OWNER/NAME", help="Send the folder to a hub, under this name.", rich_help_panel=HUB),
    ] = None
    private: Annotated[
        bool, typer.Option("--private", help="With --push: a new model is visible to you only.", rich_help_panel=HUB)
    ] = False
    force: ForceOption = False

    @property
    def choices(self) -> CardChoices:
        """The words of the card."""
        from swincli.publishing.card import CardChoices

        return CardChoices(self.title, self.license, self.data_credit, tuple(self.tag or ()), self.push)

    def check(self) -> None:
        """Check names.

        Raises:
            UsageError: a licence or a name that cannot be, or --private without --push.
        """
        if self.license is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", self.license):
            raise UsageError(f"--license {self.license}: not a licence identifier", "For example --license cc-by-4.0")
        if self.push is not None and not re.fullmatch(r"[\w.-]+/[\w.-]+", self.push):
            raise UsageError(f"--push {self.push}: not of the form OWNER/NAME", "For example --push me/cats-32")
        if self.private and self.push is None:
            raise UsageError("--private: needs --push", "Add --push OWNER/NAME.")
