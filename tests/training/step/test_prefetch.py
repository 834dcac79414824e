"""Every way of bringing images to the networks brings the same ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from swincli.data.store.codecs import encode
from swincli.data.store.reader import Store
from swincli.data.store.writers import open_writer
from swincli.errors import DataError, ResourceError
from swincli.recipe import Recipe
from swincli.system import resources
from swincli.training.step import prefetch as feeding
from swincli.training.step.batch_shards import split_batch
from swincli.training.step.batches import next_micro_batches
from swincli.training.step.prefetch import InMemoryLoader, PrefetchLoader, is_resident, open_loader

MakeRecipe = Callable[..., Recipe]
CPU = torch.device("cpu")
CUDA = pytest.param(
    "cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")]
)
FULL = ("augment.flip=true", "loss.bcr_real=1", "run.micro_batch=4", "train.batch=8", "model.std_group=2")
STEPS = [0, 0, 0, 8, 16, 24, 8, 16, 32]  # a rehearsal, a few epochs, and a step back


@pytest.fixture
def encoded(store: Store, tmp_path: Path) -> Store:
    """The same images as losslessly encoded ones."""
    own = {"images", "resolution", "shards", "content_hash", "labels_sha256", "lengths_sha256", "encoding"}
    about = store.manifest.model_dump(exclude=own | {"attributes", "attributes_sha256", "captions", "captions_sha256"})
    with open_writer(tmp_path, store.resolution, "store", "webp") as writer:
        for image in store.fetch(np.arange(len(store))):
            writer.add(image, encode(image, "webp"))
        writer.finish(None, about)
    return Store.open(tmp_path)


@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize("resident", ["never", "always"])
@pytest.mark.parametrize("kind", ["raw", "encoded"])
def test_batches_are_the_same_in_every_mode(
    tiny_recipe: MakeRecipe, store: Store, encoded: Store, kind: str, resident: str, device: str
) -> None:
    recipe = tiny_recipe(*FULL, f'data.resident="{resident}"')
    where, chosen = torch.device(device), {"raw": store, "encoded": encoded}[kind]
    for processes in (1, 2):
        shares = split_batch(recipe, processes)
        for rank in range(processes):
            with open_loader(recipe, chosen, shares, rank, where) as loader:
                assert isinstance(loader, InMemoryLoader if resident == "always" else PrefetchLoader)
                for seen in STEPS:
                    plain = next_micro_batches(recipe, store, seen, shares, rank, where)
                    fed = next_micro_batches(recipe, chosen, seen, shares, rank, where, loader)
                    assert len(fed) == len(plain) == 2 // processes
                    for one, two in zip(fed, plain, strict=True):
                        assert one.reals.device.type == device
                        assert torch.equal(one.reals, two.reals)
                        assert torch.equal(one.d_latents, two.d_latents)


def test_the_next_batch_is_read_ahead_and_an_error_comes_up_where_it_is_needed(
    tiny_recipe: MakeRecipe, encoded: Store
) -> None:
    recipe = tiny_recipe('data.resident="never"')
    shares = split_batch(recipe, 1)
    with open_loader(recipe, encoded, shares, 0, CPU) as loader:
        assert isinstance(loader, PrefetchLoader)
        loader.images(0)
        assert loader._next is not None
        loader._next.result()
        (encoded.path / "images-00000.bin").unlink()
        loader.images(4)  # which lies in memory
        with pytest.raises(DataError, match=r"images-00000\.bin is missing"):
            loader.images(8)


def test_images_that_are_resident_are_read_once(tiny_recipe: MakeRecipe, encoded: Store) -> None:
    recipe = tiny_recipe('data.resident="always"')
    with open_loader(recipe, encoded, split_batch(recipe, 1), 0, CPU) as loader:
        before = loader.images(0)
        (encoded.path / "images-00000.bin").unlink()
        assert torch.equal(loader.images(0), before)
        loader.images(8)


def test_what_does_not_fit_is_refused(tiny_recipe: MakeRecipe, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "_free_bytes", lambda *_: 10 * 16 * 16 * 3 - 1)
    with pytest.raises(ResourceError, match=r"data.resident: the images of .*tiny need 7.5 KiB, cpu has") as caught:
        is_resident(tiny_recipe('data.resident="always"'), store, CPU)
    assert "never" in str(caught.value.hint)
    assert not is_resident(tiny_recipe('data.resident="never"'), store, CPU)


def test_auto_takes_a_quarter_of_a_gpu_at_most(
    tiny_recipe: MakeRecipe, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda, recipe, needed = torch.device("cuda"), tiny_recipe(), 10 * 16 * 16 * 3
    for free, resident in ((4 * needed, True), (4 * needed - 1, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (free, 2 * free))
        assert is_resident(recipe, store, cuda) == resident
    assert not is_resident(recipe, store, CPU)


def test_processes_share_what_the_container_leaves_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "memory_left", lambda: 8000)
    assert feeding._free_bytes(CPU, 8) == 1000
