"""The network that a projection's loss looks through: what --loss means, and what is taken where it says nothing."""

from __future__ import annotations

from pathlib import Path

from swincli.console import Console
from swincli.errors import CheckpointError, UsageError
from swincli.metrics.networks.detectors import load_detector
from swincli.metrics.networks.stlpips import WEIGHTS, load_perceptual
from swincli.metrics.networks.weight_files import find_detector_weights
from swincli.model.discriminators.registry import make_discriminator
from swincli.model.files.model_file import Model, read_snapshot
from swincli.model.files.snapshot import Snapshot
from swincli.projection.losses import FeatureNetwork
from swincli.projection.networks import DetectorNetwork, DiscriminatorNetwork, ScriptedNetwork, StlpipsNetwork
from swincli.training.run.folder import RunFolder
from swincli.training.transfer.checkpoint_sources import read_init_checkpoint

NAMES = ("discriminator", "stlpips", "inception", "none")
_OTHERS = "Take --loss stlpips, which needs the package stlpips-pytorch, --loss inception, or --loss none."


def choose_perception(text: str | None, model: Model, console: Console) -> FeatureNetwork | None:
    """The network that `--loss` names; None for "none".

    Where it says nothing: the model's own discriminator, which needs no download; else shift-tolerant LPIPS, where its
    weights are installed; else none.

    Raises:
        UsageError: neither a name nor a file.
        CheckpointError: the discriminator is asked for, and there is none.
        ResourceError: weights are missing or damaged.
    """
    if text is None:
        return _by_default(model, console)
    if text == "none":
        return None
    if text == "discriminator":
        return require_discriminator(model, console)
    if text == "stlpips":
        return _stlpips(model)
    if text == "inception":
        weights = find_detector_weights(None, console)
        return DetectorNetwork(load_detector(weights, model.device), weights.side)
    if Path(text).suffix or Path(text).is_file():
        return ScriptedNetwork(Path(text), model.device)
    raise UsageError(f"--loss {text}: no such network", f"Choose {', '.join(NAMES)}, or a TorchScript file.")


def _by_default(model: Model, console: Console) -> FeatureNetwork | None:
    found = find_discriminator(model, console)
    if found is not None:
        return found
    if WEIGHTS.find() is not None:
        console.say(f"{model.path}: no discriminator there; images are compared by stlpips")
        return _stlpips(model)
    console.warn(
        f"{model.path}: no discriminator there, and stlpips-pytorch is not installed; pixels alone are compared"
    )
    return None


def _stlpips(model: Model) -> FeatureNetwork:
    return StlpipsNetwork(load_perceptual(WEIGHTS.require(), model.device))


def require_discriminator(model: Model, console: Console) -> FeatureNetwork:
    """The discriminator that was trained with a model.

    Raises:
        CheckpointError: there is none.
    """
    found = find_discriminator(model, console)
    if found is None:
        message = f"--loss discriminator: {model.path} holds none, and no training state lies beside it"
        raise CheckpointError(message, _OTHERS)
    return found


def find_discriminator(model: Model, console: Console) -> FeatureNetwork | None:
    """The discriminator in a model's own file, or in a training state beside it: that of as many images, or the newest.

    Raises:
        CheckpointError: states lie there, and none can be read.
    """
    path, snapshot = model.path, read_snapshot(model.path)
    if snapshot.discriminator is None:
        run = RunFolder(model.path.parent)
        if not run.states():
            return None
        own = run.state(model.images_seen)
        start = read_init_checkpoint(str(own if own.is_file() else run.path), console, mapped=True)
        path, snapshot = start.path, start.snapshot
    return _make(snapshot, model, path)


def _make(snapshot: Snapshot, model: Model, path: Path) -> FeatureNetwork | None:
    section = snapshot.recipe.model
    if snapshot.discriminator is None or section.size != model.recipe.model.size:
        return None
    discriminator = make_discriminator(section)
    discriminator.load_state_dict(snapshot.discriminator)
    return DiscriminatorNetwork(discriminator.to(model.device), section.pixel_mean, section.pixel_std, path.name)
