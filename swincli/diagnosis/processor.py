"""The processor: its name, the cores that this process may use, and what it can do fast."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from swincli.system.cores import usable_cores

CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Processor:
    """What a CPU is, and what of it can be used.

    Attributes:
        name: As its maker calls it.
        cores: Logical cores of the machine.
        usable_cores: Those that this process may use: by affinity, and by a container's limit, rounded up.
        instructions: Extensions that matter here and are there: avx2, avx512, avx512_bf16, amx.
        fast_bf16: Whether products in bfloat16 are done in hardware; elsewhere they are several times slower.
    """

    name: str
    cores: int
    usable_cores: int
    instructions: list[str]
    fast_bf16: bool


def look_at_processor() -> Processor:
    """Find out about the processor of this machine."""
    supported = {
        "avx2": torch.cpu._is_avx2_supported(),
        "avx512": torch.cpu._is_avx512_supported(),
        "avx512_bf16": torch.cpu._is_avx512_bf16_supported(),
        "amx": torch.cpu._is_amx_tile_supported(),
    }
    return Processor(
        name=processor_name(),
        cores=os.cpu_count() or 1,
        usable_cores=usable_cores(),
        instructions=[name for name, there in supported.items() if there],
        fast_bf16=supported["avx512_bf16"] or supported["amx"],
    )


def processor_name() -> str:
    """The maker's name for the processor; that of its architecture where the system does not tell."""
    with suppress(OSError):
        if sys.platform == "linux":
            for line in CPUINFO.read_text(errors="replace").splitlines():
                key, _, value = line.partition(":")
                if key.strip() == "model name" and value.strip():
                    return value.strip()
        elif sys.platform == "darwin":
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return platform.processor() or platform.machine() or "unknown"
