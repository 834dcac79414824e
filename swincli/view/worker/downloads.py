"""Files to download: PNGs with the notes of `swincli sample`, and codes that it reads."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from swincli.synthesis.latents.codes import codes_of_latents
from swincli.synthesis.latents.edits import Amount, edit_note
from swincli.synthesis.latents.files import MODEL_NOTE, Latents, open_latents, write_latents
from swincli.synthesis.latents.layer_ranges import CODES_OF_A_LEVEL, format_code_layers, parse_code_layers
from swincli.synthesis.latents.named_directions import NamedDirection
from swincli.synthesis.output.provenance import NOTE, Output, encode_image
from swincli.synthesis.output.sample_notes import origin_note, settings_note
from swincli.view.look import Look
from swincli.view.worker.edits import NAMED
from swincli.view.worker.studio import Studio

MOST_ROWS = 200  # codes of one file


def png(studio: Studio, look: Look) -> tuple[str, bytes]:
    """The name and the content of a look's PNG.

    Where `swincli sample` can make the same picture, from a seed, by `--mix` or `--edit`, the bytes are its file's.

    Raises:
        UsageError: the look does not fit the model.
    """
    picture, name = studio.picture(look), f"{_stem(look)}.png"
    return name, encode_image(Output(Path(name), note_of(studio, look)), picture)


def note_of(studio: Studio, look: Look) -> str:
    """The provenance note of a look's picture."""
    info = studio.info(look)
    text = f"{origin_note(studio.model, studio.identity)} {_source(studio, look)}{settings_note(look.truncation)}"
    if look.guidance != 1.0:
        text += f" guidance={look.guidance}"
    named = _named_edits(studio, look)
    text += "" if named is None else f" {named}"
    if look.code is None and info.class_names is not None:
        text += f" class={info.class_names[0]}"
    if look.code is None and info.label_texts is not None:
        text += f" labels={info.label_texts[0]}"
    for edit in look.edits if named is None else ():
        layers = format_code_layers(parse_code_layers(edit.layers, studio.model.recipe.model.num_ws))
        text += f" edit={edit.direction}@{layers}={edit.amount:+g}"
    return text


def _named_edits(studio: Studio, look: Look) -> str | None:
    """The note of `sample --edit`; None if it cannot make these edits: numbered directions, or some layers only."""
    amounts, directions = list[Amount](), dict[str, NamedDirection]()
    for edit in look.edits:
        family, _, name = edit.direction.partition(":")
        layers = parse_code_layers(edit.layers, studio.model.recipe.model.num_ws)
        if family != NAMED or name in directions or not set(studio.found.saved.get(name).layers) <= set(layers):
            return None
        amounts.append(Amount(name, edit.amount))
        directions[name] = studio.found.saved.get(name)
    return edit_note([amounts], directions.values()) if amounts else None


def _source(studio: Studio, look: Look) -> str:
    source = studio.info(look).origins[0] if look.code is None else f"code={look.code}"
    if look.mix_seed is None or not look.shares:
        return source
    codes = [code for level, _ in look.shares for code in _codes_of(level)]
    if look.code is None and look.text is None and all(share == 1 for _, share in look.shares):
        source = f"mix={look.seed}:{look.mix_seed}@{format_code_layers(codes)}"
    else:
        source += f" with={look.mix_seed}@" + ",".join(
            f"{format_code_layers(list(_codes_of(level)))}:{share:g}" for level, share in look.shares
        )
    other = studio.info(replace(look, seed=look.mix_seed))
    what = "class" if other.label_texts is None else "labels"
    return source if other.label(0) is None else f"{source} column-{what}={other.label(0)}"


def _codes_of(level: int) -> range:
    return range(CODES_OF_A_LEVEL * level, CODES_OF_A_LEVEL * (level + 1))


def _stem(look: Look) -> str:
    stem = f"seed-{look.seed:06d}" if look.code is None else f"code-{look.code}"
    if look.mix_seed is not None and look.shares:
        stem += f"-mix-{look.mix_seed:06d}"
    return f"{stem}-edited" if look.edits else stem


def latents(studio: Studio, looks: Sequence[Look]) -> tuple[str, bytes]:
    """The name and the content of an .npz file with the w+ of looks, which `swincli sample --latents` reads.

    Raises:
        UsageError: a look does not fit the model.
    """
    codes = Latents("w_plus", torch.cat([studio.w_plus(look) for look in looks]))
    notes = {MODEL_NOTE: studio.identity, NOTE: f"view {' | '.join(note_of(studio, look) for look in looks)}"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "codes.npz"
        write_latents(path, codes, notes)
        name = f"{_stem(looks[0])}.npz" if len(looks) == 1 else f"{len(looks)}-pictures.npz"
        return name, path.read_bytes()


def read_codes(studio: Studio, name: str, data: bytes) -> list[str]:
    """Keep the codes of an .npz file, and return their names.

    Raises:
        DataError: it is damaged, or belongs to another model.
        UsageError: it holds z, and the model is conditional.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / (Path(name).stem[:80] + ".npz")
        path.write_bytes(data)
        found = open_latents(path, studio.model)
    rows = Latents(found.space, found.values[:MOST_ROWS])
    return [studio.add_code(code) for code in codes_of_latents(studio.model, rows)]
