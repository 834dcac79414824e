"""The devices that networks can run on: CUDA's GPUs, Apple's GPU, the CPU."""

from __future__ import annotations

from dataclasses import dataclass

import torch

BF16_CAPABILITY = (8, 0)  # the first CUDA GPUs with bfloat16 in hardware (Ampere)


@dataclass(frozen=True)
class Device:
    """One device.

    Attributes:
        device: PyTorch's name for it: cpu, cuda:0, mps.
        name: The maker's.
        memory: Bytes that it has; for Apple's GPU, what Metal recommends to stay below.
        free: Bytes of them that are free now.
        bf16: Whether it does products in bfloat16 in hardware.
        capability: CUDA's compute capability, such as "9.0"; empty elsewhere.
    """

    device: str
    name: str
    memory: int
    free: int
    bf16: bool
    capability: str = ""


def accelerators() -> tuple[list[Device], list[str]]:
    """All devices but the CPU, and what went wrong in looking at others, in words."""
    found, problems = [], []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        try:
            found.append(_cuda(index))
        except RuntimeError as error:
            problems.append(f"cuda:{index}: {str(error).splitlines()[0]}")
    if torch.backends.mps.is_available():
        found.append(_mps())
    return found, problems


def _cuda(index: int) -> Device:
    properties = torch.cuda.get_device_properties(index)
    capability = (properties.major, properties.minor)
    free, total = torch.cuda.mem_get_info(index)
    return Device(
        device=f"cuda:{index}",
        name=properties.name,
        memory=total,
        free=free,
        bf16=capability >= BF16_CAPABILITY,
        capability=".".join(map(str, capability)),
    )


def _mps() -> Device:
    memory = torch.mps.recommended_max_memory()
    free = max(memory - torch.mps.driver_allocated_memory(), 0)
    return Device("mps", "Apple GPU (Metal)", memory, free, bf16=True)
