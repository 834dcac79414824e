"""Models of a hub, against a stand-in of it on this machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_stand_in import COMMIT, TOKEN, Hub, running
from huggingface_hub import HfApi, constants

from swincli.commands.app import run
from swincli.errors import CheckpointError, ResourceError, SwincliError, UsageError
from swincli.model.files.ancestry import portable_name
from swincli.model.files.find_checkpoint import find_checkpoint
from swincli.model.files.shipped_models import shipped_models

Capture = pytest.CaptureFixture[str]
CATS = shipped_models()["cats32"]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty hub, a cache of its own, and no token."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with running(Hub()) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.address)
        yield served


def test_a_model_is_downloaded_once_and_named_by_its_commit(hub: Hub) -> None:
    hub.repos["some/cats-32"] = {"model.safetensors": b"weights", "README.md": b""}
    path = find_checkpoint("hf:some/cats-32")
    assert path.read_bytes() == b"weights"
    assert portable_name(path) == f"hf:some/cats-32@{COMMIT[:7]}"
    assert find_checkpoint("hf:some/cats-32@v1").read_bytes() == b"weights"
    assert sum(each.startswith("GET /some") for each in hub.asked) == 1


@pytest.mark.parametrize(
    ("files", "taken"),
    [
        (["cats.safetensors", "optimizer.bin"], "cats.safetensors"),
        (["model-000000000008.safetensors", "model-000000000016.safetensors"], "model-000000000016.safetensors"),
    ],
)
def test_other_names_are_found_if_they_are_clear(hub: Hub, files: list[str], taken: str) -> None:
    hub.repos["a/b"] = {name: name.encode() for name in files}
    assert find_checkpoint("hf:a/b").read_bytes() == taken.encode()


def test_a_pickle_is_taken_only_if_it_is_named(hub: Hub) -> None:
    hub.repos["a/b"] = {"FFHQ_256.pt": b"pickle"}
    with pytest.raises(CheckpointError, match=r"only pickles, which are not taken unasked: FFHQ_256\.pt") as caught:
        find_checkpoint("hf:a/b")
    assert caught.value.hint == "Name one if you trust it: hf:a/b/FFHQ_256.pt"
    assert not any(each.startswith("GET /a/b/resolve") for each in hub.asked)
    assert find_checkpoint("hf:a/b/FFHQ_256.pt").read_bytes() == b"pickle"


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("hf:a/none", CheckpointError, "hf:a/none: the hub has no such model, or it is private"),
        ("hf:a/gated", CheckpointError, "hf:a/gated: the model is gated"),
        ("hf:a/b@v9", CheckpointError, "hf:a/b@v9: the model has no such revision"),
        ("hf:a/b/none.safetensors", CheckpointError, "hf:a/b/none.safetensors: the model has no such file"),
        ("hf:a/b", CheckpointError, "hf:a/b: has 2 models: x.safetensors, y.safetensors"),
        ("hf:a/empty", CheckpointError, "hf:a/empty: has no model, which is a .safetensors file"),
        ("hf:cats", UsageError, "hf:cats: not a model on a hub"),
        ("hf:a/b..c--d", CheckpointError, "hf:a/b..c--d: not the name of a model on a hub"),
    ],
)
def test_every_failure_is_a_sentence(hub: Hub, text: str, kind: type[SwincliError], message: str) -> None:
    hub.repos = {"a/b": {"x.safetensors": b"", "y.safetensors": b""}, "a/empty": {}, "a/gated": {}}
    hub.gated = {"a/gated"}
    with pytest.raises(kind) as caught:
        find_checkpoint(text)
    assert caught.value.message == message


def test_no_network_and_no_package(hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    hub.repos["a/b"] = {"model.safetensors": b"weights"}
    find_checkpoint("hf:a/b")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)  # it tries six times
    assert find_checkpoint("hf:a/b").read_bytes() == b"weights"  # from the cache
    with pytest.raises(ResourceError, match=r"^hf:a/c: the hub cannot be reached"):
        find_checkpoint("hf:a/c")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert run(["sample", "--checkpoint", "hf:a/b", "--seeds", "0"]) == 1
    err = " ".join(capsys.readouterr().err.split())
    assert "error: hf:a/b: the package huggingface_hub is not installed hint: Install it" in err
    assert 'pip install "swincli[hub]"' in err


def card(*arguments: object) -> int:
    return run(["card", "builtin:cats32", *map(str, arguments), "--device", "cpu"])


def test_a_card_is_pushed_and_read_everywhere(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert card(tmp_path / "card", "--push", "me/cats") == 1
    assert "error: --push me/cats: there is no token" in capsys.readouterr().err
    assert not (tmp_path / "card").exists()
    monkeypatch.setenv("HF_TOKEN", "wrong")
    assert card(tmp_path / "card", "--push", "me/cats") == 1
    assert "--push me/cats: the hub does not know you" in capsys.readouterr().err
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert card(tmp_path / "card", "--push", "me/cats", "--license", "cc-by-4.0", "--json") == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert answer["url"] == f"{hub.address}/me/cats"
    sent = {path.name: path.read_bytes() for path in (tmp_path / "card").iterdir()}
    assert hub.repos["me/cats"] == sent
    assert sent["model.safetensors"] == CATS.read_bytes()
    snippet = sent["README.md"].decode().split("```python\n")[1].split("```")[0]
    assert 'load_model("hf:me/cats")' in snippet
    found: dict[str, Any] = {}
    exec(snippet, found)
    assert found["images"].shape == (3, 32, 32, 3)
    assert run(["sample", "--checkpoint", "hf:me/cats", "--seeds", "0", "--out", str(tmp_path / "samples")]) == 0
    monkeypatch.setattr(HfApi, "upload_folder", lambda *_, **__: 1 / 0)
    assert card(tmp_path / "other", "--push", "me/cats") == 1
    assert f"the folder {tmp_path / 'other'} is complete" in " ".join(capsys.readouterr().err.split())
