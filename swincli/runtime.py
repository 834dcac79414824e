"""What is decided once, before the networks run: the device, the allocator, denormals and attention kernels."""

from __future__ import annotations

import ctypes
import os
import sys

import torch

from swincli.errors import ResourceError

_MALLOC_PARAMETERS = {  # glibc's mallopt: name -> (number, value)
    "M_TRIM_THRESHOLD": (-1, 2**31 - 1),
    "M_TOP_PAD": (-2, 64 * 2**20),
    "M_MMAP_MAX": (-4, 0),
}


def choose_device(name: str) -> torch.device:
    """The device that `name` (auto, cpu, cuda, cuda:1, mps) means here.

    Raises:
        ResourceError: this machine, or this build of PyTorch, has no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind = name.split(":")[0]
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(kind, False):
        names = ", ".join(device for device, there in available.items() if there)
        raise ResourceError(f"--device {name}: not available with this machine and PyTorch", f"Available: {names}.")
    return torch.device(name)


def configure() -> None:
    """Settle the process-wide switches of PyTorch and of the allocator; harmless when called twice.

    glibc hands large blocks back to the kernel and faults them in again at every operation; keeping them costs up to
    2 GiB more and makes sampling and training on a CPU up to twice as fast. Denormals cost a multiple of normal
    numbers. cuDNN's attention kernel returns NaN gradients for masked windows of 64 tokens on some GPUs.
    """
    if sys.platform == "linux":
        _keep_freed_memory()
    torch.set_flush_denormal(True)
    torch.backends.cuda.enable_cudnn_sdp(False)


def _keep_freed_memory() -> None:
    if any(name.startswith("MALLOC_") for name in os.environ):
        return  # the user has tuned the allocator
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library, such as musl
        return
    for number, value in _MALLOC_PARAMETERS.values():
        mallopt(ctypes.c_int(number), ctypes.c_int(value))
