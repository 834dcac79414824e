"""Rows of the table of `speed.py`: title, figures and targets of every benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Figure:
    """One figure of a benchmark.

    Attributes:
        name: Key in the result of the benchmark.
        label: Label in the table.
        form: Format specification of the number.
        unit: Unit after the number.
        bound: Target; None without a target.
        side: Whether the target is an upper or a lower bound.
    """

    name: str
    label: str
    form: str
    unit: str = ""
    bound: float | None = None
    side: Literal["at most", "at least"] = "at most"

    def text(self, value: float) -> str:
        """Format a value with its unit."""
        return f"{value:{self.form}}{self.unit and ' ' + self.unit}"

    def target(self) -> str:
        """The target as text; empty without a target."""
        return "" if self.bound is None else f"{self.side} {self.text(self.bound)}"

    def verdict(self, value: float) -> str:
        """Whether a value meets the target, as text."""
        if self.bound is None:
            return ""
        return "met" if (value <= self.bound if self.side == "at most" else value >= self.bound) else "not met"


def share(least: float | None = None) -> Figure:
    """Share of the matrix rate."""
    return Figure("share", "of the matrix rate", ".1%", bound=least, side="at least")


def peak(most: float) -> Figure:
    """Peak resident memory of the benchmark's process."""
    return Figure("peak_gib", "peak memory", ".2f", "GiB", most)


def seconds(most: float | None = None, name: str = "seconds", label: str = "time") -> Figure:
    """Seconds of one call."""
    return Figure(name, label, ".3f", "s", most)


def r1() -> tuple[Figure, ...]:
    """Figures of R1's phase relative to a forward and backward of D."""
    ratio = Figure("ratio", "of D forward and backward", ".2f", "x", 2.5)
    return ratio, seconds(), seconds(name="plain_seconds", label="D forward and backward")


def kept(name: str, label: str, most: float | None = None) -> Figure:
    """Bytes that stay in memory between two forwards, without weights."""
    return Figure(name, label, ",.0f", "bytes", most)


TABLE: dict[str, tuple[str, tuple[Figure, ...]]] = {
    "gemm": ("float32 matrix product, side 2048", (Figure("gflops", "rate", ".0f", "GFLOP/s"),)),
    "generator-256": ("generator forward, 256 px (m 2), batch 4", (share(0.60), seconds(), peak(1.5))),
    "generator-1024": ("generator forward, 1024 px (m 1), batch 1", (share(0.25), seconds(), peak(1.2))),
    "walk-256": (
        "walk of the last codes, 256 px (m 2), reuse",
        (
            Figure("ratio_two", "speed, moving from 64 px up", ".2f", "x", 1.5, "at least"),
            Figure("bound_two", "most by multiply-adds", ".2f", "x"),
            Figure("ratio_one", "speed, moving from 128 px up", ".2f", "x", 1.5, "at least"),
            Figure("bound_one", "most by multiply-adds", ".2f", "x"),
            seconds(label="a whole frame"),
        ),
    ),
    "step-64": ("training step, 64 px (m 2), batch 8", (share(0.65), seconds(), peak(4))),
    "step-256": ("training step, 256 px (m 2), batch 2", (share(0.55), seconds(), peak(5))),
    "r1-64": ("R1 phase, 64 px, batch 8", r1()),
    "r1-256": ("R1 phase, 256 px, batch 2", r1()),
    "tables": (
        "masks and tables of G (m 1)",
        (kept("bytes_half", "at 512 px"), kept("bytes_full", "at 1024 px", 2**20)),
    ),
    "linear": (
        "cost per pixel at 512 px relative to 256 px (m 2)",
        (
            Figure("multiply_adds_ratio", "multiply-adds of G", ".2f", "x", 1.0),
            Figure("multiply_adds_a_pixel_256", "multiply-adds per pixel, 256 px", ",.0f"),
            Figure("multiply_adds_a_pixel_512", "multiply-adds per pixel, 512 px", ",.0f"),
            Figure("attention_ratio", "time of attention, 64 channels", ".2f", "x"),
        ),
    ),
    "optimizer": (
        "optimisers and EMA, 64 px (m 2), batch 8",
        (
            Figure("share", "of a step", ".1%", bound=0.03),
            seconds(),
            seconds(name="step_seconds", label="whole step"),
        ),
    ),
    "help": ("swincli --help, cold", (seconds(0.25),)),
    "sample": ("swincli sample, 1 image, quickstart-faces, cold", (seconds(3.0),)),
    "quickstart": (
        "quickstart-faces recipe, training",
        (
            Figure("images_per_second", "images per second", ".1f"),
            share(),
            seconds(label="its R1 interval of steps"),
            Figure("peak_gib", "peak memory", ".2f", "GiB"),
        ),
    ),
}
"""Benchmarks of `works.py` in table order: title, and the figures shown.

A step is D's phase and G's without bCR; each work has a process of its own.
"""
