"""Hardware that networks can run on: the CPU and its usable cores, CUDA GPUs, Apple's GPU."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from swincli.system.device_facts import build_mismatch, device_facts
from swincli.system.resources import cpu_name, usable_cores
from swincli.system.runtime import has_bf16_units


@dataclass(frozen=True)
class CpuInfo:
    """The CPU.

    Attributes:
        name: The maker's name.
        cores: Logical cores of the machine.
        usable_cores: Cores that this process may use: by affinity and by the container's limit, rounded up.
        instructions: Supported extensions that matter here: avx2, avx512, avx512_bf16, amx.
        fast_bf16: Whether it computes bfloat16 products in hardware; emulation is several times slower.
    """

    name: str
    cores: int
    usable_cores: int
    instructions: list[str]
    fast_bf16: bool


@dataclass(frozen=True)
class Accelerator:
    """A GPU.

    Attributes:
        device: PyTorch's name: cuda:0, mps.
        name: The maker's name.
        memory: Total bytes; on Apple's GPU the working set that Metal recommends.
        free: Free bytes now.
        bf16: Whether it computes bfloat16 products in hardware.
        capability: CUDA compute capability, such as "9.0"; empty elsewhere.
        mismatch: Why this PyTorch has no code for it; empty if it has.
        remedy: The PyTorch to install then.
    """

    device: str
    name: str
    memory: int
    free: int
    bf16: bool
    capability: str = ""
    mismatch: str = ""
    remedy: str = ""


def inspect_cpu() -> CpuInfo:
    """Describe the CPU of this machine."""
    supported = {
        "avx2": torch.cpu._is_avx2_supported(),
        "avx512": torch.cpu._is_avx512_supported(),
        "avx512_bf16": torch.cpu._is_avx512_bf16_supported(),
        "amx": torch.cpu._is_amx_tile_supported(),
    }
    return CpuInfo(
        name=cpu_name(),
        cores=os.cpu_count() or 1,
        usable_cores=usable_cores(),
        instructions=[name for name, there in supported.items() if there],
        fast_bf16=has_bf16_units(torch.device("cpu")),
    )


def list_accelerators() -> tuple[list[Accelerator], list[str]]:
    """All GPUs that PyTorch can use, and messages about GPUs that could not be queried."""
    found, problems = [], []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        try:
            found.append(_cuda(index))
        except RuntimeError as error:
            problems.append(f"cuda:{index}: {str(error).splitlines()[0]}")
    if torch.backends.mps.is_available():
        found.append(_mps())
    return found, problems


def _cuda(index: int) -> Accelerator:
    properties = torch.cuda.get_device_properties(index)
    free, total = torch.cuda.mem_get_info(index)
    facts = device_facts(torch.device("cuda", index))
    mismatch, remedy = build_mismatch(facts) or ("", "")
    return Accelerator(
        device=f"cuda:{index}",
        name=properties.name,
        memory=total,
        free=free,
        bf16=facts.has_bf16,
        capability=f"{properties.major}.{properties.minor}",
        mismatch=mismatch,
        remedy=remedy,
    )


def _mps() -> Accelerator:
    memory = torch.mps.recommended_max_memory()
    free = max(memory - torch.mps.driver_allocated_memory(), 0)
    return Accelerator("mps", "Apple GPU (Metal)", memory, free, bf16=has_bf16_units(torch.device("mps")))
