"""Speed of reading training images and of preparing pictures, compared with alternatives in one run.

    python benchmarks/data.py [load|prepare|all] [--source SOURCE] [--size 256] [--count 2000] [--json FILE]

Loading: batches of 64 images in random order, files in the page cache. "a core" is images per CPU second (user and
system), so other programs on the machine do not matter. "copy" is a plain memory copy of the same bytes, the upper
limit of every format. The StyleGAN3 row reads uncompressed PNG files from a zip, one by one with PIL.

Preparing: a folder of JPEG files of twice the resolution, with one process, with one process per core, and with ten
times as many files. The speed on idle cores is derived from CPU seconds.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import statistics
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from swincli.console import Console
from swincli.data.preparing.prepare import PrepareOptions, prepare
from swincli.data.store.reader import Store
from swincli.system.resources import usable_cores
from swincli.version import __version__

BATCH = 64
QUIET = Console(quiet=True)

Fetch = Callable[[NDArray[np.int64], NDArray[np.uint8]], object]
Row = dict[str, Any]


def rates(fetch: Fetch, count: int, side: int, seconds: float) -> Row:
    """Images per CPU second and per second of wall time, over random batches."""
    random, out = np.random.default_rng(0), np.zeros((BATCH, side, side, 3), np.uint8)
    fetch(random.integers(0, count, BATCH), out)
    clock, processor, started = [], [], time.perf_counter()
    while len(clock) < 10 or time.perf_counter() - started < seconds:
        indices = random.integers(0, count, BATCH)
        before, spent = time.perf_counter(), time.process_time()
        fetch(indices, out)
        clock.append(time.perf_counter() - before)
        processor.append(time.process_time() - spent)
    return {
        "a core": BATCH * len(processor) / sum(processor),
        "median batch": BATCH / statistics.median(processor),
        "best batch": BATCH / min(clock),
    }


def one_by_one(decode: Callable[[int], bytes]) -> Fetch:
    """Read files one by one and decode them with PIL, as data loaders do."""

    def fetch(indices: NDArray[np.int64], out: NDArray[np.uint8]) -> None:
        for place, index in enumerate(indices.tolist()):
            with Image.open(io.BytesIO(decode(index))) as image:
                out[place] = np.asarray(image)

    return fetch


def encoded(image: NDArray[np.uint8], kind: str, **options: object) -> bytes:
    """The bytes of an image file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()


def loading(folder: Path, source: str, size: int, count: int, seconds: float) -> list[Row]:
    """One row per storage format."""
    ways: dict[str, tuple[Fetch, int]] = {}
    for encoding in ("raw", "png", "webp"):
        dest = folder / encoding
        prepare(source, dest, PrepareOptions(size, max_images=count, encoding=encoding), QUIET)
        store = Store.open(dest)
        ways[f"store, {encoding}"] = (store.fetch, folder_bytes(dest))
    raw = Store.open(folder / "raw")
    count = len(raw)
    with (
        zipfile.ZipFile(folder / "stylegan3.zip", "w", zipfile.ZIP_STORED) as archive,
        lmdb.open(str(folder / "lmdb"), map_size=2**36) as database,
    ):
        (folder / "jpeg").mkdir()
        for index in range(count):
            image = raw.fetch(np.array([index]))[0]
            archive.writestr(f"{index}.png", encoded(image, "PNG", compress_level=0, optimize=False))
            jpeg = encoded(image, "JPEG", quality=95)
            (folder / "jpeg" / f"{index}.jpg").write_bytes(jpeg)
            with database.begin(write=True) as transaction:
                transaction.put(f"{size}-{index:05d}".encode(), jpeg)
    archive = zipfile.ZipFile(folder / "stylegan3.zip")
    database = lmdb.open(str(folder / "lmdb"), readonly=True, lock=False)

    def from_lmdb(index: int) -> bytes:
        with database.begin() as transaction:
            found: bytes = transaction.get(f"{size}-{index:05d}".encode())
            return found

    ways["PNG in a zip, PIL (StyleGAN3)"] = (
        one_by_one(lambda index: archive.read(f"{index}.png")),
        (folder / "stylegan3.zip").stat().st_size,
    )
    ways["JPEG in a folder, PIL"] = (
        one_by_one(lambda index: (folder / "jpeg" / f"{index}.jpg").read_bytes()),
        folder_bytes(folder / "jpeg"),
    )
    ways["JPEG in LMDB, PIL"] = (one_by_one(from_lmdb), folder_bytes(folder / "lmdb"))
    every = raw.fetch(np.arange(count))

    def copy(indices: NDArray[np.int64], out: NDArray[np.uint8]) -> None:
        np.take(every, indices, axis=0, out=out, mode="clip")

    ways["copy"] = (copy, every.nbytes)
    rows = [
        {"way": way, **rates(fetch, count, size, seconds), "bytes an image": size_on_disk // count}
        for way, (fetch, size_on_disk) in ways.items()
    ]
    archive.close()
    database.close()
    return rows


def folder_bytes(folder: Path) -> int:
    """Bytes of all files of a folder."""
    return sum(path.stat().st_size for path in folder.iterdir())


def ratios(rows: list[Row]) -> dict[str, float]:
    """Ratios of the three rows of `preparing`."""
    one, every, many = rows
    started = every["images"] * every["processor"]  # CPU seconds; starting processes is in both rows and cancels out
    further = (many["images"] * many["processor"] - started) / (many["images"] - every["images"])
    return {
        f"{every['workers']} processes against one": every["rate"] / one["rate"],
        "the same on idle cores once they run, by processor seconds": every["workers"] * one["processor"] / further,
        "rate of ten times the images, of that before": many["rate"] / every["rate"],
    }


def processor_seconds() -> float:
    """CPU seconds of this process and of its finished children."""
    return sum(os.times()[:4])


def preparing(folder: Path, source: str, size: int, count: int) -> list[Row]:
    """Prepare JPEG files of twice the resolution: one process, one process per core, and ten times as many files."""
    pictures = folder / "pictures"
    prepare(source, folder / "large", PrepareOptions(2 * size, max_images=100), QUIET)
    large = Store.open(folder / "large")
    pictures.mkdir()
    for index in range(len(large)):
        data = encoded(large.fetch(np.array([index]))[0], "JPEG", quality=92)
        (pictures / f"{index:06d}.jpg").write_bytes(data)
    for index in range(len(large), 10 * count):
        os.link(pictures / f"{index % len(large):06d}.jpg", pictures / f"{index:06d}.jpg")
    rows = []
    for images, workers in ((count, 1), (count, usable_cores()), (10 * count, usable_cores())):
        before, used = time.perf_counter(), processor_seconds()
        options = PrepareOptions(size, max_images=images, workers=workers, force=True)
        prepare(str(pictures), folder / "out", options, QUIET)
        spent, used = time.perf_counter() - before, processor_seconds() - used
        row = {"images": images, "workers": workers, "seconds": spent}
        rows.append({**row, "rate": images / spent, "processor": used / images})
    return rows


def main() -> None:
    """Measure, print, and optionally write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["load", "prepare", "all"], nargs="?", default="all")
    parser.add_argument("--source", default="builtin:emoji")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each format")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    machine = f"{platform.machine()}, {usable_cores()} cores, Python {platform.python_version()}, swincli {__version__}"
    result: dict[str, Any] = {"machine": machine, "date": datetime.now(UTC).date().isoformat(), "load before": load}
    sys.stdout.write(f"{machine}, {result['date']}, load {load:.1f}\n")
    if arguments.what in ("load", "all"):
        with tempfile.TemporaryDirectory() as folder:
            rows = loading(Path(folder), arguments.source, arguments.size, arguments.count, arguments.seconds)
        result["loading"] = {"size": arguments.size, "source": arguments.source, "rows": rows}
        sys.stdout.write(f"\n{arguments.size} px images a second{'a core':>30}{'best batch':>12}{'KiB an image':>14}\n")
        for row in rows:
            figures = f"{row['a core']:>12,.0f}{row['best batch']:>12,.0f}{row['bytes an image'] / 1024:>14,.0f}"
            sys.stdout.write(f"{row['way']:<42}{figures}\n")
    if arguments.what in ("prepare", "all"):
        with tempfile.TemporaryDirectory() as folder:
            rows = preparing(Path(folder), arguments.source, arguments.size, arguments.count)
        result["preparing"] = {"size": arguments.size, "rows": rows, **ratios(rows)}
        sys.stdout.write(f"\npreparing {2 * arguments.size} px JPEG files at {arguments.size} px\n")
        for row in rows:
            words = f"{row['images']:,} images, {row['workers']} processes"
            figures = f"{row['rate']:>8,.0f} images/s{row['seconds']:>8.1f} s{1000 * row['processor']:>8.2f} ms"
            sys.stdout.write(f"{words:<34}{figures} of CPU time each\n")
        for name, ratio in ratios(rows).items():
            sys.stdout.write(f"{name}: {ratio:.2f}\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
