"""The [1, 3, 3, 1] filter against a plain twin that follows StyleGAN2's definition."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from swincli.ops import fir


def plain_upfirdn(
    x: Tensor, *, up: int = 1, down: int = 1, padding: tuple[int, int] = (0, 0), gain: float = 1
) -> Tensor:
    """Insert zeros, pad, correlate with the 4x4 kernel and drop pixels: written with loops."""
    taps = np.array([1.0, 3.0, 3.0, 1.0]) / 8
    kernel = np.outer(taps, taps) * gain
    batch, channels, height, width = x.shape
    wide = np.zeros((batch, channels, height * up, width * up))
    wide[:, :, ::up, ::up] = x.numpy()
    wide = np.pad(wide, ((0, 0), (0, 0), padding, padding))
    rows, columns = wide.shape[2] - 3, wide.shape[3] - 3
    out = np.zeros((batch, channels, rows, columns))
    for i in range(4):
        for j in range(4):
            out += kernel[3 - i, 3 - j] * wide[:, :, i : i + rows, j : j + columns]
    return torch.from_numpy(out[:, :, ::down, ::down])


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 3, 6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_upsample_is_the_plain_one(x: Tensor) -> None:
    torch.testing.assert_close(fir.upsample(x), plain_upfirdn(x, up=2, padding=(2, 1), gain=4), rtol=1e-12, atol=1e-12)


def test_downsample_is_the_plain_one(x: Tensor) -> None:
    torch.testing.assert_close(fir.downsample(x), plain_upfirdn(x, down=2, padding=(1, 1)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("padding", [0, 1, 2, 3])
def test_blur_is_the_plain_one(x: Tensor, padding: int) -> None:
    twin = plain_upfirdn(x, padding=(padding, padding))
    torch.testing.assert_close(fir.blur(x, padding), twin, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("padding", [1, 2])
def test_blur_can_be_differentiated_twice(padding: int) -> None:
    x = torch.randn(1, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: fir.blur(x, padding), x)
    assert torch.autograd.gradgradcheck(lambda x: fir.blur(x, padding).square(), x)


def test_brightness_is_kept() -> None:
    flat = torch.ones(1, 1, 8, 8)
    assert torch.allclose(fir.upsample(flat)[:, :, 2:-2, 2:-2], torch.tensor(1.0))
    assert torch.allclose(fir.downsample(flat)[:, :, 1:-1, 1:-1], torch.tensor(1.0))


@pytest.mark.parametrize("operation", [fir.upsample, fir.downsample, lambda x: fir.blur(x, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_weight_is_contiguous_and_built_once(
    monkeypatch: pytest.MonkeyPatch, operation: Callable[[Tensor], Tensor], dtype: torch.dtype
) -> None:
    weights: list[Tensor] = []

    def convolve(x: Tensor, weight: Tensor, *args: object, **kwargs: object) -> Tensor:  # noqa: ARG001
        weights.append(weight)
        return x

    for name in ("conv2d", "conv_transpose2d"):
        monkeypatch.setattr(fir.F, name, convolve)
    x = torch.ones(1, 3, 8, 8, dtype=dtype)
    operation(x)
    operation(x)
    one, other = weights
    assert one is other
    assert one.is_contiguous()
    assert one.shape == (3, 1, 4, 4)
    assert one.dtype == dtype
