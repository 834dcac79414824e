"""Experiment trackers: TensorBoard and Weights & Biases. A tracker that fails is dropped; the run goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from PIL import Image

from swincli.console import Console
from swincli.errors import ResourceError
from swincli.recipe import Recipe
from swincli.recipe.private import dump_public_recipe
from swincli.training.run.folder import RunFolder

# Pixels. Larger grids are sent at 1/2 or 1/3 of their size; the run folder has them in full size. TensorBoard computes
# checksums in Python, which takes 0.2 s per MiB.
LARGEST_SIDE = 2048
_TAGS = {"sec_per_kimg": "time/sec_per_kimg", "seconds": "time/seconds", "g_lr": "lr/g", "d_lr": "lr/d"}


class Tracker(Protocol):
    """Receives scalars, images and texts by tag and images seen."""

    name: str

    def scalars(self, images_seen: int, values: Mapping[str, float]) -> None:
        """Send scalars by tag."""

    def image(self, images_seen: int, tag: str, picture: Image.Image) -> None:
        """Send one RGB image."""

    def text(self, images_seen: int, tag: str, content: str) -> None:
        """Send a text."""

    def flush(self) -> None:
        """Make everything so far survive a kill."""

    def close(self) -> None:
        """Flush and close."""


class Trackers:
    """All trackers of a run; one that raises is named in a warning and dropped."""

    def __init__(self, console: Console, trackers: list[Tracker] | None = None) -> None:
        self._console, self._trackers = console, list(trackers or [])

    def stats(self, images_seen: int, values: Mapping[str, float]) -> None:
        """Send a line of stats.jsonl; names without a group get one."""
        tagged = {_TAGS.get(name, name): float(value) for name, value in values.items() if name != "images_seen"}
        self._each(lambda tracker: tracker.scalars(images_seen, tagged))

    def metrics(self, images_seen: int, values: Mapping[str, float]) -> None:
        """Send a measurement and flush, as its line of metrics.jsonl is on disk too."""
        tagged = {f"metric/{name}": value for name, value in values.items()}
        self._each(lambda tracker: tracker.scalars(images_seen, tagged))
        self.flush()

    def image(self, images_seen: int, tag: str, path: Path) -> None:
        """Send an image file, if it exists."""
        if not self._trackers:
            return
        try:
            with Image.open(path) as picture:
                shown = picture.convert("RGB")
        except FileNotFoundError:
            return
        except OSError as error:
            self._console.warn(f"{path}: not sent to the trackers: {error}")
            return
        shown = shown.reduce(max(1, -(-max(shown.size) // LARGEST_SIDE)))
        self._each(lambda tracker: tracker.image(images_seen, tag, shown))

    def text(self, images_seen: int, tag: str, content: str) -> None:
        """Send a text."""
        self._each(lambda tracker: tracker.text(images_seen, tag, content))

    def flush(self) -> None:
        """Make everything so far survive a kill."""
        self._each(lambda tracker: tracker.flush())

    def close(self) -> None:
        """Close all trackers."""
        self._each(lambda tracker: tracker.close())
        self._trackers = []

    def _each(self, use: Callable[[Tracker], None]) -> None:
        for tracker in list(self._trackers):
            try:
                use(tracker)
            except Exception as error:  # no error of a tracker may stop the run
                self._trackers.remove(tracker)
                self._console.warn(f"{tracker.name}: logging stopped, training goes on: {error}")


def check_trackers(recipe: Recipe) -> None:
    """Check that the packages of all trackers in a recipe are installed.

    Raises:
        ResourceError: one is not installed.
    """
    if recipe.run.wandb is not None:
        from swincli.training.logging.wandb import find_wandb

        find_wandb()


def open_trackers(recipe: Recipe, folder: RunFolder, images_seen: int, console: Console) -> Trackers:
    """Open the trackers of a recipe; send the recipe and the existing grids.

    If TensorBoard's folder cannot be written, that is a warning. If Weights & Biases cannot start, that is an error for
    a new run, which has nothing to lose, and a warning for a resumed one: a job that a scheduler restarts should train.

    Raises:
        ResourceError: Weights & Biases is not installed, or cannot start for a new run.
    """
    check_trackers(recipe)
    trackers: list[Tracker] = []
    if recipe.run.wandb is not None:
        from swincli.training.logging.wandb import WandbLog

        try:
            trackers.append(WandbLog(recipe.run.wandb, folder, recipe, images_seen, quiet=console.quiet))
        except ResourceError as error:
            if images_seen == 0:
                raise
            console.warn(f"no logging to Weights & Biases, training goes on: {error.message}")
    if recipe.run.tensorboard:
        try:
            from swincli.training.logging.tensorboard import TensorBoardLog

            trackers.append(TensorBoardLog(folder.path / "tensorboard", images_seen))
        except Exception as error:  # a full disk, or an incompatible protobuf
            console.warn(f"no logging to TensorBoard, training goes on: {error}")
    opened = Trackers(console, trackers)
    opened.text(images_seen, "recipe", dump_public_recipe(recipe))
    opened.image(0, "reals", folder.path / "reals.png")
    opened.image(images_seen, "samples", folder.samples(images_seen))
    return opened
