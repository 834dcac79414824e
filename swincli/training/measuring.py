"""Metrics while training: they may fail, and the run goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from swincli.console import Console
from swincli.data.store import Store
from swincli.errors import SwincliError
from swincli.files import append_line
from swincli.metrics.detectors import Detector, load_detector
from swincli.metrics.evaluation import Evaluation, evaluate
from swincli.metrics.features import Loader
from swincli.metrics.streams import fake_seeds, model_origin, open_images, stream_batches
from swincli.metrics.table import parse_metrics
from swincli.metrics.weights import find_detector_weights
from swincli.model.weights import Model, centres
from swincli.synthesis.classes import labels_as_trained
from swincli.synthesis.sampling import generate
from swincli.training.report import crossed
from swincli.training.run_folder import RunFolder
from swincli.training.state import TrainingState

T = TypeVar("T")
Asked = Callable[[], bool]


class _AbandonedError(Exception):
    """Training is to stop, and measuring with it."""


class Measuring:
    """Measures the average of a run against its training images, where the recipe asks for it.

    Raises:
        SwincliError: a metric is unknown or the detector's weights are missing; said before training starts.
    """

    def __init__(self, folder: RunFolder, state: TrainingState, store: Store, console: Console) -> None:
        self.folder, self.store, self.console = folder, store, console
        self.section, self.batch = state.recipe.evaluate, state.recipe.train.batch
        self.metrics = parse_metrics(",".join(self.section.metrics))
        device = next(state.average.parameters()).device
        self.detector: Detector = load_detector(find_detector_weights(None, console), device)

    def due(self, images_seen: int) -> bool:
        """Whether the average of this moment is to be measured."""
        return images_seen > 0 and crossed(images_seen, self.batch, self.section.every)

    def missing(self, images_seen: int) -> bool:
        """Whether it is to be measured and metrics.jsonl does not hold it: a session ended before, or in the middle."""
        return self.due(images_seen) and images_seen not in self.folder.measured_moments()

    def measure(self, state: TrainingState, asked_to_stop: Asked = lambda: False) -> dict[str, float]:
        """Measure now and append to metrics.jsonl.

        Nothing but Ctrl-C ends training from here: a failure, of whatever kind, is a warning.

        Args:
            state: A run at a moment that has been saved.
            asked_to_stop: Asked between pictures; where it says yes, measuring is left to the next session.

        Returns:
            The values by name; empty where there are none.
        """
        try:
            result = self._evaluate(state, asked_to_stop)
            record = {
                "images_seen": state.images_seen,
                "metrics": result.values,
                "protocol": asdict(result.protocol),
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
                "in_training": True,
            }
            append_line(self.folder.metrics, record)
        except _AbandonedError:
            self.console.say(f"not measured after {state.images_seen:,} images: the next session will")
            return {}
        except Exception as error:
            why = error.message if isinstance(error, SwincliError) else f"{type(error).__name__}: {error}"
            self.console.warn(f"not measured after {state.images_seen:,} images, training goes on: {why}")
            return {}
        words = ", ".join(f"{name} {value:.2f}" for name, value in result.values.items())
        self.console.say(f"{words} after {state.images_seen:,} images")
        return dict(result.values)

    def _evaluate(self, state: TrainingState, asked_to_stop: Asked) -> Evaluation:
        model = Model(
            generator=state.average,
            recipe=state.recipe,
            images_seen=state.images_seen,
            path=self.folder.model(state.images_seen),
            classes=state.classes,
            **centres(state.average),
        )
        seeds = fake_seeds(self.section.num, 0)
        pictures: Iterator[Tensor] = generate(model, seeds, labels=labels_as_trained(model, seeds))
        fakes = stream_batches(_until(pictures, asked_to_stop), model_origin(model, seeds, 1.0))
        with open_images(str(self.store.path)) as images:

            def read(indices: NDArray[np.int64]) -> Iterator[Loader]:
                return _until(images.read(indices), asked_to_stop)

            reference = replace(images, read=read)
            return evaluate(fakes, reference, self.metrics, self.detector, console=Console(quiet=True), model=model)


def _until(items: Iterator[T], asked_to_stop: Asked) -> Iterator[T]:
    for item in items:
        if asked_to_stop():
            raise _AbandonedError
        yield item


def start_measuring(folder: RunFolder, state: TrainingState, store: Store, console: Console) -> Measuring | None:
    """What measures the run; None where the recipe does not ask for it."""
    return Measuring(folder, state, store, console) if state.recipe.evaluate.every else None
