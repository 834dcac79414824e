"""Names of run folders that come from recipes, and processes that one card needs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from swincli.commands.train import request
from swincli.commands.train.request import default_folder, is_windows_name
from swincli.errors import UsageError
from swincli.recipe import load_recipe
from swincli.system.distributed import Processes, init_distributed


@pytest.mark.parametrize("name", ["D:", "D:faces", "a:b", "NUL", "com1.old", "faces.", "faces ", "what?", "a|b"])
def test_names_that_windows_has_not(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_windows_name(name)
    recipe = load_recipe("quickstart", [f'run.name="{name}"'])
    assert default_folder(recipe, "quickstart") == Path("runs") / name  # elsewhere they are names
    monkeypatch.setattr(request, "ON_WINDOWS", True)
    with pytest.raises(UsageError, match=r"run\.name: Windows has no folder named"):
        default_folder(recipe, "quickstart")


@pytest.mark.parametrize("name", ["faces", "faces.v2", "über", "comet", "a b"])
def test_names_that_windows_has(name: str) -> None:
    assert is_windows_name(name)


@pytest.mark.parametrize("variables", [{}, {"WORLD_SIZE": "1", "RANK": "0", "TORCHELASTIC_RUN_ID": "7"}])
def test_one_card_starts_no_process_group(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with init_distributed(torch.device("cpu")) as processes:
        assert processes == Processes()
        assert not torch.distributed.is_initialized()
