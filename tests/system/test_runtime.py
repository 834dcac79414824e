"""Devices and precision."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from swincli.errors import ResourceError
from swincli.system.runtime import choose_precision, configure, float64_device, has_bf16_units

MPS = torch.device("mps")


def test_bf16_on_mps_is_refused_and_not_promised() -> None:
    assert not has_bf16_units(MPS)  # what doctor prints
    assert choose_precision("auto", MPS) == torch.float32
    with pytest.raises(ResourceError, match=r"run\.precision: bf16 is not supported on mps"):
        choose_precision("bf16", MPS)


def test_float64_of_mps_is_computed_on_the_cpu() -> None:
    assert float64_device(MPS) == torch.device("cpu")
    assert float64_device(torch.device("cuda:1")) == torch.device("cuda:1")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_switches_of_a_card_change_nothing_without_one() -> None:
    configure()
    before = switches()
    configure(tf32="auto")
    assert switches() == before


def switches() -> list[object]:
    """PyTorch's switches of float32 products and of cuDNN."""
    backends: Any = torch.backends
    configured = (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn, backends.mkldnn.matmul)
    return [each.fp32_precision for each in configured] + [backends.cudnn.benchmark]
