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


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """What `run.precision` (fp32, bf16, auto) means on a device: float32 or bfloat16.

    auto is bfloat16 where the device has units for it: CUDA from compute capability 8.0, CPUs with AMX or AVX-512 BF16.
    PyTorch itself also says yes where it is emulated, several times slower than float32.

    Raises:
        ResourceError: bfloat16 is asked for, and the device does not know it.
    """
    if name == "fp32":
        return torch.float32
    if device.type == "cuda":
        known = fast = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "cpu":
        known, fast = True, torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    else:
        known = fast = False
    if name == "bf16" and not known:
        raise ResourceError(
            f"run.precision: bf16 is not for {device.type} here", "Set run.precision=fp32, or auto to choose by device."
        )
    return torch.bfloat16 if name == "bf16" or fast else torch.float32


def configure(*, tf32: bool = False) -> None:
    """Settle the process-wide switches of PyTorch and of the allocator; harmless when called twice.

    Args:
        tf32: Let CUDA round the factors of float32 products and convolutions to TF32. PyTorch's own choice, which
            rounds those of convolutions alone, is not taken: without `tf32` float32 is float32.

    glibc hands large blocks back to the kernel and faults them in again at every operation; keeping them costs up to
    2 GiB more and makes sampling and training on a CPU up to twice as fast. Denormals cost a multiple of normal
    numbers. cuDNN's attention kernel returns NaN gradients for masked windows of 64 tokens on some GPUs.
    """
    if sys.platform == "linux":
        _keep_freed_memory()
    torch.set_flush_denormal(True)
    torch.backends.cuda.enable_cudnn_sdp(False)
    kind = "tf32" if tf32 else "ieee"
    torch.backends.cuda.matmul.fp32_precision = kind
    torch.backends.cudnn.conv.fp32_precision = kind  # type: ignore[attr-defined]


def _keep_freed_memory() -> None:
    if any(name.startswith("MALLOC_") for name in os.environ):
        return  # the user has tuned the allocator
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library, such as musl
        return
    for number, value in _MALLOC_PARAMETERS.values():
        mallopt(ctypes.c_int(number), ctypes.c_int(value))
