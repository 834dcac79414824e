"""Metrics while training: they may fail, and the run goes on."""

from __future__ import annotations

from swincli.console import Console
from swincli.data.store import Store
from swincli.errors import SwincliError
from swincli.metrics.detectors import Detector, load_detector
from swincli.metrics.evaluation import evaluate
from swincli.metrics.protocol import append_record
from swincli.metrics.streams import fake_seeds, model_origin, open_images, stream_batches
from swincli.metrics.table import parse_metrics
from swincli.metrics.weights import find_detector_weights
from swincli.model.weights import Model, centres
from swincli.synthesis.classes import labels_as_trained
from swincli.synthesis.sampling import generate
from swincli.training.run_folder import RunFolder
from swincli.training.state import TrainingState


class Measuring:
    """Measures the average of a run against its training images, where the recipe asks for it.

    Raises:
        SwincliError: a metric is unknown or the detector's weights are missing; said before training starts.
    """

    def __init__(self, folder: RunFolder, state: TrainingState, store: Store, console: Console) -> None:
        self.folder, self.store, self.console = folder, store, console
        self.section = state.recipe.evaluate
        self.metrics = parse_metrics(",".join(self.section.metrics))
        device = next(state.average.parameters()).device
        self.detector: Detector = load_detector(find_detector_weights(None, console), device)

    def measure(self, state: TrainingState) -> str:
        """Measure now, append to metrics.jsonl and return the values in words; a failure is a warning."""
        try:
            model = Model(
                generator=state.average,
                recipe=state.recipe,
                images_seen=state.images_seen,
                path=self.folder.model(state.images_seen),
                classes=state.classes,
                **centres(state.average),
            )
            seeds = fake_seeds(self.section.num, 0)
            pictures = generate(model, seeds, labels=labels_as_trained(model, seeds))
            fakes = stream_batches(pictures, model_origin(model, seeds, 1.0))
            with open_images(str(self.store.path)) as reference:
                quiet = Console(quiet=True)
                result = evaluate(fakes, reference, self.metrics, self.detector, console=quiet)
            append_record(self.folder.path, result.values, result.protocol)
        except (SwincliError, RuntimeError, OSError) as error:
            self.console.warn(f"not measured after {state.images_seen:,} images, training goes on: {error}")
            return ""
        words = ", ".join(f"{name} {value:.2f}" for name, value in result.values.items())
        self.console.say(f"{words} after {state.images_seen:,} images")
        return words


def start_measuring(folder: RunFolder, state: TrainingState, store: Store, console: Console) -> Measuring | None:
    """What measures the run; None where the recipe does not ask for it."""
    return Measuring(folder, state, store, console) if state.recipe.evaluate.every else None
