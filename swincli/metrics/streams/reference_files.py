"""Statistics of a reference as a file that can be handed on in place of its pictures, and those of other programs.

A file of ours is an `.npz` with the mean `mu` and the covariance `sigma`, which clean-fid and pytorch-fid read as well,
with `features`, `spectrum` and `spectrum_parts` where a metric needed them, and with a text `swincli` that says in JSON
how they were made. Nothing in it is ever unpickled.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swincli.errors import DataError
from swincli.metrics.definitions.moments import Moments
from swincli.metrics.definitions.spectrum import PARTS, Spectrum
from swincli.metrics.networks.detectors import Detector
from swincli.metrics.protocol import DetectorRecord, Reference, library_versions
from swincli.metrics.streams.features import Collected, Need
from swincli.system.atomic_files import write_arrays
from swincli.system.file_hash import file_sha256

FORMAT = 1
HEADER = "swincli"
OPTIONAL = ("features", "spectrum", "spectrum_parts")
FOREIGN = (("mu", "sigma"), ("ref_mu", "ref_sigma"))  # clean-fid, pytorch-fid, TTUR, EDM, ADM; evaluators in JAX
_SYMMETRIC = 1e-6  # how far a covariance may be from its mirror image, relative to its largest entry
_NOT_OURS = "--reference takes the .npz of --save-reference, or another program's with mu and sigma in it."
_AGAIN = "Save it again with --save-reference, with the same --detector and --metric as here."


@dataclass(frozen=True, eq=False)
class Statistics:
    """What is known of a reference from a file.

    Attributes:
        path: The file.
        record: What the protocol says of the reference.
        collected: Moments, and whatever else the file holds.
        detector: What made the features; None where the file does not say.
        resize: How pictures came to the detector's size; None where the file does not say.
    """

    path: Path
    record: Reference
    collected: Collected
    detector: DetectorRecord | None
    resize: str | None

    @property
    def cautions(self) -> list[str]:
        """What to bear in mind of statistics that do not say how they were made."""
        if self.detector is not None:
            return []
        unknown = "says neither which detector and resize made it, nor of how many pictures"
        return [f"{self.path}: {unknown}; a difference in any of them moves the values"]

    def require(self, detector: Detector, needs: frozenset[Need]) -> None:
        """Check that these statistics can stand for the pictures.

        Raises:
            DataError: another detector or resize made them, or something that is needed is not in the file.
        """
        known, moments = self.detector, self.collected.moments
        assert moments is not None
        if known is not None and known.sha256 != detector.sha256:
            theirs, ours = f"{known.name}, sha256 {known.sha256[:12]}", f"{detector.name}, {detector.sha256[:12]}"
            raise DataError(f"{self.path}: made by another detector ({theirs}) than the one here ({ours})", _AGAIN)
        if self.resize is not None and self.resize != detector.resize.name:
            both = f"({self.resize}) than the one here ({detector.resize.name})"
            raise DataError(f"{self.path}: made with another resize {both}", _AGAIN)
        if len(moments.mean) != detector.width:
            both = f"of {len(moments.mean)} numbers, and {detector.name} makes {detector.width}"
            raise DataError(f"{self.path}: is of features {both}", "Choose the detector that made it: --detector.")
        missing = [need for need in sorted(needs) if getattr(self.collected, need, None) is None]
        if missing:
            raise DataError(f"{self.path}: holds no {' and no '.join(missing)}, which these metrics take", _AGAIN)


def save_statistics(path: Path, reference: Reference, collected: Collected, detector: Detector) -> None:
    """Write what is known of a reference.

    Args:
        path: The file, which is given its name once it is whole.
        reference: What the protocol says of it.
        collected: Moments, and features and a spectrum where they are known.
        detector: What made the features.

    Raises:
        ResourceError: it cannot be written.
    """
    assert collected.moments is not None
    record = DetectorRecord(detector.name, detector.sha256, detector.width)
    header = {
        "format": FORMAT,
        "reference": asdict(replace(reference, statistics=None)),
        "detector": asdict(record),
        "resize": detector.resize.name,
        "quantisation": "uint8",
        "versions": library_versions(),
    }
    arrays: dict[str, Any] = {
        HEADER: np.array(json.dumps(header)),
        "mu": collected.moments.mean,
        "sigma": collected.moments.covariance,
    }
    if collected.features is not None:
        arrays["features"] = collected.features
    if collected.spectrum is not None:
        arrays["spectrum"] = collected.spectrum.total / collected.spectrum.count
        if collected.spectrum.parts is not None:
            arrays["spectrum_parts"] = collected.spectrum.parts
    write_arrays(path, arrays)


def open_statistics(path: Path) -> Statistics:
    """Read statistics of ours, or another program's mean and covariance.

    Raises:
        DataError: no such file, a damaged one, or one that holds something else.
    """
    arrays = _read_arrays(path)
    if HEADER in arrays:
        try:
            return _own(path, json.loads(str(arrays[HEADER])), arrays)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: damaged, or of another version ({error})", _AGAIN) from None
    for mean, covariance in FOREIGN:
        if mean in arrays and covariance in arrays:
            moments = Moments.given(*_gaussian(path, arrays[mean], arrays[covariance]))
            record = Reference(str(path), None, None, file_sha256(path), statistics=str(path))
            return Statistics(path, record, Collected(moments.count, moments), None, None)
    held = ", ".join(arrays) or "nothing"
    raise DataError(f"{path}: holds no mean and covariance of features (mu, sigma), but {held}", _NOT_OURS)


def _own(path: Path, header: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Statistics:
    if header["format"] != FORMAT:
        raise ValueError(f"format {header['format']}")
    record = Reference(**{**header["reference"], "statistics": str(path)})
    count = record.num
    if not isinstance(count, int) or count < 2:
        raise ValueError(f"of {count} pictures")
    mean, covariance = _gaussian(path, arrays["mu"], arrays["sigma"])
    features, spectrum, parts = (arrays.get(name) for name in OPTIONAL)
    if features is not None:
        features = _numbers(path, "features", features, (count, len(mean))).astype(np.float32)
    if spectrum is not None:
        spectrum = _numbers(path, "spectrum", spectrum, (3, None, None)) * count
    if parts is not None:
        parts = _numbers(path, "spectrum_parts", parts, (PARTS, None))
    collected = Collected(
        count,
        Moments(count, mean, covariance * (count - 1)),
        features,
        spectrum=None if spectrum is None else Spectrum(count, spectrum, parts),
    )
    return Statistics(path, record, collected, DetectorRecord(**header["detector"]), str(header["resize"]))


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        raise DataError(f"{path}: no such file", _NOT_OURS)
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path}: not an .npz file, or a damaged one", _NOT_OURS)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            known = {HEADER, *OPTIONAL, *(name for names in FOREIGN for name in names)}
            ours = HEADER in stored.files
            return {
                name: stored[name] if name in known and (ours or name not in OPTIONAL) else np.zeros(0)
                for name in stored.files
            }
    except Exception as error:  # a damaged archive raises nearly anything
        reason = str(error).strip().split("\n", 1)[0] or type(error).__name__
        raise DataError(f"{path}: damaged, or not numbers alone ({reason})", _NOT_OURS) from None


def _gaussian(
    path: Path, mean: NDArray[Any], covariance: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mean = _numbers(path, "mean", mean, (None,))
    covariance = _numbers(path, "covariance", covariance, (len(mean), len(mean)))
    apart = np.abs(covariance - covariance.T).max()
    if apart > _SYMMETRIC * np.abs(covariance).max() or (np.diag(covariance) < 0).any():
        raise DataError(f"{path}: its covariance is none: not symmetric, or with a negative variance", _NOT_OURS)
    return mean, covariance


def _numbers(path: Path, name: str, array: NDArray[Any], shape: tuple[int | None, ...]) -> NDArray[np.float64]:
    """An array of finite numbers of a shape; None stands for any length but 0."""
    fits = array.ndim == len(shape) and all(
        have == want if want is not None else have > 0 for have, want in zip(array.shape, shape, strict=True)
    )
    if not fits or array.dtype.kind not in "fiu":
        wanted = " x ".join("any" if length is None else str(length) for length in shape)
        found = " x ".join(map(str, array.shape)) or "one"
        raise DataError(f"{path}: its {name} should be {wanted} numbers, and is {found} of {array.dtype}", _NOT_OURS)
    exact = array.astype(np.float64)
    if not np.isfinite(exact).all():
        raise DataError(f"{path}: its {name} holds numbers that are not finite", _NOT_OURS)
    return exact
