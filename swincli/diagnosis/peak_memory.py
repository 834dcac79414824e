"""Peak memory of a block of code, on CUDA, CPU and MPS."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

import psutil
import torch

SAMPLE_SECONDS = 0.01


class PeakMemory:
    """Context manager that records the most bytes in use on a device.

    On CUDA this is the memory that PyTorch has reserved, without the driver's own few hundred MB. PyTorch keeps the
    peak. Elsewhere a thread samples every 10 ms: resident memory of the process on the CPU, Metal's allocations on MPS.

    Attributes:
        before: Bytes at the start of the block.
        bytes: The peak so far.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._process = psutil.Process()
        self._done = threading.Event()
        is_sampled = device.type != "cuda"
        self._thread = threading.Thread(target=self._sample, daemon=True) if is_sampled else None
        self.before = self.bytes = 0

    def __enter__(self) -> Self:
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        self.before = self.bytes = self._now()
        if self._thread:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._done.set()
        if self._thread:
            self._thread.join()
        self.bytes = max(self.bytes, self._now())

    def _now(self) -> int:
        if self._device.type == "cuda":
            return int(torch.cuda.max_memory_reserved(self._device))
        if self._device.type == "mps":
            return int(torch.mps.driver_allocated_memory())
        return int(self._process.memory_info().rss)

    def _sample(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            self.bytes = max(self.bytes, self._now())
