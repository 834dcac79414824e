"""Version bounds as pip reads them, and a search for weights without a download."""

from __future__ import annotations

import importlib.metadata
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swincli.diagnosis.software import (
    Requirement,
    find_cpp_compiler,
    find_detector_weights,
    requirements,
    version_fits,
)
from swincli.metrics.networks import weight_files


@pytest.mark.parametrize(
    ("version", "bounds", "fits"),
    [
        ("2.13.0+cpu", ">=2.9,<2.14", True),
        ("2.9", "<2.14,>=2.9", True),
        ("2.14.0", ">=2.9,<2.14", False),
        ("2.14.0a0+git1234", ">=2.9,<2.14", False),
        ("2.8.1", ">=2.9,<2.14", False),
        ("10.0", ">=9", True),
        ("1.26", "==1.26.0", True),
        ("1.26.1", "!=1.26.1", False),
        ("3.0", ">3", False),
        ("3.0.1", ">3,<=3.0.1", True),
        ("anything", "", True),
        ("1.0", "~=0.9", True),
    ],
)
def test_bounds_of_versions(version: str, bounds: str, fits: bool) -> None:
    assert version_fits(version, bounds) is fits


numbers = st.lists(st.integers(0, 99), min_size=1, max_size=4)


@given(numbers, numbers, st.sampled_from(["", "+cpu", "rc1", ".dev3"]))
def test_versions_are_ordered_by_their_numbers(first: list[int], second: list[int], suffix: str) -> None:
    version, bound = ".".join(map(str, first)) + suffix, ".".join(map(str, second))
    above, below = version_fits(version, f">={bound}"), version_fits(version, f"<{bound}")
    assert above is not below


def test_what_the_package_needs_is_here() -> None:
    found = {each.name: each for each in requirements()}
    assert found["torch"].wanted
    assert found["torch"].found == importlib.metadata.version("torch")
    assert all(each.met for each in found.values())
    assert "pytest" not in found  # an extra
    assert not Requirement("torch", ">=2.9", None).met


def test_weights_that_are_not_here_are_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWINCLI_CACHE", str(tmp_path))
    monkeypatch.setattr(weight_files, "INCEPTION", replace(weight_files.INCEPTION, module="no_such_package"))
    (found,) = [each for each in find_detector_weights() if each.detector == "inception"]
    assert found.path is None
    assert found.problem == "inception: no weights here; evaluate would download them"  # and did not
    assert "swincli[offline]" in found.hint
    assert list(tmp_path.iterdir()) == []


def test_downloads_work_again_afterwards(tmp_path: Path) -> None:
    find_detector_weights()
    (tmp_path / "a").write_text("there")
    with urllib.request.urlopen((tmp_path / "a").as_uri()) as answer:
        assert answer.read() == b"there"
    with pytest.raises(urllib.error.URLError, match="No such file"):
        urllib.request.urlopen((tmp_path / "b").as_uri())


def test_the_compiler_of_the_environment_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "my-c++"
    mine.write_text("#!/bin/sh\n")
    mine.chmod(0o755)
    monkeypatch.setenv("CXX", str(mine))
    assert find_cpp_compiler() == str(mine)
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_cpp_compiler() is None
