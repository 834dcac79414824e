"""The network of a projection's perceptual loss: `--loss`, and the default."""

from __future__ import annotations

from pathlib import Path

from swincli.console import Console
from swincli.errors import CheckpointError, UsageError
from swincli.metrics.networks.detectors import load_detector
from swincli.metrics.networks.stlpips import WEIGHTS, load_perceptual
from swincli.metrics.networks.weight_files import find_detector_weights
from swincli.model.files.model_file import Model, read_snapshot
from swincli.model.files.snapshot import Snapshot
from swincli.projection.losses import FeatureNetwork
from swincli.projection.networks import DetectorNetwork, DiscriminatorNetwork, ScriptedNetwork, StlpipsNetwork
from swincli.training.run.folder import RunFolder
from swincli.training.run.state import make_networks
from swincli.training.transfer.checkpoint_sources import read_init_checkpoint

NAMES = ("discriminator", "stlpips", "inception", "none")
_OTHERS = "Use --loss stlpips (needs the package stlpips-pytorch), --loss inception, or --loss none."


def choose_perception(text: str | None, model: Model, console: Console) -> FeatureNetwork | None:
    """The network that `--loss` names; None for "none".

    Default: the model's own discriminator, which needs no download; else shift-tolerant LPIPS, if its weights are
    installed; else None.

    Args:
        text: A row of `NAMES` or the path of a TorchScript file; None for the default.
        model: The generator.
        console: Receives messages about the default, and download progress.

    Raises:
        UsageError: neither a name nor a file.
        CheckpointError: there is no discriminator, though `--loss` names it.
        ResourceError: weights are missing or damaged.
    """
    if text is None:
        return _default(model, console)
    if text == "none":
        return None
    if text == "discriminator":
        return require_discriminator(model, console)
    if text == "stlpips":
        return _stlpips(model, WEIGHTS.require())
    if text == "inception":
        weights = find_detector_weights(None, console)
        return DetectorNetwork(load_detector(weights, model.device), weights.side)
    if Path(text).suffix or Path(text).is_file():
        return ScriptedNetwork(Path(text), model.device)
    raise UsageError(f"--loss {text}: no such network", f"Choose {', '.join(NAMES)}, or a TorchScript file.")


def choose_quietly(model: Model) -> FeatureNetwork | None:
    """The default network of a model, without messages."""
    return _default(model, Console(quiet=True))


def _default(model: Model, console: Console) -> FeatureNetwork | None:
    found = find_discriminator(model, console)
    if found is not None:
        return found
    if (weights := WEIGHTS.find()) is not None:
        console.say(f"{model.path}: found no discriminator; using --loss stlpips")
        return _stlpips(model, weights)
    console.warn(f"{model.path}: found no discriminator, and stlpips-pytorch is not installed; using --loss none")
    return None


def _stlpips(model: Model, weights: Path) -> FeatureNetwork:
    return StlpipsNetwork(load_perceptual(weights, model.device))


def require_discriminator(model: Model, console: Console) -> FeatureNetwork:
    """The discriminator that was trained with the model.

    Raises:
        CheckpointError: there is none.
    """
    found = find_discriminator(model, console)
    if found is None:
        message = f"--loss discriminator: {model.path} has none, and there is no training state in its folder"
        raise CheckpointError(message, _OTHERS)
    return found


def find_discriminator(model: Model, console: Console) -> FeatureNetwork | None:
    """The discriminator in the model file, else in a training state of the same folder; None if there is none.

    The state of as many images as the model is preferred, then the newest.

    Raises:
        CheckpointError: there are states, and none can be read.
    """
    path, snapshot = model.path, read_snapshot(model.path)
    if snapshot.discriminator is None:
        run = RunFolder(model.path.parent)
        if not run.states():
            return None
        own = run.state(model.images_seen)
        start = read_init_checkpoint(str(own if own.is_file() else run.path), console, mapped=True)
        path, snapshot = start.path, start.snapshot
    return _build_discriminator(snapshot, model, path)


def _build_discriminator(snapshot: Snapshot, model: Model, path: Path) -> FeatureNetwork | None:
    """The network of a snapshot's discriminator; None if it has none, or one for another image size."""
    section = snapshot.recipe.model
    if snapshot.discriminator is None or section.size != model.recipe.model.size:
        return None
    _, discriminator = make_networks(snapshot.recipe)
    discriminator.load_state_dict(snapshot.discriminator)
    return DiscriminatorNetwork(discriminator.to(model.device), section, path.name)
