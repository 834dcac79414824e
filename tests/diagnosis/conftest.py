"""A machine with enough of everything, inspected once for all tests of this folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from swincli.diagnosis.machine import Machine, inspect_machine
from swincli.diagnosis.software import DetectorWeights

GIB = 2**30


@pytest.fixture(scope="session")
def here() -> Machine:
    """This machine, with enough disk, memory, cores and detector weights."""
    machine = inspect_machine(torch.device("cpu"))
    found = [DetectorWeights(each.detector, Path("weights.pt")) for each in machine.weights]
    processor = replace(machine.processor, cores=4, usable_cores=4)
    return replace(
        machine,
        disk_free=100 * GIB,
        memory=64 * GIB,
        available=60 * GIB,
        threads=4,
        waiting="spin",
        others=0.0,
        weights=found,
        processor=processor,
    )
