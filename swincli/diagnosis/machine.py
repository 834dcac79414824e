"""Inspection of the machine: hardware, memory, disk, packages and detector weights, with findings."""

from __future__ import annotations

import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from swincli.diagnosis.findings import Finding, Severity, warning
from swincli.diagnosis.hardware import Accelerator, CpuInfo, inspect_cpu, list_accelerators
from swincli.diagnosis.software import (
    OPTIONAL_PACKAGES,
    DetectorWeights,
    Requirement,
    find_cpp_compiler,
    find_detector_weights,
    installed_version,
    requirements,
)
from swincli.model.files.find_checkpoint import RUNS
from swincli.system import openmp
from swincli.system.atomic_files import free_bytes, nearest_folder
from swincli.system.resources import available_memory, total_memory
from swincli.units import format_bytes
from swincli.version import __version__

DETECTOR = "inception"  # the default of `swincli evaluate` and of evaluation during training
LOOK_SECONDS = 0.3  # how long to look at what other programs use
LITTLE_DISK, LITTLE_MEMORY = 5 * 2**30, 2 * 2**30


@dataclass(frozen=True)
class Machine:
    """Hardware and software of this machine.

    Attributes:
        versions: Versions of swincli, python, torch, and of CUDA if torch was built with it.
        system: Operating system and architecture.
        processor: The CPU.
        threads: Threads of one PyTorch operation.
        waiting: How these threads wait for work.
        others: Cores that other programs use now.
        memory, available: Total and free bytes of memory, within the container's limit.
        devices: All GPUs.
        device: Device that networks would run on.
        disk: Folder that `runs/` would be created in.
        disk_free: Free bytes on its disk.
        requirements: Required packages.
        packages: Versions of optional packages; None if not installed.
        weights: Weights of the detectors of `swincli evaluate`.
        compiler: Path of a C++ compiler, for run.compile on the CPU.
        problems: Messages about GPUs that could not be queried.
    """

    versions: dict[str, str | None]
    system: str
    processor: CpuInfo
    threads: int
    waiting: str
    others: float
    memory: int
    available: int
    devices: list[Accelerator]
    device: str
    disk: Path
    disk_free: int
    requirements: list[Requirement]
    packages: dict[str, str | None]
    weights: list[DetectorWeights]
    compiler: str | None
    problems: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; sizes in bytes."""
        return {
            "versions": self.versions,
            "system": self.system,
            "processor": asdict(self.processor),
            "threads": self.threads,
            "waiting": self.waiting,
            "others": round(self.others, 2),
            "memory": {"total": self.memory, "available": self.available},
            "devices": [asdict(device) for device in self.devices],
            "device": self.device,
            "disk": {"path": str(self.disk), "free": self.disk_free},
            "packages": self.packages,
            "weights": {each.detector: str(each.path) if each.path else None for each in self.weights},
            "compiler": self.compiler,
        }


def inspect_machine(device: torch.device) -> Machine:
    """Inspect this machine; takes a second or two and changes nothing.

    Args:
        device: Device that networks would run on.
    """
    devices, problems = list_accelerators()
    return Machine(
        versions={
            "swincli": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
        },
        system=f"{platform.system()} {platform.release()}, {platform.machine()}",
        processor=inspect_cpu(),
        threads=torch.get_num_threads(),
        waiting=openmp.describe(),
        others=openmp.other_programs(LOOK_SECONDS),
        memory=total_memory(),
        available=available_memory(),
        devices=devices,
        device=str(device),
        disk=nearest_folder(RUNS),
        disk_free=free_bytes(RUNS),
        requirements=requirements(),
        packages={name: installed_version(name) for name in OPTIONAL_PACKAGES},
        weights=find_detector_weights(),
        compiler=find_cpp_compiler(),
        problems=problems,
    )


def check_machine(machine: Machine) -> list[Finding]:
    """Findings about a machine that do not depend on a recipe."""
    return [*_software_findings(machine), *_device_findings(machine), *_space_findings(machine)]


def _software_findings(machine: Machine) -> list[Finding]:
    unmet = [
        warning(
            "versions",
            f"{each.name} {each.found or 'is not installed'}: swincli needs {each.name}{each.wanted}",
            f'pip install "{each.name}{each.wanted}"',
        )
        for each in machine.requirements
        if not each.met
    ]
    missing = [
        warning("weights", each.problem, each.hint)
        for each in machine.weights
        if each.path is None and each.detector == DETECTOR
    ]
    return unmet + missing


def _device_findings(machine: Machine) -> list[Finding]:
    found = [warning("GPU", problem, "Install a PyTorch that fits the driver.") for problem in machine.problems]
    if not machine.devices and sys.platform != "darwin" and shutil.which("nvidia-smi"):
        reason = "was built without CUDA" if machine.versions["cuda"] is None else "cannot use its driver"
        hint = "Install a build that fits the driver: https://pytorch.org/get-started/locally"
        found.append(warning("GPU", f"nvidia-smi is installed, so there is probably a GPU, but PyTorch {reason}", hint))
    for device in machine.devices:
        if device.mismatch:
            severity: Severity = "error" if machine.device.partition(":")[0] == "cuda" else "warning"
            found.append(Finding(severity, "GPU", f"{device.device}: {device.mismatch}", device.remedy))
        if device.free < device.memory / 2:
            used = f"{device.device}: {format_bytes(device.free)} free of {format_bytes(device.memory)}"
            found.append(warning("GPU", used, "Another program uses it; for CUDA, nvidia-smi shows which one."))
    cores, threads = machine.processor.usable_cores, machine.threads
    if threads > cores:
        found.append(
            warning(
                "processor",
                f"PyTorch uses {threads} threads, but this process may use {cores} of {machine.processor.cores} cores",
                f"Set OMP_NUM_THREADS={cores} in the environment; more threads than cores are several times slower.",
            )
        )
    elif machine.device == "cpu" and 2 * threads <= cores:
        hint = f"If no other program needs them, set OMP_NUM_THREADS={cores} in the environment."
        found.append(warning("processor", f"PyTorch uses {threads} of {cores} cores", hint))
    return found


def _space_findings(machine: Machine) -> list[Finding]:
    found = []
    if machine.disk_free < LITTLE_DISK:
        hint = "Free some space. At 256 px a training state takes 1.0 GiB and a model 0.2 GiB."
        found.append(warning("disk", f"{machine.disk}: {format_bytes(machine.disk_free)} free", hint))
    if machine.available < LITTLE_MEMORY:
        left = f"{format_bytes(machine.available)} of {format_bytes(machine.memory)} of memory are free"
        found.append(
            warning("memory", left, "Close other programs. The quickstart needs 1 GiB, other recipes need more.")
        )
    return found
