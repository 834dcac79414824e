"""Mixers by depthwise convolution: dw7, dw7+1x1, sepconv, gnConv."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swincli.model.mixers.convolution import Depthwise, DepthwiseMixer, SeparableMixer
from swincli.model.mixers.gated_convolution import GatedConvolution
from swincli.ops import cpu_tiles

CHANNELS = 8
MAKERS: dict[str, Callable[..., nn.Module]] = {
    "dw7": DepthwiseMixer,
    "dw7+1x1": lambda channels, **keys: DepthwiseMixer(channels, pointwise=True, **keys),
    "sepconv": SeparableMixer,
    "gnconv2": lambda channels, **keys: GatedConvolution(channels, 2, **keys),
    "gnconv3": lambda channels, **keys: GatedConvolution(channels, 3, **keys),
}


def made(name: str, **keys: Any) -> Any:
    torch.manual_seed(0)
    return MAKERS[name](CHANNELS, **keys).double()


def convolved(layer: Depthwise, x: Tensor) -> Tensor:
    """Zero padding, every neighbourhood as a vector, and its product with the kernel."""
    padded = F.pad(x, (0, 0, 3, 3, 3, 3))
    out = torch.einsum("bhwcij,cij->bhwc", padded.unfold(1, 7, 1).unfold(2, 7, 1), layer.weight[:, 0])
    return out if layer.bias is None else out + layer.bias


def naive(name: str, mixer: Any, x: Tensor) -> Tensor:
    """The definitions, step by step."""
    if name == "dw7":
        return convolved(mixer.depthwise, x)
    if name == "dw7+1x1":
        return convolved(mixer.depthwise, x) @ mixer.proj.weight.t() + mixer.proj.bias
    if name == "sepconv":
        return convolved(mixer.depthwise, F.gelu(x @ mixer.expand.weight.t())) @ mixer.contract.weight.t()
    order = int(name[-1])
    width = CHANNELS // 2 ** (order - 1)
    both = x @ mixer.expand.weight.t() + mixer.expand.bias
    product, gates = both[..., :width], convolved(mixer.depthwise, both[..., width:])
    for step in range(order):
        if step:
            layer = mixer.widen[step - 1]
            product = product @ layer.weight.t() + layer.bias
        product = product * gates[..., :width]
        gates, width = gates[..., width:], 2 * width
    out: Tensor = mixer.proj(product)
    return out


@pytest.mark.parametrize("name", MAKERS)
def test_the_definition_step_by_step(name: str) -> None:
    mixer, x = made(name), torch.randn(2, 16, 16, CHANNELS, dtype=torch.float64)
    out = mixer(x)
    torch.testing.assert_close(out, naive(name, mixer, x), rtol=0, atol=1e-10)
    torch.testing.assert_close(mixer.float()(x.float()).double(), out, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", MAKERS)
def test_a_result_sees_exactly_7x7_positions(name: str) -> None:
    mixer, x = made(name), torch.randn(1, 16, 16, CHANNELS, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(mixer(x)[0, 8, 6].sum(), x)
    seen = slope[0].abs().sum(dim=-1) > 0
    assert seen.sum() == 49
    assert seen[5:12, 3:10].all()


@pytest.mark.parametrize("name", MAKERS)
def test_circular_padding_commutes_with_shifts(name: str) -> None:
    x = torch.randn(1, 16, 16, CHANNELS, dtype=torch.float64)
    for padding, commutes in (("circular", True), ("zeros", False), ("reflect", False)):
        mixer = made(name, padding=padding)
        difference = (mixer(x.roll((1, 3), (1, 2))) - mixer(x).roll((1, 3), (1, 2))).abs().max()
        assert (difference < 1e-12) == commutes


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("padding", ["zeros", "reflect", "circular"])
def test_tiles_are_the_whole_map(name: str, padding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The halo is normalised too, and zeros are added after the norm."""
    mixer, x = made(name, padding=padding), torch.randn(2, 16, 16, CHANNELS, dtype=torch.float64)
    scale, shift = torch.randn(2, 2, 1, 1, CHANNELS, dtype=torch.float64)
    monkeypatch.setattr(cpu_tiles, "TILE_BYTES", 5 * x[0, 0].nbytes)
    largest = 0

    def normalise(values: Tensor, images: slice) -> Tensor:
        nonlocal largest
        largest = max(largest, values[..., 0].numel())
        return values * scale[images] + shift[images]

    with torch.no_grad():
        out = torch.empty_like(x)
        mixer.add_tiled(x, normalise, out)
        torch.testing.assert_close(out, x + mixer(x * scale + shift), rtol=0, atol=1e-11)
    assert largest <= 11 * 16  # five rows of a map and three on each side


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dw7", 50 * 512),
        ("dw7+1x1", 512**2 + 51 * 512),
        ("sepconv", 4 * 512**2 + 98 * 512),
        ("gnconv2", 3.5 * 512**2 + 75 * 512 + 4 * 512),
        ("gnconv3", 3.625 * 512**2 + 87.5 * 512 + 4.5 * 512),
    ],
)
def test_parameters(name: str, expected: float) -> None:
    with torch.device("meta"):
        mixer = MAKERS[name](512)
    assert sum(value.numel() for value in mixer.parameters()) == expected


def test_a_kernel_with_a_one_in_its_centre_is_the_identity() -> None:
    mixer, x = made("dw7"), torch.randn(1, 16, 16, CHANNELS, dtype=torch.float64)
    with torch.no_grad():
        mixer.depthwise.weight.zero_()[:, :, 3, 3] = 1.0
    assert torch.equal(mixer(x), x)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_without_biases_gnconv_is_homogeneous_of_degree_order_plus_1(order: int) -> None:
    torch.manual_seed(0)
    mixer = GatedConvolution(CHANNELS, order).double()
    nn.init.zeros_(mixer.proj.bias)
    x = torch.randn(1, 16, 16, CHANNELS, dtype=torch.float64)
    torch.testing.assert_close(mixer(2 * x), 2 ** (order + 1) * mixer(x))


@pytest.mark.parametrize("order", [2, 3])
def test_the_products_of_gnconv_start_as_large_as_their_input(order: int) -> None:
    torch.manual_seed(0)
    mixer = GatedConvolution(64, order)
    mixer.proj = nn.Identity()
    assert 0.3 < mixer(torch.randn(2, 16, 16, 64)).std() < 3.0


def test_the_products_of_gnconv_stay_in_float32_under_autocast() -> None:
    mixer, seen = made("gnconv2").float(), []
    mixer.proj.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        assert mixer(torch.randn(1, 16, 16, CHANNELS)).dtype == torch.bfloat16
    assert seen == [torch.float32]
