"""A survey of the machine: what training, sampling and measuring would find on it."""

from __future__ import annotations

import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

import swincli
from swincli.diagnosis.devices import Device, accelerators
from swincli.diagnosis.findings import Finding, warning
from swincli.diagnosis.processor import Processor, look_at_processor
from swincli.diagnosis.software import (
    OPTIONAL_PACKAGES,
    Requirement,
    Weights,
    compiler,
    detector_weights,
    installed_version,
    requirements,
)
from swincli.model.files.find_checkpoint import RUNS
from swincli.system.cgroup import memory_left, memory_limit
from swincli.units import format_bytes

DETECTOR = "inception"  # the one that evaluate and training measure with unless told otherwise
LITTLE_DISK, LITTLE_MEMORY = 5 * 2**30, 2 * 2**30


@dataclass(frozen=True)
class Machine:
    """What there is.

    Attributes:
        versions: Of swincli, python, torch, and cuda where torch was built with it.
        system: Operating system and architecture.
        processor: The CPU.
        threads: Threads of one operation of PyTorch.
        memory, available: Bytes of memory, and those that are free; of a container's share where it has one.
        devices: Every device but the CPU.
        device: Where networks would run.
        disk: The folder whose disk runs would be written to.
        disk_free: Bytes free on it.
        requirements: What swincli cannot do without.
        packages: Versions of what it can do without, None where it is not installed.
        weights: Detectors of `swincli evaluate`.
        compiler: A C++ compiler, for run.compile on the CPU.
        problems: What went wrong in looking at a device.
    """

    versions: dict[str, str | None]
    system: str
    processor: Processor
    threads: int
    memory: int
    available: int
    devices: list[Device]
    device: str
    disk: Path
    disk_free: int
    requirements: list[Requirement]
    packages: dict[str, str | None]
    weights: list[Weights]
    compiler: str | None
    problems: list[str]

    def facts(self) -> dict[str, Any]:
        """Plain values for JSON; bytes are whole numbers."""
        return {
            "versions": self.versions,
            "system": self.system,
            "processor": asdict(self.processor),
            "threads": self.threads,
            "memory": {"total": self.memory, "available": self.available},
            "devices": [asdict(device) for device in self.devices],
            "device": self.device,
            "disk": {"path": str(self.disk), "free": self.disk_free},
            "packages": self.packages,
            "weights": {each.detector: str(each.path) if each.path else None for each in self.weights},
            "compiler": self.compiler,
        }


def survey(device: torch.device) -> Machine:
    """Look at everything; takes a second or two and changes nothing.

    Args:
        device: Where networks would run.
    """
    devices, problems = accelerators()
    memory = psutil.virtual_memory()
    disk = existing(RUNS)
    return Machine(
        versions={
            "swincli": swincli.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
        },
        system=f"{platform.system()} {platform.release()}, {platform.machine()}",
        processor=look_at_processor(),
        threads=torch.get_num_threads(),
        memory=min(memory.total, memory_limit() or memory.total),
        available=available_memory(),
        devices=devices,
        device=str(device),
        disk=disk,
        disk_free=shutil.disk_usage(disk).free,
        requirements=requirements(),
        packages={name: installed_version(name) for name in OPTIONAL_PACKAGES},
        weights=detector_weights(),
        compiler=compiler(),
        problems=problems,
    )


def available_memory() -> int:
    """Bytes of memory that the process can still get, those of its container or job at most."""
    free, left = int(psutil.virtual_memory().available), memory_left()
    return free if left is None else min(free, left)


def existing(path: Path) -> Path:
    """The folder itself, or the one nearest above it that exists."""
    path = path.resolve()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def machine_findings(machine: Machine) -> list[Finding]:
    """What is amiss with a machine, whatever is to be trained on it."""
    return [*_software_findings(machine), *_device_findings(machine), *_room_findings(machine)]


def _software_findings(machine: Machine) -> list[Finding]:
    unfit = [
        warning(
            "versions",
            f"{each.name} {each.found or 'is not installed'}: swincli is made for {each.name}{each.wanted}",
            f'pip install "{each.name}{each.wanted}"',
        )
        for each in machine.requirements
        if not each.met
    ]
    without = [
        warning("weights", each.problem, each.hint)
        for each in machine.weights
        if each.path is None and each.detector == DETECTOR
    ]
    return unfit + without


def _device_findings(machine: Machine) -> list[Finding]:
    found = [warning("GPU", problem, "Install a PyTorch that fits the driver.") for problem in machine.problems]
    if not machine.devices and sys.platform != "darwin" and shutil.which("nvidia-smi"):
        reason = "was built without CUDA" if machine.versions["cuda"] is None else "cannot use its driver"
        hint = "Install a build that fits the driver: https://pytorch.org/get-started/locally"
        found.append(warning("GPU", f"there is nvidia-smi, so probably a GPU, and PyTorch {reason}", hint))
    for device in machine.devices:
        if device.free < device.memory / 2:
            used = f"{device.device}: {format_bytes(device.free)} free of {format_bytes(device.memory)}"
            found.append(warning("GPU", used, "Another program uses it; on CUDA nvidia-smi shows which."))
    cores, threads = machine.processor.usable_cores, machine.threads
    if threads > cores:
        found.append(
            warning(
                "processor",
                f"PyTorch uses {threads} threads, and this process may use {cores} of {machine.processor.cores} cores",
                f"Set OMP_NUM_THREADS={cores} in the environment: threads that wait for each other cost a multiple.",
            )
        )
    elif machine.device == "cpu" and 2 * threads <= cores:
        hint = f"Where nothing else needs them, set OMP_NUM_THREADS={cores} in the environment."
        found.append(warning("processor", f"PyTorch uses {threads} of {cores} cores", hint))
    return found


def _room_findings(machine: Machine) -> list[Finding]:
    found = []
    if machine.disk_free < LITTLE_DISK:
        hint = "Free some space: at 256 px a training state takes 1.0 GiB and a model 0.2 GiB."
        found.append(warning("disk", f"{machine.disk}: {format_bytes(machine.disk_free)} free", hint))
    if machine.available < LITTLE_MEMORY:
        left = f"{format_bytes(machine.available)} of {format_bytes(machine.memory)} of memory are free"
        found.append(warning("memory", left, "Close other programs: the quickstart takes 1 GiB, other recipes more."))
    return found
