"""Names of the original release's weights (microsoft/StyleSwin) for ours; the shapes are the same throughout."""

from __future__ import annotations

from swincli.recipe.schema import ModelSection


def generator_names(config: ModelSection) -> dict[str, str]:
    """Our name of every parameter of G -> the release's."""
    names = {"constant": "input.input"}
    for layer in range(1, config.mapping_layers + 1):
        names |= _pair(f"mapping.{layer}", f"style.{layer}")
    last = len(config.resolutions) - 1
    for level in range(last + 1):
        for block in range(2):
            names |= _block_names(f"levels.{level}.blocks.{block}", f"layers.{level}.blocks.{block}")
        if level < last:
            ours, theirs = f"levels.{level}.upsample", f"layers.{level}.upsample"
            names |= _pair(f"{ours}.norm", f"{theirs}.norm")
            names[f"{ours}.reduction.weight"] = f"{theirs}.reduction.weight"
            names[f"{ours}.position_strength"] = f"{theirs}.alpha"
        names |= _pair(f"levels.{level}.to_rgb.conv", f"to_rgbs.{level}.conv")
        names[f"levels.{level}.to_rgb.bias"] = f"to_rgbs.{level}.bias"
    return names


def _block_names(ours: str, theirs: str) -> dict[str, str]:
    names: dict[str, str] = {}
    for norm in ("norm1", "norm2"):
        names |= _pair(f"{ours}.{norm}.style", f"{theirs}.{norm}.style")
    names |= _pair(f"{ours}.attention.qkv", f"{theirs}.qkv")
    names |= _pair(f"{ours}.attention.proj", f"{theirs}.proj")
    for half in range(2):
        table = f"{theirs}.attn.{half}.relative_position_bias_table"
        names[f"{ours}.attention.halves.{half}.position_bias"] = table
    names |= _pair(f"{ours}.mlp.expand", f"{theirs}.mlp.fc1")
    return names | _pair(f"{ours}.mlp.contract", f"{theirs}.mlp.fc2")


def discriminator_names(config: ModelSection) -> dict[str, str]:
    """Our name of every parameter and buffer of D -> the release's."""
    spectral = config.spectral_norm
    scales = len(config.resolutions) - 1
    names: dict[str, str] = {}
    for scale in range(scales):
        theirs = f"from_rgbs.{scale}.conv"
        names |= _conv_names(f"from_wavelet.{scale}", f"{theirs}.0", f"{theirs}.1", spectral)
    for scale in range(scales - 1):
        ours, theirs = f"trunk.{scale}", f"convs.{scale}"
        names |= _conv_names(f"{ours}.conv1", f"{theirs}.conv1.0", f"{theirs}.conv1.1", spectral)
        names |= _conv_names(f"{ours}.conv2", f"{theirs}.conv2.1", f"{theirs}.conv2.2", spectral)
    names |= _conv_names("final_conv", "final_conv.0", "final_conv.1", spectral)
    names |= _conv_names("hidden", "final_linear.0", "final_linear.0", spectral)
    if spectral:
        names["hidden_bias"] = "final_linear.1.bias"
    logit = "final_linear.2" if spectral else "final_linear.1"
    return names | _conv_names("logit", logit, logit, spectral)


def _pair(ours: str, theirs: str) -> dict[str, str]:
    return {f"{ours}.{kind}": f"{theirs}.{kind}" for kind in ("weight", "bias")}


def _conv_names(ours: str, kernel: str, bias: str, spectral: bool) -> dict[str, str]:
    names = {f"{ours}.bias": f"{bias}.bias", f"{ours}.kernel.weight": f"{kernel}.weight"}
    if spectral:
        names[f"{ours}.kernel.weight"] = f"{kernel}.weight_orig"
        names |= {f"{ours}.kernel.{vector}": f"{kernel}.weight_{vector}" for vector in ("u", "v")}
    return names
