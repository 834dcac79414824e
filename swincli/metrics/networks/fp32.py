"""Float32 that is float32, whatever the caller's settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def exact_float32(device: torch.device) -> Iterator[None]:
    """Without autocast and without TF32, which a training may have turned on and CUDA's convolutions use by default."""
    backends: Any = torch.backends
    convolution, product = backends.cudnn.conv, backends.cuda.matmul
    before = convolution.fp32_precision, product.fp32_precision
    convolution.fp32_precision = product.fp32_precision = "ieee"
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        convolution.fp32_precision, product.fp32_precision = before
