"""Type of the fixture `picture_folder`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

PictureFolder = Callable[..., Path]
