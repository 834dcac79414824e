"""A static page that runs a model in a visitor's browser by onnxruntime-web, from files on any static host."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from swincli.data.store.staging import staged
from swincli.errors import DataError, ResourceError, from_os_error
from swincli.exporting.graphs import GraphName

PAGE = Path(__file__).parent / "page"
FACTS = "model.json"
SCRIPT, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
"""The files of onnxruntime-web that the page needs: its script for WebAssembly, and the compiled runtime."""

RUNTIME_FILES = {SCRIPT: "runtime/ort.js", WASM: "runtime/ort.wasm"}
"""Their names in the page. Some hosts do not know what a .mjs is."""

GRAPH_FILES: dict[GraphName, str] = {"mapping": "mapping.onnx", "w-plus": "synthesis.onnx"}
"""Files of the graphs, by their names in `GRAPHS`."""

HINT = "`npm install onnxruntime-web` makes the folder node_modules/onnxruntime-web; docs/guides/export.md has more."


@dataclass(frozen=True)
class Runtime:
    """The files of onnxruntime-web, by their names there, and its version ("" if the folder does not say)."""

    files: Mapping[str, Path]
    version: str


def find_runtime(folder: Path) -> Runtime:
    """The files of onnxruntime-web in the folder of its npm package, or in a folder that has them.

    Raises:
        ResourceError: a file is missing.
    """
    places = (folder, folder / "dist", folder / "node_modules" / "onnxruntime-web" / "dist")
    found = next((place for place in places if (place / SCRIPT).is_file()), None)
    if found is None or not (found / WASM).is_file():
        missing = SCRIPT if found is None else WASM
        raise ResourceError(f"--runtime {folder}: has no {missing}, which onnxruntime-web has from 1.20 on", HINT)
    about = found.parent / "package.json"
    try:
        version = str(json.loads(about.read_text(encoding="utf-8"))["version"])
    except (OSError, KeyError, TypeError, ValueError):
        version = ""
    return Runtime({name: found / name for name in RUNTIME_FILES}, version)


def check_page_folder(folder: Path, *, force: bool) -> None:
    """Check that a page may be written to a folder: it is new, empty, or with `force` a page.

    Raises:
        DataError: it is a file, holds other files, or holds a page and `force` is False.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise DataError(f"--web {folder}: is a file", "Choose another folder.")
    there = {str(path.relative_to(folder).as_posix()) for path in folder.rglob("*") if not path.is_dir()}
    foreign = sorted(there - _page_files())
    if foreign:
        raise DataError(f"--web {folder}: holds {foreign[0]}, which is not of such a page", "Choose another folder.")
    if there and not force:
        raise DataError(f"--web {folder}: holds a page", "Replace it with --force, or choose another folder.")


def _page_files() -> set[str]:
    return {*(path.name for path in PAGE.iterdir()), *RUNTIME_FILES.values(), *GRAPH_FILES.values(), FACTS}


def write_page(
    folder: Path,
    runtime: Runtime,
    note: Mapping[str, Any],
    sizes: Mapping[str, Any],
    write_graphs: Callable[[Path], None],
) -> None:
    """Write a page. The folder appears when everything is in it.

    Args:
        folder: The folder, checked by `check_page_folder`.
        runtime: onnxruntime-web.
        note: The note of the model.
        sizes: `size`, `num_ws` and `latent_dim` of the model; of one with attributes, `first`, the label to begin with.
        write_graphs: Writes the files of `GRAPH_FILES` into a folder.

    Raises:
        ResourceError: the disk is full, or the folder cannot be written.
    """
    try:
        with staged(folder, force=True, check=partial(check_page_folder, force=True)) as partial_folder:
            write_graphs(partial_folder)
            for name, place in RUNTIME_FILES.items():
                (partial_folder / place).parent.mkdir(exist_ok=True)
                shutil.copyfile(runtime.files[name], partial_folder / place)
            for path in PAGE.iterdir():
                shutil.copyfile(path, partial_folder / path.name)
            loaded = [RUNTIME_FILES[WASM], *GRAPH_FILES.values()]
            facts = page_facts(note, runtime.version) | dict(sizes)
            facts["bytes"] = {name: (partial_folder / name).stat().st_size for name in loaded}
            (partial_folder / FACTS).write_text(json.dumps(facts, ensure_ascii=False, indent=1), encoding="utf-8")
    except OSError as error:
        raise from_os_error(error, f"writing {folder}") from error


def page_facts(note: Mapping[str, Any], version: str) -> dict[str, Any]:
    """What the page says about the model."""
    stem = Path(str(note["file"])).stem
    runs_by = f"onnxruntime-web {version}".strip()
    about = (
        f"{note['file']} ({note['model']}), trained on {note['images_seen']:,} images; made by swincli "
        f"{note['swincli']}; runs by {runs_by}, copyright Microsoft Corporation, MIT licence."
    )
    facts = {"title": f"Pictures by {stem}", "about": about, "licence": f"Licence: {note['licence']}"}
    return facts | {name: note[name] for name in ("classes", "attributes") if name in note}
