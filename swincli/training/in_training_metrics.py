"""Metrics during training, computed by all ranks together; a failure is a warning and the run goes on."""

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
from swincli.errors import RecipeError, SwincliError, UsageError
from swincli.metrics.evaluate import Evaluation, evaluate
from swincli.metrics.networks.detectors import Detector, load_detector
from swincli.metrics.networks.weight_files import find_detector_weights
from swincli.metrics.registry import parse_metrics
from swincli.metrics.streams.features import Loader
from swincli.metrics.streams.images import ImageStream, fake_seeds, model_record, open_images, stream_batches
from swincli.model.files.model_file import Model, mean_w_tensors
from swincli.recipe import Recipe
from swincli.synthesis.latents.classes import labels_as_trained
from swincli.synthesis.sampling import generate
from swincli.system.atomic_files import append_json_line
from swincli.system.distributed import Processes
from swincli.training.run.folder import RunFolder
from swincli.training.run.state import TrainingState
from swincli.training.schedules import crossed

T = TypeVar("T")
ShouldStop = Callable[[], bool]


class _StoppedError(Exception):
    """The measurement ends early because training was asked to stop."""


def training_metrics(recipe: Recipe) -> list[str]:
    """The metrics of `evaluate.metrics`.

    Raises:
        RecipeError: one is unknown.
    """
    try:
        return parse_metrics(",".join(recipe.evaluate.metrics))
    except UsageError as error:
        problem = error.message.removeprefix("--metric: ")
        raise RecipeError("the recipe", [f"evaluate.metrics: {problem}"], error.hint) from error


class InTrainingMetrics:
    """Measures a run's EMA against its training images every `evaluate.every` images.

    Each rank generates and reads its share of the images; only rank 0 reads and writes the run folder.

    Raises:
        SwincliError: a metric is unknown or the detector's weights are missing; raised before training starts.
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
        self._silent = Console(quiet=True)  # one for all measurements, which warns of the same thing once
        self.section, self.batch = state.recipe.evaluate, state.recipe.train.batch
        self.metrics = self.processes.main_first(lambda: training_metrics(state.recipe))
        device = next(state.average.parameters()).device
        self.detector: Detector = self.processes.main_first(
            lambda: load_detector(find_detector_weights(None, console), device)
        )

    def is_due(self, images_seen: int) -> bool:
        """Whether the EMA is to be measured after `images_seen` images."""
        return images_seen > 0 and crossed(images_seen, self.batch, self.section.every)

    def is_missing(self, images_seen: int) -> bool:
        """Whether a measurement is due that metrics.jsonl does not have: an earlier session may have been killed."""
        if not self.is_due(images_seen):
            return False
        return self.processes.from_main(lambda: images_seen not in self.folder.measured_images_seen())

    def measure(self, state: TrainingState, should_stop: ShouldStop = lambda: False) -> dict[str, float]:
        """Measure now and append to metrics.jsonl.

        Any failure is a warning; only Ctrl-C ends training from here. A failure on one rank ends the measurement on all
        ranks.

        Args:
            state: The state of a moment that has been saved.
            should_stop: Called between images. If it is true on any rank, the measurement is left to the next session.

        Returns:
            The values by name; empty if the measurement failed or stopped.
        """
        try:
            result = self._evaluate(state, should_stop)
            self.processes.from_main(lambda: self._record(state, result))
        except Exception as error:
            self._say_not_measured(error, state, stopped=self.processes.any_rank(should_stop()))
            return {}
        values = ", ".join(f"{name} {value:.2f}" for name, value in result.values.items())
        self.console.say(f"{values} after {state.images_seen:,} images")
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

    def _say_not_measured(self, error: Exception, state: TrainingState, *, stopped: bool) -> None:
        moment = f"not measured after {state.images_seen:,} images"
        if stopped:
            self.console.say(f"{moment}: the next session will measure it")
        elif self.processes.is_main:
            why = error.message if isinstance(error, SwincliError) else f"{type(error).__name__}: {error}"
            self.console.warn(f"{moment}, training goes on: {why}")

    def _evaluate(self, state: TrainingState, should_stop: ShouldStop) -> Evaluation:
        with ExitStack() as opened:
            images = self.processes.run_on_all(lambda _: opened.enter_context(open_images(str(self.store.path))))

            def read(indices: NDArray[np.int64]) -> Iterator[Loader]:
                return _until(images.read(indices), should_stop)

            model, fakes = self.processes.run_on_all(lambda _: self._fakes(state, should_stop))
            return evaluate(
                fakes,
                replace(images, read=read),
                self.metrics,
                self.detector,
                console=self._silent,
                model=model,
                processes=self.processes,
            )

    def _fakes(self, state: TrainingState, should_stop: ShouldStop) -> tuple[Model, ImageStream]:
        """The EMA as a model, and this rank's share of its images."""
        means = mean_w_tensors(state.average)
        model = Model(
            generator=state.average,
            recipe=state.recipe,
            images_seen=state.images_seen,
            path=self.folder.model(state.images_seen),
            classes=state.classes,
            ancestors=state.ancestors,
            w_mean=means["w_mean"],
            w_mean_by_class=means.get("w_mean_by_class"),
        )
        seeds = fake_seeds(self.section.num, 0)
        share = self.processes.shard(len(seeds))
        mine = seeds[share.start : share.stop]
        pictures: Iterator[Tensor] = generate(model, mine, labels=labels_as_trained(model, mine))
        return model, stream_batches(_until(pictures, should_stop), model_record(model, seeds, 1.0))


def _until(items: Iterator[T], should_stop: ShouldStop) -> Iterator[T]:
    for item in items:
        if should_stop():
            raise _StoppedError
        yield item
