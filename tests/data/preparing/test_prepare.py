from __future__ import annotations

import errno
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image
from prepared import digest, remade, run
from shared_material import CATS

from swincli.console import Console
from swincli.data.images.rejected import Rejected
from swincli.data.preparing import workers
from swincli.data.preparing.prepare import PrepareOptions, prepare
from swincli.data.store import store_writer
from swincli.data.store.reader import Store
from swincli.data.store.verify import verify_store
from swincli.errors import DataError, ResourceError, UsageError


def names(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir())


def pack(root: Path) -> Path:
    packed = root.with_suffix(".zip")
    with zipfile.ZipFile(packed, "w") as archive:
        for file in sorted(root.rglob("*.*"), reverse=True):
            archive.write(file, file.relative_to(root))
    return packed


def test_a_folder_becomes_a_store(pictures: Path, tmp_path: Path) -> None:
    result = run(pictures, tmp_path / "store", filter="box")
    assert (result.path, result.images, result.rejected) == (tmp_path / "store", 5, [])
    assert result.size == sum(file.stat().st_size for file in result.path.iterdir())
    assert names(result.path) == ["images-00000.npy", "manifest.json"]
    assert names(tmp_path) == ["pictures", "store"]
    store = Store.open(result.path)
    assert store.manifest == result.manifest
    assert (store.manifest.crop, store.manifest.filter, store.manifest.source) == ("center", "box", str(pictures))
    assert set(store.manifest.versions) == {"swincli", "pillow"}
    with Image.open(pictures / "a.png") as image:
        wanted = image.crop((2, 0, 38, 36)).resize((16, 16), Image.Resampling.BOX)
        assert np.array_equal(store.fetch(np.array([0]))[0], wanted)
    verify_store(result.path, Console(quiet=True))


def test_the_same_pictures_give_the_same_bytes(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (pictures / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    monkeypatch.chdir(tmp_path)
    run("pictures", Path("one"), workers=1, dedupe="exact")
    remade(Path("pictures"))
    monkeypatch.setattr(workers, "SERIAL_FILES", 0)
    run("pictures", Path("two"), workers=2, dedupe="exact")
    assert digest(Path("one")) == digest(Path("two"))


def test_a_zip_gives_what_its_folder_gives(pictures: Path, tmp_path: Path) -> None:
    folder, packed = run(pictures, tmp_path / "a"), run(pack(pictures), tmp_path / "b")
    assert folder.manifest.content_hash == packed.manifest.content_hash


def test_shards_change_nothing_but_the_files(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(pictures, tmp_path / "a")
    monkeypatch.setattr(store_writer.StoreWriter.__init__, "__defaults__", ("raw", 2 * 768 + 128))
    split = run(pictures, tmp_path / "b")
    assert [shard.images for shard in split.manifest.shards] == [2, 2, 1]
    assert split.manifest.content_hash == whole.manifest.content_hash
    both = [Store.open(result.path).fetch(np.arange(5)) for result in (whole, split)]
    assert np.array_equal(*both)


def test_unusable_files_are_reported_and_left_out(pictures: Path, tmp_path: Path) -> None:
    (pictures / "about.txt").write_text("hello")
    (pictures / "sub" / "cut.png").write_bytes((pictures / "a.png").read_bytes()[:60])
    (pictures / ".hidden").write_text("hello")
    result = run(pictures, tmp_path / "store")
    assert result.images == 5
    assert [item.source for item in result.rejected] == ["about.txt", "sub/cut.png"]
    assert [item.kind for item in result.rejected] == ["not an image", "damaged"]
    assert Store.open(result.path).manifest.rejected == result.rejected


def test_stopping_at_the_first_unusable_file(pictures: Path, tmp_path: Path) -> None:
    (pictures / "sub" / "cut.png").write_bytes((pictures / "a.png").read_bytes()[:60])
    with pytest.raises(DataError, match=r"pictures/sub/cut.png: damaged: ") as caught:
        run(pictures, tmp_path / "store", stop_on_error=True)
    assert caught.value.message.startswith(str(pictures / "sub/cut.png"))
    with pytest.raises(DataError, match=r"pictures.zip:sub/cut.png: damaged: "):
        run(pack(pictures), tmp_path / "store", stop_on_error=True)
    assert names(tmp_path) == ["pictures", "pictures.zip"]


def test_pictures_that_are_not_square_are_counted(pictures: Path, tmp_path: Path, encode: Any, noise: Any) -> None:
    (pictures / "square.png").write_bytes(encode(noise(20, 20)))
    with pytest.raises(DataError, match=r"5 pictures are not square: a\.png \(40 x 36\), b\.jpg .*, \.\.\.$") as caught:
        run(pictures, tmp_path / "store", crop="none")
    assert "--crop center" in str(caught.value.hint)
    assert names(tmp_path) == ["pictures"]
    for name in ("a.png", "b.jpg", "sub/d.bmp", "sub/deep/e.tif"):
        (pictures / name).unlink()
    with pytest.raises(DataError, match=r"1 picture is not square: sub/c\.webp \(44 x 36\)$"):
        run(pictures, tmp_path / "store", crop="none")
    (pictures / "sub/c.webp").unlink()
    assert run(pictures, tmp_path / "store", crop="none").images == 1


def test_duplicates_are_left_out_when_asked(pictures: Path, tmp_path: Path, encode: Any) -> None:
    with Image.open(pictures / "a.png") as image:
        (pictures / "zz.bmp").write_bytes(encode(image, "BMP"))
    assert run(pictures, tmp_path / "all").images == 6
    result = run(pictures, tmp_path / "store", dedupe="exact", stop_on_error=True)
    assert result.images == 5
    assert result.rejected == [Rejected("zz.bmp", "duplicate of a.png")]
    assert result.rejected[0].kind == "duplicate"
    assert result.manifest.content_hash == run(pictures, tmp_path / "one", max_images=5).manifest.content_hash


def test_labels_from_folders_follow_their_pictures(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"2 pictures of .* have no label"):
        run(pictures, tmp_path / "store", labels="folders")
    (pictures / "top").mkdir()
    for name in ("a.png", "b.jpg"):
        (pictures / name).rename(pictures / "top" / name)
    (pictures / "sub" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    store = Store.open(run(pictures, tmp_path / "store", labels="folders").path)
    assert store.manifest.label_names == ["sub", "top"]
    assert store.labels is not None
    assert store.labels.tolist() == [0, 0, 0, 1, 1]
    assert names(store.path) == ["images-00000.npy", "labels.npy", "manifest.json"]


def test_the_first_so_many(pictures: Path, tmp_path: Path) -> None:
    (pictures / "about.txt").write_text("hello")
    result = run(pictures, tmp_path / "store", max_images=3)
    assert result.images == 3
    assert [item.source for item in result.rejected] == ["about.txt"]
    assert result.manifest.max_images == 3
    assert run(pictures, tmp_path / "all", max_images=99).images == 5


def test_enlarged_pictures_are_counted(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(pictures, tmp_path / "store", resolution=64)
    assert result.manifest.upscaled == 5
    assert "5 of 5 images were smaller than 64 px" in capsys.readouterr().err
    run(pictures, tmp_path / "small", resolution=32)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("resolution", [0, -16, 8, 48, 255, 2048])
def test_resolutions_that_no_network_has(pictures: Path, tmp_path: Path, resolution: int) -> None:
    with pytest.raises(UsageError, match="not a power of two from 16 to 1024") as caught:
        run(pictures, tmp_path / "store", resolution=resolution)
    assert caught.value.hint == "Use one of 16, 32, 64, 128, 256, 512, 1024."


def test_counts_of_nothing(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--max-images 0"):
        run(pictures, tmp_path / "store", max_images=0)
    with pytest.raises(UsageError, match="--workers 0"):
        run(pictures, tmp_path / "store", workers=0)


def test_a_source_without_one_usable_picture(tmp_path: Path) -> None:
    source = tmp_path / "texts"
    source.mkdir()
    (source / "a.txt").write_text("a")
    (source / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    counted = r"no usable picture among 2 files \(1 not an image, 1 damaged\); a\.txt: not an image"
    with pytest.raises(DataError, match=counted):
        run(source, tmp_path / "store")
    (source / "b.png").unlink()
    with pytest.raises(DataError, match=r"no usable picture among 1 file \(1 not an image\); a\.txt: not an image"):
        run(source, tmp_path / "store")
    assert names(tmp_path) == ["texts"]


def test_a_store_inside_its_source(pictures: Path) -> None:
    with pytest.raises(UsageError, match="is inside the source"):
        run(pictures, pictures / "store")
    assert "store" not in names(pictures)


def test_an_existing_store_is_replaced_only_by_force(pictures: Path, tmp_path: Path) -> None:
    run(pictures, tmp_path / "store", labels=None)
    before = digest(tmp_path / "store")
    with pytest.raises(DataError, match="exists"):
        run(pictures, tmp_path / "store", resolution=32)
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "a.txt").write_text("a")
    with pytest.raises(DataError, match="no usable picture"):
        run(texts, tmp_path / "store", force=True)
    assert digest(tmp_path / "store") == before
    assert run(pictures, tmp_path / "store", resolution=32, force=True).manifest.resolution == 32
    assert Store.open(tmp_path / "store").resolution == 32
    with pytest.raises(DataError, match="is not just a store"):
        run(tmp_path / "pictures.zip", pictures, force=True)
    assert len(names(pictures)) == 3


def test_a_full_disk_is_noticed_before_and_while_writing(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5 * 768 - 1))
        with pytest.raises(ResourceError, match="5 images at 16 px need"):
            run(pictures, tmp_path / "store")
        run(pictures, tmp_path / "four", max_images=4)

    full = Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
    monkeypatch.setattr(store_writer.StoreWriter, "add", full)
    with pytest.raises(ResourceError, match=r"writing .*store: no space left on the disk"):
        run(pictures, tmp_path / "store")
    assert names(tmp_path) == ["four", "pictures"]


def test_a_place_that_may_not_be_written(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match=r"writing .*file/store"):
        run(pictures, tmp_path / "file" / "store")

    monkeypatch.setattr(Path, "mkdir", Mock(side_effect=PermissionError(errno.EACCES, "Permission denied")))
    with pytest.raises(ResourceError, match=r"writing .*store: permission denied"):
        run(pictures, tmp_path / "store")


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.usefixtures("worker_threads")
def test_an_interruption_leaves_nothing_behind(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(store_writer.StoreWriter, "add", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(pictures, tmp_path / "store", workers=count)
    assert names(tmp_path) == ["pictures"]


@pytest.mark.slow
def test_an_interruption_ends_the_processes(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "SERIAL_FILES", 0)
    monkeypatch.setattr(store_writer.StoreWriter, "add", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(pictures, tmp_path / "store", workers=2)
    assert names(tmp_path) == ["pictures"]


def test_emoji_are_credited(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = PrepareOptions(16, max_images=3)
    result = prepare("builtin:emoji-faces", tmp_path / "store", options, Console())
    assert result.manifest.credit is not None
    assert "Twitter, Inc. and other contributors, CC-BY 4.0" in result.manifest.credit
    assert f"Credit: {result.manifest.credit}" in capsys.readouterr().err
    corner = Store.open(result.path).fetch(np.arange(3))[:, 0, 0]
    assert (corner >= 250).all()


@pytest.mark.slow
@pytest.mark.skipif(not CATS.exists(), reason="AFHQ is not here")
def test_afhq(tmp_path: Path) -> None:
    result = run(CATS, tmp_path / "store", resolution=64, labels="folders")
    assert (result.images, result.rejected, result.manifest.upscaled) == (5153, [], 0)
    assert result.manifest.label_names == ["cat"]
    verify_store(result.path, Console(quiet=True))
