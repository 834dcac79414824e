"""Shared by the tests of the networks: the release's weights and what the release computed with them."""

from __future__ import annotations

import pytest
from parity_case import ParityCase
from shared_material import PARITY


@pytest.fixture(scope="session")
def parity_64() -> ParityCase:
    """The release's networks of 64 px; the weights must not be changed in place."""
    if not PARITY.is_dir():
        pytest.skip("the parity vectors (../shared/parity) are not here")
    return ParityCase(64)
