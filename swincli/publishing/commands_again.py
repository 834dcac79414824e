"""The command lines that make a run's store, the run and its newest figures again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from swincli.data.store.manifest import Manifest
from swincli.metrics.networks import gist
from swincli.metrics.networks.resize import INCEPTION_SIDE
from swincli.metrics.networks.weight_files import FILE_PIXELS, FILE_SIDE, FINDERS, INCEPTION_PIXELS, KNOWN_NAMES
from swincli.model.pretrained import efficientnet
from swincli.publishing.run_facts import RunFacts
from swincli.recipe import Recipe

USUAL = {"gamma": "srgb", "background": "white", "min_size": 1, "jpeg": "fast", "max_images": None}
"""Options of `prepare-data` that the manifest knows, with their defaults there."""
_WHITE = "#ffffff"  # as a manifest spells it
_DETECTORS = {
    **dict.fromkeys(KNOWN_NAMES, "inception"),
    efficientnet.WEIGHTS.sha256: "efficientnet",
    gist.SHA256: "gist",
}
_FILE_REMARK = "# {} is a file of the detector: give its path"


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
    newest = facts.protocols[-1]
    protocol, fakes = newest["protocol"], newest["protocol"]["fakes"]
    metrics = ",".join(name for name in ("fid", "kid") if name in newest["metrics"]) or "fid"
    words = ["swincli", "evaluate", "--checkpoint", f"runs/{facts.name}", "--metric", metrics]
    words += [*_reference(protocol["reference"]), "--num", str(fakes["num"])]
    words += ["--seed", str(protocol["seed"])] if protocol.get("seed") else []
    words += ["--truncation", f"{fakes['truncation']:g}"] if fakes.get("truncation") not in (None, 1) else []
    detector = _detector(protocol)
    remarks = [_FILE_REMARK.format(protocol["detector"]["name"])] if detector and detector[1] not in FINDERS else []
    return [*remarks, shlex.join([*words, *detector])]


def _reference(reference: Mapping[str, Any]) -> list[str]:
    """The options of the real side: images, all or some of them, or a file of statistics."""
    if reference.get("statistics"):
        return ["--reference", str(reference["statistics"])]
    images = ["--data", str(reference["source"])] if reference.get("source") else []
    return images if reference.get("drawn_from") is None else [*images, "--num-reference", str(reference.get("num"))]


def _detector(protocol: Mapping[str, Any]) -> list[str]:
    """The options of the detector; none for Inception. Of a user's file only the name is known."""
    detector, side = protocol["detector"], re.search(r"(\d+)x\1", str(protocol.get("resize")))
    name = _DETECTORS.get(detector["sha256"])
    if name is not None:
        return [] if name == "inception" else ["--detector", name]
    pixels, size = detector.get("pixels"), int(side[1]) if side else FILE_SIDE
    if (pixels, size) == (INCEPTION_PIXELS, INCEPTION_SIDE):
        return ["--detector-weights", detector["name"]]
    words = ["--detector", detector["name"]]
    words += ["--detector-size", str(size)] if size != FILE_SIDE else []
    return words + (["--detector-pixels", pixels] if pixels not in (None, FILE_PIXELS) else [])
