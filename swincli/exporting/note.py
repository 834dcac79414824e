"""The note of an exported file: where the model comes from, and how its inputs and output are to be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from swincli.data.sources.credit import training_credit
from swincli.exporting.graphs import LABEL, Graph
from swincli.model.files.ancestry import ancestry_note
from swincli.model.files.attributes import Attributes
from swincli.model.files.file_hash import model_identity
from swincli.model.files.model_file import Model
from swincli.recipe.attributes import KINDS
from swincli.recipe.private import dump_public_recipe
from swincli.version import __version__

NO_LICENCE = "Not stated: it follows from the licence of the training images and of the model that was exported."

RANGES = {
    "z": "float32 [batch, {latent_dim}], standard normal",
    "w_plus": "float32 [batch, {num_ws}, {latent_dim}], one code a layer, coarse first",
    "truncation": "float32 scalar; 1 changes nothing, 0 gives the mean",
    "truncation_layers": "int64 scalar, codes that are truncated, from the coarsest; {num_ws} for all",
    "label": "int64 [batch], 0 to {last_class}",
    "image": "float32 [batch, 3, {size}, {size}], RGB, 0 to 1; uint8 is round(255 x)",
    "w": "float32 [batch, {latent_dim}]",
}
"""Meaning of the inputs and outputs."""

ATTRIBUTE_RANGE = "float32 [batch, {columns}], the columns of `attributes`; NaN is unknown"
"""Meaning of `label` in a model with attributes."""


def make_note(model: Model, graph: Graph, *, precision: str = "fp32", tuned: Path | None = None) -> dict[str, Any]:
    """The note of a graph, for JSON."""
    section, source = model.recipe.model, model.recipe.data.source
    credit = training_credit(model.recipe)
    known = model.attributes
    sizes = {**section.model_dump(), "num_ws": section.num_ws, "last_class": section.classes - 1}
    ranges = RANGES if known is None else RANGES | {LABEL: ATTRIBUTE_RANGE.format(columns=known.rows.shape[1])}
    note = {
        "swincli": __version__,
        "model": model_identity(model.path),
        "file": model.path.name,
        "images_seen": model.images_seen,
        **ancestry_note(model.ancestors),
        "recipe": dump_public_recipe(model.recipe),
        "data": source or None,
        "licence": f"{credit}; learnt by a network. The weights are under the same licence." if credit else NO_LICENCE,
        "precision": precision,
        "inputs": {name: ranges[name].format(**sizes) for name in graph.inputs},
        "output": {graph.output: RANGES[graph.output].format(**sizes)},
    }
    if tuned is not None:
        note["tuned"] = model_identity(tuned)
    if LABEL in graph.inputs and model.classes is not None:
        note["classes"] = list(model.classes.names)
    if LABEL in graph.inputs and known is not None:
        note["attributes"] = attribute_notes(known)
    return note


def attribute_notes(attributes: Attributes) -> list[dict[str, Any]]:
    """The attributes of a model and the columns of `label` that hold them, from the first to before the last."""
    notes = []
    for each in attributes.each:
        place, kind = attributes.places[each.name], each.kind.name
        entry = {**each.as_dict(), "kind": kind, "columns": [place.start, place.stop], "holds": KINDS[kind].holds}
        if kind == "text" and attributes.texts is not None:
            texts = attributes.texts
            entry |= {"encoder": texts.encoder, "encoder_sha256": texts.encoder_sha256, "centre": texts.centre.tolist()}
        notes.append(entry)
    return notes
