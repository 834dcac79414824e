"""Speed of evaluation relative to plain implementations, measured in one run.

`python benchmarks/evaluate.py [--images 128] [--width 2048] [--detector inception]` prints

- images per second of `swincli evaluate` on a folder of PNGs, and of clean-fid's loop on the same files: pictures are
  opened one by one and resized with clean-fid's resizer, and the same network gets batches of 32. (clean-fid's `fid`
  module imports torchvision, which not every machine can load.)
- seconds of the Fréchet distance of two covariances of `width` features: by eigenvalues, and by SciPy's `sqrtm`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
import torch
from cleanfid.resize import make_resizer
from PIL import Image

from swincli.console import Console
from swincli.metrics.definitions.fid import frechet_distance
from swincli.metrics.definitions.moments import Moments
from swincli.metrics.evaluate import default_detector_batch
from swincli.metrics.networks.detectors import Detector, load_detector
from swincli.metrics.networks.weight_files import find_detector_weights
from swincli.metrics.streams.features import compute_statistics
from swincli.metrics.streams.images import open_images
from swincli.system import runtime

SIDE, BATCH = 256, 32


def out(line: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{line}\n")


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """The result of a function, and its seconds."""
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


def by_swincli(folder: Path, detector: Detector) -> Moments:
    """Moments of a folder's pictures, the way `swincli evaluate` comes to them."""
    batch = default_detector_batch(detector)
    with open_images(str(folder)) as images:
        pictures = images.read(np.arange(images.count))
        statistics = compute_statistics(pictures, detector, frozenset({"moments"}), batch, lambda count=1: None)  # noqa: ARG005
    assert statistics.moments is not None
    return statistics.moments


def by_a_plain_loop(folder: Path, detector: Detector, side: int) -> Moments:
    """The same moments from a plain loop without threads."""
    resize = make_resizer("PIL", False, "bicubic", (side, side))
    features, waiting = [], []
    files = sorted(folder.iterdir())
    for number, file in enumerate(files, start=1):
        waiting.append(resize(np.asarray(Image.open(file).convert("RGB"))).transpose(2, 0, 1))
        if len(waiting) == BATCH or number == len(files):
            features.append(detector.detect(torch.from_numpy(np.stack(waiting)).to(detector.device)).features)
            waiting = []
    return Moments.from_features(np.concatenate(features))


def passes(count: int, detector: Detector, side: int) -> None:
    """Print images per second of both."""
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(count):
            coarse = random.integers(0, 256, (SIDE // 8, SIDE // 8, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((SIDE, SIDE)).save(folder / f"{number:05d}.png")
        by_a_plain_loop(folder, detector, side)  # warm-up
        plain, plain_seconds = timed(lambda: by_a_plain_loop(folder, detector, side))
        ours, seconds = timed(lambda: by_swincli(folder, detector))
    apart = np.abs(ours.mean - plain.mean).max() / np.abs(plain.mean).max()
    out(f"{detector.name}, {count} PNGs of {SIDE} px on {detector.device}")
    out(f"  plain loop  {count / plain_seconds:8.1f} images/s")
    out(f"  swincli     {count / seconds:8.1f} images/s, {plain_seconds / seconds:.2f} times as fast")
    out(f"  largest difference of the means {apart:.1e}")


def distances(width: int) -> None:
    """Print seconds of both ways to compute the distance."""
    random = np.random.default_rng(0)
    one, other = (Moments.from_features(random.standard_normal((2 * width, width)) * (1 + k)) for k in range(2))

    def by_root() -> float:
        root = scipy.linalg.sqrtm(one.covariance @ other.covariance).real
        offset = one.mean - other.mean
        return float(offset @ offset + np.trace(one.covariance + other.covariance - 2 * root))

    ours, seconds = timed(lambda: frechet_distance(one, other))
    root, root_seconds = timed(by_root)
    out(f"Fréchet distance, width {width}")
    out(f"  sqrtm       {root_seconds:8.2f} s")
    out(
        f"  swincli     {seconds:8.2f} s, {root_seconds / seconds:.1f} times as fast, "
        f"apart by {abs(ours - root) / root:.1e}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--detector", default="inception", choices=["inception", "efficientnet"])
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    runtime.configure()
    weights = find_detector_weights(None, Console(), arguments.detector)
    detector = load_detector(weights, runtime.choose_device(arguments.device))
    passes(arguments.images, detector, weights.side)
    distances(arguments.width)


if __name__ == "__main__":
    main()
