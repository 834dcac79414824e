"""`RUN/environment.txt`: software, hardware and settings with which a run was trained, and what changed on the way.

Lines `name: value`. A session that finds other values appends them under its date. Secrets are not written.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import re
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import torch

from swincli.console import Console
from swincli.errors import SwincliError
from swincli.system.atomic_files import write_atomically
from swincli.system.resources import cpu_name, total_memory, usable_cores
from swincli.units import format_bytes
from swincli.version import __version__

HEADER = "# Written by swincli train: with what this run was trained, and under a date what has changed since.\n"
MOST_NAMED = 3  # changes in the line on the terminal
_SETTINGS = re.compile(
    r"(OMP|GOMP|KMP|MKL|OPENBLAS|CUDA|CUBLAS|CUDNN|NVIDIA|NCCL|GLOO|TORCH|TORCHINDUCTOR|PYTORCH|HIP|ROCR|MALLOC|SWINCLI)_.+"
    r"|LD_PRELOAD"
)
_SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|_KEY|AUTH", re.IGNORECASE)
_DRIVER = Path("/proc/driver/nvidia/version")
_ABSENT = "-"


def note_environment(path: Path, device: torch.device, processes: int, console: Console) -> None:
    """Write a run's environment.txt, or append what has changed since the last session and print it in one line.

    A file that cannot be written is a warning: it is only a note.

    Args:
        path: The file.
        device: Device of the networks.
        processes: Number of processes that share the batch.
        console: Where the line goes.
    """
    now = environment(device, processes)
    stamp = f"\n# {datetime.now().astimezone().isoformat(' ', 'seconds')}\n"
    try:
        if not path.exists():
            text = HEADER + stamp + _lines(now)
            write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
            return
        written = path.read_text(encoding="utf-8", errors="replace")
        changed = changes(_parse(written), now)
        if changed:
            text = written + stamp + _lines({name: new for name, (_, new) in changed.items()})
            write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
            named = [f"{name} {old} -> {new}" for name, (old, new) in list(changed.items())[:MOST_NAMED]]
            more = f", and {len(changed) - MOST_NAMED} more" if len(changed) > MOST_NAMED else ""
            console.say(f"changed since the last session: {', '.join(named)}{more} ({path})")
    except (OSError, SwincliError) as error:
        console.warn(f"{path}: not written, training goes on: {error}")


@dataclass(frozen=True)
class Session:
    """What environment.txt says about one session.

    Attributes:
        time: When it began, as text.
        values: Of the first session everything, of later ones what has changed; by name.
    """

    time: str
    values: dict[str, str]


def read_environment(path: Path) -> list[Session]:
    """The sessions in a run's environment.txt, the first one first; empty without a file that can be read."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    found: list[Session] = []
    for part in re.split(r"(?m)^# (?=\d{4}-)", text)[1:]:
        stamp, _, lines = part.partition("\n")
        found.append(Session(stamp.strip(), _parse(lines)))
    return found


def environment(device: torch.device, processes: int = 1) -> dict[str, str]:
    """Names and values of everything that may change speed or the last digits of a run, one line each."""
    found = {
        "swincli": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": platform.platform(),
        "host": platform.node(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda or _ABSENT,
        "rocm": torch.version.hip or _ABSENT,
        "cudnn": str(torch.backends.cudnn.version() or _ABSENT),
        "cpu": f"{cpu_name()}, {usable_cores()} cores, {torch.get_num_threads()} threads",
        "memory": format_bytes(total_memory()),
        "device": str(device),
        "gpu": _gpu_name(device),
        "gpu driver": _driver() if device.type == "cuda" else _ABSENT,
        "processes": str(processes),
    }
    settings = {
        f"${name}": value
        for name, value in sorted(os.environ.items())
        if _SETTINGS.fullmatch(name) and not _SECRET.search(name)
    }
    texts = {**found, **settings, **_packages()}
    return {name: " ".join(value.split()) or _ABSENT for name, value in texts.items()}


def changes(before: dict[str, str], now: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Old and new values that differ, by name; "-" where there is none."""
    pairs = {name: (before.get(name, _ABSENT), now.get(name, _ABSENT)) for name in [*now, *before]}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _lines(values: dict[str, str]) -> str:
    return "".join(f"{name}: {value}\n" for name, value in values.items())


def _parse(text: str) -> dict[str, str]:
    """The newest value of every name."""
    found = {}
    for line in text.splitlines():
        name, separator, value = line.partition(": ")
        if separator and not line.startswith("#"):
            found[name] = value.strip()
    return found


@functools.cache
def _packages() -> dict[str, str]:
    """Versions of all installed packages, by name; read once in a process."""
    found = {}
    for package in importlib.metadata.distributions():
        with suppress(Exception):  # a damaged package
            found[f"package {package.metadata['Name'].lower()}"] = package.version
    return dict(sorted(found.items()))


def _gpu_name(device: torch.device) -> str:
    if device.type != "cuda":
        return _ABSENT
    properties = torch.cuda.get_device_properties(device)
    return f"{properties.name}, {format_bytes(properties.total_memory)}, {properties.major}.{properties.minor}"


def _driver() -> str:
    """Version of NVIDIA's driver; "-" if neither the system nor nvidia-smi says it."""
    with suppress(OSError):
        match = re.search(r"\d+\.\d+(\.\d+)?", _DRIVER.read_text(errors="replace"))
        if match:
            return match[0]
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
        return (done.stdout.strip().splitlines() or [_ABSENT])[0]
    return _ABSENT
