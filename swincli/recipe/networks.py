"""The [model] section of a recipe: the networks. `by_resolution` says which keys may differ from level to level."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from swincli.recipe.attributes import AttributeTable, Kind, parse_kind
from swincli.recipe.by_resolution import ByResolution, value_at
from swincli.recipe.section import RgbTriple, Section, inconsistent

SMALLEST_SIZE, LARGEST_SIZE = 16, 1024
FEATURES_STRIDE = 32
"""Stride of the smallest map of a pretrained network; sides that it does not divide give maps that do not fit."""
FEATURES_SIDES = {"efficientnet": 224}
"""The pretrained networks' own sides."""
WIDEST = 65_536  # channels of a layer, codes and hidden layers: 100 times the paper's networks

ALL_HEADS_FROM = {
    "grid": 16, "na": 8, "na-all": 8, "kv2": 16, "strided": 16, "axial": 16, "latent": 16, "latent-kmeans": 16,
}  # fmt: skip
"""Mixers whose heads cannot be pruned, and the smallest side where each stands; below, there is window attention."""

SMALLEST_MIXED = 16
"""Side of the smallest map that most mixers mix; smaller maps have double attention."""

WINDOW_MIXERS = ("double", "single", "latent", "latent-kmeans")
"""Mixers whose windows have what `score_mask` and `bias_init` ask for."""

KEY_MIXERS = (*WINDOW_MIXERS, "grid", "kv2", "strided")
"""Mixers with as many heads of keys and values as `kv_heads` says."""

PADDED_MIXERS = ("dw7", "dw7+1x1", "sepconv", "gnconv2", "gnconv3")
"""Mixers whose kernels see what `mixer_padding` says beyond the border."""

MixerName = Literal[
    "double",
    "single",
    "grid",
    "na",
    "na-all",
    "kv2",
    "strided",
    "axial",
    "latent",
    "latent-kmeans",
    "dw7",
    "dw7+1x1",
    "sepconv",
    "gnconv2",
    "gnconv3",
    "pool",
    "identity",
    "random",
]


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
    attributes: Annotated[dict[str, int | str] | None, AttributeTable()] = None
    """Attributes that G and D are conditioned on, instead of classes, as a table of names in the store and kinds: a
    number of classes, "flag" (yes or no), "number", "several:N" of N values, or `caption = "text:384"` for captions.
    See docs/guides/labels.md and docs/guides/text.md."""
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
    heads: Annotated[int | dict[str, int] | None, ByResolution(Annotated[int, Field(ge=2)], optional=True)] = None
    """Attention heads, instead of head_dim and min_heads; one number, or a table by resolution."""
    kv_heads: Annotated[int | dict[str, int] | None, ByResolution(Annotated[int, Field(ge=1)], optional=True)] = None
    """Heads of keys and values in window attention, fewer than heads: each serves several heads of queries. One number,
    or a table by resolution. If left out: as many as heads."""
    kept_heads: Annotated[int | dict[str, int] | None, ByResolution(Annotated[int, Field(ge=2)], optional=True)] = None
    """Heads of window attention that are left of `heads`, each as wide as before; an even number, or a table by
    resolution. If left out: all. `swincli convert --prune` writes it."""
    window: Annotated[int | dict[str, int], ByResolution(Literal[4, 8, 16])] = 8
    """Side of an attention window in pixels, or a table by resolution. Feature maps up to this size have full
    attention."""
    mlp_ratio: Annotated[int | dict[str, int], ByResolution(Annotated[int, Field(ge=1, le=256)])] = 4
    """Hidden channels of the MLPs, as a multiple of the channels; one number, or a table by resolution."""
    mlp_hidden: Annotated[
        int | dict[str, int] | None, ByResolution(Annotated[int, Field(ge=1, le=WIDEST)], optional=True)
    ] = None
    """Hidden channels of the MLPs, instead of mlp_ratio; one number, or a table by resolution. `swincli convert
    --prune` writes one."""
    style: Literal["adain", "adaln", "adabn", "modulated-mlp", "cross-attention", "none"] = "adain"
    """Style injection into the blocks of G. With "none", blocks are plain Swin blocks and w makes the 4 px map."""
    adain_gamma: float = 0.0
    """Initial scale of AdaIN, AdaLN and AdaBN: 0 as in the original release, or 1 to start without scaling."""
    attention: Literal["double", "single"] = "double"
    """Windows of G: regular and shifted in every layer ("double"), or alternating from layer to layer as in Swin."""
    mixer: Annotated[str | dict[str, str] | None, ByResolution(MixerName, optional=True)] = None
    """What mixes the positions of G's maps, as docs/concepts/mixers.md lists them; one name, or a table by resolution
    such as {default = "double", "512" = "single"}. If left out: the windows of `attention`."""
    mixer_padding: Literal["zeros", "reflect", "circular"] = "zeros"
    """What the kernels of the mixers dw7, dw7+1x1, sepconv, gnconv2 and gnconv3 see beyond the border of a map."""
    relative_bias: bool = True
    """Relative position bias of attention."""
    bias_init: Literal["normal", "manhattan"] = "normal"
    """Initial relative position bias of the windows of double, single and latent: small random numbers, or a decay with
    the distance |dx| + |dy| at a rate of its own for each head."""
    score_mask: Literal["none", "gaussian"] = "none"
    """Learned factors of the logits in the windows of double, single and latent: for each head a mixture of Gaussians
    of the distance, 1 at the start. Windows then take more memory in training."""
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
    features_side: Annotated[int, Field(ge=64, le=LARGEST_SIZE)] | None = None
    """Side in pixels to which smaller images are enlarged for the pretrained network, a multiple of 32; its own, 224,
    if left out. 64 or 128 is several times as fast and suits images of 32 px."""
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
    def is_conditional(self) -> bool:
        """Whether G and D get labels: one class an image, or attributes."""
        return bool(self.classes or self.attributes)

    @property
    def has_texts(self) -> bool:
        """Whether one of the attributes is a text."""
        return any(kind.name == "text" for kind in self.attribute_kinds.values())

    @property
    def attribute_kinds(self) -> dict[str, Kind]:
        """The kinds of the attributes by name, in the order of their columns."""
        return {name: parse_kind(kind) for name, kind in (self.attributes or {}).items()}

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

    def width_at(self, resolution: int) -> int:
        """Channels of G at a resolution."""
        return self.channels("g")[resolution]

    def heads_of(self, channels: int) -> int:
        """Number of attention heads by the rule for a layer: channels / head_dim, at least min_heads."""
        return max(channels // self.head_dim, self.min_heads)

    def heads_at(self, resolution: int) -> int:
        """Number of attention heads of G at a resolution."""
        heads: int | None = self.value_at("heads", resolution)
        return heads or self.heads_of(self.width_at(resolution))

    def kv_heads_at(self, resolution: int) -> int:
        """Number of heads of keys and values at a resolution."""
        kv_heads: int | None = self.value_at("kv_heads", resolution)
        return kv_heads or self.heads_at(resolution)

    def kept_heads_at(self, resolution: int) -> int:
        """Number of heads of window attention at a resolution, after pruning."""
        kept: int | None = self.value_at("kept_heads", resolution)
        return kept or self.heads_at(resolution)

    def window_at(self, resolution: int) -> int:
        """Side of an attention window at a resolution, at most that of the map."""
        window: int = self.value_at("window", resolution)
        return min(window, resolution)

    def hidden_at(self, resolution: int) -> int:
        """Hidden channels of G's MLPs at a resolution."""
        hidden: int | None = self.value_at("mlp_hidden", resolution)
        ratio: int = self.value_at("mlp_ratio", resolution)
        return hidden or ratio * self.width_at(resolution)

    def mixer_at(self, resolution: int) -> str:
        """Name of G's mixer at a resolution, a key of `model.mixers.registry.MIXERS`."""
        mixer: str | None = self.value_at("mixer", resolution)
        return mixer or self.attention

    def has_mixer(self, names: Collection[str]) -> bool:
        """Whether one of these mixers mixes a map of `SMALLEST_MIXED` px or more."""
        return any(self.mixer_at(side) in names for side in self.resolutions if side >= SMALLEST_MIXED)

    def value_at(self, key: str, resolution: int) -> Any:
        """The value of a key that may be a table by resolution."""
        return value_at(getattr(self, key), resolution, type(self).model_fields[key].default)

    @model_validator(mode="after")
    def _widths_fit(self) -> Self:
        self._check_widths("g", self.g_channels)
        self._check_widths("d", self.d_channels)
        return self

    @model_validator(mode="after")
    def _kv_heads_fit(self) -> Self:
        for side in self.resolutions:
            heads, kv_heads = self.heads_at(side), self.kv_heads_at(side)
            groups = 1 if self.mixer_at(side) == "single" else 2
            if heads % kv_heads or kv_heads % groups:
                even = ", and be even: half of the heads have windows of their own" if groups == 2 else ""
                numbers = f"{kv_heads} heads of keys for G's {heads} heads at {side} px"
                raise inconsistent("kv_heads", f"{numbers}; they must divide the heads{even}")
        return self

    @model_validator(mode="after")
    def _kept_heads_fit(self) -> Self:
        for side in self.resolutions:
            heads, kept = self.heads_at(side), self.kept_heads_at(side)
            if kept == heads:
                continue
            if kept > heads or kept % 2:
                numbers = f"{kept} of G's {heads} heads at {side} px"
                raise inconsistent("kept_heads", f"{numbers}; an even number, and no more than there are")
            if self.kv_heads_at(side) != heads or self.score_mask != "none":
                raise inconsistent("kept_heads", "cannot be combined with kv_heads or score_mask")
            if side >= ALL_HEADS_FROM.get(mixer := self.mixer_at(side), side + 1):
                raise inconsistent("kept_heads", f'the mixer "{mixer}" at {side} px keeps all its heads')
        return self

    def _check_widths(self, network: Literal["g", "d"], spelled: list[int] | None) -> None:
        key = f"{network}_width" if spelled is None else f"{network}_channels"
        if spelled is not None and len(spelled) != len(self.resolutions):
            sides = ", ".join(map(str, self.resolutions))
            raise inconsistent(key, f"must have {len(self.resolutions)} numbers, for {sides} px, not {len(spelled)}")
        for side, channels in self.channels(network).items():
            if not 1 <= channels <= WIDEST:
                most = f"; {WIDEST:,} is the most" if channels > WIDEST else ""
                raise inconsistent(key, f"gives {network.upper()} {channels} channels at {side} px{most}")
            heads = self.heads_at(side) if network == "g" else 0
            if network == "g" and (channels % 4 or channels % heads or heads % 2):
                needs = "channels must be divisible by 4 and by the heads, and the heads must be even"
                if self.heads is not None:
                    raise inconsistent("heads", f"{heads} heads for G's {channels} channels at {side} px; {needs}")
                raise inconsistent(key, f"gives G {channels} channels at {side} px and {heads} heads; {needs}")
