"""The switches of TF32: PyTorch has old and new ones, and its getters raise where they differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from swincli.ops.precision import exact_float32
from swincli.system import runtime

CPU = torch.device("cpu")
BACKENDS: Any = torch.backends


@pytest.fixture(autouse=True)
def settings_put_back() -> Iterator[None]:
    yield
    runtime.configure()


def settings() -> dict[str, object]:
    """All of them; raises if the old and the new ones differ."""
    return {
        "products": torch.get_float32_matmul_precision(),
        "products of CUDA": (BACKENDS.cuda.matmul.allow_tf32, BACKENDS.cuda.matmul.fp32_precision),
        "convolutions": (BACKENDS.cudnn.allow_tf32, BACKENDS.cudnn.conv.fp32_precision),
        "products of CPUs": BACKENDS.mkldnn.matmul.fp32_precision,
    }


EXACT = {
    "products": "highest",
    "products of CUDA": (False, "ieee"),
    "convolutions": (False, "ieee"),
    "products of CPUs": "ieee",
}
ROUNDED = {**EXACT, "products": "high", "products of CUDA": (True, "tf32"), "convolutions": (True, "tf32")}


@pytest.mark.filterwarnings("error")
def test_all_switches_agree() -> None:
    for tf32 in (False, True, False):
        runtime.configure(tf32=tf32)
        assert settings() == (ROUNDED if tf32 else EXACT)
        with BACKENDS.cudnn.flags(enabled=True):  # reads and sets those of cuDNN
            pass


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("before", ["highest", "high", "medium"])
def test_exact_float32_holds_inside_and_ends(before: str) -> None:
    torch.set_float32_matmul_precision(before)
    BACKENDS.cudnn.allow_tf32 = before == "high"
    outside = settings()
    with exact_float32(CPU):
        assert settings() == EXACT
    assert settings() == outside


def test_exact_float32_in_a_process_that_uses_the_new_switches_alone() -> None:
    BACKENDS.cuda.matmul.fp32_precision = BACKENDS.cudnn.conv.fp32_precision = "tf32"
    with exact_float32(CPU):
        assert settings() == EXACT
    assert BACKENDS.cuda.matmul.fp32_precision == BACKENDS.cudnn.conv.fp32_precision == "tf32"
    runtime.configure()
    assert settings() == EXACT
