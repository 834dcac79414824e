from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from picture_folders import PictureFolder
from PIL import Image

from swincli.console import Console
from swincli.data.preparing.prepare import PrepareOptions, prepare
from swincli.errors import DataError, UsageError
from swincli.metrics.protocol import FakesRecord
from swincli.metrics.streams.images import ImageSet, fake_seeds, open_images, stream_batches, stream_subset
from swincli.units import LARGEST_SEED


def pixels(images: ImageSet) -> list[np.ndarray]:
    return [load() for load in images.read(np.arange(images.count))]


def content_hash(path: Path) -> str:
    with open_images(str(path)) as images:
        return images.content_hash(lambda _=1: None)


def zipped(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"inner/{file.name}")
    return path


def test_folder_zip_and_store_give_the_same_pixels(picture_folder: PictureFolder, tmp_path: Path) -> None:
    folder = picture_folder("pictures", 70)
    prepare(str(folder), tmp_path / "store", PrepareOptions(16), Console(quiet=True))
    found = []
    for path in (folder, zipped(folder), tmp_path / "store"):
        with open_images(str(path)) as images:
            assert images.count == 70
            found.append(pixels(images))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_a_store_knows_its_size_and_hash(picture_folder: PictureFolder, tmp_path: Path) -> None:
    result = prepare(str(picture_folder("a", 3)), tmp_path / "store", PrepareOptions(32), Console(quiet=True))
    with open_images(str(result.path)) as images:
        assert images.resolution == 32
        assert images.content_hash(lambda _=1: None) == result.manifest.content_hash


def test_sizes_may_differ_and_other_files_are_passed_over(picture_folder: PictureFolder) -> None:
    folder = picture_folder("pictures", 2)
    Image.new("L", (40, 20), 77).save(folder / "wide.JPG")
    (folder / "notes.txt").write_text("not a picture")
    with open_images(str(folder)) as images:
        assert images.resolution is None
        assert [picture.shape for picture in pixels(images)] == [(16, 16, 3), (16, 16, 3), (20, 40, 3)]


def test_pictures_are_known_by_their_first_bytes(picture_folder: PictureFolder) -> None:
    """As in prepare-data: names without a suffix, or with a strange one, are no reason to leave a picture out."""
    folder = picture_folder("pictures", 4)
    (folder / "0001.png").rename(folder / "0001")
    (folder / "0002.png").rename(folder / "0002.jfif")
    (folder / "labels.json").write_text("{}")
    (folder / "empty").touch()
    for path in (folder, zipped(folder)):
        with open_images(str(path)) as images:
            assert images.count == 4
            assert len(pixels(images)) == 4
            assert images.notes == (f"{path}: passed over 2 files without an image",)
    (folder / "0000.png").write_text("not a picture")
    with open_images(str(folder)) as images, pytest.raises(DataError, match=r"0000\.png: not an image"):
        pixels(images)


def test_a_set_of_pictures_alone_has_no_notes(picture_folder: PictureFolder, tmp_path: Path) -> None:
    folder = picture_folder("pictures", 3)
    prepare(str(folder), tmp_path / "store", PrepareOptions(16, workers=1), Console(quiet=True))
    for path in (folder, tmp_path / "store"):
        with open_images(str(path)) as images:
            assert images.notes == ()


def test_the_hash_follows_names_and_contents(picture_folder: PictureFolder) -> None:
    folder = picture_folder("pictures", 3)
    original = content_hash(folder)
    copy = shutil.copytree(folder, folder.with_name("copy"))
    assert content_hash(copy) == original
    (copy / "0002.png").rename(copy / "0003.png")
    assert content_hash(copy) != original
    (copy / "0003.png").rename(copy / "0002.png")
    Image.new("RGB", (16, 16)).save(copy / "0001.png")
    assert content_hash(copy) != original


def test_an_array_is_a_set_of_pictures(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    np.save(tmp_path / "array.npy", array)
    with open_images(str(tmp_path / "array.npy")) as images:
        np.testing.assert_array_equal(pixels(images), array)


def test_a_subset_is_drawn_by_seed_without_repeats(picture_folder: PictureFolder) -> None:
    with open_images(str(picture_folder("pictures", 12))) as images:
        everything = {picture.tobytes() for picture in pixels(images)}
        draws = []
        for seed in (0, 0, 1):
            stream = stream_subset(images, 5, seed)
            drawn = [load().tobytes() for load in stream.images]
            assert stream.record.num == len(set(drawn)) == 5
            assert set(drawn) <= everything
            draws.append(drawn)
        assert draws[0] == draws[1] != draws[2]
        assert stream_subset(images, 100, 0).record.num == 12


def test_batches_of_a_generator_become_single_pictures() -> None:
    pictures = torch.arange(7 * 2 * 2 * 3, dtype=torch.uint8).view(7, 2, 2, 3)
    stream = stream_batches(pictures.split(3), FakesRecord("model", 7, 2))
    np.testing.assert_array_equal([load() for load in stream.images], pictures.numpy())


def test_seeds_of_two_evaluations_share_none() -> None:
    assert fake_seeds(100, 0) == range(100)
    assert fake_seeds(100, 3) == range(300, 400)
    assert fake_seeds(LARGEST_SEED + 1, 0)[-1] == LARGEST_SEED
    with pytest.raises(UsageError, match="too large for 50,000 images") as caught:
        fake_seeds(50_000, 85_900)
    assert fake_seeds(50_000, 85_898)[-1] <= LARGEST_SEED
    assert "85,898" in str(caught.value.hint)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_pictures_are_not_enough(count: int, picture_folder: PictureFolder) -> None:
    folder = picture_folder("few", count)
    (folder / "notes.txt").write_text("not a picture")
    with pytest.raises(DataError, match=r"few: has (no images|only one image);"), open_images(str(folder)):
        pass


def test_an_empty_folder_and_a_missing_one_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty holds no files"), open_images(str(tmp_path / "empty")):
        pass
    with (
        pytest.raises(DataError, match="nowhere: no such store, folder or archive"),
        open_images(str(tmp_path / "nowhere")),
    ):
        pass


def test_a_damaged_picture_is_named_by_its_path(picture_folder: PictureFolder) -> None:
    folder = picture_folder("pictures", 3)
    (folder / "0001.png").write_bytes((folder / "0001.png").read_bytes()[:60])
    with open_images(str(folder)) as images, pytest.raises(DataError, match=r"pictures/0001\.png: damaged"):
        pixels(images)


def test_a_damaged_picture_in_a_zip_is_named_by_both(picture_folder: PictureFolder) -> None:
    folder = picture_folder("pictures", 3)
    (folder / "0001.png").write_bytes(b"")
    path = zipped(folder)
    with open_images(str(path)) as images, pytest.raises(DataError, match=r"pictures\.zip:inner/0001\.png: empty"):
        images.content_hash(lambda _=1: None)


def test_a_store_without_its_manifest_is_told_from_a_folder(picture_folder: PictureFolder, tmp_path: Path) -> None:
    prepare(str(picture_folder("a", 3)), tmp_path / "store", PrepareOptions(16), Console(quiet=True))
    (tmp_path / "store/manifest.json").write_text("{")
    with pytest.raises(DataError, match=r"manifest\.json is damaged"), open_images(str(tmp_path / "store")):
        pass
