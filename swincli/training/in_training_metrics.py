"""Metrics while training, by all processes together: they may fail, and the run goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.errors import SwincliError
from swincli.metrics.evaluate import Evaluation, evaluate
from swincli.metrics.networks.detectors import Detector, load_detector
from swincli.metrics.networks.weight_files import find_detector_weights
from swincli.metrics.registry import parse_metrics
from swincli.metrics.streams.features import Loader
from swincli.metrics.streams.images import ImageStream, fake_seeds, model_record, open_images, stream_batches
from swincli.model.files.model_file import Model, mean_w_tensors
from swincli.synthesis.latents.classes import labels_as_trained
from swincli.synthesis.sampling import generate
from swincli.system.atomic_files import append_json_line
from swincli.system.distributed import Processes
from swincli.training.logging.report import crossed
from swincli.training.run.folder import RunFolder
from swincli.training.run.state import TrainingState

T = TypeVar("T")
Asked = Callable[[], bool]


class _AbandonedError(Exception):
    """Training is to stop, and measuring with it."""


class Measuring:
    """Measures the average of a run against its training images, where the recipe asks for it.

    Each process takes a share of the images; only the leading one touches the run folder.

    Raises:
        SwincliError: a metric is unknown or the detector's weights are missing; said before training starts.
    """

    def __init__(
        self,
        folder: RunFolder,
        state: TrainingState,
        store: Store,
        console: Console,
        processes: Processes | None = None,
    ) -> None:
        self.folder, self.store, self.console = folder, store, console
        self.processes = processes or Processes()
        self.section, self.batch = state.recipe.evaluate, state.recipe.train.batch
        self.metrics = self.processes.main_first(lambda: parse_metrics(",".join(self.section.metrics)))
        device = next(state.average.parameters()).device
        self.detector: Detector = self.processes.main_first(
            lambda: load_detector(find_detector_weights(None, console), device)
        )

    def due(self, images_seen: int) -> bool:
        """Whether the average of this moment is to be measured."""
        return images_seen > 0 and crossed(images_seen, self.batch, self.section.every)

    def missing(self, images_seen: int) -> bool:
        """Whether it is to be measured and metrics.jsonl does not hold it: a session ended before, or in the middle."""
        if not self.due(images_seen):
            return False
        return self.processes.from_main(lambda: images_seen not in self.folder.measured_moments())

    def measure(self, state: TrainingState, asked_to_stop: Asked = lambda: False) -> dict[str, float]:
        """Measure now and append to metrics.jsonl.

        Nothing but Ctrl-C ends training from here: a failure, of whatever kind, is a warning. Where it fails in one
        process, it ends in all of them.

        Args:
            state: A run at a moment that has been saved.
            asked_to_stop: Asked between pictures; where it says yes in any process, measuring is left to the next
                session.

        Returns:
            The values by name; empty where there are none.
        """
        try:
            result = self._evaluate(state, asked_to_stop)
            self.processes.from_main(lambda: self._record(state, result))
        except Exception as error:
            self._explain(error, state, abandoned=self.processes.any_rank(asked_to_stop()))
            return {}
        words = ", ".join(f"{name} {value:.2f}" for name, value in result.values.items())
        self.console.say(f"{words} after {state.images_seen:,} images")
        return dict(result.values)

    def _record(self, state: TrainingState, result: Evaluation) -> None:
        record = {
            "images_seen": state.images_seen,
            "metrics": result.values,
            "protocol": asdict(result.protocol),
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "in_training": True,
        }
        append_json_line(self.folder.metrics, record)

    def _explain(self, error: Exception, state: TrainingState, *, abandoned: bool) -> None:
        moment = f"not measured after {state.images_seen:,} images"
        if abandoned:
            self.console.say(f"{moment}: the next session will")
        elif self.processes.is_main:
            why = error.message if isinstance(error, SwincliError) else f"{type(error).__name__}: {error}"
            self.console.warn(f"{moment}, training goes on: {why}")

    def _evaluate(self, state: TrainingState, asked_to_stop: Asked) -> Evaluation:
        with ExitStack() as opened:
            images = self.processes.run_on_all(lambda _: opened.enter_context(open_images(str(self.store.path))))

            def read(indices: NDArray[np.int64]) -> Iterator[Loader]:
                return _until(images.read(indices), asked_to_stop)

            model, fakes = self.processes.run_on_all(lambda _: self._fakes(state, asked_to_stop))
            return evaluate(
                fakes,
                replace(images, read=read),
                self.metrics,
                self.detector,
                console=Console(quiet=True),
                model=model,
                processes=self.processes,
            )

    def _fakes(self, state: TrainingState, asked_to_stop: Asked) -> tuple[Model, ImageStream]:
        """The average, and this process's share of its images."""
        model = Model(
            generator=state.average,
            recipe=state.recipe,
            images_seen=state.images_seen,
            path=self.folder.model(state.images_seen),
            classes=state.classes,
            **mean_w_tensors(state.average),
        )
        seeds = fake_seeds(self.section.num, 0)
        share = self.processes.shard(len(seeds))
        mine = seeds[share.start : share.stop]
        pictures: Iterator[Tensor] = generate(model, mine, labels=labels_as_trained(model, mine))
        return model, stream_batches(_until(pictures, asked_to_stop), model_record(model, seeds, 1.0))


def _until(items: Iterator[T], asked_to_stop: Asked) -> Iterator[T]:
    for item in items:
        if asked_to_stop():
            raise _AbandonedError
        yield item


def start_measuring(
    folder: RunFolder, state: TrainingState, store: Store, console: Console, processes: Processes
) -> Measuring | None:
    """What measures the run; None where the recipe does not ask for it."""
    return Measuring(folder, state, store, console, processes) if state.recipe.evaluate.every else None
