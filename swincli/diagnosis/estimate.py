"""From what a few steps have shown to a whole run: seconds a thousand images, hours, memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swincli.diagnosis.bench import AVERAGES
from swincli.diagnosis.load import Load
from swincli.diagnosis.trial import Trial
from swincli.recipe import Recipe
from swincli.training.step.batch_shards import BatchSplit


@dataclass(frozen=True)
class PhaseTime:
    """One phase of training.

    Attributes:
        name: D, R1, G; or the averages of G.
        interval: Steps from one to the next.
        seconds: How long it takes for the whole batch.
    """

    name: str
    interval: int
    seconds: float

    @property
    def a_step(self) -> float:
        """Seconds of it that each step bears."""
        return self.seconds / self.interval


@dataclass(frozen=True)
class Estimate:
    """What a run comes to on one device.

    Attributes:
        phases: Every phase, with the whole batch.
        batch: Images a step.
        total: Images of the run.
        pass_images: Images of a pass.
        memory: Bytes held at most with such passes.
        measured_steps: How many steps were measured.
        taken: What they worked on.
        measured_memory: Bytes held in them.
        compiling: Seconds of the first compiled step; None where nothing is compiled.
    """

    phases: list[PhaseTime]
    batch: int
    total: int
    pass_images: int
    memory: int
    measured_steps: int
    taken: Load
    measured_memory: int
    compiling: float | None

    @property
    def exact(self) -> bool:
        """Whether the steps that were measured took as many images as those of training."""
        return self.taken.total == self.batch

    @property
    def exact_memory(self) -> bool:
        """Whether their passes did."""
        return self.taken.images == self.pass_images

    @property
    def seconds_a_step(self) -> float:
        """Of the whole batch, with R1's share."""
        return sum(phase.a_step for phase in self.phases)

    @property
    def sec_per_kimg(self) -> float:
        """Seconds a thousand images."""
        return 1000 * self.seconds_a_step / self.batch

    @property
    def hours(self) -> float:
        """Of the whole run, without its grids, saves and measurements."""
        return self.sec_per_kimg * self.total / 1000 / 3600

    def facts(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "phases": {
                phase.name: {"interval": phase.interval, "seconds": phase.seconds, "seconds_a_step": phase.a_step}
                for phase in self.phases
            },
            "seconds_a_step": self.seconds_a_step,
            "sec_per_kimg": self.sec_per_kimg,
            "hours": self.hours,
            "memory": self.memory,
            "pass_images": self.pass_images,
            "compiling": self.compiling,
            "exact": self.exact,
            "measured": {
                "steps": self.measured_steps,
                "images": self.taken.images,
                "passes": self.taken.passes,
                "memory": self.measured_memory,
            },
        }


def estimate(recipe: Recipe, shares: BatchSplit, trial: Trial) -> Estimate:
    """Scale what was measured to the batch of a recipe: time and memory grow with the images.

    Args:
        recipe: The experiment.
        shares: How its batch is dealt out.
        trial: Steps of at most that batch.
    """
    known, load = trial.known, trial.known.load
    scale = shares.per_rank / load.total
    phases = [PhaseTime(name, every, trial.seconds[name] * scale) for name, every in trial.intervals.items()]
    phases.append(PhaseTime(AVERAGES, 1, trial.seconds[AVERAGES]))  # whatever the images
    return Estimate(
        phases=phases,
        batch=recipe.train.batch,
        total=recipe.train.total,
        pass_images=shares.micro_batch_size,
        memory=known.memory(shares.micro_batch_size),
        measured_steps=trial.steps,
        taken=load,
        measured_memory=known.peak,
        compiling=trial.compiling,
    )
