"""The type of a metric: what it needs, and how its result, values, intervals and plot are computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import torch

from swincli.console import Console
from swincli.metrics.confidence.intervals import Interval
from swincli.metrics.definitions.radial_profile import WINDOW
from swincli.metrics.networks.detectors import Detector
from swincli.metrics.protocol import NetworkRecord
from swincli.metrics.streams.features import FAKES_ONLY, SideStatistics, Statistic
from swincli.metrics.streams.images import ImageSet
from swincli.metrics.streams.labels import Labelled
from swincli.model.files.model_file import Model
from swincli.system.distributed import Processes

T = TypeVar("T")
Values = dict[str, float]
Intervals = dict[str, Interval]


@dataclass(frozen=True)
class Context:
    """What a metric gets besides the statistics of both sides.

    Attributes:
        seed: Seeds all random draws of a metric.
        device: Where distances between features are computed.
        model: The model that generated the fakes; None if they are files.
        console: Shows progress.
        processes: The processes that measure together.
        labelled: The labels of both sides; None if they have none.
        detector: Extracts the features, for metrics that read images of their own.
        reference: Path of the real images; None if they are a file of statistics.
        truncation: Of the model's images, for metrics that draw some themselves; 1 is none.
    """

    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    model: Model | None = None
    console: Console = field(default_factory=lambda: Console(quiet=True))
    processes: Processes = field(default_factory=Processes)
    labelled: Labelled | None = None
    detector: Detector | None = None
    reference: str | None = None
    truncation: float = 1.0

    @property
    def window(self) -> int:
        """Side in pixels of the attention windows whose grid is measured."""
        return self.model.recipe.model.window_at(self.model.recipe.model.size) if self.model else WINDOW


def _no_check(context: Context) -> None:
    """Most metrics need nothing but the two sides."""


@dataclass(frozen=True, kw_only=True)
class Metric(Generic[T]):
    """One metric: a row of the registry.

    Rows that name the same `measure` or the same `bootstrap` share one call of it.

    Attributes:
        needs: Statistics of both sides that `measure` uses.
        measure: Computes the result from fakes, reals and context.
        values: The values by name, from the result.
        enough: Number of images per side below which `caution` is shown.
        caution: How the value is off with fewer images.
        least: Smallest number of images per side for which the metric is defined.
        headline: Name of the value that ranks two models.
        others: Names of the other values.
        families: Beginnings of the names of further values, before a colon.
        higher_is_better: Whether a larger headline is better.
        interval: The 95 % intervals by value name, from the result and the deviation that `bootstrap` gave (0 without
            one); None if there are no intervals.
        bootstrap: Bootstrap standard deviation from fakes, reals, seed and console. It is None if the statistics do not
            allow one; then there is no interval.
        bootstrap_needs: Statistics that `bootstrap` uses besides `needs`.
        plot: Draws `NAME.png` into a folder, from the folder, the result, the fakes and the real images (None if the
            reference is a file of statistics).
        plot_needs: Statistics that `plot` uses besides `needs`.
        check: Raises if the context lacks something; called before any image is read.
        aliases: Other names accepted on the command line.
        network: A network besides the detector, for the protocol.
        collective: Whether all ranks call `measure` and share its work. The result is complete on rank 0 only. Other
            metrics are computed on rank 0, which alone has the statistics of both sides.
        probed: Beginnings of the names of values that classifiers on EfficientNet's features judge.
        reads_reference: Whether `measure` reads images of the reference by itself.
        reads_detector: Whether `measure` takes features of the detector by itself.
    """

    needs: frozenset[Statistic]
    measure: Callable[[SideStatistics, SideStatistics, Context], T]
    values: Callable[[T], Values]
    enough: int
    caution: str
    least: int = 2
    headline: str = ""
    others: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    higher_is_better: bool = False
    interval: Callable[[T, float], Intervals] | None = None
    bootstrap: Callable[[SideStatistics, SideStatistics, int, Console], float | None] | None = None
    bootstrap_needs: frozenset[Statistic] = frozenset()
    plot: Callable[[Path, T, SideStatistics, ImageSet | None], None] | None = None
    plot_needs: frozenset[Statistic] = frozenset()
    check: Callable[[Context], object] = _no_check
    aliases: tuple[str, ...] = ()
    network: NetworkRecord | None = None
    collective: bool = False
    probed: tuple[str, ...] = ()
    reads_reference: bool = False
    reads_detector: bool = False

    @property
    def uses_reals(self) -> bool:
        """Whether the value depends on the reference."""
        return self.reads_reference or bool(self.needs - FAKES_ONLY)

    @property
    def uses_detector(self) -> bool:
        """Whether the value depends on the detector and its resize."""
        return self.reads_detector or bool(self.needs & {"moments", "features", "logits"})
