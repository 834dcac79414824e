"""Snapshots of power-function EMAs, `averages/power-WIDTH-IMAGES.safetensors`; `convert` reconstructs other EMAs.

Weights are float16, as in the paper. This halves the largest files of such a run and rounds a weight by 0.02 % on
average. The training state has the EMAs in float32, so training is not affected.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from swincli.errors import CheckpointError
from swincli.model.files.ancestry import ancestry_note
from swincli.model.files.label_notes import label_notes
from swincli.model.files.snapshot import Weights
from swincli.model.files.tensor_file import read_about, read_tensors, write_tensors
from swincli.recipe.private import dump_public_recipe
from swincli.training.ema.power_profiles import PowerProfile

if TYPE_CHECKING:
    from swincli.training.run.folder import RunFolder
    from swincli.training.run.state import TrainingState

FORMAT = "swincli-power-1"
HINT = "Move it away: the others still give any width, a little less exactly."
METADATA = "swincli-power"  # not a model's key, so that no snapshot is opened as a model


@dataclass(frozen=True)
class PowerSnapshot:
    """A snapshot file before its weights are read.

    Attributes:
        path: The file.
        profile: Width and images seen.
        about: All of its metadata.
    """

    path: Path
    profile: PowerProfile
    about: dict[str, Any]


def snapshot_path(run: Path, profile: PowerProfile) -> Path:
    """Path of a snapshot in a run folder."""
    return run / "averages" / f"power-{profile.width}-{profile.images_seen:012d}.safetensors"


def save_power_snapshots(folder: RunFolder, state: TrainingState) -> None:
    """Write the power-function EMAs of this moment; nothing if `ema.power` is empty.

    Call it before the state of the same moment is written, so that a resumed run has no gap. A resumed run writes
    snapshots after its state again, with the same content.

    Raises:
        TrainingError: the run folder is gone.
        ResourceError: a file cannot be written.
    """
    if state.power:
        folder.check_exists()
    for width, average in zip(state.recipe.ema.power, state.power, strict=True):
        profile = PowerProfile(width, state.images_seen)
        about = {
            "format": FORMAT,
            **asdict(profile),
            "recipe": dump_public_recipe(state.recipe),
            **label_notes(state.classes, state.attributes),
            **ancestry_note(state.ancestors),
        }
        tensors = {name: _halved(value) for name, value in average.state_dict().items()}
        write_tensors(snapshot_path(folder.path, profile), tensors, METADATA, about)


def _halved(value: Tensor) -> Tensor:
    """float16 on the CPU; unchanged if it is an integer tensor or exceeds float16's range."""
    value = value.detach().cpu().contiguous()
    half = value.half() if value.is_floating_point() else value
    return half if torch.isfinite(half).all() else value


def find_power_snapshots(run: Path) -> list[PowerSnapshot]:
    """All snapshots of a run, sorted by images seen, then width.

    Raises:
        CheckpointError: one of the files is damaged.
    """
    found = [_open(path) for path in (run / "averages").glob("power-*.safetensors")]
    return sorted(found, key=lambda snapshot: (snapshot.profile.images_seen, snapshot.profile.width))


def read_weights(snapshot: PowerSnapshot) -> Weights:
    """Tensors of a snapshot, by the names in G's state dict.

    Raises:
        CheckpointError: the file is damaged.
    """
    try:
        return read_tensors(snapshot.path, METADATA)[1]
    except CheckpointError as error:
        raise CheckpointError(error.message, HINT) from error
    except OSError as error:
        raise _damaged(snapshot.path, error) from error


def _open(path: Path) -> PowerSnapshot:
    try:
        about = read_about(path, METADATA)
        if about.get("format") != FORMAT:
            raise ValueError(f"format {about.get('format')} instead of {FORMAT}")
        return PowerSnapshot(path, PowerProfile(float(about["width"]), int(about["images_seen"])), about)
    except CheckpointError as error:
        raise CheckpointError(error.message, HINT) from error
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path}: damaged, or not a power-function EMA of swincli ({error})", HINT)
