"""Device, precision, allocator and PyTorch switches: what is set once, before the networks run."""

from __future__ import annotations

import ctypes
import os
import sys
import warnings
from typing import Any

import torch

from swincli.errors import ResourceError
from swincli.system.device_facts import device_facts, uses_bf16

_MALLOC_PARAMETERS = {  # glibc's mallopt: name -> (number, value)
    "M_TRIM_THRESHOLD": (-1, 2**31 - 1),
    "M_TOP_PAD": (-2, 64 * 2**20),
    "M_MMAP_MAX": (-4, 0),
}


def choose_device(name: str) -> torch.device:
    """The PyTorch device for `name`: auto, cpu, cuda, cuda:1 or mps. auto prefers CUDA, then MPS.

    Raises:
        ResourceError: this machine or this build of PyTorch does not have the device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind = name.split(":")[0]
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(kind, False):
        names = ", ".join(device for device, there in available.items() if there)
        raise ResourceError(f"--device {name}: not available with this machine and PyTorch", f"Available: {names}.")
    return torch.device(name)


def float64_device(device: torch.device) -> torch.device:
    """Where to compute in float64 what is on `device`: the CPU for MPS, which has no float64, else `device`."""
    return torch.device("cpu") if device.type == "mps" else device


def has_bf16_units(device: torch.device) -> bool:
    """Whether `device` computes bfloat16 products in hardware and training uses that (not on MPS).

    CUDA has such units from compute capability 8.0 on, CPUs have them with AMX or AVX-512 BF16. PyTorch's own check
    also accepts emulation, which is several times slower than float32.
    """
    return device_facts(device).has_bf16


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """The dtype of `run.precision` (fp32, bf16, auto or gpu) on a device: float32 or bfloat16; see `uses_bf16`.

    Raises:
        ResourceError: bf16 was requested and the device does not support it.
    """
    if name == "fp32":
        return torch.float32
    return torch.bfloat16 if uses_bf16(name, device_facts(device)) else torch.float32


def configure(*, tf32: bool | str = False, fixed_shapes: bool = False) -> None:
    """Set the process-wide switches of PyTorch and of the allocator. Calling it twice does no harm.

    - glibc's allocator keeps freed blocks. By default it returns large blocks to the kernel, and every operation pays
      for new pages. This costs up to 2 GiB and makes sampling and training on a CPU up to twice as fast.
    - Denormal numbers are flushed to zero. They are several times slower than normal numbers.
    - cuDNN's attention kernel is off. On some GPUs it returns NaN gradients for masked windows of 64 tokens.

    Args:
        tf32: Let CUDA round the factors of float32 products and convolutions to TF32; "auto" does so where there is
            CUDA, because cards without the units ignore it. If false, float32 is exact; PyTorch's own default would
            round convolutions.
        fixed_shapes: Let cuDNN time its kernels once for every shape and take the fastest, as for training.
    """
    if sys.platform == "linux":
        _keep_freed_memory()
    torch.set_flush_denormal(True)
    torch.backends.cuda.enable_cudnn_sdp(False)
    torch.backends.cudnn.benchmark = fixed_shapes
    _set_tf32(torch.cuda.is_available() if tf32 == "auto" else bool(tf32))


def _set_tf32(allowed: bool) -> None:
    """Set the old and the new switches alike; where they differ, PyTorch's getters raise, which Inductor calls."""
    backends: Any = torch.backends
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Please use the new API settings")  # PyTorch 2.9
        torch.set_float32_matmul_precision("highest")  # of CPUs too
        backends.cuda.matmul.allow_tf32 = backends.cudnn.allow_tf32 = allowed
    backends.cudnn.conv.fp32_precision = backends.cudnn.rnn.fp32_precision = "tf32" if allowed else "ieee"


def _keep_freed_memory() -> None:
    if any(name.startswith("MALLOC_") for name in os.environ):
        return  # the user has tuned the allocator
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library, such as musl
        return
    for number, value in _MALLOC_PARAMETERS.values():
        mallopt(ctypes.c_int(number), ctypes.c_int(value))
