"""Sentence vectors as networks get them: the centre of the training captions is subtracted, and the length is 1."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_TINY = 1e-6  # length of a vector that is the centre itself


def centred_unit(vectors: NDArray[Any], centre: NDArray[np.float32]) -> NDArray[np.float32]:
    """Subtract the centre and divide by the length. Every row is computed alone, with the same bits in any company.

    Captions of one kind of picture point in nearly the same direction. Without the centre their cosines are 0.6 to 0.9,
    and what differs between them is small.

    Args:
        vectors: `[N, C]` of length 1, in float16 as stores hold them. Others are rounded to float16 first.
        centre: Mean vector of the training captions, `[C]`.
    """
    apart = vectors.astype(np.float16).astype(np.float32) - centre
    length = np.sqrt(np.square(apart).sum(axis=1, keepdims=True, dtype=np.float32))
    unit: NDArray[np.float32] = apart / np.maximum(length, np.float32(_TINY))
    return unit
