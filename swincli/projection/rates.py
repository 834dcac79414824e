"""How step sizes end."""

from __future__ import annotations

import math


def ramp_down(step: int, steps: int, share: float) -> float:
    """What is left of a rate at a step, counted from 0: 1, and in the last `share` of steps less, along a cosine."""
    left = min(1.0, (1.0 - step / steps) / share)
    return 0.5 * (1.0 - math.cos(left * math.pi))
