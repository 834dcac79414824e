"""Where a run is watched from outside: TensorBoard and Weights & Biases. Neither can stop a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from PIL import Image

from swincli.console import Console
from swincli.errors import ResourceError
from swincli.recipe import Recipe, dump_recipe
from swincli.training.run.folder import RunFolder

# Larger grids are shown at a half of their size, or a third; whole ones lie in the run's folder. TensorBoard's checksum
# is computed in Python, at 0.2 s a MiB.
LARGEST_SIDE = 2048
_TAGS = {"sec_per_kimg": "time/sec_per_kimg", "seconds": "time/seconds", "g_lr": "lr/g", "d_lr": "lr/d"}


class Board(Protocol):
    """A place that scalars, pictures and texts are sent to, by tag and images seen."""

    name: str

    def scalars(self, images_seen: int, values: Mapping[str, float]) -> None:
        """Send numbers by tag."""

    def picture(self, images_seen: int, tag: str, picture: Image.Image) -> None:
        """Send one RGB picture."""

    def text(self, images_seen: int, tag: str, content: str) -> None:
        """Send a text."""

    def flush(self) -> None:
        """Put everything where a kill cannot reach it."""

    def close(self) -> None:
        """Flush, and end."""


class Boards:
    """The boards of a run; one that fails is named in a warning and used no more."""

    def __init__(self, console: Console, boards: list[Board] | None = None) -> None:
        self._console, self._boards = console, list(boards or [])

    def stats(self, images_seen: int, values: Mapping[str, float]) -> None:
        """Send what a line of stats.jsonl holds; names without a group get one."""
        tagged = {_TAGS.get(name, name): float(value) for name, value in values.items() if name != "images_seen"}
        self._each(lambda board: board.scalars(images_seen, tagged))

    def metrics(self, images_seen: int, values: Mapping[str, float]) -> None:
        """Send a measurement; it is on the disk when this returns, as its line of metrics.jsonl is."""
        tagged = {f"metric/{name}": value for name, value in values.items()}
        self._each(lambda board: board.scalars(images_seen, tagged))
        self.flush()

    def picture(self, images_seen: int, tag: str, path: Path) -> None:
        """Send a picture file where there is one."""
        if not self._boards:
            return
        try:
            with Image.open(path) as picture:
                shown = picture.convert("RGB")
        except FileNotFoundError:
            return
        except OSError as error:
            self._console.warn(f"{path} is not shown: {error}")
            return
        shown = shown.reduce(max(1, -(-max(shown.size) // LARGEST_SIDE)))
        self._each(lambda board: board.picture(images_seen, tag, shown))

    def text(self, images_seen: int, tag: str, content: str) -> None:
        """Send a text."""
        self._each(lambda board: board.text(images_seen, tag, content))

    def flush(self) -> None:
        """Put everything where a kill cannot reach it."""
        self._each(lambda board: board.flush())

    def close(self) -> None:
        """End all boards."""
        self._each(lambda board: board.close())
        self._boards = []

    def _each(self, use: Callable[[Board], None]) -> None:
        for board in list(self._boards):
            try:
                use(board)
            except Exception as error:  # whatever a board raises, the run is worth more
                self._boards.remove(board)
                self._console.warn(f"{board.name} is written no more, training goes on: {error}")


def check_boards(recipe: Recipe) -> None:
    """Look for the package of every board that a recipe asks for.

    Raises:
        ResourceError: one is not installed.
    """
    if recipe.run.wandb is not None:
        from swincli.training.logging.wandb import find_wandb

        find_wandb()


def open_boards(recipe: Recipe, folder: RunFolder, images_seen: int, console: Console) -> Boards:
    """Open what a recipe asks for, and show the recipe and the pictures that are there already.

    TensorBoard's folder not being writable is a warning. Weights & Biases not starting is an error where a run begins,
    which loses nothing, and a warning where one goes on: a job that a scheduler restarts at night is to train.

    Raises:
        ResourceError: Weights & Biases is asked for and not installed, or a new run cannot report to it.
    """
    check_boards(recipe)
    boards: list[Board] = []
    if recipe.run.wandb is not None:
        from swincli.training.logging.wandb import WandbLog

        try:
            boards.append(WandbLog(recipe.run.wandb, folder, recipe, images_seen, quiet=console.quiet))
        except ResourceError as error:
            if images_seen == 0:
                raise
            console.warn(f"training goes on without Weights & Biases: {error.message}")
    if recipe.run.tensorboard:
        try:
            from swincli.training.logging.tensorboard import TensorBoardLog

            boards.append(TensorBoardLog(folder.path / "tensorboard", images_seen))
        except Exception as error:  # the disk, or another version of protobuf
            console.warn(f"TensorBoard is not written, training goes on: {error}")
    opened = Boards(console, boards)
    opened.text(images_seen, "recipe", dump_recipe(recipe))
    opened.picture(0, "reals", folder.path / "reals.png")
    opened.picture(images_seen, "samples", folder.samples(images_seen))
    return opened
