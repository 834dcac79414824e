"""Networks from TorchScript files, which other people make."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from swincli.errors import ResourceError


def load_script(path: Path, device: torch.device, hint: str) -> Any:
    """Load a TorchScript file for inference. It is code: it is run, and can do what its author wants.

    Args:
        path: The file.
        device: Where it is to run.
        hint: What an error adds: which file is wanted.

    Raises:
        ResourceError: it is not there, or no TorchScript file.
    """
    if not path.is_file():
        raise ResourceError(f"{path}: no such file", hint)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated; the weights exist in no other form
            load: Any = torch.jit.load
            return load(str(path), map_location=device).eval()
    except (RuntimeError, ValueError) as error:
        raise ResourceError(f"{path}: not a TorchScript file ({first_line(error)})", hint) from None


def first_line(error: Exception) -> str:
    """What an error of PyTorch's says before it goes into detail, at most 120 characters."""
    return str(error).strip().split("\n", 1)[0][:120]
