"""Random numbers as a function of (seed, purpose, images seen), so a resumed run draws the same numbers.

Every draw is for the whole batch, on the CPU; a rank takes its slice. So the numbers depend neither on the device nor
on the number of processes.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch


def derive(seed: int, purpose: str, images_seen: int = 0) -> torch.Generator:
    """A CPU generator for one purpose ("latents", "augment", ...) at one moment of a run."""
    words = np.random.SeedSequence((seed, zlib.crc32(purpose.encode()), images_seen)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(words[0]) >> 1)
