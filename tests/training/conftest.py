"""A detector that costs nothing, for what training measures."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripted_networks import MeanColours, save_script

from swincli.training import in_training_metrics


@pytest.fixture
def detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its file; training in this process measures with it."""
    path = save_script(MeanColours(), tmp_path / "colours.pt")
    monkeypatch.setenv("SWINCLI_CACHE", str(tmp_path / "cache"))
    find = in_training_metrics.find_detector_weights
    monkeypatch.setattr(in_training_metrics, "find_detector_weights", lambda _, console: find(path, console))
    return path
