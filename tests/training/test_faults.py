"""What may befall a run: a clear error, the last state intact, nothing half-written, and the same bits in the end."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from first_steps import SMALLEST_MODEL
from same_run import assert_same_run, files

from swincli.commands.app import run as swincli
from swincli.console import Console
from swincli.data.store.reader import Store
from swincli.errors import TrainingError
from swincli.recipe import Recipe
from swincli.system.atomic_files import free_bytes
from swincli.system.distributed import Processes
from swincli.training import loop
from swincli.training.run.finite_checks import check_finite
from swincli.training.run.folder import RunFolder
from swincli.training.run.state import build_state, read_state

Capture = pytest.CaptureFixture[str]
Befall = Callable[[int, Callable[[], object]], None]
TINIEST = f"""{SMALLEST_MODEL}
[train]
total = 8
batch = 2

[loss]
r1_interval = 2

[run]
snapshot = 4
samples = 4
log = 4
grid = [2, 2]
tensorboard = false
"""


@pytest.fixture(scope="module")
def data(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that may be damaged."""
    return Path(shutil.copytree(store.path, tmp_path_factory.mktemp("data") / "store"))


@pytest.fixture(scope="module")
def recipe(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiniest.toml"
    path.write_text(f'{TINIEST}\n[data]\npath = "{data}"\n')
    return path


@pytest.fixture(scope="module")
def unbroken(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run to which nothing befell."""
    out = tmp_path_factory.mktemp("unbroken") / "run"
    assert train(recipe, out) == 0
    return out


@pytest.fixture(scope="module")
def begun(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, interrupted between its state after 4 images and the next one."""
    out = tmp_path_factory.mktemp("begun") / "run"
    with pytest.MonkeyPatch.context() as patch:
        befalling(patch)(3, interrupt)
        assert train(recipe, out) == 130
    return out


@pytest.fixture
def befall(monkeypatch: pytest.MonkeyPatch) -> Befall:
    """`befall(steps, what)`: do something in the middle of a session, after so many steps of it."""
    return befalling(monkeypatch)


def befalling(patch: pytest.MonkeyPatch) -> Befall:
    original, done = loop.run_step, 0

    def apply(steps: int, what: Callable[[], object]) -> None:
        def step(*arguments: Any) -> Any:
            nonlocal done
            done += 1
            scalars = original(*arguments)
            if done == steps:
                what()
            return scalars

        patch.setattr(loop, "run_step", step)

    return apply


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MiB, where the system lets us have one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True)
    except OSError:
        pytest.skip("there is no mount")
    if mounted.returncode:
        pytest.skip("only the superuser can have a disk of its own")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def copy(run: Path, to: Path) -> Path:
    return Path(shutil.copytree(run, to))


def interrupt() -> None:
    raise KeyboardInterrupt


def train(recipe: Path, out: Path, *arguments: str) -> int:
    return swincli(["train", str(recipe), "--out", str(out), "--device", "cpu", *arguments])


def fill(disk: Path, room: int) -> None:
    """Leave so many bytes free."""
    with (disk / "filler").open("wb") as file:
        file.write(bytes(free_bytes(disk) - room))


def assert_clear(said: str, *words: str) -> None:
    """An error and a hint, and no traceback."""
    error, _, hint = said[said.index("error: ") :].partition("\nhint: ")
    assert hint
    assert "Traceback" not in said
    assert "unexpected" not in said
    for word in words:
        assert word in error + hint


def assert_goes_on(recipe: Path, out: Path, unbroken: Path) -> None:
    assert not [name for name in files(out) if "partial" in name]
    assert train(recipe, out) == 0
    assert_same_run(out, unbroken)


# Room for a page or so, for a model, for nearly a state: each time another write is the one that fails.
@pytest.mark.parametrize(
    ("room", "fails"),
    [
        pytest.param(0, "fakes-000000000008.png", marks=pytest.mark.slow),
        pytest.param(20_000, "model-000000000008", marks=pytest.mark.slow),
        (150_000, "state-000000000008"),
    ],
)
def test_a_full_disk(
    recipe: Path, begun: Path, small_disk: Path, unbroken: Path, befall: Befall, capsys: Capture, room: int, fails: str
) -> None:
    out = copy(begun, small_disk / "run")
    befall(1, lambda: fill(small_disk, room))
    assert train(recipe, out) == 1
    assert_clear(capsys.readouterr().err, fails, "no space left on the disk", "goes on from", "state-000000000004.pt.")
    (small_disk / "filler").unlink()
    assert_goes_on(recipe, out, unbroken)


def test_a_disk_that_is_full_from_the_start(recipe: Path, small_disk: Path, capsys: Capture) -> None:
    fill(small_disk, 300_000)
    assert train(recipe, small_disk / "run") == 1
    assert_clear(capsys.readouterr().err, "the run needs at least")


@pytest.mark.parametrize(
    ("limit", "fails"),
    [
        pytest.param(300, "samples/fakes-00", marks=pytest.mark.slow),
        pytest.param(20_000, "model-00", marks=pytest.mark.slow),
        (100_000, "state-00"),
    ],
)
def test_files_that_may_not_grow(
    recipe: Path, begun: Path, tmp_path: Path, unbroken: Path, befall: Befall, capsys: Capture, limit: int, fails: str
) -> None:
    """The system refuses a write in the middle, on any disk: what a quota does."""
    resource = pytest.importorskip("resource")
    out, before = copy(begun, tmp_path / "run"), resource.getrlimit(resource.RLIMIT_FSIZE)
    befall(1, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1])))
    try:
        code = train(recipe, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == 1
    assert_clear(capsys.readouterr().err, fails, "File too large", "goes on from", "state-000000000004.pt.")
    assert (out / "stats.jsonl").read_bytes().endswith(b"}\n")
    assert_goes_on(recipe, out, unbroken)


def test_a_disk_that_becomes_read_only(
    recipe: Path, begun: Path, small_disk: Path, unbroken: Path, befall: Befall, capsys: Capture
) -> None:
    out = copy(begun, small_disk / "run")
    mount = ["mount", str(small_disk), "-o"]
    befall(1, lambda: subprocess.run([*mount, "remount,ro"], check=True))
    assert train(recipe, out) == 1
    assert_clear(capsys.readouterr().err, "permission denied", "goes on from", "state-000000000004.pt.")
    assert train(recipe, out) == 1  # nor can a session begin
    assert_clear(capsys.readouterr().err, "run/.lock", "permission denied")
    subprocess.run([*mount, "remount,rw"], check=True)
    assert_goes_on(recipe, out, unbroken)


def test_a_run_folder_that_is_moved_while_training(
    recipe: Path, begun: Path, tmp_path: Path, unbroken: Path, befall: Befall, capsys: Capture
) -> None:
    out, elsewhere = copy(begun, tmp_path / "run"), tmp_path / "elsewhere"
    befall(1, lambda: out.rename(elsewhere))
    assert train(recipe, out) == 1
    assert_clear(capsys.readouterr().err, f"{out}: the run folder was removed", "--out")
    assert not out.exists()
    assert_goes_on(recipe, elsewhere, unbroken)


def test_a_run_folder_that_is_removed_while_training(
    recipe: Path, begun: Path, tmp_path: Path, unbroken: Path, befall: Befall, capsys: Capture
) -> None:
    out = copy(begun, tmp_path / "run")
    befall(1, lambda: shutil.rmtree(out))
    assert train(recipe, out) == 1
    assert_clear(capsys.readouterr().err, f"{out}: the run folder was removed")
    assert not out.exists()
    assert_goes_on(recipe, out, unbroken)


@pytest.mark.parametrize("fault", [pytest.param("cut short", marks=pytest.mark.slow), "vanished"])
def test_images_that_go_while_training(
    recipe: Path, data: Path, tmp_path: Path, unbroken: Path, befall: Befall, capsys: Capture, fault: str
) -> None:
    out, shard, aside = tmp_path / "run", data / "images-00000.npy", tmp_path / "aside"
    shutil.copy(shard, aside)
    befall(1, lambda: shard.unlink() if fault == "vanished" else shard.write_bytes(aside.read_bytes()[:3000]))
    assert train(recipe, out) == 1
    shutil.copy(aside, shard)
    words = "is missing" if fault == "vanished" else "is damaged: 3,000 bytes instead of"
    assert_clear(capsys.readouterr().err, f"{shard} {words}", "goes on from")
    assert_goes_on(recipe, out, unbroken)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def flip(path: Path) -> None:
    """Change one bit in the middle of a tensor, which PyTorch reads without a word."""
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
        with archive.open(largest) as member:
            tensor = member.read()
    content = bytearray(path.read_bytes())
    content[content.index(tensor) + len(tensor) // 2] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def test_every_damage_is_noticed(unbroken: Path, tmp_path: Path, capsys: Capture) -> None:
    for damage in (cut, flip, empty):
        folder = RunFolder(copy(unbroken, tmp_path / damage.__name__))
        damage(folder.state(8))
        found = folder.newest_state(Console())
        assert found is not None
        assert found[0] == folder.state(4)
        assert f"{folder.state(8)}: damaged" in capsys.readouterr().err.replace("\n", "")


@pytest.mark.parametrize("damage", [flip, *(pytest.param(each, marks=pytest.mark.slow) for each in (cut, empty))])
def test_a_damaged_newest_state(
    recipe: Path, tmp_path: Path, unbroken: Path, capsys: Capture, damage: Callable[[Path], None]
) -> None:
    out = copy(unbroken, tmp_path / "run")
    damage(out / "state-000000000008.pt")
    assert train(recipe, out) == 0
    said = capsys.readouterr().err
    assert "state-000000000008.pt: damaged" in said
    assert f"going on from {out / 'state-000000000004.pt'}" in said
    assert_same_run(out, unbroken)


def test_a_damaged_state_never_takes_the_place_of_a_good_one(
    recipe: Path, tmp_path: Path, unbroken: Path, befall: Befall
) -> None:
    out = copy(unbroken, tmp_path / "run")
    cut(out / "state-000000000008.pt")
    befall(2, interrupt)
    arguments = ["--set", "run.keep=1", "--set", "run.snapshot=2"]
    assert train(recipe, out, *arguments) == 130
    assert [path.name for path in RunFolder(out).states()] == ["state-000000000006.pt"]
    assert train(recipe, out, *arguments) == 0
    assert not list(out.glob("*.damaged"))


def test_states_that_are_all_damaged(recipe: Path, tmp_path: Path, unbroken: Path, capsys: Capture) -> None:
    out = copy(unbroken, tmp_path / "run")
    for path in out.glob("*.pt"):
        cut(path)
    before = files(out)
    assert train(recipe, out) == 1
    assert_clear(capsys.readouterr().err, f"{out}: none of the 2 training states can be read", "train.init")
    assert files(out) == before


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)


def test_a_state_of_a_later_version(recipe: Path, tmp_path: Path, unbroken: Path, capsys: Capture) -> None:
    out = copy(unbroken, tmp_path / "run")
    edit(out / "state-000000000008.pt", lambda content: content.update(format="swincli-state-2"))
    before = files(out)
    assert train(recipe, out) == 1
    assert_clear(capsys.readouterr().err, "state-000000000008.pt", "version")
    assert files(out) == before  # the state before it is a good one, and would be a step back that nobody asked for


def test_a_state_whose_recipe_knows_more(recipe: Path, tmp_path: Path, unbroken: Path, capsys: Capture) -> None:
    out = copy(unbroken, tmp_path / "run")
    newest = out / "state-000000000008.pt"
    edit(newest, lambda content: content.update(recipe=content["recipe"].replace("[ema]", "[ema]\nnew_key = 1")))
    assert train(recipe, out) == 1
    assert_clear(capsys.readouterr().err, "new_key", "Another version of swincli")


def test_a_state_from_before_there_were_so_many_keys(recipe: Path, tmp_path: Path, unbroken: Path) -> None:
    out = copy(unbroken, tmp_path / "run")
    older = [line for line in TINIEST.splitlines() if "tensorboard" not in line]
    edit(out / "state-000000000008.pt", lambda content: content.update(recipe="\n".join(older)))
    edit(out / "state-000000000008.pt", lambda content: content.pop("power", None))
    assert train(recipe, out, "--set", "train.total=12") == 0
    assert (out / "state-000000000012.pt").exists()


def test_lists_are_compared_and_what_is_free_is_told(
    recipe: Path, tmp_path: Path, unbroken: Path, capsys: Capture
) -> None:
    out = copy(unbroken, tmp_path / "run")
    free = ["run.grid=[3,1]", 'evaluate.metrics=["fid"]', "run.keep=3", "ema.power_every=8"]
    assert train(recipe, out, *(part for key in free for part in ("--set", key))) == 0
    said = capsys.readouterr().err
    assert "run.grid changed from (2, 2) to (3, 1)" in said
    assert "run.keep changed from 2 to 3" in said
    fixed = ["model.g_channels=[8,8,8]", "train.clip=4", "ema.decay=0.9", "train.beta1=0.5"]
    assert train(recipe, out, *(part for key in fixed for part in ("--set", key))) == 2
    assert_clear(capsys.readouterr().err, "4 problems", "model.g_channels", "train.clip: 4.0 now, 5.0 in the run")


def test_numbers_that_run_away(recipe: Path, tmp_path: Path, capsys: Capture) -> None:
    """Rates that no training survives: the numbers themselves become infinite."""
    rates = ["--set", "train.g_lr=1e30", "--set", "train.d_lr=1e30"]
    assert train(recipe, tmp_path / "run", *rates) == 1
    said = capsys.readouterr().err
    assert_clear(said, "phase ", "not finite after", "The last good state is", "state-0000")
    named = Path(said.split("The last good state is ")[1].split(". ")[0])
    good = read_state(named)
    assert all(torch.isfinite(value).all() for part in ("generator", "average") for value in good[part].values())


@pytest.mark.parametrize("where", ["build_state", "start_engine", "make_phases"])
def test_memory_that_runs_out_before_the_first_step(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, where: str
) -> None:
    """The networks themselves, or DDP's buffers, do not fit."""

    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(loop, where, fail)
    assert train(recipe, tmp_path / "run") == 1
    assert_clear(capsys.readouterr().err, "out of memory")


def test_weights_that_are_not_finite_are_not_saved(recipe: Path, tmp_path: Path, capsys: Capture) -> None:
    """A rate that turns finite gradients into infinite weights in the step of a save."""
    keys = ["--set", "train.g_lr=1e39", "--set", "run.snapshot=2"]
    assert train(recipe, tmp_path / "run", *keys) == 1
    assert_clear(capsys.readouterr().err, "the weights of G not finite after 2 images", "state-000000000000.pt")
    (saved,) = (tmp_path / "run").glob("state-*.pt")
    assert all(torch.isfinite(value).all() for value in read_state(saved)["generator"].values())


@pytest.mark.parametrize(
    ("broken", "phase"),
    [
        (["loss/d", "grad/d", "loss/g"], "D"),
        (["loss/bcr", "grad/d"], "D"),
        (["loss/r1", "grad/r1"], "R1"),
        (["grad/r1", "loss/g"], "R1"),
        (["grad/g"], "G"),
        (["loss/tv"], "G"),
    ],
)
def test_the_phase_that_broke_first_is_named(
    tiny_recipe: Callable[..., Recipe], store: Store, unbroken: Path, broken: list[str], phase: str
) -> None:
    keys = ["loss/d", "loss/bcr", "grad/d", "loss/r1", "grad/r1", "loss/g", "loss/tv", "grad/g"]
    scalars = {key: float(np.inf) if key in broken else 1.0 for key in keys}
    phase_of = dict(zip(keys, ["D", "D", "D", "R1", "R1", "G", "G", "G"], strict=True))
    state = build_state(tiny_recipe(), store.content_hash, torch.device("cpu"))
    with pytest.raises(TrainingError, match=rf"phase {phase}: {', '.join(broken)} not finite") as caught:
        check_finite(scalars, phase_of, state.images_seen, RunFolder(unbroken), Processes())
    assert str(unbroken / "state-000000000008.pt") in str(caught.value.hint)
