"""The wavelet transform against PyWavelets."""

from __future__ import annotations

import numpy as np
import pytest
import pywt
import torch
from inverse_wavelet import inverse_dwt

from swincli.errors import UsageError
from swincli.ops.wavelet import dwt, filter_banks, wavelet_filters

NAMES = ["haar", "db2", "db4", "sym4", "coif1", "bior2.2", "bior3.1", "rbio1.3", "db8"]


@pytest.mark.parametrize("name", NAMES)
def test_forward_is_pywavelets(name: str) -> None:
    x = torch.randn(2, 3, 16, 32, dtype=torch.float64)
    low, (horizontal, vertical, diagonal) = pywt.dwt2(x.numpy(), name, mode="periodization")
    expected = np.concatenate([low, horizontal, vertical, diagonal], axis=1)
    np.testing.assert_allclose(dwt(x, wavelet_filters(filter_banks(name))).numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_inverse_reconstructs(name: str) -> None:
    x = torch.randn(2, 3, 16, 32, dtype=torch.float64)
    back = inverse_dwt(dwt(x, wavelet_filters(filter_banks(name))), name)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-10)  # PyWavelets' tables hold about 12 digits


def test_haar_has_the_releases_signs() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 5.0]])[None, None]
    top, bottom, left, right = 3.0, 8.0, 4.0, 7.0
    bands = dwt(x, wavelet_filters(filter_banks("haar"), dtype=torch.float32)).flatten().tolist()
    assert bands == pytest.approx([(top + bottom) / 2, (top - bottom) / 2, (left - right) / 2, (1 - 2 - 3 + 5) / 2])


def test_gradients_of_both_orders() -> None:
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    filters = wavelet_filters(filter_banks("db2"))
    assert torch.autograd.gradcheck(lambda x: dwt(x, filters), x)
    assert torch.autograd.gradgradcheck(lambda x: dwt(x, filters).square(), x)


def test_unknown_wavelet_is_named() -> None:
    with pytest.raises(UsageError, match="harr"):
        filter_banks("harr")
