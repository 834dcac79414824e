"""What a recipe may hold: one pydantic model a section. Field descriptions are the reference and the editor's help."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from swincli.units import parse_count

ImageCount = Annotated[
    int,
    BeforeValidator(parse_count),
    Field(
        json_schema_extra={
            "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^\d[\d_]*(\.\d+)?[kKmMbB]?$"}],
            "type": None,
        }
    ),
]
SMALLEST_SIZE, LARGEST_SIZE = 16, 1024


class Section(BaseModel):
    """A section of a recipe: strict types, no unknown keys, immutable once read."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, use_attribute_docstrings=True)


class ModelSection(Section):
    """The networks. The defaults are the paper's 256 px networks."""

    size: int = 256
    """Side of the square images in pixels; a power of two from 16 to 1024."""
    latent_dim: Annotated[int, Field(ge=1)] = 512
    """Length of z and of w."""
    mapping_layers: Annotated[int, Field(ge=1)] = 8
    """Layers of the mapping network, z to w."""
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
    adain_gamma: float = 0.0
    """Value that the scale of AdaIN starts from: 0 as in the original release, 1 to start from plain instance norm."""
    wavelet: str = "haar"
    """Wavelet of the discriminator, by PyWavelets' name."""
    spectral_norm: bool = True
    """Spectral normalisation of every layer of D; without it D's layers are equalised."""
    pixel_mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """Mean subtracted from the channels of pixels in [0, 1]; imported networks use ImageNet's."""
    pixel_std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """Standard deviation that the channels are then divided by."""

    @field_validator("size")
    @classmethod
    def _power_of_two(cls, size: int) -> int:
        if not SMALLEST_SIZE <= size <= LARGEST_SIZE or size & (size - 1):
            below = max(SMALLEST_SIZE, min(LARGEST_SIZE, 2 ** (max(size, 1).bit_length() - 1)))
            raise ValueError(f"{size} is not a power of two from {SMALLEST_SIZE} to {LARGEST_SIZE}; {below} is near")
        return size

    @field_validator("pixel_mean", "pixel_std", mode="before")
    @classmethod
    def _triple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

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
        for network in ("g", "d"):
            spelled = getattr(self, f"{network}_channels")
            if spelled is not None and (len(spelled) != len(self.resolutions) or min(spelled) < 1):
                sides = ", ".join(map(str, self.resolutions))
                raise ValueError(f"{network}_channels needs {len(self.resolutions)} positive numbers, for {sides} px")
        for side, channels in self.channels("g").items():
            heads = self.heads(channels)
            if channels % 4 or channels % heads or heads % 2:
                raise ValueError(
                    f"G has {channels} channels at {side} px and {heads} heads; channels must divide by 4 and by the "
                    "heads, and the heads must be even"
                )
        return self


class DataSection(Section):
    """The training images."""

    path: str | None = None
    """Store made by `swincli prepare-data`; made at the start of training where it is missing and `source` is given."""
    source: str | None = None
    """Folder, zip or builtin:NAME that `path` is prepared from where it does not exist yet."""
    crop: Literal["center", "none"] = "center"
    """How `source` is made square."""
    filter: Literal["lanczos", "box", "bicubic"] = "lanczos"
    """Filter that `source` is resized with."""


class TrainSection(Section):
    """Length, batch and optimisers. Lengths are in images shown to D, never in iterations."""

    total: ImageCount = 25_000_000
    """Images to train for."""
    batch: Annotated[int, Field(ge=1)] = 32
    """Images a step, over all processes."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of everything: weights, latents, data order, augmentation."""
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


class AugmentSection(Section):
    """Changes to the training images."""

    flip: bool = False
    """Mirror every training image with probability one half."""


class EmaSection(Section):
    """The running average of G's weights that samples come from."""

    half_life: Annotated[ImageCount, Field(gt=0)] = 10_000
    """Images after which an old weight counts half."""
    ramp: Annotated[float, Field(gt=0)] | None = None
    """Early in training the half-life is at most this share of the images seen; left out, it is constant."""


class EvaluateSection(Section):
    """Measuring while training."""

    every: ImageCount = 0
    """Images between two evaluations of the EMA generator; 0 for none."""
    metrics: list[str] = ["fid"]
    """Metrics to measure."""
    num: Annotated[ImageCount, Field(ge=2)] = 10_000
    """Generated images to measure with."""


class RunSection(Section):
    """What a run writes, and how it uses the machine."""

    name: str | None = None
    """Name of the folder under runs/; the recipe's own name where left out."""
    snapshot: Annotated[ImageCount, Field(gt=0)] = 200_000
    """Images between two saves of the training state and the model."""
    keep: Annotated[int, Field(ge=1)] = 2
    """Newest training states to keep; models are all kept."""
    samples: Annotated[ImageCount, Field(gt=0)] = 50_000
    """Images between two sample grids."""
    grid: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] = (8, 4)
    """Columns and rows of the sample grid."""
    log: Annotated[ImageCount, Field(gt=0)] = 1_000
    """Images between two lines of stats.jsonl."""

    @field_validator("grid", mode="before")
    @classmethod
    def _pair(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


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

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        train = self.train
        if train.decay_from is not None and train.decay_from >= train.total > 0:
            raise ValueError(f"train.decay_from ({train.decay_from}) must lie before train.total ({train.total})")
        return self
