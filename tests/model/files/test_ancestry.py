"""Notes on the ancestors of a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from swincli.model.files.ancestry import (
    STEPS,
    Ancestor,
    ancestry_note,
    portable_name,
    read_ancestors,
    to_notes,
    with_parent,
)
from swincli.model.files.shipped_models import shipped_models

HUB = Path("/home/me/.cache/huggingface/hub/models--some--cats-32/snapshots/0123456789abcdef0123/model.safetensors")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (Path("/home/me/runs/cats/model-000000000400.safetensors"), "cats/model-000000000400.safetensors"),
        (Path("/home/me/models/cats.safetensors"), "cats.safetensors"),
        (shipped_models()["cats32"], "builtin:cats32"),
        (HUB, "hf:some/cats-32@0123456"),
    ],
)
def test_names_mean_something_elsewhere_and_tell_no_folder(path: Path, name: str) -> None:
    assert portable_name(path) == name


def test_a_chain_is_written_and_read(tmp_path: Path) -> None:
    parent = tmp_path / "parent.safetensors"
    parent.write_bytes(b"weights")
    first = with_parent((), tmp_path, "average", 400, hashed=False)
    chain = with_parent(first, parent, "prune", 400)
    assert read_ancestors(ancestry_note(chain)) == chain
    judged = with_parent(chain, parent, "init", 400, judge=("Lite0", "ab12"))
    assert read_ancestors(json.loads(json.dumps(ancestry_note(judged)))) == judged
    assert str(chain[0]) == f"averaged over snapshots of {tmp_path.name}, 400 images"
    assert str(chain[1]) == f"pruned and distilled from parent.safetensors ({chain[1].identity}, 400 images)"
    assert all(str(Ancestor(step, "a")).endswith("from a") or step == "average" for step in STEPS)


def test_a_model_without_ancestors_has_no_note_and_what_is_unknown_is_left_out() -> None:
    assert ancestry_note(()) == {}
    known = to_notes([Ancestor("tune", "a", "b", 3)])
    assert known == [{"step": "tune", "name": "a", "identity": "b", "images_seen": 3}]
    odd = [{"step": "later", "name": "a"}, 3, {"step": "tune"}, {"step": "tune", "name": "a", "identity": 3}]
    assert len(read_ancestors({"ancestors": odd + known})) == 1
    assert [each.judge for each in read_ancestors({"ancestors": [known[0] | {"judge": ["Lite0"]}]})] == [None]
    assert read_ancestors({"ancestors": "damaged"}) == ()
    assert read_ancestors({}) == ()
