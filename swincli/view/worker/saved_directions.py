"""The directions with names that are saved for the open model, as `swincli directions find` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from swincli.errors import SwincliError, UsageError
from swincli.model.files.model_file import Model
from swincli.synthesis.latents.named_directions import NamedDirection, check_name, known_directions, read_direction

_FIND = "Find one: swincli directions find NAME --positive DIR --negative DIR"


class SavedDirections:
    """The named directions of a model. Only files of its own folder are read, whatever a page asks for."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._read: dict[tuple[Path, int], NamedDirection] = {}  # by file and its time
        self._known: dict[str, NamedDirection] | None = None
        self._refused: list[str] = []

    def look_again(self) -> None:
        """Read what is new in the folder, and forget what is gone.

        Raises:
            SwincliError: there is no place for directions, or the model's file is gone.
        """
        known, read = dict[str, NamedDirection](), dict[tuple[Path, int], NamedDirection]()
        self._refused = []
        for name, path in known_directions(self.model).items():
            try:
                key = path, path.stat().st_mtime_ns
                read[key] = self._read.get(key) or read_direction(path, self.model)
                known[check_name(name)] = read[key]
            except OSError:  # gone meanwhile
                continue
            except SwincliError as error:
                self._refused.append(error.message)
        self._known, self._read = known, read

    def names(self, layers: Sequence[int]) -> list[str]:
        """Names of the directions in w that move one of some codes of w+, sorted."""
        return [name for name, one in self._all().items() if one.space == "w" and set(one.layers) & set(layers)]

    def get(self, name: str) -> NamedDirection:
        """A direction in w.

        Raises:
            UsageError: there is none of this name.
        """
        found = self._all().get(name)
        if found is None or found.space != "w":
            raise UsageError(f"named:{name}: this model has no such direction in w", _FIND)
        return found

    def step(self, name: str, layers: Sequence[int]) -> Tensor:
        """A step of 1 in some codes, `[len(layers), latent_dim]`; zero in codes that the direction does not move.

        Raises:
            UsageError: there is no direction of this name.
        """
        found = self.get(name)
        step = (found.vector * found.sigma).expand(len(layers), -1).clone()
        step[[layer not in found.layers for layer in layers]] = 0
        return step

    def remark(self, layers: Sequence[int]) -> str | None:
        """What has no slider and why; None if everything has one."""
        known, shown = self._all(), self.names(layers)
        channels = [name for name, one in known.items() if one.space == "style"]
        elsewhere = [name for name in known if name not in shown and name not in channels]
        words = list(self._refused)
        if channels:
            words.append(f"Directions of style channels have no slider ({', '.join(channels)}): use sample --edit.")
        if elsewhere:
            words.append(f"Only other layers are moved by {', '.join(elsewhere)}.")
        if not known and not self._refused:
            words.append(f"None saved for this model. {_FIND}")
        return " ".join(words) or None

    def _all(self) -> dict[str, NamedDirection]:
        if self._known is None:
            self.look_again()
        return self._known or {}
