"""Random numbers as a function of (seed, purpose, images seen), so that a resumed run is the same run by construction.

Every draw is for the whole batch of a step, on the CPU; a process that holds part of the batch takes its slice. The
numbers therefore depend neither on the device nor on the number of processes.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch


def derive(seed: int, purpose: str, images_seen: int = 0) -> torch.Generator:
    """A CPU generator for one purpose ("latents", "augment", ...) at one moment of a run."""
    words = np.random.SeedSequence((seed, zlib.crc32(purpose.encode()), images_seen)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(words[0]) >> 1)
