"""The keys of the original release's state dicts (microsoft/StyleSwin), in its order, with our name of every weight.

The order is the one in which the release registers its modules. Its optimisers number the parameters in this order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from swincli.model.files.official import buffers
from swincli.model.mixers.neighbourhood import dilations_at
from swincli.ops.wavelet import BANDS
from swincli.recipe.schema import ModelSection

POWER_VECTORS = ("u", "v")  # of spectral norm: stored, but not parameters


@dataclass(frozen=True)
class Buffer:
    """A stored tensor that is not a weight: the function that builds it, and its arguments."""

    make: Callable[..., Tensor]
    arguments: tuple[Any, ...] = ()

    def build(self) -> Tensor:
        """Build the tensor."""
        return self.make(*self.arguments)


Layout = dict[str, str | Buffer]


def generator_names(config: ModelSection) -> dict[str, str]:
    """Our name of every parameter of G -> the release's, in the release's order."""
    return _names(generator_layout(config))


def discriminator_names(config: ModelSection) -> dict[str, str]:
    """Our name of every parameter and power iteration vector of D -> the release's, in the release's order."""
    return _names(discriminator_layout(config))


def is_parameter(name: str) -> bool:
    """Whether one of our names in a state dict is a parameter, and not a power iteration vector."""
    return name.rpartition(".")[2] not in POWER_VECTORS


def _names(layout: Layout) -> dict[str, str]:
    return {entry: key for key, entry in layout.items() if isinstance(entry, str)}


def generator_layout(config: ModelSection) -> Layout:
    """Every key of the release's G -> our name of the weight, or the buffer."""
    layout: Layout = {}
    for layer in range(1, config.mapping_layers + 1):
        layout |= _pair(f"style.{layer}", f"mapping.{layer}")
    layout["input.input"] = "constant"
    last = len(config.resolutions) - 1
    for level, resolution in enumerate(config.resolutions):
        side = config.window_at(resolution)
        for block in range(2):
            names = f"layers.{level}.blocks.{block}", f"levels.{level}.blocks.{block}"
            layout |= _block(*names, resolution, side, dilations_at(config, resolution))
        if level < last:
            theirs, ours = f"layers.{level}.upsample", f"levels.{level}.upsample"
            layout[f"{theirs}.alpha"] = f"{ours}.position_strength"
            layout |= _pair(f"{theirs}.norm", f"{ours}.norm")
            layout[f"{theirs}.reduction.weight"] = f"{ours}.reduction.weight"
            layout[f"{theirs}.sin_pos_embed._float_tensor"] = Buffer(buffers.placeholder)
    for level in range(last + 1):
        theirs, ours = f"to_rgbs.{level}", f"levels.{level}.to_rgb"
        layout[f"{theirs}.bias"] = f"{ours}.bias"
        if level < last:
            layout[f"{theirs}.upsample.kernel"] = Buffer(buffers.fir_kernel, (4.0,))
        layout |= _pair(f"{theirs}.conv", f"{ours}.conv")
    return layout


def _block(theirs: str, ours: str, resolution: int, side: int, dilations: tuple[int, ...]) -> Layout:
    """The names of a block. Neighbourhood attention, of StyleNAT, has a table for each dilation."""
    layout: Layout = {}
    if side < resolution and not dilations:
        layout[f"{theirs}.attn_mask2"] = Buffer(buffers.shift_mask, (resolution, side))
    layout |= _pair(f"{theirs}.norm1.style", f"{ours}.norm1.style")
    layout |= _pair(f"{theirs}.qkv", f"{ours}.attention.qkv")
    layout |= _pair(f"{theirs}.proj", f"{ours}.attention.proj")
    for group in range(len(dilations)):
        layout[f"{theirs}.attn.rpb.{group}"] = f"{ours}.attention.groups.{group}.position_bias"
    for half in range(0 if dilations else 2):
        layout[f"{theirs}.attn.{half}.relative_position_bias_table"] = f"{ours}.attention.halves.{half}.position_bias"
        layout[f"{theirs}.attn.{half}.relative_position_index"] = Buffer(buffers.position_index, (side,))
    layout |= _pair(f"{theirs}.norm2.style", f"{ours}.norm2.style")
    layout |= _pair(f"{theirs}.mlp.fc1", f"{ours}.mlp.expand")
    return layout | _pair(f"{theirs}.mlp.fc2", f"{ours}.mlp.contract")


def discriminator_layout(config: ModelSection) -> Layout:
    """Every key of the release's D -> our name of the weight, or the buffer."""
    spectral = config.spectral_norm
    scales = len(config.resolutions) - 1
    layout = _haar("dwt", inverse=False)
    for scale in range(scales):
        theirs = f"from_rgbs.{scale}"
        if scale:
            layout |= _haar(f"{theirs}.iwt", inverse=True)
            layout[f"{theirs}.downsample.kernel"] = Buffer(buffers.fir_kernel, (1.0,))
            layout |= _haar(f"{theirs}.dwt", inverse=False)
        layout |= _conv(f"{theirs}.conv", 0, f"from_wavelet.{scale}", spectral)
    for scale in range(scales - 1):
        theirs, ours = f"convs.{scale}", f"trunk.{scale}"
        layout |= _conv(f"{theirs}.conv1", 0, f"{ours}.conv1", spectral)
        layout[f"{theirs}.conv2.0.kernel"] = Buffer(buffers.fir_kernel, (1.0,))
        layout |= _conv(f"{theirs}.conv2", 1, f"{ours}.conv2", spectral)
    layout |= _conv("final_conv", 0, "final_conv", spectral)
    layout |= _linear("final_linear.0", "hidden", spectral)
    if not spectral:  # an equalised layer includes the bias of its activation
        return layout | _linear("final_linear.1", "logit", spectral)
    layout["final_linear.1.bias"] = "hidden_bias"
    return layout | _linear("final_linear.2", "logit", spectral)


def _haar(theirs: str, *, inverse: bool) -> Layout:
    signs = {band: -1.0 if inverse and band in ("lh", "hl") else 1.0 for band in BANDS}
    return {f"{theirs}.{band}": Buffer(buffers.haar_filter, (band, sign)) for band, sign in signs.items()}


def _pair(theirs: str, ours: str) -> Layout:
    return {f"{theirs}.{kind}": f"{ours}.{kind}" for kind in ("weight", "bias")}


def _conv(theirs: str, index: int, ours: str, spectral: bool) -> Layout:
    """A convolution at `index` of a sequence, and its bias, which is stored in the activation after it."""
    return _weight(f"{theirs}.{index}", ours, spectral) | {f"{theirs}.{index + 1}.bias": f"{ours}.bias"}


def _linear(theirs: str, ours: str, spectral: bool) -> Layout:
    bias: Layout = {f"{theirs}.bias": f"{ours}.bias"}
    weight = _weight(theirs, ours, spectral)
    return bias | weight if spectral else weight | bias  # spectral norm registers the weight again, after the bias


def _weight(theirs: str, ours: str, spectral: bool) -> Layout:
    if not spectral:
        return {f"{theirs}.weight": f"{ours}.kernel.weight"}
    vectors: Layout = {f"{theirs}.weight_{vector}": f"{ours}.kernel.{vector}" for vector in POWER_VECTORS}
    return {f"{theirs}.weight_orig": f"{ours}.kernel.weight"} | vectors
