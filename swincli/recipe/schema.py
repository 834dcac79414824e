"""Sections and keys of a recipe, as pydantic models. Their docstrings are the reference and the help in editors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from swincli.recipe.conflicts import check_conflicts
from swincli.recipe.networks import ModelSection as ModelSection
from swincli.recipe.objective import AugmentSection, LossSection
from swincli.recipe.origins import Origins, key_with_line
from swincli.recipe.section import (
    CountOfImages,
    ImageCount,
    NonEmptyText,
    PositiveImageCount,
    Section,
    inconsistent,
    numbers,
)

MOST_IMAGES = 10**15  # shown in a run; the paper's training shows 25 million
MOST_MEASURED = 2**32  # images of a measurement: one for each seed
LARGEST_GRID = 2**36  # pixels of a sample grid: 192 GiB


class DataSection(Section):
    """The data set."""

    path: NonEmptyText | None = None
    """Data store from `swincli prepare-data`. If it is missing and `source` is set, training creates it first."""
    source: NonEmptyText | None = None
    """Folder, zip or builtin:NAME that a missing store is created from."""
    captions: NonEmptyText | None = None
    """Captions of the pictures of `source`: "own", "names", or a file, as for `prepare-data --captions`."""
    crop: Literal["center", "none"] = "center"
    """How pictures of `source` become square."""
    filter: Literal["lanczos", "box", "bicubic"] = "lanczos"
    """Resize filter for pictures of `source`."""
    labels: NonEmptyText | None = None
    """Labels for pictures of `source`, as in `prepare-data --labels`: "folders", or a file such as body.json."""
    resident: Literal["auto", "always", "never"] = "auto"
    """Keep all images in device memory. "auto" does so on CUDA if they take at most a quarter of its free memory."""


class TrainSection(Section):
    """Length, batch and optimisers. Lengths count images shown to D, not iterations."""

    total: Annotated[int, CountOfImages(largest=MOST_IMAGES)] = 25_000_000
    """Images to train for."""
    batch: Annotated[int, Field(ge=1)] = 32
    """Batch size: images per step, over all processes."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of all random numbers: weights, latents, data order, augmentation."""
    init: NonEmptyText | None = None
    """Checkpoint to start from: a run folder, a training state, a .safetensors model, or an original .pt."""
    init_mode: Literal["continue", "fine-tune"] = "continue"
    """Continue the checkpoint's image count with its Adam moments, or fine-tune: count from 0 with new moments."""
    freeze_d: Annotated[int, Field(ge=0)] = 0
    """Number of D's highest resolutions that stay frozen (FreezeD, for fine-tuning on few images)."""
    g_lr: Annotated[float, Field(gt=0)] = 5e-5
    """Learning rate of G."""
    d_lr: Annotated[float, Field(gt=0)] = 2e-4
    """Learning rate of D (TTUR: four times that of G), before the correction for lazy R1."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Adam's beta1 of both networks."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Adam's beta2 of both networks."""
    beta2_end: Annotated[float, Field(ge=0, lt=1)] | None = None
    """beta2 after `beta2_until` images, reached on a half-cosine. Left out: constant."""
    beta2_until: PositiveImageCount | None = None
    """Images over which beta2 changes to `beta2_end`."""
    decay_from: ImageCount | None = None
    """Images after which both learning rates decay linearly to 0 at `total`. Left out: constant rates."""
    clip: Annotated[float, Field(ge=0)] = 5.0
    """Gradient clipping: largest gradient norm of D's phase; 0 for none. R1 and R2 are in it with `loss.joint_penalty`
    alone, so a large gamma then leaves little of the rest."""

    @model_validator(mode="after")
    def _transfer_has_a_source(self) -> Self:
        if self.init is None and self.freeze_d:
            raise inconsistent("freeze_d", "freezes layers of a checkpoint's D; set train.init too")
        if self.init is None and self.init_mode == "fine-tune":
            raise inconsistent("init_mode", "fine-tunes a checkpoint; set train.init too")
        return self

    @model_validator(mode="after")
    def _beta2_schedule_is_complete(self) -> Self:
        if (self.beta2_end is None) != (self.beta2_until is None):
            key = "beta2_end" if self.beta2_until is None else "beta2_until"
            raise inconsistent(key, "needs both train.beta2_end and train.beta2_until")
        return self

    @model_validator(mode="after")
    def _decay_ends(self) -> Self:
        if self.decay_from is not None and self.decay_from >= self.total > 0:
            raise inconsistent(
                "decay_from",
                f"{self.decay_from} must be below train.total, {self.total}; for constant rates give "
                "--set train.decay_from=null",
            )
        return self


class EmaSection(Section):
    """Exponential moving average (EMA) of G's weights. Samples come from it."""

    half_life: PositiveImageCount = 10_000
    """Half-life of the EMA in images."""
    half_life_end: PositiveImageCount | None = None
    """Half-life after `half_life_until` images, reached on a half-cosine. Left out: constant."""
    half_life_until: PositiveImageCount | None = None
    """Images over which the half-life changes to `half_life_end`."""
    ramp: Annotated[float, Field(gt=0)] | None = None
    """Early in training, limit the half-life to this fraction of the images seen. Left out: constant half-life."""
    decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """EMA decay per step; replaces half_life and ramp. The original release has 0.99778."""
    power: list[Annotated[float, Field(ge=0.01, le=0.28)]] = []
    """Relative widths of two additional power-function EMAs, such as [0.05, 0.1], for post-hoc EMA."""
    power_every: PositiveImageCount = 200_000
    """Images between two snapshots of the power-function EMAs."""

    @model_validator(mode="after")
    def _averages_fit(self) -> Self:
        if self.power and (len(self.power) != 2 or self.power[0] >= self.power[1]):
            raise inconsistent("power", "must have two widths, the smaller one first, or none")
        if (self.half_life_end is None) != (self.half_life_until is None):
            key = "half_life_end" if self.half_life_until is None else "half_life_until"
            raise inconsistent(key, "needs both ema.half_life_end and ema.half_life_until")
        if self.decay is not None and self.half_life_end is not None:
            raise inconsistent("decay", "is a constant decay and excludes ema.half_life_end; set one of the two")
        if self.decay is not None and self.ramp is not None:
            raise inconsistent("decay", "is a constant decay and excludes ema.ramp; set one of the two")
        return self


class EvaluateSection(Section):
    """Evaluation during training."""

    every: ImageCount = 0
    """Images between two evaluations of the EMA generator; 0 for none."""
    metrics: list[str] = ["fid"]
    """Metrics to compute."""
    num: Annotated[int, CountOfImages(smallest=2, largest=MOST_MEASURED)] = 10_000
    """Number of generated images."""
    held_out: NonEmptyText | None = None
    """Store of images that are not trained on, such as the test part of `prepare-data --split`: shows overfitting."""

    @model_validator(mode="after")
    def _measures_something(self) -> Self:
        if self.every and not self.metrics:
            raise inconsistent("metrics", 'is empty, but evaluate.every is set; name a metric, such as ["fid"]')
        return self


class RunSection(Section):
    """Files of a run, and use of the machine."""

    name: NonEmptyText | None = None
    """Name of the folder under runs/. Left out: the recipe's name."""
    snapshot: PositiveImageCount = 200_000
    """Images between two saves of the training state and the model."""
    keep: Annotated[int, Field(ge=1)] = 2
    """Number of training states to keep, newest first; all models are kept."""
    samples: PositiveImageCount = 50_000
    """Images between two sample grids."""
    grid: Annotated[tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]], numbers(2)] = (8, 4)
    """Columns and rows of the sample grid."""
    log: PositiveImageCount = 1_000
    """Images between two lines of stats.jsonl."""
    tensorboard: bool = True
    """Write scalars, grids and the recipe to the run's tensorboard folder."""
    wandb: NonEmptyText | None = None
    """Weights & Biases project to log to; needs the package wandb."""
    mirror: NonEmptyText | None = None
    """Folder on another disk, in which a copy of the run folder is kept up to date after each save."""
    on_event: NonEmptyText | None = None
    """Shell command that is told with JSON on its stdin when the run starts, saves, has a new best model, or ends."""
    precision: Literal["fp32", "bf16", "auto", "gpu"] = "fp32"
    """Precision of most matrix products in training. "auto" is bf16 if the device computes it in hardware, "gpu" is
    the same on GPUs and fp32 on CPUs.
    """
    tf32: bool | Literal["auto"] = False
    """Round the factors of float32 products to TF32 on CUDA, in R1 too: faster, with 10 bits of mantissa. "auto" does
    so on GPUs that compute it.
    """
    micro_batch: Annotated[int, Field(ge=1)] | None = None
    """Images per forward and backward in each process (gradient accumulation). Left out: no accumulation."""
    recompute_from: Annotated[int, Field(ge=4)] | None = None
    """Gradient checkpointing: recompute activations in the backward pass from this resolution up, to save memory."""
    compile: bool = False
    """Compile the networks with torch.compile; R1 runs uncompiled."""
    channels_last: bool = False
    """Channels-last memory format for D."""
    cuda_graphs: bool = False
    """On CUDA, capture each phase of a step as a CUDA graph and launch it as a whole; for losses whose steps repeat."""

    @field_validator("name")
    @classmethod
    def _one_folder(cls, name: str | None) -> str | None:
        if name is not None and (name in (".", "..") or "/" in name or "\\" in name):
            raise ValueError(f'"{name}" is not a folder name; use --out for a path')
        return name


class Recipe(Section):
    """A complete experiment: everything that determines a run."""

    model: ModelSection = ModelSection()
    data: DataSection = DataSection()
    train: TrainSection = TrainSection()
    loss: LossSection = LossSection()
    augment: AugmentSection = AugmentSection()
    ema: EmaSection = EmaSection()
    evaluate: EvaluateSection = EvaluateSection()
    run: RunSection = RunSection()
    _origins: Origins = PrivateAttr(default_factory=Origins)

    def with_lines(self, lines: Mapping[str, str]) -> Self:
        """The same recipe, which knows where its keys were set: "my.toml:12" of each `section` and `section.key`."""
        self._origins = Origins(lines)
        return self

    def named(self, key: str) -> str:
        """A `section.key` with its file and line, as far as they are known: "train.batch (my.toml:12)"."""
        return key_with_line(key.split("."), self._origins.lines)

    @model_validator(mode="after")
    def _nothing_contradicts(self) -> Self:
        check_conflicts(self)
        return self

    @model_validator(mode="after")
    def _grid_is_a_picture(self) -> Self:
        (columns, rows), size = self.run.grid, self.model.size
        if columns * rows * size**2 > LARGEST_GRID:
            most = LARGEST_GRID // size**2
            raise inconsistent(
                "run.grid", f"{columns:,} x {rows:,} images of {size} px are no picture; at most {most:,} images are"
            )
        return self
