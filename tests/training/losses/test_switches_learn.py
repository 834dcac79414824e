"""Every switch trains: G's mean image comes nearer to that of images of two plain colours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from loss_switches import SWITCHES, Steps
from PIL import Image

from swincli.console import Console
from swincli.data.preparing.prepare import PrepareOptions, prepare
from swincli.data.store.reader import Store
from swincli.recipe import Recipe

COLOURS = (230, 120, 30), (160, 40, 20)
KEYS = (
    "train.total=4000", "train.batch=8", "train.g_lr=2e-3", "train.d_lr=2e-3", "ema.half_life=100", "loss.r1_gamma=1",
)  # fmt: skip


@pytest.fixture(scope="module")
def two_colours(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store of 16 images of 16 px, each of one of two colours."""
    folder = tmp_path_factory.mktemp("colours")
    (folder / "pictures").mkdir()
    for index in range(16):
        pixels = np.full((16, 16, 3), COLOURS[index % 2], dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "pictures" / f"{index}.png")
    prepare(str(folder / "pictures"), folder / "store", PrepareOptions(16, workers=1), Console(quiet=True))
    return Store.open(folder / "store")


def distance(steps: Steps) -> float:
    """Of G's mean image to the mean colour of the data, as a root mean square in [-1, 1]."""
    wanted = torch.tensor(COLOURS).float().mean(dim=0) / 127.5 - 1
    z = torch.randn(64, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        mean = steps.state.average(z).mean(dim=0)
    return float((mean - wanted[:, None, None]).square().mean().sqrt())


@pytest.mark.slow
@pytest.mark.parametrize("name", SWITCHES)
def test_a_run_with_the_switch_learns(tiny_recipe: Callable[..., Recipe], two_colours: Store, name: str) -> None:
    steps = Steps(tiny_recipe(*KEYS, *SWITCHES[name].split()), two_colours)
    distances = [distance(steps)]
    while distances[-1] > distances[0] / 2 and len(distances) < 8:
        steps.run(20)
        distances.append(distance(steps))
    assert distances[-1] <= distances[0] / 2, distances
