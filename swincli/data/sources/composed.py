"""Sources: pictures composed from the parts of the pip package robohash, any number of them, with exact labels.

`builtin:cats` and `builtin:robots` have no files. Picture i of a seed is a choice of one part for every slot, such as
fur or hat. All pictures of a source differ: i goes through a permutation of all combinations. So it is known how many
pictures there are, and a generator that shows a combination that it was not trained on has invented it.

Labels of each slot are read by its name, such as `--labels fur.json`. slots.csv has all slots, captions.json has them
in words.
`--captions own` takes sentences of all slots, of two and of one.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from importlib.metadata import version
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path

from PIL import Image

from swincli.data.sources.entries import Entry, Source
from swincli.errors import UsageError
from swincli.system.packages import missing_package
from swincli.units import parse_count

CAPTIONS, SLOTS = "captions.json", "slots.csv"
SENTENCES = "sentences.json"
_COUNT = 10_000  # pictures of `builtin:cats`
_MOST = 2**63
_ROUNDS = 4


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _is_plural(word: str) -> bool:
    """Whether a detail has no article: "grey eyes", "glasses", "eyeliner", and "face 3" of a robot."""
    return word.endswith(("s", "eyeliner")) or word[-1].isdigit()


@dataclass(frozen=True)
class Slot:
    """What one part of a picture is chosen from.

    Attributes:
        name: Its name; `NAME.json` has the labels.
        words: The label of each part.
        files: Pattern of the part's file, with `{number}` and the words of other slots by their names. Empty for a slot
            without a part of its own.
        numbers: Number of each part in file names; 0, 1, 2 and so on if left out.
        silent: Labels that captions leave out.
    """

    name: str
    words: tuple[str, ...]
    files: str = ""
    numbers: tuple[int, ...] = ()
    silent: tuple[str, ...] = ()


@dataclass(frozen=True)
class Composition:
    """A kind of picture.

    Attributes:
        noun: What the picture shows; in captions it follows the first slot's label.
        side: Side of the parts in pixels.
        slots: The slots, the lowest layer first.
        credit: Author and licence of the artwork.
    """

    noun: str
    side: int
    slots: tuple[Slot, ...]
    credit: str

    @property
    def total(self) -> int:
        """Number of different pictures."""
        return math.prod(len(slot.words) for slot in self.slots)

    def choose(self, index: int, seed: int) -> dict[str, int]:
        """The number of the part in every slot of a picture."""
        rest, chosen = _permuted(index, self.total, seed), {}
        for slot in self.slots:
            rest, chosen[slot.name] = divmod(rest, len(slot.words))
        return chosen

    def labels(self, chosen: Mapping[str, int]) -> dict[str, str]:
        """The label of every slot."""
        return {slot.name: slot.words[chosen[slot.name]] for slot in self.slots}

    def caption(self, chosen: Mapping[str, int]) -> str:
        """The picture in words, such as "an orange cat, bold stripes, square eyes, grin, red scarf"."""
        kind, *details = self._spoken(chosen)
        return ", ".join([f"{_article(kind)} {kind} {self.noun}", *details])

    def sentences(self, chosen: Mapping[str, int]) -> list[str]:
        """The picture in sentences: with all details, with two of them, and with one.

        Which ones depends on the picture alone. People who ask for a picture do not name every detail.
        """
        kind, *details = self._spoken(chosen)
        digest = blake2b(self.caption(chosen).encode(), digest_size=8).digest()
        number, found = int.from_bytes(digest, "big"), []
        for count in (len(details), 2, 1):
            some = list(combinations(details, min(count, len(details))))
            found.append(self._sentence(kind, some[number % len(some)]))
        return list(dict.fromkeys(found))

    def heard(self, sentence: str) -> dict[str, str]:
        """The labels that one of `sentences` names, by their slots; of other texts nothing."""
        first, *others = self.slots
        kind, _, rest = sentence.partition(f" {self.noun}")
        words = [re.sub(r"^an? ", "", part) for part in (kind, *re.split(r", | and ", rest.removeprefix(" with ")))]
        by_word = {word: slot.name for slot in others for word in slot.words}
        found = {by_word[word]: word for word in words[1:] if word in by_word}
        return found | {first.name: words[0]} if words[0] in first.words else {}

    def _spoken(self, chosen: Mapping[str, int]) -> list[str]:
        """The labels without those that captions leave out."""
        return [word for slot in self.slots if (word := slot.words[chosen[slot.name]]) not in slot.silent]

    def _sentence(self, kind: str, details: Sequence[str]) -> str:
        """Such as "an orange cat with bold stripes, square eyes and a grin"."""
        plain = f"{_article(kind)} {kind} {self.noun}"
        listed = [word if _is_plural(word) else f"{_article(word)} {word}" for word in details]
        if not listed:
            return plain
        *first, last = listed
        return f"{plain} with " + (f"{', '.join(first)} and {last}" if first else last)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split("; "))


_CATS = Composition(
    noun="cat",
    side=1024,
    slots=(
        Slot(
            "body",
            _words(
                "dark red; green; charcoal; lilac; coral; sand; pink; brown; blue; yellow; caramel; grey; tan; "
                "cream; orange"
            ),
            "set4/000#00body/*#body{number}.png",
        ),
        Slot(
            "fur",
            _words("fine stripes; bold stripes; plain fur; swirls; dark patch; light patch; light paw; checks; spots"),
            "set4/001#01fur/*#fur{number}.png",
            numbers=(0, 1, 2, 3, 4, 5, 7, 8, 9),  # 6 is empty too
            silent=("plain fur",),
        ),
        Slot(
            "eyes",
            _words(
                "huge eyes; slanted eyes; dot eyes; tired eyes; monocle; square eyes; closed eyes; grey eyes; "
                "oval eyes; green eyes; eyeliner; round eyes; glasses; narrow eyes; eyelashes"
            ),
            "set4/002#02eyes/*#eyes{number}.png",
        ),
        Slot(
            "mouth",
            _words(
                "red mouth; wide smile; small mouth; shouting mouth; open mouth; talking mouth; wavy smile; "
                "narrow mouth; grin; laughing mouth"
            ),
            "set4/003#03mouth/*#mouth{number}.png",
        ),
        Slot(
            "accessory",
            _words(
                "red scarf; bell collar; red collar; red headband; pink bow; black hat; black headphones; blue scarf; "
                "barrel collar; typewriter; gem collar; bandana; blue bow; red hat; white headphones; none"
            ),
            "set4/004#04accessories/*#accessory{number}.png",
            silent=("none",),
        ),
    ),
    credit="Cat artwork by David Revoy, CC-BY 4.0 (https://creativecommons.org/licenses/by/4.0/)",
)

_ROBOTS = Composition(
    noun="robot",
    side=300,
    slots=(
        Slot("colour", _words("blue; brown; green; grey; orange; pink; purple; red; white; yellow")),
        *(
            Slot(
                name,
                tuple(f"{name} {number}" for number in range(1, 11)),
                f"set1/{{colour}}/{folder}/*_{name}-{{number:02}}.png",
                numbers=tuple(range(1, 11)),
            )
            for name, folder in (
                ("body", "003#01Body"),
                ("face", "004#02Face"),
                ("accessory", "002#Accessory"),
                ("eyes", "001#Eyes"),
                ("mouth", "000#Mouth"),
            )
        ),
    ),
    credit="Robot artwork by Zikri Kader, CC-BY 4.0 (https://creativecommons.org/licenses/by/4.0/)",
)

COMPOSITIONS: dict[str, Composition] = {"builtin:cats": _CATS, "builtin:robots": _ROBOTS}
"""By the name of the source."""


class _Parts:
    """The parts at one size. Each is read and shrunk once.

    Args:
        folder: The package's folder of parts.
        kind: The composition.
        size: Side of the pictures in pixels.
    """

    def __init__(self, folder: Path, kind: Composition, size: int) -> None:
        self._folder, self._kind, self._size = folder, kind, size
        self._shrunk: dict[str, Image.Image] = {}

    def draw(self, chosen: Mapping[str, int]) -> bytes:
        """A picture with a transparent ground, as PNG."""
        canvas = Image.new("RGBA", (self._size, self._size))
        words = self._kind.labels(chosen)
        for slot in self._kind.slots:
            if slot.files:
                canvas.alpha_composite(self._part(slot, chosen[slot.name], words))
        out = io.BytesIO()
        canvas.save(out, format="PNG", compress_level=0)
        return out.getvalue()

    def _part(self, slot: Slot, number: int, words: dict[str, str]) -> Image.Image:
        pattern = slot.files.format_map({**words, "number": slot.numbers[number] if slot.numbers else number})
        if pattern not in self._shrunk:
            (path,) = self._folder.glob(pattern)
            with Image.open(path) as image:
                part, size = image.convert("RGBA"), (self._size, self._size)
            self._shrunk[pattern] = part if part.size == size else part.resize(size, Image.Resampling.LANCZOS)
        return self._shrunk[pattern]


def is_composed(text: str) -> bool:
    """Whether a source is `builtin:cats` or `builtin:robots`, with or without a number and a seed."""
    return composition_of(text) is not None


def composition_of(text: str) -> Composition | None:
    """What a source composes; None for other sources."""
    return COMPOSITIONS.get(":".join(text.split(":")[:2]))


def open_composed(text: str, size: int | None) -> Source:
    """Open `builtin:cats[:COUNT[:SEED]]` or `builtin:robots[:COUNT[:SEED]]`.

    Args:
        text: The source as typed. COUNT is 10,000 and SEED 0 by default.
        size: Side of the pictures in pixels; None for that of the parts. A larger one gives that of the parts.

    Raises:
        UsageError: The number or the seed is malformed, or there are not so many different pictures.
        ResourceError: The package robohash is not installed.
    """
    kind, count, seed = _parse(text)
    found = find_spec("robohash")
    folder = Path(found.origin or "").parent / "sets" if found else None
    if folder is None or not folder.is_dir():
        raise missing_package(text, "robohash", "artwork")
    parts = _Parts(folder, kind, min(size or kind.side, kind.side))
    chosen = {f"{index:06d}.png": kind.choose(index, seed) for index in range(count)}
    entries = [Entry(name, partial(parts.draw, each)) for name, each in chosen.items()]
    credit = f"{kind.credit}, from robohash {version('robohash')}; parts combined, resized"
    return Source(text, entries, credit, read_file=partial(_read_labels, kind, chosen), caption_file=SENTENCES)


def _parse(text: str) -> tuple[Composition, int, int]:
    builtin, name, *numbers = text.split(":")
    plain = f"{builtin}:{name}"
    kind, shape, hint = COMPOSITIONS[plain], f"{plain}[:COUNT[:SEED]]", f"Such as {plain}:20k or {plain}:20k:1."
    try:
        count, seed, *more = [*map(parse_count, numbers), *(_COUNT, 0)[len(numbers) :]]
    except ValueError as error:
        raise UsageError(f"{text}: {error}", hint) from error
    if more or not count >= 1 or not 0 <= seed < _MOST:
        raise UsageError(
            f"{text}: not {shape} with a COUNT above 0", f"Such as {builtin}:{name}:20k or {builtin}:{name}:20k:1."
        )
    if count > kind.total:
        raise UsageError(f"{text}: there are {kind.total:,} different {kind.noun}s", "Ask for fewer.")
    return kind, count, seed


def _read_labels(kind: Composition, chosen: dict[str, dict[str, int]], name: str) -> bytes:
    """The labels of a slot, or the captions, in the format of StyleGAN's dataset.json."""
    if name == SENTENCES:
        return json.dumps({path: kind.sentences(each) for path, each in chosen.items()}).encode()
    slots = {f"{slot.name}.json": slot.name for slot in kind.slots}
    if name == SLOTS:
        return _table_of_slots(kind, chosen)
    if name == CAPTIONS:
        pairs = [[path, kind.caption(each)] for path, each in chosen.items()]
    elif name in slots:
        pairs = [[path, kind.labels(each)[slots[name]]] for path, each in chosen.items()]
    else:
        raise KeyError(name)
    return json.dumps({"labels": pairs}).encode()


def _table_of_slots(kind: Composition, chosen: dict[str, dict[str, int]]) -> bytes:
    """The labels of all slots, as a table with a heading."""
    lines = [["path", *(slot.name for slot in kind.slots)]]
    lines += [[path, *kind.labels(each).values()] for path, each in chosen.items()]
    return "".join(",".join(line) + "\n" for line in lines).encode()


def _permuted(index: int, total: int, seed: int) -> int:
    """Where a permutation of 0 .. total - 1 puts an index: a Feistel network, walked until it is inside the range."""
    half = -(-(total - 1).bit_length() // 2)
    mask = 2**half - 1
    while True:
        left, right = index >> half, index & mask
        for number in range(_ROUNDS):
            digest = blake2b(f"{seed} {number} {right}".encode(), digest_size=8).digest()
            left, right = right, left ^ int.from_bytes(digest, "big") & mask
        index = left << half | right
        if index < total:
            return index
