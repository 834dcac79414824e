"""Packages that are not installed."""

from __future__ import annotations

import sys

import pytest

from swincli.errors import ResourceError
from swincli.system.packages import missing_package, require_packages


def test_what_needs_it_and_how_to_get_it() -> None:
    error = missing_package("a.mp4", "av", "video", otherwise="; or write a .gif")
    assert error.message == "a.mp4: the package av is not installed"
    assert error.hint == 'Install it: pip install "swincli[video]"; or write a .gif'
    assert missing_package("run.wandb", "wandb").hint == "Install it: pip install wandb"


def test_the_first_missing_package_is_named_and_none_is_loaded() -> None:
    require_packages("x", "json", "this", extra="x")
    assert "this" not in sys.modules
    with pytest.raises(ResourceError, match=r"^x: the package no_such_package is not installed$"):
        require_packages("x", "json", "no_such_package", "nor_this", extra="x")
