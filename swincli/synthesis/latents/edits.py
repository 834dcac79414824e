"""Edits: images moved along directions with names, in steps of their standard deviations."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from swincli.errors import UsageError
from swincli.model.files.model_file import Model
from swincli.synthesis.latents.named_directions import NamedDirection, open_direction
from swincli.synthesis.latents.style_channels import with_channel_inputs

EXAMPLE = "For example --edit smile=+1.5,age=-1"


@dataclass(frozen=True)
class Amount:
    """How far to move along a direction: its name or file, and steps of its standard deviation."""

    name: str
    steps: float

    def __str__(self) -> str:
        return f"{self.name}={self.steps:+g}"


def parse_edit(text: str) -> list[Amount]:
    """Parse "smile=+1.5,age=-1".

    Raises:
        ValueError: the text cannot be parsed; the message is complete.
    """
    amounts = []
    for part in text.split(","):
        name, equals, value = part.strip().rpartition("=")
        try:
            steps = float(value)
        except ValueError:
            steps = math.nan
        if not equals or not name or not math.isfinite(steps):
            raise ValueError(f"{part.strip()!r} is not a direction and a number, such as smile=+1.5")
        amounts.append(Amount(name, steps))
    return amounts


@dataclass(frozen=True, eq=False)
class Editor:
    """Moves codes along K directions.

    Attributes:
        model: The model that draws the moved codes. With directions of style channels it is a copy whose codes have
            more numbers.
        directions: The directions.
    """

    model: Model
    directions: tuple[NamedDirection, ...]

    @property
    def moves_channels(self) -> bool:
        """Whether a direction moves style channels; moved codes are then no codes of w+."""
        return any(direction.space == "style" for direction in self.directions)

    def move(self, w_plus: Tensor, steps: Tensor) -> Tensor:
        """Move w+ `[B, L, latent_dim]` by some steps along every direction, `[K]` or one row an image, `[B, K]`.

        Returns:
            `[B, L, latent_dim]`, or with more numbers for style channels.
        """
        rows = steps.to(w_plus).expand(len(w_plus), -1)
        moved, added = w_plus.clone(), []
        for number, direction in enumerate(self.directions):
            if direction.space == "style":
                added.append(rows[:, number, None, None].expand(-1, w_plus.shape[1], 1) * direction.sigma)
            else:
                step = direction.vector.to(w_plus) * direction.sigma
                moved[:, list(direction.layers)] += (rows[:, number, None] * step)[:, None]
        return torch.cat([moved, *added], dim=2) if added else moved


def make_editor(model: Model, directions: Sequence[NamedDirection]) -> Editor:
    """An editor of a model; the model stays as it is."""
    moves = [
        list(zip(direction.channels, direction.vector.tolist(), strict=True))
        for direction in directions
        if direction.space == "style"
    ]
    if not moves:
        return Editor(model, tuple(directions))
    return Editor(replace(model, generator=with_channel_inputs(model.generator, moves)), tuple(directions))


@dataclass(frozen=True, eq=False)
class Edits:
    """Lists of edits for one editor.

    Attributes:
        editor: Knows every direction of the lists.
        steps: `[E, K]`: steps of each list along each direction.
        note: What is done, for notes in files.
    """

    editor: Editor
    steps: Tensor
    note: str


def open_edits(model: Model, lists: Sequence[Sequence[Amount]]) -> Edits:
    """Open the directions of lists of edits. A direction that is named twice in a list moves by the sum.

    Raises:
        SwincliError: as in `open_direction`.
    """
    names = list(dict.fromkeys(amount.name for one in lists for amount in one))
    directions = []
    for name in names:
        try:
            directions.append(open_direction(model, name))
        except UsageError as error:
            raise UsageError(f"--edit {error.message}", error.hint) from None
    steps = torch.zeros(len(lists), len(names), dtype=torch.float64)
    for row, one in enumerate(lists):
        for amount in one:
            steps[row, names.index(amount.name)] += amount.steps
    return Edits(make_editor(model, directions), steps, edit_note(lists, directions))


def edit_note(lists: Sequence[Sequence[Amount]], directions: Iterable[NamedDirection]) -> str:
    """What lists of edits do, for notes in files: the lists, and hashes of their directions."""
    said = ";".join(",".join(map(str, one)) for one in lists)
    return f"edit={said} directions={'+'.join(direction.digest for direction in directions)}"
