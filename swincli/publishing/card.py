"""A model as a folder for a hub: weights, recipe, samples, and a README whose front matter programs read."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch

from swincli.data.images.digital_source import TRAINED
from swincli.data.sources.credit import training_credit
from swincli.data.store.staging import staged
from swincli.errors import DataError, from_os_error
from swincli.metrics.networks.judges import judge_of
from swincli.model.files.hub import HUB_PREFIX, MODEL_FILE
from swincli.model.files.model_file import Model, copy_without_private_keys, read_snapshot, save_snapshot
from swincli.publishing.recipe_changes import RecipeChanges, recipe_changes
from swincli.recipe.attributes import Attribute
from swincli.recipe.private import dump_public_recipe, has_private_keys
from swincli.synthesis.figures.grids import tile
from swincli.synthesis.output.provenance import NOTE, save_png
from swincli.synthesis.sampling import generate
from swincli.system.atomic_files import write_atomically
from swincli.system.html_page import text_template
from swincli.system.json_lines import read_records
from swincli.units import format_names
from swincli.version import __version__

README, RECIPE_FILE, SAMPLES = "README.md", "recipe.toml", "samples.png"
FILES: Final = (README, RECIPE_FILE, SAMPLES, MODEL_FILE)
"""All files of a card. A folder that holds others is never replaced."""

TASK, TEXT_TASK = "unconditional-image-generation", "text-to-image"
"""The hub's names of what a model does; it has none for classes and attributes."""
NO_LICENSE: Final = "unknown"
COLUMNS, ROWS = 8, 4  # of the sample grid


@dataclass(frozen=True)
class CardChoices:
    """What a model does not say about itself.

    Attributes:
        title: Heading; None for the recipe's or the file's name.
        license: Identifier, such as "cc-by-4.0"; None if none was given.
        credit: Author and licence of the training images; None for what the store says.
        tags: Besides those of every model.
        repo: OWNER/NAME on the hub, for the snippet; None if the folder stays here.
    """

    title: str | None = None
    license: str | None = None
    credit: str | None = None
    tags: Sequence[str] = ()
    repo: str | None = None


def check_card_folder(folder: Path, *, force: bool) -> None:
    """Check that a card may be written to a folder.

    Raises:
        DataError: the path is a file; the folder holds other files than a card's; or a card, and `force` is False.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise DataError(f"{folder}: is a file", "Choose another DIR.")
    names = sorted(item.name for item in folder.iterdir())
    foreign = next((name for name in names if name not in FILES), None)
    if foreign is not None:
        raise DataError(f"{folder}: is not just a card: it holds {foreign}", "Choose another DIR.")
    if names and not force:
        raise DataError(f"{folder}: holds a card", "Replace it with --force, or choose another DIR.")


def write_card(folder: Path, model: Model, choices: CardChoices, *, force: bool) -> dict[str, Any]:
    """Write the folder; it appears whole or not at all.

    A .safetensors model is copied byte by byte: codes, directions and tuned weights know it by its hash. One of an
    older version, whose recipe has private keys, is copied without them. An original .pt checkpoint is converted.

    Returns:
        The front matter.

    Raises:
        DataError: as `check_card_folder` does.
        ResourceError: the folder cannot be written.
    """
    metrics = measured(model)
    front = front_matter(model, choices, metrics)
    changes = recipe_changes(model.recipe)
    readme = render_readme(front, model, choices, metrics, changes)
    try:
        with staged(folder, force=True, check=partial(check_card_folder, force=force)) as place:
            if has_private_keys(model.recipe):
                copy_without_private_keys(model.path, place / MODEL_FILE)
            elif model.path.suffix == ".safetensors":
                write_atomically(place / MODEL_FILE, lambda temporary: shutil.copyfile(model.path, temporary))
            else:
                save_snapshot(place / MODEL_FILE, read_snapshot(model.path))
            _write_text(place / RECIPE_FILE, dump_public_recipe(model.recipe))
            count = COLUMNS * ROWS
            pictures = torch.cat(list(generate(model, range(count))))
            note = f"card seeds=0-{count - 1} truncation=1"
            save_png(place / SAMPLES, tile(pictures, COLUMNS), {NOTE: note}, TRAINED)
            _write_text(place / README, readme)
    except OSError as error:
        raise from_os_error(error, f"writing {folder}") from error
    return front


def measured(model: Model) -> dict[str, dict[str, Any]]:
    """The newest measurement of every value of exactly this model, by name, from the metrics.jsonl beside it.

    Only values without truncation count, as they are published. Lines that lack a part of the protocol are passed over.
    """
    found: dict[str, dict[str, Any]] = {}
    for record in read_records(model.path.parent / "metrics.jsonl"):
        if _is_of(record, model):
            found |= {name: record for name, value in record["metrics"].items() if _is_number(value)}
    return found


def _is_of(record: Mapping[str, Any], model: Model) -> bool:
    """Whether a record has all that a card says of a value, and is of this model without truncation."""
    match record:
        case {
            "images_seen": model.images_seen,
            "metrics": dict(),
            "protocol": {
                "fakes": {"source": str(source), "num": int(), **fakes},
                "reference": dict(),
                "detector": {"name": str(), "sha256": str()},
                "resize": str(),
            },
        }:
            return Path(source).name == model.path.name and fakes.get("truncation") in (None, 1)
    return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _interval(record: Mapping[str, Any], name: str) -> list[float] | None:
    each = record.get("intervals")
    match each.get(name) if isinstance(each, dict) else None:
        case [int() | float() as low, int() | float() as high]:
            return [low, high]
    return None


def front_matter(model: Model, choices: CardChoices, metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The entries that programs read: those of the hub's metadata for model cards."""
    tags = ["styleswin", "gan", "image-generation", f"{model.recipe.model.size}px", *choices.tags]
    front: dict[str, Any] = {
        "license": choices.license or NO_LICENSE,
        "library_name": "swincli",
        "pipeline_tag": TEXT_TASK if model.recipe.model.has_texts else TASK,
        "tags": list(dict.fromkeys(tags)),
    }
    bases = [re.sub(r"@[^@]*$", "", each.name.removeprefix(HUB_PREFIX)) for each in model.ancestors]
    bases = [base for each, base in zip(model.ancestors, bases, strict=True) if each.name.startswith(HUB_PREFIX)]
    if bases:
        front["base_model"] = list(dict.fromkeys(bases))
    results = [_result(name, record) for name, record in metrics.items() if not name.endswith("_std")]
    if results:
        front["model-index"] = [{"name": card_title(model, choices), "results": results}]
    return front


def card_title(model: Model, choices: CardChoices) -> str:
    """The title of a card: as given, else from the folder or the file of the model."""
    if choices.title:
        return choices.title
    if choices.repo:
        return choices.repo.partition("/")[2]
    name = model.path.resolve().parent.name if model.path.name.startswith("model-") else model.path.stem
    return f"StyleSwin {name}"


def _result(name: str, record: Mapping[str, Any]) -> dict[str, Any]:
    protocol = record["protocol"]
    reference, fakes, detector = protocol["reference"], protocol["fakes"], protocol["detector"]
    interval = _interval(record, name)
    return {
        "task": {"type": TASK},
        "dataset": {"name": Path(str(reference.get("source"))).name, "type": "custom", "split": "reference"},
        "metrics": [
            {
                "type": name,
                "value": record["metrics"][name],
                "name": f"{name}, {fakes['num']:,} samples",
                "args": {
                    "samples": fakes["num"],
                    "seeds": fakes.get("seeds"),
                    "truncation": fakes.get("truncation"),
                    "reference_images": reference.get("num"),
                    "reference_hash": reference.get("content_hash"),
                    "detector": detector["name"],
                    "detector_sha256": detector["sha256"],
                    "resize": protocol["resize"],
                    **({"interval_95": interval} if interval else {}),
                },
            }
        ],
    }


def render_readme(
    front: Mapping[str, Any],
    model: Model,
    choices: CardChoices,
    metrics: Mapping[str, Mapping[str, Any]],
    changes: RecipeChanges,
) -> str:
    """The README: front matter, and a page for people."""
    judge = judge_of(model.recipe, model.ancestors)
    rows = [_figure(name, record) for name, record in metrics.items() if not name.endswith("_std")]
    known = model.attributes
    page = text_template("swincli.publishing", "card.md.jinja").render(
        title=card_title(model, choices),
        model=model,
        section=model.recipe.model,
        attributes=[] if known is None else [_attribute(each) for each in known.each],
        chosen=_chosen(model),
        notes=_notes(model),
        source=f"{HUB_PREFIX}{choices.repo}" if choices.repo else MODEL_FILE,
        local=choices.repo is None,
        license=choices.license,
        credit=choices.credit or training_credit(model.recipe),
        figures=rows,
        judge=None if judge is None else judge.name,
        changes=changes,
        data=Path(model.recipe.data.source or model.recipe.data.path or "").name or None,
        samples=SAMPLES,
        version=__version__,
    )
    return f"---\n{yaml_of(front)}---\n\n{page.strip()}\n"


def yaml_of(values: Mapping[str, Any]) -> str:
    """YAML of nested values; texts are written as JSON, which YAML contains."""
    return "".join(_yaml_lines(values, 0))


def _yaml_lines(values: Mapping[str, Any], depth: int) -> list[str]:
    indent, lines = "  " * depth, []
    for name, value in values.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}:\n", *_yaml_lines(value, depth + 1)]
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            lines.append(f"{indent}{name}:\n")
            for entry in value:
                first, *rest = _yaml_lines(entry, depth + 1)
                lines += [f"{indent}- {first.lstrip()}", *rest]
        else:
            lines.append(f"{indent}{name}: {json.dumps(value, ensure_ascii=False)}\n")
    return lines


def _figure(name: str, record: Mapping[str, Any]) -> dict[str, str]:
    protocol, interval = record["protocol"], _interval(record, name)
    reference, fakes = protocol["reference"], protocol["fakes"]
    return {
        "name": name,
        "value": f"{record['metrics'][name]:.4g}",
        "interval": f"{interval[0]:.4g} to {interval[1]:.4g}" if interval else "",
        "protocol": f"{fakes['num']:,} samples against {reference.get('num') or 'unknown'} images of "
        f"{Path(str(reference.get('source'))).name} (hash {str(reference.get('content_hash'))[:12]}), "
        f"{protocol['detector']['name']}, {protocol['resize']}",
    }


def _attribute(attribute: Attribute) -> str:
    """An attribute with its values, such as "hair: red, blond"."""
    name, kind = attribute.name, attribute.kind.name
    if kind == "number":
        return f"{name}: {attribute.low:g} to {attribute.high:g}"
    words = {"flag": "yes or no", "text": "a text"}
    return f"{name}: {words.get(kind) or format_names(attribute.values, 12)}"


def _chosen(model: Model) -> str | None:
    """An argument of `model.sample` that chooses what the images show; None for an unconditional model."""
    if model.classes is not None:
        return f"classes={json.dumps(model.classes.names[0], ensure_ascii=False)}"
    if model.attributes is None:
        return None
    if model.attributes.texts is not None:
        return f"texts={json.dumps([model.attributes.texts.texts[0]], ensure_ascii=False)}"
    first = model.attributes.each[0]
    others = {"flag": True, "number": first.high, "several": list(first.values[:1])}
    labels = {first.name: first.values[0] if first.kind.name == "class" else others[first.kind.name]}
    return f"labels={labels!r}"


def _notes(model: Model) -> list[str]:
    """The lines in which the author of a model speaks in the .md file beside it, without its heading; none without."""
    path = model.path.with_suffix(".md")
    if not path.is_file():
        return []
    return re.sub(r"\A#[^\n]*\n", "", path.read_text(encoding="utf-8", errors="replace")).strip().splitlines()


def _write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
