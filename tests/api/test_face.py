"""`import swincli` is free, and every name of it loads."""

from __future__ import annotations

import subprocess
import sys

import pytest

import swincli


def test_the_import_loads_nothing_heavy() -> None:
    script = (
        "import sys, swincli; swincli.__version__; dir(swincli);"
        "print(sorted({'torch', 'numpy', 'PIL', 'pydantic', 'typer', 'rich'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


@pytest.mark.parametrize("name", swincli.__all__)
def test_every_name_loads_and_is_listed(name: str) -> None:
    assert getattr(swincli, name) is not None
    assert name in dir(swincli)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'sampel'"):
        _ = swincli.sampel  # type: ignore[attr-defined]
