"""A training that is killed between two steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from swincli.training import loop


@contextmanager
def dies_after(count: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In the block, training must end by KeyboardInterrupt in place of the step after `count` steps."""
    original, steps = loop.run_step, iter(range(count))

    def dying(*arguments: object) -> object:
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return original(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(loop, "run_step", dying)
        with pytest.raises(KeyboardInterrupt):
            yield
