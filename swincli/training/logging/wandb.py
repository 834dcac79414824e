"""The Weights & Biases tracker: scalars, sample grids and the recipe, by images seen."""

from __future__ import annotations

import importlib
import secrets
from collections.abc import Mapping
from typing import Any

from PIL import Image

from swincli.errors import ResourceError
from swincli.recipe import Recipe
from swincli.recipe.private import without_private_keys
from swincli.system.atomic_files import write_atomically
from swincli.system.packages import missing_package
from swincli.training.run.folder import RunFolder

FINISH_SECONDS = 300.0  # the longest wait for uploads at the end of a run; `wandb sync` sends the rest
_HINT = "Run `wandb login`, set WANDB_MODE=offline in the environment, or --set run.wandb=null."


def find_wandb() -> Any:
    """Import the package wandb.

    Raises:
        ResourceError: it is not installed.
    """
    try:
        package = importlib.import_module("wandb")
    except ImportError:
        package = None
    if not hasattr(package, "init"):  # a folder named wandb, which the package itself leaves, is importable too
        raise missing_package("run.wandb", "wandb", otherwise=", or --set run.wandb=null")
    return package


class WandbLog:
    """One W&B run for all sessions of a run; its id is kept in the run folder.

    Args:
        project: W&B project.
        folder: The run folder.
        recipe: The experiment; becomes the W&B config.
        images_seen: Images seen at the start of the session; earlier values were sent before.
        quiet: Do not print the address of the W&B run.

    Raises:
        ResourceError: the package is missing or cannot start: not logged in, or no network.
    """

    name = "Weights & Biases"

    def __init__(
        self, project: str, folder: RunFolder, recipe: Recipe, images_seen: int, *, quiet: bool = False
    ) -> None:
        self._wandb = find_wandb()
        id_file = folder.path / "wandb-id.txt"
        known = id_file.exists()
        name = id_file.read_text(encoding="utf-8").strip() if known else secrets.token_hex(4)
        try:
            self._run = self._wandb.init(
                project=project,
                name=folder.path.resolve().name,
                id=name,
                resume="allow",
                dir=str(folder.path),
                config=without_private_keys(recipe).model_dump(mode="json"),
                allow_val_change=True,
                settings={"console": "off", "quiet": True, "silent": quiet, "finish_timeout": FINISH_SECONDS},
            )
            self._run.define_metric("images_seen")
            self._run.define_metric("*", step_metric="images_seen")
            sent = int(self._run.summary.get("images_seen", 0))
        except Exception as error:  # wandb raises many classes of errors
            raise ResourceError(f"run.wandb: Weights & Biases cannot start: {error}", _HINT) from error
        write_atomically(id_file, lambda path: path.write_text(f"{name}\n", encoding="utf-8"))
        # An earlier session has sent values up to the start of this one, and possibly later ones before it was killed.
        self._first = max(images_seen, sent)
        self._first_picture = max(images_seen + 1, sent) if known else 0

    def scalars(self, images_seen: int, values: Mapping[str, float]) -> None:
        """Send scalars by tag."""
        if images_seen >= self._first:
            self._run.log({**values, "images_seen": images_seen})

    def image(self, images_seen: int, tag: str, picture: Image.Image) -> None:
        """Send one RGB image."""
        if images_seen >= self._first_picture:
            self._run.log({tag: self._wandb.Image(picture), "images_seen": images_seen})

    def text(self, images_seen: int, tag: str, content: str) -> None:
        """Do nothing: the recipe is the run's config."""

    def flush(self) -> None:
        """Do nothing: wandb writes in its own process."""

    def close(self) -> None:
        """Finish the W&B run; waits for uploads for at most `FINISH_SECONDS`."""
        self._run.finish()
