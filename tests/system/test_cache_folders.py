"""Where cached files go without a home, with a read-only one, without a temporary folder; at most one sentence."""

from __future__ import annotations

import os
import sys
import tarfile
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from scripted_networks import MeanColours, save_script

from swincli.commands.app import run
from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.errors import ResourceError
from swincli.metrics.networks import weight_files
from swincli.metrics.networks.weight_files import find_detector_weights
from swincli.recipe import Recipe
from swincli.system.atomic_files import write_atomically
from swincli.system.cache import cache_folder, cache_places, find_cached, write_cached
from swincli.training import in_training_metrics
from swincli.training.loop import train

NAME = Path("kind", "file")
pwd = pytest.importorskip("pwd")  # homes and users of POSIX
Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch


def no_home(patch: Patch, _: Path) -> None:
    """An unknown uid in a container that sets no HOME."""
    patch.delenv("HOME", raising=False)

    def unknown(uid: int) -> object:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    patch.setattr(pwd, "getpwuid", unknown)


def home_is_read_only(patch: Patch, root: Path) -> None:
    (root / "home").touch()  # a file: root may write into any folder
    patch.setenv("HOME", str(root / "home"))


def no_temporary_folder(patch: Patch, root: Path) -> None:
    no_home(patch, root)
    patch.setenv("TMPDIR", str(root / "gone"))
    patch.setattr(tempfile, "tempdir", None)
    patch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(root / "gone")])


def temporary_folder_of_another(patch: Patch, root: Path) -> None:
    no_home(patch, root)
    folder = Path(tempfile.gettempdir()) / f"swincli-cache-{os.getuid()}"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)


MACHINES: dict[str, tuple[Callable[[Patch, Path], None], bool]] = {
    "no home": (no_home, True),
    "read-only home": (home_is_read_only, True),
    "no temporary folder": (no_temporary_folder, False),
    "a temporary folder that others may write": (temporary_folder_of_another, False),
}
"""How to make a machine, and whether something can be cached on it."""


@pytest.fixture(params=MACHINES)
def can_cache(request: pytest.FixtureRequest, monkeypatch: Patch, tmp_path: Path) -> bool:
    """Makes one of the machines; its value is whether something can be cached on it."""
    for name in ("SWINCLI_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr("sys.platform", "linux")
    make, works = MACHINES[request.param]
    make(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)
    return works


def test_a_file_is_found_where_it_was_written(can_cache: bool, tmp_path: Path) -> None:
    write = partial(write_atomically, write=lambda path: path.write_text("kept"))
    assert find_cached(NAME, lambda _: True) is None
    if not can_cache:
        with pytest.raises(ResourceError):
            write_cached(NAME, write)
        return
    path = write_cached(NAME, write)
    assert path.is_relative_to(tmp_path / "tmp")
    assert path.read_text() == "kept"
    assert find_cached(NAME, lambda _: True) == path
    assert find_cached(NAME, lambda _: False) is None
    assert (path.parents[1].stat().st_mode & 0o777) == 0o700


def test_measurements_come_out_with_at_most_one_sentence(can_cache: bool, tmp_path: Path, capsys: Capture) -> None:
    """With --save-reference the reference is measured twice where nothing can be cached."""
    (tmp_path / "reals").mkdir()
    random = np.random.default_rng(0)
    for number in range(6):
        Image.fromarray(random.integers(0, 256, (16, 16, 3), np.uint8)).save(tmp_path / f"reals/{number}.png")
    script = save_script(MeanColours(), tmp_path / "tiny.pt")
    command = ["evaluate", "--data", "reals", "--images", "reals", "--detector", str(script), "--detector-size", "16"]
    assert run([*command, "--device", "cpu", "--save-reference", "own.npz", "--no-intervals", "--force"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("fid ")
    assert said.err.count("not cached") == (0 if can_cache else 1)
    assert not (tmp_path / "~").exists()
    assert run([*command, "--device", "cpu", "--no-intervals"]) == 0
    said = capsys.readouterr()
    assert ("6 images of reals, cached" in said.err, "not cached" in said.err) == (can_cache, not can_cache)


@pytest.mark.usefixtures("can_cache")
def test_a_packed_tar_is_read_or_one_sentence_says_why_not(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "reals").mkdir()
    for number in range(4):
        Image.new("RGB", (16, 16), (60 * number, 9, 9)).save(tmp_path / f"reals/{number}.png")
    with tarfile.open(tmp_path / "reals.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "reals", "reals")
    has_temporary = tempfile.tempdir is not None
    script = save_script(MeanColours(), tmp_path / "tiny.pt")
    command = ["evaluate", "--data", "reals", "--images", "reals.tar.gz", "--detector", str(script), "--no-intervals"]
    assert run([*command, "--detector-size", "16", "--device", "cpu"]) == (0 if has_temporary else 1)
    said = capsys.readouterr().err
    assert said.count("error: reals.tar.gz: there is no temporary folder") == (not has_temporary)


def test_training_says_once_that_nothing_is_cached(
    tiny_recipe: Callable[..., Recipe], store: Store, tmp_path: Path, monkeypatch: Patch, capsys: Capture
) -> None:
    script = save_script(MeanColours(), tmp_path / "tiny.pt")
    find = in_training_metrics.find_detector_weights
    monkeypatch.setattr(in_training_metrics, "find_detector_weights", lambda _, console: find(script, console))
    (tmp_path / "file").touch()
    monkeypatch.setenv("SWINCLI_CACHE", str(tmp_path / "file"))
    recipe = tiny_recipe("train.total=8", "evaluate.every=4", "evaluate.num=8")
    train(recipe, store, tmp_path / "run", torch.device("cpu"), Console(quiet=True), resume=True)
    assert len((tmp_path / "run/metrics.jsonl").read_text().splitlines()) == 2
    assert capsys.readouterr().err.count("not cached") == 1


def test_a_plot_that_cannot_be_drawn_costs_no_values(tmp_path: Path, monkeypatch: Patch, capsys: Capture) -> None:
    monkeypatch.setenv("SWINCLI_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reals").mkdir()
    for number in range(4):
        Image.new("RGB", (16, 16), (60 * number, 9, 9)).save(tmp_path / f"reals/{number}.png")
    script = save_script(MeanColours(), tmp_path / "tiny.pt")
    broken = ModuleType("matplotlib.figure")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", broken)

    def fail(_: str) -> object:
        raise OSError("Matplotlib requires access to a writable cache directory")

    broken.__getattr__ = fail  # type: ignore[method-assign]
    command = ["evaluate", "--data", "reals", "--images", "reals", "--metric", "spectrum", "--plots", "plots"]
    assert run([*command, "--detector", str(script), "--detector-size", "16", "--device", "cpu"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("spectrum 0\n")
    assert "no plot of spectrum" in said.err
    assert "Matplotlib needs a folder for its files" in " ".join(said.err.split())


def test_weights_are_fetched_or_one_sentence_says_why_not(can_cache: bool, tmp_path: Path, monkeypatch: Patch) -> None:
    (tmp_path / "served.pt").write_bytes(b"weights")
    monkeypatch.setattr(weight_files.INCEPTION.__class__, "find", lambda _: None)
    monkeypatch.setattr(weight_files, "DOWNLOAD_URL", (tmp_path / "served.pt").as_uri())
    monkeypatch.setattr(weight_files, "DOWNLOAD_SHA256", weight_files.file_sha256(tmp_path / "served.pt"))
    if can_cache:
        assert find_detector_weights(None, Console(quiet=True)).path.read_bytes() == b"weights"
    else:
        with pytest.raises(ResourceError) as caught:
            find_detector_weights(None, Console(quiet=True))
        assert "SWINCLI_CACHE" in (caught.value.hint or "")


def test_a_chosen_folder_is_the_only_one(monkeypatch: Patch, tmp_path: Path) -> None:
    monkeypatch.setenv("SWINCLI_CACHE", str(tmp_path / "own"))
    assert cache_places() == [cache_folder()] == [tmp_path / "own"]
