"""Sections and keys of a recipe, as pydantic models. Their docstrings are the reference and the help in editors."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from swincli.recipe.conflicts import check_conflicts
from swincli.recipe.objective import AugmentSection, LossSection
from swincli.recipe.section import (
    CountOfImages,
    ImageCount,
    NonEmptyText,
    PositiveImageCount,
    RgbTriple,
    Section,
    inconsistent,
    numbers,
)

SMALLEST_SIZE, LARGEST_SIZE = 16, 1024
MOST_IMAGES = 10**15  # shown in a run; the paper's training shows 25 million
MOST_MEASURED = 2**32  # images of a measurement: one for each seed
WIDEST = 65_536  # channels of a layer, codes and hidden layers: 100 times the paper's networks
LARGEST_GRID = 2**36  # pixels of a sample grid: 192 GiB


class ModelSection(Section):
    """The networks. The defaults are the paper's networks for 256 px."""

    size: int = 256
    """Resolution: side of the square images in pixels, a power of two from 16 to 1024."""
    latent_dim: Annotated[int, Field(ge=1, le=WIDEST)] = 512
    """Dimension of z and w."""
    mapping_layers: Annotated[int, Field(ge=1, le=1000)] = 8
    """Layers of the mapping network from z to w."""
    classes: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Number of classes that G and D are conditioned on, equal to the store's label names; 0 for none."""
    g_width: Annotated[int, Field(ge=4)] = 512
    """Channels of G from 4 to 32 px. Above 32 px: g_width x g_multiplier, halved at each doubling of the resolution."""
    g_multiplier: Annotated[int, Field(ge=1)] = 2
    """Channel multiplier of G above 32 px."""
    g_channels: list[int] | None = None
    """List of G's channels at 4, 8, 16, ... px; replaces g_width and g_multiplier."""
    d_width: Annotated[int, Field(ge=1)] = 512
    """Channels of D from 4 to 32 px; see g_width."""
    d_multiplier: Annotated[int, Field(ge=1)] = 2
    """Channel multiplier of D above 32 px."""
    d_channels: list[int] | None = None
    """List of D's channels at 4, 8, 16, ... px; replaces d_width and d_multiplier."""
    head_dim: Annotated[int, Field(ge=1)] = 32
    """Channels per attention head; layers that are too narrow have min_heads heads."""
    min_heads: Annotated[int, Field(ge=2, multiple_of=2)] = 4
    """Minimum number of heads of a layer; half of them use shifted windows."""
    window: Literal[4, 8, 16] = 8
    """Side of an attention window in pixels. Feature maps up to this size have full attention."""
    mlp_ratio: Annotated[int, Field(ge=1, le=256)] = 4
    """Hidden channels of the MLPs, as a multiple of the channels."""
    mlp_hidden: list[Annotated[int, Field(ge=1, le=WIDEST)]] | None = None
    """List of the MLPs' hidden channels at 4, 8, 16, ... px; replaces mlp_ratio. `swincli convert --prune` sets it."""
    style: Literal["adain", "adaln", "adabn", "modulated-mlp", "cross-attention", "none"] = "adain"
    """Style injection into the blocks of G. With "none", blocks are plain Swin blocks and w makes the 4 px map."""
    adain_gamma: float = 0.0
    """Initial scale of AdaIN, AdaLN and AdaBN: 0 as in the original release, or 1 to start without scaling."""
    attention: Literal["double", "single"] = "double"
    """Windows of G: regular and shifted in every layer ("double"), or alternating from layer to layer as in Swin."""
    relative_bias: bool = True
    """Relative position bias of attention."""
    position: Literal["spe", "learned", "none"] = "spe"
    """Position encoding added after each upsampling of G: sinusoidal, learned per row and column, or none."""
    upsampling: Literal["bilinear", "nearest"] = "bilinear"
    """Upsampling of G's feature maps."""
    discriminator: Literal["wavelet", "plain", "patch", "features"] = "wavelet"
    """Discriminator: wavelet coefficients at every scale, StyleGAN2's residual one, a patch discriminator, or one that
    looks at the frozen features of a pretrained network (Projected GAN)."""
    features: Literal["efficientnet"] = "efficientnet"
    """Pretrained network of discriminator = "features" and of `loss.features`."""
    feature_heads: Literal["separable", "full"] = "separable"
    """Convolutions of the heads on frozen features."""
    features_side: Annotated[int, Field(ge=128)] | None = None
    """Side in pixels to which smaller images are enlarged for the pretrained network; its own, 224, if left out."""
    wavelet: str = "haar"
    """Wavelet of the wavelet discriminator, as named in PyWavelets."""
    std_group: Annotated[int, Field(ge=1)] = 4
    """Group size of D's minibatch standard deviation; the largest divisor of the batch up to this number is used."""
    spectral_norm: bool = True
    """Spectral normalisation in every layer of D, or else equalised learning rate. Heads on features always have it."""
    pixel_mean: RgbTriple = (0.5, 0.5, 0.5)
    """Mean of each channel, subtracted from pixels in [0, 1]. Imported networks use ImageNet's mean."""
    pixel_std: RgbTriple = (0.5, 0.5, 0.5)
    """Standard deviation of each channel; the difference is divided by it."""

    @field_validator("size")
    @classmethod
    def _power_of_two(cls, size: int) -> int:
        if not SMALLEST_SIZE <= size <= LARGEST_SIZE or size & (size - 1):
            below = max(SMALLEST_SIZE, min(LARGEST_SIZE, 2 ** (max(size, 1).bit_length() - 1)))
            raise ValueError(f"{size} is not a power of two from {SMALLEST_SIZE} to {LARGEST_SIZE}; {below} is close")
        return size

    @field_validator("pixel_std")
    @classmethod
    def _positive(cls, value: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(value) <= 0:
            raise ValueError("every standard deviation must be above 0")
        return value

    @property
    def resolutions(self) -> list[int]:
        """Resolutions of the feature maps: 4, 8, ..., size."""
        return [2**level for level in range(2, self.size.bit_length())]

    @property
    def num_ws(self) -> int:
        """Number of style codes in a w+: two per resolution."""
        return 2 * len(self.resolutions)

    def channels(self, network: Literal["g", "d"]) -> dict[int, int]:
        """Channels of G or D at every resolution: {4: 512, 8: 512, ...}."""
        spelled, width, multiplier = {
            "g": (self.g_channels, self.g_width, self.g_multiplier),
            "d": (self.d_channels, self.d_width, self.d_multiplier),
        }[network]
        if spelled is not None:
            return dict(zip(self.resolutions, spelled, strict=True))
        return {side: width if side <= 32 else width * 32 // side * multiplier for side in self.resolutions}

    def hidden(self, resolution: int) -> int:
        """Hidden channels of the MLPs at a resolution."""
        if self.mlp_hidden is not None:
            return self.mlp_hidden[self.resolutions.index(resolution)]
        return self.mlp_ratio * self.channels("g")[resolution]

    def heads(self, channels: int) -> int:
        """Number of attention heads of a layer: channels / head_dim, at least min_heads."""
        return max(channels // self.head_dim, self.min_heads)

    @model_validator(mode="after")
    def _widths_fit(self) -> Self:
        self._check_widths("g", self.g_channels)
        self._check_widths("d", self.d_channels)
        self._check_length("mlp_hidden", self.mlp_hidden)
        return self

    def _check_length(self, key: str, spelled: list[int] | None) -> None:
        if spelled is not None and len(spelled) != len(self.resolutions):
            sides = ", ".join(map(str, self.resolutions))
            raise inconsistent(key, f"must have {len(self.resolutions)} numbers, for {sides} px, not {len(spelled)}")

    def _check_widths(self, network: Literal["g", "d"], spelled: list[int] | None) -> None:
        key = f"{network}_width" if spelled is None else f"{network}_channels"
        self._check_length(key, spelled)
        for side, channels in self.channels(network).items():
            if not 1 <= channels <= WIDEST:
                most = f"; {WIDEST:,} is the most" if channels > WIDEST else ""
                raise inconsistent(key, f"gives {network.upper()} {channels} channels at {side} px{most}")
            heads = self.heads(channels)
            if network == "g" and (channels % 4 or channels % heads or heads % 2):
                needs = "channels must be divisible by 4 and by the heads, and the heads must be even"
                raise inconsistent(key, f"gives G {channels} channels at {side} px and {heads} heads; {needs}")


class DataSection(Section):
    """The data set."""

    path: NonEmptyText | None = None
    """Data store from `swincli prepare-data`. If it is missing and `source` is set, training creates it first."""
    source: NonEmptyText | None = None
    """Folder, zip or builtin:NAME that a missing store is created from."""
    crop: Literal["center", "none"] = "center"
    """How pictures of `source` become square."""
    filter: Literal["lanczos", "box", "bicubic"] = "lanczos"
    """Resize filter for pictures of `source`."""
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
    """Gradient clipping: largest gradient norm of D's phase, without R1's; 0 for no clipping."""

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
