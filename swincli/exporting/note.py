"""The note of an exported file: where the model comes from, and how its inputs and output are to be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from swincli.data.sources.credit import training_credit
from swincli.exporting.graphs import LABEL, Graph
from swincli.model.files.file_hash import model_identity
from swincli.model.files.model_file import Model
from swincli.recipe import dump_recipe
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


def make_note(model: Model, graph: Graph, *, precision: str = "fp32", tuned: Path | None = None) -> dict[str, Any]:
    """The note of a graph, for JSON."""
    section, source = model.recipe.model, model.recipe.data.source
    credit = training_credit(model.recipe)
    sizes = {**section.model_dump(), "num_ws": section.num_ws, "last_class": section.classes - 1}
    note = {
        "swincli": __version__,
        "model": model_identity(model.path),
        "file": model.path.name,
        "images_seen": model.images_seen,
        "recipe": dump_recipe(model.recipe),
        "data": source or None,
        "licence": f"{credit}; learnt by a network. The weights are under the same licence." if credit else NO_LICENCE,
        "precision": precision,
        "inputs": {name: RANGES[name].format(**sizes) for name in graph.inputs},
        "output": {graph.output: RANGES[graph.output].format(**sizes)},
    }
    if tuned is not None:
        note["tuned"] = model_identity(tuned)
    if LABEL in graph.inputs and model.classes is not None:
        note["classes"] = list(model.classes.names)
    return note
