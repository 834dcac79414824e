"""Captions of pictures: from a file, from their names, from their labels, or those that a built-in source has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import PurePosixPath
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from swincli.console import Console
from swincli.data.preparing.attribute_kinds import TypedColumns, as_flag, known, parts_of
from swincli.data.preparing.label_files import read_caption_file
from swincli.data.preparing.labels import check_complete, read_text
from swincli.data.sources.entries import Source
from swincli.data.store.captions import Captions, make_captions
from swincli.errors import DataError, UsageError
from swincli.units import format_items, format_names

NAMES, LABELS, OWN = "names", "labels", "own"
_HINT = "Use --captions with a table of paths and captions, with names, labels or own."
_WORD_BREAKS = re.compile(r"[_\-.+]+|(?<=[a-z])(?=[A-Z])")
_NUMBERS_AT_END = re.compile(r"(?:\s+\(?\d+\)?)+$")
_NUMBER = re.compile(r"[-+]?[\d.]+(?:e[-+]?\d+)?", re.IGNORECASE)
_YES, _NO = {"yes", "true", "y"}, {"no", "false", "n"}  # of a class such as yes, no, maybe
_WORD = re.compile(r"[^\W\d_]{2,}")
Texts = Mapping[str, tuple[str, ...]]
"""Captions by names of entries."""


class TextEncoder(Protocol):
    """What turns captions into vectors; `model.pretrained.sentences` has one."""

    @property
    def name(self) -> str:
        """Name of the encoder."""
        ...

    @property
    def sha256(self) -> str:
        """SHA-256 of its weights."""
        ...

    def encode(self, texts: Sequence[str], advance: Callable[[int], object] = ...) -> NDArray[np.float32]:
        """Vectors of length 1, float32 `[N, width]`."""
        ...

    def too_long(self, texts: Sequence[str]) -> list[str]:
        """The texts that are cut before they are encoded."""
        ...


def wanted_captions(
    text: str | None,
    source: Source,
    labels: Mapping[str, str] | TypedColumns | None,
    console: Console,
    word_dropout: float = 0.0,
) -> Texts | None:
    """The captions of `--captions`, with messages on how they were read; None without the option.

    Args:
        text: "names", "labels", "own", or a file: a table of paths and captions, or JSON of them.
        source: The source of the pictures.
        labels: Label names by names of entries, or attributes with their kinds; None without labels.
        console: Receives messages.
        word_dropout: See `with_dropped_words`.

    Raises:
        UsageError: "labels" without labels, or "own" with a source that has none.
        DataError: The file is missing or malformed, or pictures have no caption.
    """
    if text is None:
        return None
    return with_dropped_words(_captions_of(text, source, labels, console), word_dropout)


def _captions_of(text: str, source: Source, labels: Mapping[str, str] | TypedColumns | None, console: Console) -> Texts:
    if text == NAMES:
        found = {entry.name: (words,) for entry in source if (words := words_of_name(entry.name))}
        check_complete(found, source, "caption", "With --captions names, every file name must have a word in it.")
        return found
    if text == LABELS:
        if labels is None:
            raise UsageError("--captions labels: there are no labels", "Give --labels too.")
        if isinstance(labels, TypedColumns):
            places = {name: labels.columns.names.index(name) for name in labels.kinds}
            rows = labels.columns.cells.items()
            return {
                picture: (words_of_cells(labels.kinds, {name: row[place] for name, place in places.items()}),)
                for picture, row in rows
            }
        return {name: (words_of(label),) for name, label in labels.items()}
    return _from_file(_own_file(source) if text == OWN else text, source, console)


def caption_place(text: str | None, source: Source) -> str | None:
    """Full name of the file of `--captions`; None if no file has the captions. Raises as `wanted_captions`."""
    return None if text in (None, NAMES, LABELS, OWN) else read_text(text, source, _HINT)[1]


def with_dropped_words(texts: Texts, share: float) -> Texts:
    """Beside each caption the same with some of its words left out; at least one word stays.

    So a word is also learnt alone, and shorter texts are known (Wei and Zou, EDA, EMNLP 2019). Which words go depends
    on the picture's name and the caption alone. The captions that were there stay the first ones.

    Args:
        texts: Captions by names of entries.
        share: How likely each word is left out; 0 adds nothing.
    """
    if not share:
        return texts
    return {name: tuple(dict.fromkeys([*all_of, *_shorter(name, all_of, share)])) for name, all_of in texts.items()}


def _shorter(name: str, texts: Sequence[str], share: float) -> Iterator[str]:
    for text in texts:
        digest = blake2b(f"{name}\n{text}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
        random, words = np.random.default_rng(int.from_bytes(digest, "big")), text.split()
        chances = random.random(len(words))
        chances[chances.argmax()] = 1.0  # one stays
        kept = [word for word, chance in zip(words, chances, strict=True) if chance >= share]
        yield " ".join(kept).strip(",; ") or text


def words_of_name(name: str) -> str:
    """The words in a file name, such as "red hat" for "photos/red_hat-012.png"; empty if it has none."""
    words = words_of(PurePosixPath(name).stem)
    return words if _WORD.search(words) else ""


def words_of(label: str) -> str:
    """A name as words: "red_hat-2" is "red hat"."""
    spaced = " ".join(_WORD_BREAKS.sub(" ", label).split())
    return _NUMBERS_AT_END.sub("", spaced)


def words_of_cells(kinds: Mapping[str, str], cells: Mapping[str, str]) -> str:
    """Attributes as words, such as "red hair, glasses, age 30" for hair=red, glasses=yes, hat=no, age=30.

    A cell that says that the value is unknown is not said.

    Args:
        kinds: Kinds of attributes by their names, in the order of the words.
        cells: Cells by the same names.
    """
    said = ((words_of(name), kind, known(cells[name])) for name, kind in kinds.items())
    return ", ".join(filter(None, (_SAYINGS[kind](name, cell) for name, kind, cell in said if cell))) or "none"


def _say_class(name: str, value: str) -> str:
    if value.lower() in _YES:
        return name
    if value.lower() in _NO:
        return ""
    if _NUMBER.fullmatch(value):
        return f"{name} {value}"
    return f"{words} {name}" if (words := words_of(value)) else ""


def _say_several(name: str, value: str) -> str:
    parts = [words_of(part) for part in parts_of(value)]
    return f"{' and '.join(parts)} {name}" if parts else ""


_SAYINGS: dict[str, Callable[[str, str], str]] = {
    "class": _say_class,
    "flag": lambda name, value: name if as_flag(value) else "",
    "number": lambda name, value: f"{name} {value}",
    "several": _say_several,
}
"""How a cell of each kind of attribute is said: the attribute's name in words, the cell -> words, or none."""


def encode_captions(of_images: Sequence[Sequence[str]], encoder: TextEncoder, console: Console) -> Captions:
    """The captions of images, in their order, with the vector of each text.

    Args:
        of_images: The captions of each image.
        encoder: Encodes every text once.
        console: Shows progress; says which captions are cut.
    """
    texts = list(dict.fromkeys(text for each in of_images for text in each))
    if cut := encoder.too_long(texts):
        named = format_names([f'"{text[:40]}..."' for text in cut])
        console.warn(f"captions: only the beginning of {format_items(len(cut), 'long text')} is used: {named}")
    with console.progress("Encoding captions", len(texts)) as advance:
        vectors = encoder.encode(texts, advance)
    return make_captions(of_images, dict(zip(texts, vectors, strict=True)), encoder.name, encoder.sha256)


def _own_file(source: Source) -> str:
    if source.caption_file is None:
        hint = "builtin:cats, robots, emoji and emoji-faces have some. Give a file of captions, or names."
        raise UsageError(f"--captions own: {source.text} has no captions of its own", hint)
    return source.caption_file


def _from_file(text: str, source: Source, console: Console) -> Texts:
    content, where = read_text(text, source, _HINT)
    matched = read_caption_file(content, text, [entry.name for entry in source], source.text)
    for note in (where, *matched.notes):
        console.say(f"captions: {note}")
    for warning in matched.warnings:
        console.warn(warning)
    for name, texts in matched.captions.items():
        if not all(map(str.strip, texts)):
            raise DataError(f"{text}: the caption of {name} is empty")
    hint = f"Paths in {text} must be relative to {source.text}, such as {source.entries[0].name}."
    if matched.other_case is not None:
        hint = "Upper and lower case count: the file has {}, the picture is {}.".format(*matched.other_case)
    check_complete(matched.captions, source, "caption", hint)
    return matched.captions
