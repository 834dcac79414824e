"""Ancestors of a model: from which models it comes, and by which steps. A note in the file of every model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from swincli.model.files.file_hash import model_identity
from swincli.model.files.find_checkpoint import images_in_name
from swincli.model.files.shipped_models import PREFIX, shipped_models

Step = Literal["init", "fine-tune", "convert", "prune", "mixers", "average", "tune", "blend", "repel"]

STEPS: Final[dict[Step, str]] = {
    "init": "trained on from",
    "fine-tune": "fine-tuned from",
    "convert": "converted from",
    "prune": "pruned and distilled from",
    "mixers": "with other token mixers, distilled from",
    "average": "averaged over snapshots of",
    "tune": "tuned around pictures from",
    "blend": "blended from",
    "repel": "trained away from",
}
"""What was done with an ancestor, in words that go before its name."""

_HUB_FILE = re.compile(r"models--([^/]+?)--([^/]+)/snapshots/([0-9a-f]{7})[0-9a-f]*/.+")

Ancestors = tuple["Ancestor", ...]
"""The ancestors of one model, the oldest first. A blend has those of all its parts."""


@dataclass(frozen=True)
class Ancestor:
    """A model from which another one was made.

    Attributes:
        step: What was done with it.
        name: Its file, with the run that it belongs to; `builtin:NAME`; or `hf:OWNER/NAME@REVISION`. No other folders.
        identity: Start of the SHA-256 of its file; None if it has no single file.
        images_seen: Images that it was trained on; None if not known.
        judge: Name and SHA-256 of the pretrained network that its D looked through; None for none, or if not known.
    """

    step: Step
    name: str
    identity: str | None = None
    images_seen: int | None = None
    judge: tuple[str, str] | None = None

    def __str__(self) -> str:
        seen = f", {self.images_seen:,} images" if self.images_seen else ""
        return f"{STEPS[self.step]} {self.name}{f' ({self.identity}{seen})' if self.identity else seen}"


def with_parent(
    ancestors: Sequence[Ancestor],
    parent: Path,
    step: Step,
    images_seen: int | None,
    *,
    hashed: bool = True,
    judge: tuple[str, str] | None = None,
) -> Ancestors:
    """The ancestors of a model that is made from a file.

    Args:
        ancestors: Those of the parent.
        parent: Its file; with `hashed=False`, a folder.
        step: What is done with it.
        images_seen: Images that it was trained on.
        hashed: Whether to note the hash of the file.
        judge: Network that its D looked through; needed only where the recipe of the result does not say it.

    Raises:
        CheckpointError, ResourceError: the file cannot be read.
    """
    identity = model_identity(parent) if hashed else None
    return (*ancestors, Ancestor(step, portable_name(parent), identity, images_seen, judge))


def portable_name(path: Path) -> str:
    """The name of a model that means something on another machine."""
    if path in shipped_models().values():
        return PREFIX + path.stem
    place = path.resolve() if "snapshots" not in path.parts else path.absolute()
    match = _HUB_FILE.search(place.as_posix())
    if match is not None:
        return f"hf:{match[1]}/{match[2]}@{match[3]}"
    return f"{place.parent.name}/{path.name}" if images_in_name(path) is not None else place.name


def to_notes(ancestors: Sequence[Ancestor]) -> list[dict[str, Any]]:
    """Plain values for the metadata of a file; a judge only where there is one."""
    notes = [asdict(ancestor) for ancestor in ancestors]
    return [{name: value for name, value in note.items() if name != "judge" or value} for note in notes]


def ancestry_note(ancestors: Sequence[Ancestor]) -> dict[str, Any]:
    """The entry of a file's metadata; nothing for a model without ancestors, whose files stay as they were."""
    return {"ancestors": to_notes(ancestors)} if ancestors else {}


def read_ancestors(about: Mapping[str, Any]) -> Ancestors:
    """The ancestors in the metadata of a file; files of older versions name none.

    An entry that this version does not know is left out: it is a note, and no reason to refuse a model.
    """
    entries = about.get("ancestors")
    known = [entry for entry in entries if _is_entry(entry)] if isinstance(entries, list) else []
    return tuple(
        Ancestor(entry["step"], entry["name"], entry.get("identity"), entry.get("images_seen"), _judge(entry))
        for entry in known
    )


def _judge(entry: Mapping[str, Any]) -> tuple[str, str] | None:
    match entry.get("judge"):
        case [str(name), str(sha256)]:
            return name, sha256
    return None


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or entry.get("step") not in STEPS or not isinstance(entry.get("name"), str):
        return False
    identity, seen = entry.get("identity"), entry.get("images_seen")
    return (identity is None or isinstance(identity, str)) and (seen is None or isinstance(seen, int))
