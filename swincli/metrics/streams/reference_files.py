"""Files of reference statistics, which replace the real images: swincli's and those of other programs.

swincli's file is an `.npz` with the mean `mu` and the covariance `sigma`, which clean-fid and pytorch-fid read too;
with `features`, `spectrum` and `spectrum_parts` if a metric needs them; and with a JSON text `swincli` about how they
were computed. Nothing is unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swincli.data.images.decode import DECODING
from swincli.errors import DataError
from swincli.metrics.definitions.moments import Moments
from swincli.metrics.definitions.spectrum import PARTS, Spectrum
from swincli.metrics.networks.detectors import Detector
from swincli.metrics.protocol import DetectorRecord, ReferenceRecord, library_versions
from swincli.metrics.streams.appearance import Appearance
from swincli.metrics.streams.features import SideStatistics, Statistic
from swincli.system.array_files import open_arrays
from swincli.system.atomic_files import write_arrays
from swincli.system.file_hash import file_sha256

FORMAT = 1
HEADER = "swincli"
OPTIONAL = ("features", "spectrum", "spectrum_parts")
FOREIGN = (("mu", "sigma"), ("ref_mu", "ref_sigma"))  # clean-fid, pytorch-fid, TTUR, EDM, ADM; evaluators in JAX
_IMAGES = "arr_0"  # of `sample --format npz`, and of ADM's sets
_OTHERS = {_IMAGES: "images", "z": "codes", "w": "codes", "w_plus": "codes"}  # what other files of swincli hold
_SYMMETRIC = 1e-6  # largest asymmetry of a covariance, relative to its largest entry
_HINT = "--reference needs an .npz file of --save-reference, or another program's with mu and sigma."
_SAVE_AGAIN = "Save it again: --save-reference with the same --detector and --metric as in this command."


@dataclass(frozen=True, eq=False)
class ReferenceStatistics:
    """The content of a file of reference statistics.

    Attributes:
        path: The file.
        record: Record of the reference for the protocol.
        statistics: Moments, and the other statistics in the file.
        detector: The detector of the features; None if the file does not name it.
        resize: The resize to the detector's input size; None if the file does not name it.
        appearance: What was known of the images.
    """

    path: Path
    record: ReferenceRecord
    statistics: SideStatistics
    detector: DetectorRecord | None
    resize: str | None
    appearance: Appearance = field(default_factory=Appearance)

    def look(self) -> Appearance:
        """What was known of the images, as `ImageSet.look`."""
        return self.appearance

    @property
    def cautions(self) -> list[str]:
        """Cautions for statistics of unknown origin."""
        if self.detector is not None:
            return []
        unknown = "does not name its detector, resize and number of images"
        return [f"{self.path}: {unknown}; a difference in any of them changes the values"]

    def require(self, detector: Detector, needs: frozenset[Statistic]) -> None:
        """Check that these statistics can replace the images.

        Raises:
            DataError: they are of another detector or resize, or a statistic that is needed is missing.
        """
        known, moments = self.detector, self.statistics.moments
        assert moments is not None
        if known is not None and known.sha256 != detector.sha256:
            theirs, ours = (f"{each.name}, sha256 {each.sha256[:12]}" for each in (known, detector))
            raise DataError(f"{self.path}: of another detector ({theirs}) than this one ({ours})", _SAVE_AGAIN)
        if known is not None and known.pixels not in (None, detector.pixels):
            both = f"({known.pixels}) than in this command ({detector.pixels})"
            raise DataError(f"{self.path}: pixels were normalised in another way {both}", "Give its --detector-pixels.")
        if self.resize is not None and self.resize != detector.resize.name:
            both = f"({self.resize}) than this one ({detector.resize.name})"
            raise DataError(f"{self.path}: of another resize {both}", _SAVE_AGAIN)
        if len(moments.mean) != detector.width:
            both = f"of length {len(moments.mean)}, but {detector.name} gives {detector.width}"
            raise DataError(f"{self.path}: its features are {both}", "Choose its detector with --detector.")
        missing = [need for need in sorted(needs) if getattr(self.statistics, need, None) is None]
        if missing:
            raise DataError(f"{self.path}: has no {' and no '.join(missing)}, which these metrics need", _SAVE_AGAIN)


def save_statistics(
    path: Path,
    reference: ReferenceRecord,
    statistics: SideStatistics,
    detector: Detector,
    appearance: Appearance | None = None,
) -> None:
    """Write the statistics of a reference to a file, atomically.

    Args:
        path: The file.
        reference: Record of the reference for the protocol.
        statistics: Moments; features and spectrum are written if present.
        detector: The detector of the features.
        appearance: What is known of the images.

    Raises:
        ResourceError: the file cannot be written.
    """
    assert statistics.moments is not None
    record = DetectorRecord(detector.name, detector.sha256, detector.width, detector.pixels)
    header = {
        "format": FORMAT,
        "reference": asdict(replace(reference, statistics=None)),
        "detector": asdict(record),
        "resize": detector.resize.name,
        "quantisation": "uint8",
        "decoding": DECODING,
        "versions": library_versions(),
        "appearance": asdict(appearance or Appearance()),
    }
    arrays: dict[str, Any] = {
        HEADER: np.array(json.dumps(header)),
        "mu": statistics.moments.mean,
        "sigma": statistics.moments.covariance,
    }
    if statistics.features is not None:
        arrays["features"] = statistics.features
    if statistics.spectrum is not None:
        arrays["spectrum"] = statistics.spectrum.total / statistics.spectrum.count
        if statistics.spectrum.parts is not None:
            arrays["spectrum_parts"] = statistics.spectrum.parts
    write_arrays(path, arrays)


def is_own_statistics(path: Path) -> bool:
    """Whether a file was written by `save_statistics`, by any version."""
    try:
        with open_arrays(path) as stored:
            header = json.loads(str(stored[HEADER]))
    except (DataError, ValueError):
        return False
    return isinstance(header, dict) and "reference" in header


def open_statistics(path: Path) -> ReferenceStatistics:
    """Read swincli's reference statistics, or another program's mean and covariance.

    Raises:
        DataError: no such file, a damaged file, or a file without statistics.
    """
    arrays = _read_arrays(path)
    others = [name for name in _OTHERS if name in arrays]
    if HEADER in arrays and not others:
        try:
            return _read_own(path, json.loads(str(arrays[HEADER])), arrays)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: damaged, or of another version ({error})", _SAVE_AGAIN) from None
    for mean, covariance in FOREIGN:
        if mean in arrays and covariance in arrays:
            moments = Moments.from_mean_covariance(*_gaussian(path, arrays[mean], arrays[covariance]))
            record = ReferenceRecord(str(path), None, None, file_sha256(path), statistics=str(path))
            return ReferenceStatistics(path, record, SideStatistics(moments.count, moments), None, None)
    found = f"{_OTHERS[others[0]]} ({', '.join(others)})" if others else ", ".join(arrays) or "nothing"
    hint = f"{_HINT} Images themselves are given to --data." if _IMAGES in others else _HINT
    raise DataError(f"{path}: has no mean and covariance of features (mu, sigma), but {found}", hint)


def _read_own(path: Path, header: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> ReferenceStatistics:
    if header["format"] != FORMAT:
        raise ValueError(f"format {header['format']}")
    record = ReferenceRecord(**{**header["reference"], "statistics": str(path)})
    count = record.num
    if not isinstance(count, int) or count < 2:
        raise ValueError(f"{count} images")
    mean, covariance = _gaussian(path, arrays["mu"], arrays["sigma"])
    features, spectrum, parts = (arrays.get(name) for name in OPTIONAL)
    if features is not None:
        features = _numbers(path, "features", features, (count, len(mean))).astype(np.float32)
    if spectrum is not None:
        spectrum = _numbers(path, "spectrum", spectrum, (3, None, None)) * count
    if parts is not None:
        parts = _numbers(path, "spectrum_parts", parts, (PARTS, None))
    appearance = Appearance(**header.get("appearance", {}))
    statistics = SideStatistics(
        count,
        Moments(count, mean, covariance * (count - 1)),
        features,
        spectrum=None if spectrum is None else Spectrum(count, spectrum, parts),
    )
    detector, resize = DetectorRecord(**header["detector"]), str(header["resize"])
    return ReferenceStatistics(path, record, statistics, detector, resize, appearance)


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The known arrays of a file; other names have an empty array, as they are only listed in an error."""
    known = {HEADER, *(name for names in FOREIGN for name in names)}
    with open_arrays(path, _HINT) as stored:
        wanted = {*known, *OPTIONAL} if HEADER in stored else known
        return {name: stored[name] if name in wanted else np.zeros(0) for name in stored}


def _gaussian(
    path: Path, mean: NDArray[Any], covariance: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean [D] and covariance [D, D] after a check of their shapes and values."""
    mean = _numbers(path, "mean", mean, (None,))
    covariance = _numbers(path, "covariance", covariance, (len(mean), len(mean)))
    asymmetry = np.abs(covariance - covariance.T).max()
    if asymmetry > _SYMMETRIC * np.abs(covariance).max() or (np.diag(covariance) < 0).any():
        raise DataError(f"{path}: sigma is not a covariance: not symmetric, or with a negative variance", _HINT)
    return mean, covariance


def _numbers(path: Path, name: str, array: NDArray[Any], shape: tuple[int | None, ...]) -> NDArray[np.float64]:
    """The array as float64, if it has the shape (None is any length above 0) and finite numbers."""
    fits = array.ndim == len(shape) and all(
        have == want if want is not None else have > 0 for have, want in zip(array.shape, shape, strict=True)
    )
    if not fits or array.dtype.kind not in "fiu":
        wanted = " x ".join("any" if length is None else str(length) for length in shape)
        found = " x ".join(map(str, array.shape)) or "scalar"
        raise DataError(f"{path}: {name} is {found} of {array.dtype}, not {wanted} numbers", _HINT)
    exact = array.astype(np.float64)
    if not np.isfinite(exact).all():
        raise DataError(f"{path}: {name} has numbers that are not finite", _HINT)
    return exact
