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
from swincli.data.preparing.label_files import AttributeColumns, read_caption_file
from swincli.data.preparing.labels import check_complete, read_text
from swincli.data.sources.entries import Source
from swincli.data.store.captions import Captions, make_captions
from swincli.errors import DataError, UsageError
from swincli.units import format_items, format_names

NAMES, LABELS, OWN = "names", "labels", "own"
_WORD_BREAKS = re.compile(r"[_\-.+]+|(?<=[a-z])(?=[A-Z])")
_NUMBERS_AT_END = re.compile(r"(?:\s+\(?\d+\)?)+$")
_NUMBER = re.compile(r"[-+]?[\d.]+(?:e[-+]?\d+)?", re.IGNORECASE)
_YES, _NO = {"yes", "true", "1", "y"}, {"no", "false", "0", "n", "", "-1"}
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
    labels: Mapping[str, str] | AttributeColumns | None,
    console: Console,
    word_dropout: float = 0.0,
) -> Texts | None:
    """The captions of `--captions`, with messages on how they were read; None without the option.

    Args:
        text: "names", "labels", "own", or a file: a table of paths and captions, or JSON of them.
        source: The source of the pictures.
        labels: Label names by names of entries, or columns of attributes; None without labels.
        console: Receives messages.
        word_dropout: See `with_dropped_words`.

    Raises:
        UsageError: "labels" without labels, or "own" with a source that has none.
        DataError: The file is missing or malformed, or pictures have no caption.
    """
    if text is None:
        return None
    return with_dropped_words(_captions_of(text, source, labels, console), word_dropout)


def _captions_of(
    text: str, source: Source, labels: Mapping[str, str] | AttributeColumns | None, console: Console
) -> Texts:
    if text == NAMES:
        found = {entry.name: (words,) for entry in source if (words := words_of_name(entry.name))}
        check_complete(found, source, "caption", "With --captions names, every file name must have a word in it.")
        return found
    if text == LABELS:
        if labels is None:
            raise UsageError("--captions labels: there are no labels", "Give --labels too.")
        if isinstance(labels, AttributeColumns):
            return {name: (words_of_cells(labels.names, cells),) for name, cells in labels.cells.items()}
        return {name: (words_of(label),) for name, label in labels.items()}
    return _from_file(_own_file(source) if text == OWN else text, source, console)


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


def words_of_cells(names: Sequence[str], cells: Sequence[str]) -> str:
    """Attributes as words, such as "red hair, glasses, age 30" for hair=red, glasses=yes, hat=no, age=30."""
    said = []
    for name, cell in zip(names, cells, strict=True):
        value, words = cell.strip(), words_of(name)
        if value.lower() in _YES:
            said.append(words)
        elif value.lower() not in _NO:
            said.append(f"{words} {value}" if _NUMBER.fullmatch(value) else f"{words_of(value)} {words}")
    return ", ".join(said) or "none"


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
    hint = "Use --captions with a table of paths and captions, with names, labels or own."
    content, where = read_text(text, source, hint)
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
