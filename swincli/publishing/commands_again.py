"""The command lines that make a run's store, the run and its figures again."""

from __future__ import annotations

import shlex

from swincli.data.store.manifest import Manifest
from swincli.publishing.run_facts import RunFacts
from swincli.recipe import Recipe

USUAL = {"gamma": "srgb", "background": "white", "min_size": 1, "jpeg": "fast", "max_images": None}
"""Options of `prepare-data` that the manifest knows, with their defaults there."""
_WHITE = "#ffffff"  # as a manifest spells it


def commands_again(facts: RunFacts, recipe: str) -> list[str]:
    """The lines; one that begins with # is a remark.

    Args:
        facts: The run.
        recipe: Where its recipe is.
    """
    lines = [] if facts.manifest is None else _preparing(facts.manifest, facts.recipe)
    lines.append(shlex.join(["swincli", "train", recipe, "--out", f"runs/{facts.name}"]))
    return [*lines, *_evaluating(facts)]


def _preparing(manifest: Manifest, recipe: Recipe) -> list[str]:
    store, data = recipe.data.path or "datasets/images", recipe.data
    words = ["swincli", "prepare-data", manifest.source, store, "--resolution", str(manifest.resolution)]
    words += ["--crop", manifest.crop, "--filter", manifest.filter]
    for name, usual in USUAL.items():
        value = getattr(manifest, name)
        if value != usual and (name, value) != ("background", _WHITE):
            words += [f"--{name.replace('_', '-')}", str(value)]
    words += ["--dedupe-near" if manifest.dedupe == "near" else "--dedupe"] if manifest.dedupe else []
    words += ["--labels", data.labels] if data.labels else []
    words += ["--captions", data.captions] if data.captions else []
    has_labels = manifest.label_names is not None or bool(manifest.attributes)
    remarks = ["# add --labels as then: the store has labels, and does not note where they come from"]
    if manifest.part is not None:
        words += ["--split", str(manifest.split)]
        remarks.append(f"# a split: the run took the part {manifest.part}, and {store} is its folder")
    said = remarks if has_labels and not data.labels else remarks[1:]
    return [*said, shlex.join(words)]


def _evaluating(facts: RunFacts) -> list[str]:
    if not facts.protocols:
        return []
    protocol, names = facts.protocols[-1]["protocol"], [row.name for row in facts.rows]
    metrics = ",".join(name for name in ("fid", "kid") if name in names) or "fid"
    words = ["swincli", "evaluate", "--checkpoint", f"runs/{facts.name}", "--metric", metrics]
    reference = protocol["reference"].get("source")
    words += ["--data", str(reference)] if reference else []
    return [shlex.join([*words, "--num", str(protocol["fakes"].get("num"))])]
