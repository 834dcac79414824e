"""What a recipe may hold: one pydantic model a section. Field descriptions are the reference and the editor's help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from swincli.units import COUNT_PATTERN, parse_count

SMALLEST_SIZE, LARGEST_SIZE = 16, 1024


@dataclass(frozen=True)
class Images:
    """Marks an integer as a number of images, of at least `smallest`, that may be written "25M"."""

    smallest: int = 0

    def read(self, value: Any) -> int:
        """The count that `value` stands for; ValueError where it is none or too small."""
        count = parse_count(value)
        if count < self.smallest:
            raise ValueError(f"must be at least {self.smallest}, not {count}")
        return count

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], CoreSchema]) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: Any) -> dict[str, Any]:
        number = {"type": "integer", "minimum": self.smallest}
        return {"anyOf": [number, {"type": "string", "pattern": f"^{COUNT_PATTERN}$"}]}


ImageCount = Annotated[int, Images()]
PositiveImageCount = Annotated[int, Images(smallest=1)]
Name = Annotated[str, Field(min_length=1)]


def _numbers(length: int) -> BeforeValidator:
    """Read a list of `length` numbers as the tuple that a frozen section holds."""

    def read(value: Any) -> Any:
        if not isinstance(value, list | tuple) or len(value) != length:
            raise ValueError(f"must be a list of {length} numbers")
        return tuple(value)

    return BeforeValidator(read)


Triple = Annotated[tuple[float, float, float], _numbers(3)]


def _misfit(key: str, message: str) -> PydanticCustomError:
    """A problem that shows when a whole section has been read, laid at one of its keys."""
    return PydanticCustomError("misfit", "{message}", {"key": key, "message": message})


class Section(BaseModel):
    """A section of a recipe: strict types, no unknown keys, finite numbers, immutable once read."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class ModelSection(Section):
    """The networks. The defaults are the paper's 256 px networks."""

    size: int = 256
    """Side of the square images in pixels; a power of two from 16 to 1024."""
    latent_dim: Annotated[int, Field(ge=1)] = 512
    """Length of z and of w."""
    mapping_layers: Annotated[int, Field(ge=1)] = 8
    """Layers of the mapping network, z to w."""
    classes: Annotated[int, Field(ge=0)] = 0
    """Classes that G and D are conditioned on, as many as the store has label names; 0 for none."""
    g_width: Annotated[int, Field(ge=4)] = 512
    """Channels of G from 4 to 32 px; above, they halve with every doubling of the side, times g_multiplier."""
    g_multiplier: Annotated[int, Field(ge=1)] = 2
    """Channel multiplier of G above 32 px."""
    g_channels: list[int] | None = None
    """Channels of G at 4, 8, 16, ... px, spelled out; takes the place of g_width and g_multiplier."""
    d_width: Annotated[int, Field(ge=1)] = 512
    """Channels of D from 4 to 32 px, like g_width."""
    d_multiplier: Annotated[int, Field(ge=1)] = 2
    """Channel multiplier of D above 32 px."""
    d_channels: list[int] | None = None
    """Channels of D at 4, 8, 16, ... px, spelled out; takes the place of d_width and d_multiplier."""
    head_dim: Annotated[int, Field(ge=1)] = 32
    """Channels a head of attention; narrow layers use min_heads heads instead."""
    min_heads: Annotated[int, Field(ge=2, multiple_of=2)] = 4
    """Fewest heads of a layer; half of them attend in shifted windows."""
    window: Literal[4, 8, 16] = 8
    """Side of an attention window in pixels; maps no larger than it get full attention."""
    mlp_ratio: Annotated[int, Field(ge=1)] = 4
    """Hidden width of the MLPs, as a multiple of the channels."""
    style: Literal["adain", "adaln", "adabn", "modulated-mlp", "cross-attention", "none"] = "adain"
    """How w reaches the blocks of G; with "none" they are Swin's own, and w makes the first 4 px map."""
    adain_gamma: float = 0.0
    """Value that the scale of AdaIN, AdaLN and AdaBN starts from: 0 as in the original release, 1 for no change."""
    attention: Literal["double", "single"] = "double"
    """Windows of G's attention: regular ones for half of the heads and shifted for the rest, or Swin's by turns."""
    relative_bias: bool = True
    """Learned bias of attention for the relative position of two pixels of a window."""
    position: Literal["spe", "learned", "none"] = "spe"
    """Position encoding after every doubling of G's map: sinusoidal, learned for every row and column, or none."""
    upsampling: Literal["bilinear", "nearest"] = "bilinear"
    """How G's maps are doubled."""
    discriminator: Literal["wavelet", "plain", "patch"] = "wavelet"
    """Kind of D: with wavelet coefficients at every scale, StyleGAN2's residual one, or one that judges patches."""
    wavelet: str = "haar"
    """Wavelet of the wavelet discriminator, by PyWavelets' name."""
    std_group: Annotated[int, Field(ge=1)] = 4
    """Images whose deviation D is shown together (minibatch deviation): the largest divisor of the batch up to this."""
    spectral_norm: bool = True
    """Spectral normalisation of every layer of D; without it D's layers are equalised."""
    pixel_mean: Triple = (0.5, 0.5, 0.5)
    """Mean subtracted from the channels of pixels in [0, 1]; imported networks use ImageNet's."""
    pixel_std: Triple = (0.5, 0.5, 0.5)
    """Standard deviation that the channels are then divided by."""

    @field_validator("size")
    @classmethod
    def _power_of_two(cls, size: int) -> int:
        if not SMALLEST_SIZE <= size <= LARGEST_SIZE or size & (size - 1):
            below = max(SMALLEST_SIZE, min(LARGEST_SIZE, 2 ** (max(size, 1).bit_length() - 1)))
            raise ValueError(f"{size} is not a power of two from {SMALLEST_SIZE} to {LARGEST_SIZE}; {below} is near")
        return size

    @field_validator("pixel_std")
    @classmethod
    def _positive(cls, value: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(value) <= 0:
            raise ValueError("every standard deviation must be above 0")
        return value

    @property
    def resolutions(self) -> list[int]:
        """Sides of the feature maps: 4, 8, ..., size."""
        return [2**level for level in range(2, self.size.bit_length())]

    @property
    def num_ws(self) -> int:
        """Codes in a w+: two for every resolution."""
        return 2 * len(self.resolutions)

    def channels(self, network: Literal["g", "d"]) -> dict[int, int]:
        """Channels of G or D at every resolution, {4: 512, 8: 512, ...}."""
        spelled, width, multiplier = {
            "g": (self.g_channels, self.g_width, self.g_multiplier),
            "d": (self.d_channels, self.d_width, self.d_multiplier),
        }[network]
        if spelled is not None:
            return dict(zip(self.resolutions, spelled, strict=True))
        return {side: width if side <= 32 else width * 32 // side * multiplier for side in self.resolutions}

    def heads(self, channels: int) -> int:
        """Attention heads of a layer: channels / head_dim, at least min_heads."""
        return max(channels // self.head_dim, self.min_heads)

    @model_validator(mode="after")
    def _widths_fit(self) -> Self:
        self._check_widths("g", self.g_channels)
        self._check_widths("d", self.d_channels)
        return self

    def _check_widths(self, network: Literal["g", "d"], spelled: list[int] | None) -> None:
        key = f"{network}_width" if spelled is None else f"{network}_channels"
        if spelled is not None and len(spelled) != len(self.resolutions):
            sides = ", ".join(map(str, self.resolutions))
            raise _misfit(key, f"must hold {len(self.resolutions)} numbers, for {sides} px, not {len(spelled)}")
        for side, channels in self.channels(network).items():
            if channels < 1:
                raise _misfit(key, f"leaves {network.upper()} {channels} channels at {side} px")
            heads = self.heads(channels)
            if network == "g" and (channels % 4 or channels % heads or heads % 2):
                needs = "channels must divide by 4 and by the heads, and the heads must be even"
                raise _misfit(key, f"gives G {channels} channels at {side} px and {heads} heads; {needs}")


class DataSection(Section):
    """The training images."""

    path: Name | None = None
    """Store made by `swincli prepare-data`; made at the start of training where it is missing and `source` is given."""
    source: Name | None = None
    """Folder, zip or builtin:NAME that `path` is prepared from where it does not exist yet."""
    crop: Literal["center", "none"] = "center"
    """How `source` is made square."""
    filter: Literal["lanczos", "box", "bicubic"] = "lanczos"
    """Filter that `source` is resized with."""
    resident: Literal["auto", "always", "never"] = "auto"
    """Hold all images in the device's memory; "auto": on CUDA, where they take at most a quarter of what is free."""


class TrainSection(Section):
    """Length, batch and optimisers. Lengths are in images shown to D, never in iterations."""

    total: ImageCount = 25_000_000
    """Images to train for."""
    batch: Annotated[int, Field(ge=1)] = 32
    """Images a step, over all processes."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of everything: weights, latents, data order, augmentation."""
    init: Name | None = None
    """Checkpoint to start from: a run folder or its state, a .safetensors model, or an original .pt."""
    init_mode: Literal["continue", "fine-tune"] = "continue"
    """Go on counting images from the checkpoint with its Adam moments, or count from 0 with new ones."""
    freeze_d: Annotated[int, Field(ge=0)] = 0
    """Resolutions of D, from that of the image down, that are not trained (FreezeD, for fine-tuning on few images)."""
    g_lr: Annotated[float, Field(gt=0)] = 5e-5
    """Learning rate of G."""
    d_lr: Annotated[float, Field(gt=0)] = 2e-4
    """Learning rate of D (TTUR: four times G's), before the correction for lazy R1."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Adam's beta 1 of both networks."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Adam's beta 2 of both networks."""
    decay_from: ImageCount | None = None
    """Images after which both rates fall linearly, to 0 at `total`; left out, they stay."""
    clip: Annotated[float, Field(ge=0)] = 5.0
    """Largest norm of D's gradient in its logistic step; 0 for no clipping."""

    @model_validator(mode="after")
    def _transfer_has_a_source(self) -> Self:
        if self.init is None and self.freeze_d:
            raise _misfit("freeze_d", "keeps layers of a checkpoint's D; give train.init as well")
        if self.init is None and self.init_mode == "fine-tune":
            raise _misfit("init_mode", "fine-tunes a checkpoint; give train.init as well")
        return self

    @model_validator(mode="after")
    def _decay_ends(self) -> Self:
        if self.decay_from is not None and self.decay_from >= self.total > 0:
            raise _misfit(
                "decay_from",
                f"{self.decay_from} must lie before train.total, {self.total}; with --set train.decay_from=null the "
                "rates stay",
            )
        return self


class LossSection(Section):
    """Non-saturating logistic loss and its regularisers."""

    r1_gamma: Annotated[float, Field(ge=0)] = 10.0
    """Weight of R1, the penalty on D's gradient at real images; 0 turns it off."""
    r1_interval: Annotated[int, Field(ge=1)] = 16
    """Steps between two R1 phases (lazy regularisation)."""
    bcr_real: Annotated[float, Field(ge=0)] = 0.0
    """Weight of balanced consistency regularisation on reals; the release uses 10."""
    bcr_fake: Annotated[float, Field(ge=0)] = 0.0
    """The same on fakes."""
    tv: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the total variation of G's images at the start."""
    tv_until: PositiveImageCount | None = None
    """Images over which that weight falls linearly to 0; left out, it stays."""


class AugmentSection(Section):
    """Changes to the training images."""

    flip: bool = False
    """Mirror every training image with probability one half."""


class EmaSection(Section):
    """The running average of G's weights that samples come from."""

    half_life: PositiveImageCount = 10_000
    """Images after which an old weight counts half."""
    ramp: Annotated[float, Field(gt=0)] | None = None
    """Early in training the half-life is at most this share of the images seen; left out, it is constant."""
    decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Weight of the old average in every step, in place of half_life and ramp; the original release's is 0.99778."""
    power: list[Annotated[float, Field(ge=0.01, le=0.28)]] = []
    """Two relative widths of power-function averages kept beside it, such as [0.05, 0.1], to choose a width later."""
    power_every: PositiveImageCount = 200_000
    """Images between two snapshots of those averages."""

    @model_validator(mode="after")
    def _averages_fit(self) -> Self:
        if self.power and (len(self.power) != 2 or self.power[0] >= self.power[1]):
            raise _misfit("power", "must hold two widths, the smaller one first, or none")
        if self.decay is not None and self.ramp is not None:
            raise _misfit("decay", "is constant and knows no ramp; give one of the two")
        return self


class EvaluateSection(Section):
    """Measuring while training."""

    every: ImageCount = 0
    """Images between two evaluations of the EMA generator; 0 for none."""
    metrics: list[str] = ["fid"]
    """Metrics to measure."""
    num: Annotated[int, Images(smallest=2)] = 10_000
    """Generated images to measure with."""


class RunSection(Section):
    """What a run writes, and how it uses the machine."""

    name: Name | None = None
    """Name of the folder under runs/; the recipe's own name where left out."""
    snapshot: PositiveImageCount = 200_000
    """Images between two saves of the training state and the model."""
    keep: Annotated[int, Field(ge=1)] = 2
    """Newest training states to keep; models are all kept."""
    samples: PositiveImageCount = 50_000
    """Images between two sample grids."""
    grid: Annotated[tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]], _numbers(2)] = (8, 4)
    """Columns and rows of the sample grid."""
    log: PositiveImageCount = 1_000
    """Images between two lines of stats.jsonl."""
    tensorboard: bool = True
    """Write scalars, grids and the recipe for TensorBoard, in the run's tensorboard folder."""
    wandb: Name | None = None
    """Project of Weights & Biases to report to, where the package wandb is installed."""
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    """Precision of most matrix products in training; auto takes bf16 where the machine is fast at it."""
    tf32: bool = False
    """Let CUDA round the factors of float32 matrix products to TF32: faster, with 10 bits of mantissa."""
    micro_batch: Annotated[int, Field(ge=1)] | None = None
    """Images of one pass of a process; gradients are summed over passes. Left out, a process's whole share."""
    recompute_from: Annotated[int, Field(ge=4)] | None = None
    """Side from which G's and D's activations are computed again in the backward pass, to save memory."""
    compile: bool = False
    """Compile the networks with torch.compile; R1 uses them uncompiled."""
    channels_last: bool = False
    """Keep D's feature maps in channels-last layout."""

    @field_validator("name")
    @classmethod
    def _one_folder(cls, name: str | None) -> str | None:
        if name is not None and (name in (".", "..") or "/" in name or "\\" in name):
            raise ValueError(f'"{name}" is not the name of a folder; --out takes a path')
        return name


class Recipe(Section):
    """A whole experiment: what a run was made with, and all that is needed to make it again."""

    model: ModelSection = ModelSection()
    data: DataSection = DataSection()
    train: TrainSection = TrainSection()
    loss: LossSection = LossSection()
    augment: AugmentSection = AugmentSection()
    ema: EmaSection = EmaSection()
    evaluate: EvaluateSection = EvaluateSection()
    run: RunSection = RunSection()
