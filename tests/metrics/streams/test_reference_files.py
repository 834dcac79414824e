from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from picture_folders import PictureFolder

from swincli.console import Console
from swincli.errors import DataError
from swincli.metrics.definitions.fid import frechet_distance
from swincli.metrics.definitions.moments import Moments
from swincli.metrics.evaluate import Evaluation, evaluate, save_reference
from swincli.metrics.networks.detectors import Detector
from swincli.metrics.networks.resize import torch_resize
from swincli.metrics.protocol import ReferenceRecord
from swincli.metrics.streams.features import SideStatistics
from swincli.metrics.streams.images import draw_subset, open_images, stream_subset
from swincli.metrics.streams.reference_files import ReferenceStatistics, open_statistics, save_statistics

MANY = ["fid", "kid", "pr", "dc", "fid-infinity", "spectrum"]


def judged(
    fakes: Path, reference: Path | ReferenceStatistics, detector: Detector, console: Console, metrics: list[str]
) -> Evaluation:
    with open_images(str(fakes)) as images:
        stream = stream_subset(images, 50_000, 0)
        if isinstance(reference, ReferenceStatistics):
            return evaluate(stream, reference, metrics, detector, console=console)
        with open_images(str(reference)) as real:
            return evaluate(stream, real, metrics, detector, console=console)


def features(count: int = 20, width: int = 12) -> np.ndarray:
    return np.random.default_rng(0).random((count, width), dtype=np.float32)


@pytest.fixture
def saved(tmp_path: Path, tiny: Detector) -> Path:
    """A file of statistics of 20 pictures by the tiny detector, with features."""
    path = tmp_path / "own.npz"
    known = SideStatistics(20, Moments.from_features(features()), features())
    save_statistics(path, ReferenceRecord("photos", 20, 16, "c0ffee"), known, tiny)
    return path


def rewrite(path: Path, **changed: object) -> Path:
    with np.load(path) as arrays:
        kept = {name: arrays[name] for name in arrays.files}
    np.savez(path, **{name: value for name, value in {**kept, **changed}.items() if value is not None})
    return path


def test_statistics_take_the_place_of_pictures_in_every_metric(
    picture_folder: PictureFolder, tiny: Detector, quiet: Console, tmp_path: Path
) -> None:
    reals, fakes = picture_folder("reals", 30, seed=1), picture_folder("fakes", 24, seed=2, brightness=120)
    path = tmp_path / "kept" / "reference.npz"
    with open_images(str(reals)) as images:
        save_reference(path, images, MANY, tiny, console=quiet)
    expected = judged(fakes, reals, tiny, quiet, MANY)
    found = judged(fakes, open_statistics(path), tiny, quiet, MANY)
    assert found.values == pytest.approx(expected.values, rel=1e-9, nan_ok=True)
    assert found.protocol.reference == replace(expected.protocol.reference, statistics=str(path))
    assert list(path.parent.iterdir()) == [path]


def test_what_was_saved_on_a_cpu_serves_where_the_resize_runs_on_the_device(
    picture_folder: PictureFolder, tiny: Detector, quiet: Console, tmp_path: Path
) -> None:
    reals, fakes = picture_folder("reals", 30, seed=1), picture_folder("fakes", 24, seed=2, brightness=120)
    path = tmp_path / "reference.npz"
    with open_images(str(reals)) as images:
        save_reference(path, images, ["fid"], tiny, console=quiet)
    as_on_cuda = replace(tiny, resize=torch_resize(32))
    expected = judged(fakes, reals, tiny, quiet, ["fid"])
    found = judged(fakes, open_statistics(path), as_on_cuda, quiet, ["fid"])
    assert found.values == pytest.approx(expected.values, rel=1e-5)
    assert found.protocol.resize == expected.protocol.resize


def test_another_normalisation_of_the_pixels_is_refused(saved: Path, tiny: Detector) -> None:
    known = open_statistics(saved)
    assert known.detector is not None
    assert known.detector.pixels == "inception"
    known.require(tiny, frozenset({"moments"}))
    with pytest.raises(DataError, match=r"own\.npz: pixels were normalised in another way \(inception\)") as caught:
        known.require(replace(tiny, pixels="clip"), frozenset({"moments"}))
    assert "--detector-pixels" in (caught.value.hint or "")
    older = replace(known, detector=replace(known.detector, pixels=None))  # earlier files do not say
    older.require(replace(tiny, pixels="clip"), frozenset({"moments"}))


def test_a_part_is_remembered_and_saved_as_what_it_is(
    picture_folder: PictureFolder, tiny: Detector, quiet: Console, tmp_path: Path
) -> None:
    hashes, means = set(), []
    with open_images(str(picture_folder("reals", 30))) as images:
        for seed in (0, 0, 1):
            part = draw_subset(images, 10, seed)
            save_reference(tmp_path / "part.npz", part, ["kid"], tiny, console=quiet)
            known = open_statistics(tmp_path / "part.npz")
            assert (known.record.num, known.record.drawn_from, known.record.drawn_with) == (10, 30, seed)
            assert known.statistics.features.shape == (10, 12)
            hashes.add(known.record.content_hash)
            means.append(known.statistics.moments.mean)
        assert draw_subset(images, 30, 0) is images
    assert len(hashes) == 1
    np.testing.assert_array_equal(means[0], means[1])
    assert not np.array_equal(means[0], means[2])


def test_our_statistics_hold_what_other_programs_look_for(saved: Path) -> None:
    with np.load(saved, allow_pickle=False) as arrays:  # clean-fid and pytorch-fid take "mu" and "sigma"
        np.testing.assert_allclose(arrays["mu"], features().astype(float).mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(arrays["sigma"], np.cov(features().astype(float), rowvar=False), rtol=1e-9)


@pytest.mark.parametrize(("names", "count"), [(("mu", "sigma"), 7), (("ref_mu", "ref_sigma"), 60)])
def test_other_programs_statistics_give_their_distance(
    names: tuple[str, str], count: int, picture_folder: PictureFolder, tiny: Detector, quiet: Console, tmp_path: Path
) -> None:
    reals, fakes = picture_folder("reals", count, seed=1), picture_folder("fakes", 40, seed=2, brightness=120)
    with open_images(str(reals)) as images:
        save_reference(tmp_path / "own.npz", images, ["fid"], tiny, console=quiet)
    moments = open_statistics(tmp_path / "own.npz").statistics.moments
    path = tmp_path / "other.npz"
    np.savez_compressed(path, **dict(zip(names, (moments.mean, moments.covariance), strict=True)), mu_s=np.zeros(3))
    result = judged(fakes, open_statistics(path), tiny, quiet, ["fid"])
    assert result.values["fid"] == pytest.approx(judged(fakes, reals, tiny, quiet, ["fid"]).values["fid"], rel=1e-6)
    assert result.protocol.reference.num is None
    assert any("does not name its detector, resize and number of images" in caution for caution in result.cautions)
    assert "unknown number" in dict(result.protocol.rows())["reference"]
    with pytest.raises(DataError, match=r"other\.npz: has no features, which these metrics need"):
        judged(fakes, open_statistics(path), tiny, quiet, ["fid", "kid"])


def test_a_covariance_of_nothing_is_known_to_be_of_one_rank_at_least() -> None:
    moments = Moments.from_mean_covariance(np.zeros(3), np.zeros((3, 3)))
    assert frechet_distance(moments, Moments.from_features(np.eye(3))) == pytest.approx(1 / 3 + 1)


def test_another_detector_or_resize_is_named(saved: Path, tiny: Detector) -> None:
    known = open_statistics(saved)
    known.require(tiny, frozenset({"moments", "features"}))
    with pytest.raises(DataError, match=rf"tiny\.pt, sha256 {tiny.sha256[:12]}\) than this one \(big, sha256 123"):
        known.require(replace(tiny, name="big", sha256="123"), frozenset())
    with pytest.raises(DataError, match=r"\(clean-fid .*32x32\)\) than this one \(nearest\)"):
        known.require(replace(tiny, resize=replace(tiny.resize, name="nearest")), frozenset())
    with pytest.raises(DataError, match=r"its features are of length 12, but tiny\.pt gives 13"):
        known.require(replace(tiny, width=13), frozenset())
    with pytest.raises(DataError, match=r"own\.npz: has no spectrum, which"):
        known.require(tiny, frozenset({"features", "spectrum"}))


NAN = np.full((20, 12), np.nan, np.float32)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"features": NAN}, "features has numbers that are not finite"),
        ({"features": np.zeros((19, 12))}, "features is 19 x 12 of float64, not 20 x 12 numbers"),
        ({"features": np.full((20, 12), "a")}, "features is 20 x 12 of <U1, not 20 x 12 numbers"),
        ({"mu": np.zeros(11)}, "covariance is 12 x 12 of float64, not 11 x 11 numbers"),
        ({"mu": np.zeros((2, 2))}, "mean is 2 x 2 of float64, not any numbers"),
        ({"mu": np.full(12, np.inf)}, "mean has numbers that are not finite"),
        ({"sigma": np.triu(np.ones((12, 12)))}, "sigma is not a covariance"),
        ({"sigma": -np.eye(12)}, "sigma is not a covariance"),
        ({"spectrum": np.zeros((4, 4))}, "spectrum is 4 x 4 of float64, not 3 x any x any numbers"),
        ({"spectrum_parts": np.zeros((3, 4))}, "spectrum_parts is 3 x 4 of float64, not 32 x any numbers"),
        (
            {"spectrum": np.zeros((3, 16, 16)), "spectrum_parts": np.zeros((32, 4))},
            r"damaged.*parts of shape \(32, 4\)",
        ),
        ({"mu": None}, "damaged, or of another version"),
        ({"swincli": np.array("{")}, "damaged, or of another version"),
        ({"swincli": np.array(json.dumps({"format": 99}))}, r"damaged, or of another version \(format 99\)"),
        ({"swincli": np.array("[]")}, "damaged, or of another version"),
    ],
)
def test_what_does_not_fit_together_is_named(changed: dict[str, object], message: str, saved: Path) -> None:
    with pytest.raises(DataError, match=rf"own\.npz: {message}"):
        open_statistics(rewrite(saved, **changed))


class _Touch:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_nothing_is_ever_unpickled(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    objects = np.array([_Touch(trace)], dtype=object)
    np.savez(tmp_path / "objects.npz", mu=objects, sigma=objects)
    (tmp_path / "plain.npz").write_bytes(pickle.dumps(_Touch(trace)))
    for name, message in (("objects", "damaged, or not an .npz file of numbers"), ("plain", "not an .npz file")):
        with pytest.raises(DataError, match=message):
            open_statistics(tmp_path / f"{name}.npz")
    assert not trace.exists()


def test_files_of_something_else_are_named(tmp_path: Path, saved: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.npz: no such file"):
        open_statistics(tmp_path / "gone.npz")
    with pytest.raises(DataError, match="no such file"):
        open_statistics(tmp_path)
    np.savez(tmp_path / "latents.npz", z=np.zeros(3), w=np.zeros(3))
    with pytest.raises(DataError, match=r"has no mean and covariance .*, but codes \(z, w\)"):
        open_statistics(tmp_path / "latents.npz")
    np.savez(tmp_path / "other.npz", x=np.zeros(3), y=np.zeros(3))
    with pytest.raises(DataError, match=r"has no mean and covariance .*, but x, y"):
        open_statistics(tmp_path / "other.npz")
    array = io.BytesIO()
    np.save(array, np.zeros(3))
    (tmp_path / "array.npz").write_bytes(array.getvalue())
    with pytest.raises(DataError, match=r"not an \.npz file"):
        open_statistics(tmp_path / "array.npz")
    saved.write_bytes(saved.read_bytes()[:-30])
    with pytest.raises(DataError, match="damaged"):
        open_statistics(saved)


def test_a_flipped_byte_never_gives_other_statistics(tmp_path: Path, tiny: Detector) -> None:
    path, known = tmp_path / "own.npz", SideStatistics(5, Moments.from_features(features(5)), features(5))
    save_statistics(path, ReferenceRecord("photos", 5, 16, "c0ffee"), known, tiny)
    whole, noticed = path.read_bytes(), 0
    for position in range(0, len(whole), 23):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x15]) + whole[position + 1 :])
        try:
            found = open_statistics(path)
        except DataError:
            noticed += 1
        else:  # a date, or padding
            np.testing.assert_allclose(found.statistics.moments.scatter, known.moments.scatter, rtol=1e-12)
    assert noticed > len(whole) / 23 / 2
