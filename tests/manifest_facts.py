"""Fields of a manifest that writers take from their caller."""

from __future__ import annotations

from typing import Any

FACTS: dict[str, Any] = {
    "crop": "center", "filter": "box", "source": "s", "max_images": None, "dedupe": None, "upscaled": 0,
    "label_names": None, "rejected": [], "credit": None, "versions": {},
}  # fmt: skip
