"""Power-function averages as files of a run: `averages/power-WIDTH-IMAGES.safetensors`, which `convert` mixes later.

Weights are kept as float16, as in the paper: that halves what is by far the most that such a run writes, and rounds a
weight by 0.02 % of itself on average. The training state holds the averages in full, so no rounding enters training.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from swincli.errors import CheckpointError
from swincli.model.files.snapshot import Weights
from swincli.model.files.tensor_file import read_about, read_tensors, write_tensors
from swincli.recipe import dump_recipe
from swincli.training.ema.power_profiles import Profile

if TYPE_CHECKING:
    from swincli.training.run.folder import RunFolder
    from swincli.training.run.state import TrainingState

FORMAT = "swincli-power-1"
HINT = "Move it away: a width is then made of the other snapshots, a little less exactly."
METADATA = "swincli-power"  # other than a model's: a snapshot is not to be taken for one


@dataclass(frozen=True)
class PowerSnapshot:
    """One average at one moment, as a file tells of it before its weights are read.

    Attributes:
        path: The file.
        profile: Its width and when it was taken.
        about: All of its metadata.
    """

    path: Path
    profile: Profile
    about: dict[str, Any]


def snapshot_path(run: Path, profile: Profile) -> Path:
    """Where a run keeps an average."""
    return run / "averages" / f"power-{profile.width}-{profile.images_seen:012d}.safetensors"


def save_power_snapshots(folder: RunFolder, state: TrainingState) -> None:
    """Write the power-function averages of this moment; nothing where the recipe keeps none.

    It is called before the state of the same moment is written, so that a run never goes on from behind a hole. What a
    killed run has written beyond its state is written again, with the same content.

    Raises:
        TrainingError: the run's folder is gone.
        ResourceError: a file cannot be written.
    """
    if state.power:
        folder.check_there()
    for width, average in zip(state.recipe.ema.power, state.power, strict=True):
        profile = Profile(width, state.images_seen)
        about = {
            "format": FORMAT,
            **asdict(profile),
            "recipe": dump_recipe(state.recipe),
            **({"classes": asdict(state.classes)} if state.classes else {}),
        }
        tensors = {name: _halved(value) for name, value in average.state_dict().items()}
        write_tensors(snapshot_path(folder.path, profile), tensors, METADATA, about)


def _halved(value: Tensor) -> Tensor:
    """float16 on the CPU; as it is where it holds no fractions, or more than float16 can."""
    value = value.detach().cpu().contiguous()
    half = value.half() if value.is_floating_point() else value
    return half if torch.isfinite(half).all() else value


def find_power_snapshots(run: Path) -> list[PowerSnapshot]:
    """All averages of a run, by the images seen and then by width.

    Raises:
        CheckpointError: one of the files is damaged.
    """
    found = [_open(path) for path in (run / "averages").glob("power-*.safetensors")]
    return sorted(found, key=lambda snapshot: (snapshot.profile.images_seen, snapshot.profile.width))


def read_weights(snapshot: PowerSnapshot) -> Weights:
    """The tensors of an average, by the names of G's state.

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
            raise ValueError(f"its format is {about.get('format')}, not {FORMAT}")
        return PowerSnapshot(path, Profile(float(about["width"]), int(about["images_seen"])), about)
    except CheckpointError as error:
        raise CheckpointError(error.message, HINT) from error
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path}: damaged, or no average of swincli's ({error})", HINT)
