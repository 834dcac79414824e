from __future__ import annotations

import io
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from picture_folders import PictureFolder

from swincli.console import Console
from swincli.data.images.decode import DECODING
from swincli.metrics.definitions.moments import Moments
from swincli.metrics.networks.detectors import Detector, load_detector
from swincli.metrics.networks.weight_files import choose_detector
from swincli.metrics.protocol import library_versions
from swincli.metrics.streams import reference_cache
from swincli.metrics.streams.features import SideStatistics, Statistic
from swincli.metrics.streams.images import draw_subset, open_images
from swincli.metrics.streams.reference_cache import ReferenceKey, load, measure_reference, reference_key, save
from swincli.system.cache import cache_folder

KEY = ReferenceKey("content", "detector", "resize", "cpu", count=5, width=3)
MOMENTS: frozenset[Statistic] = frozenset({"moments"})
BOTH: frozenset[Statistic] = frozenset({"moments", "features"})


def place(key: ReferenceKey) -> Path:
    folder = cache_folder()
    assert folder is not None
    return folder / key.name


def measured(folder: Path, detector: Detector, needs: frozenset[Statistic], console: Console) -> SideStatistics:
    with open_images(str(folder)) as images:
        return measure_reference(images, detector, needs, 4, console)[1]


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the pictures of every pass through the detector."""
    counted: list[int] = []
    gather = reference_cache.gather_statistics

    def counting(*arguments: object) -> SideStatistics:
        collected = gather(*arguments)
        counted.append(collected.count)
        return collected

    monkeypatch.setattr(reference_cache, "gather_statistics", counting)
    return counted


def test_a_second_time_costs_no_pass(
    picture_folder: PictureFolder, tiny: Detector, quiet: Console, passes: list[int]
) -> None:
    folder = picture_folder("reals", 9)
    first, second = (measured(folder, tiny, MOMENTS, quiet) for _ in range(2))
    assert passes == [9]
    np.testing.assert_array_equal(first.moments.scatter, second.moments.scatter)
    np.testing.assert_array_equal(first.moments.mean, second.moments.mean)
    assert second.count == second.moments.count == 9


def test_features_that_were_not_kept_cost_one_pass_more(
    picture_folder: PictureFolder, tiny: Detector, quiet: Console, passes: list[int]
) -> None:
    folder = picture_folder("reals", 9)
    for needs in (MOMENTS, frozenset({"features"}), BOTH, MOMENTS):
        collected = measured(folder, tiny, needs, quiet)
    assert passes == [9, 9]
    assert collected.features is None
    assert measured(folder, tiny, BOTH, quiet).features.shape == (9, 12)


def test_what_alternates_is_measured_once_for_each_need(
    picture_folder: PictureFolder, tiny: Detector, quiet: Console, passes: list[int]
) -> None:
    folder = picture_folder("reals", 9)
    needs: list[frozenset[Statistic]] = [frozenset({"features"}), frozenset({"spectrum"}), MOMENTS]
    first, *_ = [measured(folder, tiny, need, quiet) for need in needs * 3]
    assert passes == [9, 9]
    everything = measured(folder, tiny, frozenset({"moments", "features", "spectrum"}), quiet)
    assert passes == [9, 9]
    np.testing.assert_array_equal(everything.features, first.features)
    assert everything.spectrum is not None
    assert everything.moments is not None


CHANGES: dict[str, object] = {
    "content_hash": "other",
    "detector_sha256": "other",
    "resize": "other",
    "device": "cuda",
    "count": 6,
    "width": 4,
    "part": "0 of 9",
    "pixels": "clip",
    "precision": "bfloat16",
    "decoding": "other",
    "versions": {"torch": "2.9.0"},
    "format": 0,
}
"""Another value of everything that features depend on."""


def test_every_part_of_the_key_tells_two_files_apart() -> None:
    assert CHANGES.keys() == asdict(KEY).keys()
    save(KEY, SideStatistics(5, Moments.from_features(np.eye(5, 3)), np.eye(5, 3, dtype=np.float32)))
    names = {KEY.name}
    for field, value in CHANGES.items():
        other = replace(KEY, **{field: value})  # type: ignore[arg-type]
        names.add(other.name)
        shutil.copyfile(place(KEY), place(other))
        assert load(other, MOMENTS) is None, field
    assert len(names) == len(CHANGES) + 1
    assert load(KEY, BOTH) is not None


def test_the_key_names_what_the_features_are_made_by(
    picture_folder: PictureFolder, tiny: Detector, quiet: Console
) -> None:
    with open_images(str(picture_folder("reals", 3))) as images:
        key, _ = reference_key(draw_subset(images, 2, 7), tiny, quiet)
    assert (key.detector_sha256, key.resize, key.device) == (tiny.sha256, tiny.resize.name, "cpu")
    assert (key.pixels, key.precision, key.part) == ("inception", "float32", "7 of 3")
    assert (key.versions, key.decoding) == (library_versions(), DECODING)


def test_changed_pictures_detectors_resizes_and_normalisations_are_measured_anew(
    picture_folder: PictureFolder, tiny: Detector, quiet: Console, passes: list[int], tiny_weights: Path
) -> None:
    folder = picture_folder("reals", 3)
    measured(folder, tiny, MOMENTS, quiet)
    measured(folder, replace(tiny, sha256="another"), MOMENTS, quiet)
    measured(folder, replace(tiny, resize=replace(tiny.resize, name="another")), MOMENTS, quiet)
    clip = load_detector(choose_detector(str(tiny_weights), None, 32, "clip", quiet), tiny.device)
    measured(folder, clip, MOMENTS, quiet)
    (folder / "0000.png").write_bytes((folder / "0001.png").read_bytes())
    measured(folder, tiny, MOMENTS, quiet)
    (folder / "0000.png").unlink()
    measured(folder, tiny, MOMENTS, quiet)
    assert passes == [3, 3, 3, 3, 3, 2]


@pytest.mark.parametrize("damage", ["empty", "cut", "garbage", "array"])
def test_a_damaged_memory_is_made_again(
    damage: str, picture_folder: PictureFolder, tiny: Detector, quiet: Console, passes: list[int]
) -> None:
    folder = picture_folder("reals", 4)
    expected = measured(folder, tiny, MOMENTS, quiet)
    (path,) = (cache_folder() / "reference").iterdir()
    whole = path.read_bytes()
    array = io.BytesIO()
    np.save(array, np.zeros(3))
    path.write_bytes({"empty": b"", "cut": whole[:-9], "garbage": b"garbage" * 99, "array": array.getvalue()}[damage])
    found = measured(folder, tiny, MOMENTS, quiet)
    assert passes == [4, 4]
    np.testing.assert_array_equal(found.moments.scatter, expected.moments.scatter)
    measured(folder, tiny, MOMENTS, quiet)
    assert passes == [4, 4]


def test_a_flipped_byte_never_gives_other_moments() -> None:
    moments = Moments.from_features(np.random.default_rng(0).random((5, 3)))
    save(KEY, SideStatistics(5, moments, None))
    whole = place(KEY).read_bytes()
    noticed = 0
    for position in range(0, len(whole), 7):
        place(KEY).write_bytes(whole[:position] + bytes([whole[position] ^ 0x15]) + whole[position + 1 :])
        found = load(KEY, MOMENTS)
        noticed += found is None
        if found is not None:  # a date, or padding
            np.testing.assert_array_equal(found.moments.mean, moments.mean)
            np.testing.assert_array_equal(found.moments.scatter, moments.scatter)
    assert noticed > len(whole) / 7 / 2


def test_what_belongs_to_another_key_or_shape_is_not_taken() -> None:
    other = replace(KEY, count=6)
    assert other.name != KEY.name
    collected = SideStatistics(5, Moments.from_features(np.eye(5, 3)), np.eye(5, 3, dtype=np.float32))
    save(KEY, collected)
    assert load(KEY, BOTH) is not None
    place(KEY).rename(place(other))
    assert load(other, MOMENTS) is None
    save(KEY, SideStatistics(5, Moments.from_features(np.eye(5, 4)), np.eye(4, 3, dtype=np.float32)))
    assert load(KEY, MOMENTS) is None
    assert load(KEY, frozenset({"features"})) is None


def test_a_cache_that_cannot_be_written_is_a_warning(
    picture_folder: PictureFolder,
    tiny: Detector,
    quiet: Console,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SWINCLI_CACHE", str(tmp_path / "file"))
    assert measured(picture_folder("reals", 3), tiny, MOMENTS, quiet).count == 3
    assert "warning: the statistics of the reference are not cached" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"SWINCLI_CACHE": "/x/own"}, "/x/own"),
        ("linux", {"XDG_CACHE_HOME": "/x/xdg"}, "/x/xdg/swincli"),
        ("linux", {}, "/x/home/.cache/swincli"),
        ("darwin", {}, "/x/home/Library/Caches/swincli"),
        ("win32", {"LOCALAPPDATA": "/x/local"}, "/x/local/swincli"),
    ],
)
def test_the_cache_lies_where_the_platform_keeps_caches(
    platform: str, variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SWINCLI_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/x/home", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", platform)
    assert cache_folder() == Path(expected)
