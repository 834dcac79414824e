"""Labels of pictures: from folder names or a label file; numbers of labels."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Container
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from swincli.console import Console
from swincli.data.images.rejected import ImageError
from swincli.data.preparing.label_files import AttributeColumns, read_label_file
from swincli.data.preparing.label_tables import composed
from swincli.data.sources.entries import Source
from swincli.errors import DataError, from_os_error
from swincli.units import format_names

FOLDERS = "folders"
_HINT = "Use --labels folders, a dataset.json or a CSV file."
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # how Excel writes "Unicode text"


def wanted_labels(
    text: str | None, source: Source, console: Console, *, attributes: bool = False
) -> dict[str, str] | AttributeColumns | None:
    """The labels of `--labels`, with messages on how they were read; None without the option. Raises as `read_labels`.

    Without the option, labels that the source has are not used, which a warning says.
    """
    if text is not None:
        return read_labels(
            text, source, lambda note: console.say(f"labels: {note}"), console.warn, attributes=attributes
        )
    if has_own_labels(source):
        console.warn(f"{source.text} has labels that are not used. Use them with --labels {source.label_file}.")
    return None


def label_place(text: str | None, source: Source) -> str | None:
    """Full name of the file of `--labels`; None if no file has the labels. Raises as `read_text`."""
    return None if text in (None, FOLDERS) else read_text(text, source, _HINT)[1]


def read_labels(
    text: str,
    source: Source,
    say: Callable[[str], object] = lambda _: None,
    warn: Callable[[str], object] = lambda _: None,
    *,
    attributes: bool = False,
) -> dict[str, str] | AttributeColumns:
    """Read the label of every picture of a source, or its attributes if a table has several columns.

    Args:
        text: "folders" for the first-level folder of a picture, or a file: StyleGAN's dataset.json, or a table of paths
            and labels. Paths are those inside the source. A name without a folder is looked for in the source first.
        source: The source of the pictures.
        say: Called with the full name of the file that was read, and with how it was understood.
        warn: Called with what is not used of the file.
        attributes: Take every column of a table, even if one of them is called "label".

    Returns:
        Label names by names of entries, or the cells of the columns. Only entries that are no images have none.

    Raises:
        DataError: The file is missing or malformed, or pictures have no label.
    """
    columns: AttributeColumns | None = None
    if text == FOLDERS:
        above = _common_folder([entry.name for entry in source])
        found = {entry.name: label for entry in source if (label := _first_folder(entry.name, above)) is not None}
        labels = {name: composed(label) for name, label in found.items()}
        hint = "With --labels folders, every picture must be in a folder that is named after its label."
    else:
        content, where = read_text(text, source, _HINT)
        say(where)
        names = [entry.name for entry in source]
        matched = read_label_file(content, text, names, source.text, attributes=attributes)
        for note in matched.notes:
            say(note)
        for warning in matched.warnings:
            warn(warning)
        labels, columns = matched.labels, matched.columns
        hint = f"Paths in {text} must be relative to {source.text}, such as {source.entries[0].name}."
        if matched.other_case is not None:
            hint = "Upper and lower case count: the file has {}, the picture is {}.".format(*matched.other_case)
    check_complete(labels, source, "label", hint)
    return labels if columns is None else columns


def check_complete(found: Container[str], source: Source, noun: str, hint: str) -> None:
    """Check that every picture of a source has a label or a caption.

    Args:
        found: Names of the entries that have one.
        source: The source.
        noun: What they have, for the message.
        hint: How to put it right.

    Raises:
        DataError: Pictures have none.
    """
    missing = [entry.name for entry in source if entry.name not in found and _is_image(entry.read)]
    if missing:
        count, have = (f"{len(missing):,} pictures", "have") if len(missing) > 1 else ("1 picture", "has")
        raise DataError(f"{count} of {source.text} {have} no {noun}: {format_names(missing)}", hint)


def has_own_labels(source: Source) -> bool:
    """Whether a source has a dataset.json with labels. StyleGAN's tool also writes dataset.json without labels."""
    if source.label_file is None:
        return False
    try:
        raw = json.loads(source.read_file(source.label_file))
    except (KeyError, ImageError, ValueError, RecursionError):
        return False
    return isinstance(raw, dict) and bool(raw.get("labels"))


def number_labels(labels: list[str]) -> tuple[NDArray[np.int64], list[str]]:
    """Number labels from 0, in the order of their names. Labels that are all integers are ordered by value.

    Returns:
        The number of each label, int64 [N], and the name of each number.
    """
    names = sorted(set(labels))
    if all(map(_is_number, names)):
        names.sort(key=int)  # of names of one number, such as 1 and 01, the order stays
    numbers = {name: number for number, name in enumerate(names)}
    return np.array([numbers[label] for label in labels], dtype=np.int64), names


def renumbered(names: list[str]) -> str | None:
    """Which numeric labels get other numbers, such as "2 is 1, 5 is 2"; None if none does or not all are numbers."""
    if not all(map(_is_number, names)):
        return None
    return format_names([f"{name} is {number}" for number, name in enumerate(names) if int(name) != number]) or None


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal()


def _common_folder(names: list[str]) -> tuple[str, ...]:
    """Parts of the folder that holds all absolute paths of a list of paths; it says nothing about a picture."""
    folders = [posixpath.dirname(name) for name in names if name.startswith("/")]
    return PurePosixPath(posixpath.commonpath(folders)).parts if folders else ()


def _first_folder(name: str, above: tuple[str, ...]) -> str | None:
    """The first folder of a path, apart from ".." and, of an absolute path, the folder `above`; None without one."""
    parts = PurePosixPath(name).parts[:-1]
    folders = [part for part in parts[len(above) if name.startswith("/") else 0 :] if part != ".."]
    return folders[0] if folders else None


def _is_image(read: Callable[[], bytes]) -> bool:
    try:
        read()
    except ImageError:
        return False
    return True


def read_text(text: str, source: Source, hint: str) -> tuple[str, str]:
    """Read a file of labels or captions; return its text and its full name.

    A bare name, such as dataset.json, is that of the source's own file if there is one: all StyleGAN sets have the same
    names. Any other path is looked for on the disk first.

    Args:
        text: The file.
        source: The source that may hold it.
        hint: What can be given in its place.

    Raises:
        DataError: It does not exist, or is no text file.
        ResourceError: It cannot be read.
    """
    path = Path(text)
    own = source.label_file  # it may be in the only folder of an archive
    inside = own if own is not None and PurePosixPath(own).name == text else text
    try:
        try:
            if path.name != text and path.exists():
                raise KeyError(text)
            content, where = source.read_file(inside), source.locate(inside)
        except KeyError:
            if not path.exists():
                raise
            content, where = path.read_bytes(), text
        return content.decode("utf-16" if content.startswith(_UTF_16) else "utf-8-sig"), where
    except KeyError:
        raise DataError(f"{text} does not exist", hint) from None
    except UnicodeDecodeError as error:
        raise DataError(f"{text} is not a text file", "Save it as UTF-8.") from error
    except ImageError as error:
        raise DataError(f"{source.locate(text)}: {error.reason}") from error
    except OSError as error:
        raise from_os_error(error, f"reading {text}") from error
