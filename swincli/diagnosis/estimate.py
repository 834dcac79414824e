"""Scale a step profile to the whole run: seconds per thousand images, hours, memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swincli.diagnosis.step_profile import StepProfile
from swincli.diagnosis.step_size import StepSize
from swincli.diagnosis.synthetic_training import AVERAGES
from swincli.recipe import Recipe
from swincli.training.step.batch_shards import BatchSplit


@dataclass(frozen=True)
class PhaseTime:
    """Time of one phase.

    Attributes:
        name: D, R1, G, or the EMA update.
        interval: Steps from one run to the next.
        seconds: Time of one run with the whole batch.
    """

    name: str
    interval: int
    seconds: float

    @property
    def seconds_per_step(self) -> float:
        """Time spread over all steps."""
        return self.seconds / self.interval


@dataclass(frozen=True)
class RunEstimate:
    """Time and memory of a run on one device.

    Attributes:
        phases: Time of every phase with the whole batch.
        batch: Images per step.
        total: Images of the run.
        micro_batch_size: Images of one micro-batch.
        memory: Peak bytes with micro-batches of that size.
        measured_steps: Number of measured steps.
        measured_size: Images of each measured step.
        measured_memory: Peak bytes of the measured steps.
        compile_seconds: Time of the first compiled step; None without run.compile.
    """

    phases: list[PhaseTime]
    batch: int
    total: int
    micro_batch_size: int
    memory: int
    measured_steps: int
    measured_size: StepSize
    measured_memory: int
    compile_seconds: float | None

    @property
    def exact(self) -> bool:
        """Whether the measured steps had as many images as a training step."""
        return self.measured_size.total == self.batch

    @property
    def exact_memory(self) -> bool:
        """Whether the measured micro-batches had as many images as those of training."""
        return self.measured_size.micro_batch_size == self.micro_batch_size

    @property
    def seconds_per_step(self) -> float:
        """Seconds per step of the whole batch, with R1 spread over all steps."""
        return sum(phase.seconds_per_step for phase in self.phases)

    @property
    def sec_per_kimg(self) -> float:
        """Seconds per thousand images."""
        return 1000 * self.seconds_per_step / self.batch

    @property
    def hours(self) -> float:
        """Hours of the whole run, without grids, saves and evaluations."""
        return self.sec_per_kimg * self.total / 1000 / 3600

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "phases": {
                phase.name: {
                    "interval": phase.interval,
                    "seconds": phase.seconds,
                    "seconds_a_step": phase.seconds_per_step,
                }
                for phase in self.phases
            },
            "seconds_a_step": self.seconds_per_step,
            "sec_per_kimg": self.sec_per_kimg,
            "hours": self.hours,
            "memory": self.memory,
            "pass_images": self.micro_batch_size,
            "compiling": self.compile_seconds,
            "exact": self.exact,
            "measured": {
                "steps": self.measured_steps,
                "images": self.measured_size.micro_batch_size,
                "passes": self.measured_size.micro_batches,
                "memory": self.measured_memory,
            },
        }


def estimate_run(recipe: Recipe, split: BatchSplit, profile: StepProfile) -> RunEstimate:
    """Scale a profile to the batch of a recipe: time and memory are taken to grow linearly with the images.

    Args:
        recipe: Recipe of the run.
        split: How its batch is split.
        profile: Steps of at most that batch.
    """
    measured = profile.measurement
    scale = split.per_rank / measured.size.total
    phases = [PhaseTime(name, every, profile.seconds[name] * scale) for name, every in profile.intervals.items()]
    phases.append(PhaseTime(AVERAGES, 1, profile.seconds[AVERAGES]))  # the same for any number of images
    return RunEstimate(
        phases=phases,
        batch=recipe.train.batch,
        total=recipe.train.total,
        micro_batch_size=split.micro_batch_size,
        memory=measured.predict_memory(split.micro_batch_size),
        measured_steps=profile.steps,
        measured_size=measured.size,
        measured_memory=measured.peak_bytes,
        compile_seconds=profile.compile_seconds,
    )
