"""Captions: as people write them, as sources bring them, in a store and in its splits."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from prepared import digest
from test_label_files import put, table

from swincli.console import Console
from swincli.data.preparing.attribute_kinds import TypedColumns
from swincli.data.preparing.captions import wanted_captions, with_dropped_words, words_of_cells, words_of_name
from swincli.data.preparing.label_files import AttributeColumns
from swincli.data.preparing.prepare import PrepareOptions, PrepareResult, prepare
from swincli.data.preparing.splits import parse_held_out
from swincli.data.preparing.stats import dataset_stats, open_dataset
from swincli.data.sources import open_source
from swincli.data.sources.composed import COMPOSITIONS
from swincli.data.store.reader import Store
from swincli.data.store.verify import verify_store
from swincli.errors import DataError, UsageError

QUIET = Console(quiet=True)
NAMES = ("1.gif", "2.gif", "sub/3.gif")
TEXTS = {"1.gif": ("a cat, red hat", "a cat"), "2.gif": ("a dog",), "sub/3.gif": ("a cat",)}


class LetterEncoder:
    """Counts letters: fast, and as wide as wanted."""

    name, sha256 = "letters", "0" * 64

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str], advance: Callable[[int], object] = lambda _: None) -> NDArray[np.float32]:
        self.asked += texts
        advance(len(texts))
        counts = np.array([[text.count(letter) + 0.1 for letter in "acdeghort"] for text in texts], np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)

    def too_long(self, texts: Sequence[str]) -> list[str]:
        return [text for text in texts if len(text.split()) > 256]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put(tmp_path_factory.mktemp("captioned") / "p", *NAMES)


def read(text: str, root: Path, labels: dict[str, str] | None = None) -> object:
    with open_source(str(root)) as source:
        return wanted_captions(text, source, labels, QUIET)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_several_rows_quoted_commas_encodings_and_line_ends(
    root: Path, tmp_path: Path, encoding: str, end: str
) -> None:
    rows = ["path,caption", '1.gif,"a cat, red hat"', "1.gif,a cat", "2.gif,a dog", "1.gif,a cat", "3.gif,a cat", ""]
    assert read(str(table(tmp_path, end.join(rows).replace("3.gif", "sub/3.gif"), encoding)), root) == TEXTS


@pytest.mark.parametrize(
    "content",
    [
        "1.gif\ta cat, red hat\n1.gif\ta cat\n2.gif\ta dog\nsub/3.gif\ta cat\n",
        "image|text\n1.gif|a cat, red hat\n1.gif|a cat\n2.gif|a dog\nsub\\3.gif|a cat\n",
        'id,path,description\n7,1.gif,"a cat, red hat"\n7,1.gif,a cat\n8,2.gif,a dog\n9,sub/3.gif,a cat\n',
    ],
)
def test_separators_and_columns(root: Path, tmp_path: Path, content: str) -> None:
    assert read(str(table(tmp_path, content)), root) == TEXTS


def test_json_with_lists(root: Path, tmp_path: Path) -> None:
    plain = {name: list(texts) if len(texts) > 1 else texts[0] for name, texts in TEXTS.items()}
    for content in (plain, {"labels": plain}, {"labels": [[name, each] for name in TEXTS for each in TEXTS[name]]}):
        assert read(str(table(tmp_path, json.dumps(content), name="c.json")), root) == TEXTS


@pytest.mark.parametrize(
    "line",
    [
        "{path} {text}",
        "  {path}   {text}  ",
        "./{path} {text}",
        "/data/My Pictures/{path} {text}",
        "{stem} {text}",
        "{windows} {text}",
        "{text} {path}",
    ],
)
def test_paths_and_captions_with_nothing_but_spaces_between(line: str, root: Path, tmp_path: Path) -> None:
    texts = {"1.gif": ("a cat 2", "a cat; 2.gif is a dog"), "2.gif": ("dog",), "sub/3.gif": ("1 of 2 cats, red",)}
    lines = [
        line.format(path=name, stem=name.removesuffix(".gif"), windows=name.replace("/", "\\"), text=text)
        for name, each in texts.items()
        for text in each
    ]
    assert read(str(table(tmp_path, "\n".join(lines) + "\n", name="c.txt")), root) == texts


def test_paths_with_spaces_before_captions(tmp_path: Path) -> None:
    """The first word is the path if it is a picture's; else the longest beginning of the line that is."""
    root = put(tmp_path / "p", "a b.gif", "a b c.gif", "d.gif", "d e/f.gif")
    lines = ["a b.gif a cat", "a b c.gif a b.gif", "d.gif e/f.gif 1", "d e/f.gif e", ""]
    expected = {"a b.gif": ("a cat",), "a b c.gif": ("a b.gif",), "d.gif": ("e/f.gif 1",), "d e/f.gif": ("e",)}
    assert read(str(table(tmp_path, "\n".join(lines), name="c.txt")), root) == expected
    lines = ["a b a cat", "a b c ab", "d a dog", "f an elk", ""]
    expected = {"a b.gif": ("a cat",), "a b c.gif": ("ab",), "d.gif": ("a dog",), "d e/f.gif": ("an elk",)}
    assert read(str(table(tmp_path, "\n".join(lines), name="c.txt")), root) == expected


def test_a_heading_before_paths_and_captions_with_spaces(root: Path, tmp_path: Path) -> None:
    content = "path caption\n1.gif a cat, red hat\n1.gif a cat\n2.gif a dog\nsub/3.gif a cat\n"
    assert read(str(table(tmp_path, content)), root) == TEXTS


def test_rows_without_a_picture_before_captions_with_spaces(root: Path, tmp_path: Path) -> None:
    """Captions that end with a number are not taken for paths, though pictures have such names."""
    lines = ["1.gif a cat", "2.gif a dog", "sub/3.gif 1", *(f"no-{number}.gif a number 1" for number in range(9))]
    found = read(str(table(tmp_path, "\n".join(lines))), root)
    assert found == {"1.gif": ("a cat",), "2.gif": ("a dog",), "sub/3.gif": ("1",)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1.gif,a cat\n2.gif,\nsub/3.gif,a cat\n", "line 2 is not `path,caption`: 2.gif"),
        ("1.gif,a cat\n2.gif,a dog, old\nsub/3.gif,a cat\n", "line 2 is not `path,caption`: 2.gif,a dog,old"),
        ("1.gif,a cat\nsub/3.gif,a cat\n", "1 picture of .* has no caption: 2.gif"),
        ("", "holds no captions"),
    ],
)
def test_what_is_wrong_is_named(root: Path, tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(str(table(tmp_path, content)), root)


def test_lines_are_counted_through_breaks_in_captions(root: Path, tmp_path: Path) -> None:
    content = 'path,caption\n1.gif,"a\ncat"\n2.gif,"a\ndog",old\n'
    with pytest.raises(DataError, match=r"line 4 is not `path,caption`: 2\.gif"):
        read(str(table(tmp_path, content)), root)


def test_an_empty_caption_in_json_is_named(root: Path, tmp_path: Path) -> None:
    path = table(tmp_path, json.dumps({"1.gif": ["a cat", " "], "2.gif": "b", "sub/3.gif": "c"}), name="c.json")
    with pytest.raises(DataError, match=r"labels\[1\]: the caption of 1.gif is empty"):
        read(str(path), root)


def test_rows_without_a_picture_are_said(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = table(tmp_path, "1.gif,a\n2.gif,b\nsub/3.gif,c\nno.gif,d\nno.gif,e\n")
    with open_source(str(root)) as source:
        wanted_captions(str(path), source, None, Console())
    assert "1 row without a picture" in " ".join(capsys.readouterr().err.split())


def test_names_and_labels_as_words(root: Path) -> None:
    named = ("photos/red_hat-012.png", "RedHat.png", "a red hat (3).jpg", "0012.png", "IMG_1.jpg")
    assert list(map(words_of_name, named)) == ["red hat", "Red Hat", "a red hat", "", "IMG"]
    with pytest.raises(DataError, match=r"3 pictures of .* have no caption"):
        read("names", root)
    assert read("labels", root, {"1.gif": "tabby_cat"}) == {"1.gif": ("tabby cat",)}
    with pytest.raises(UsageError, match="there are no labels"):
        read("labels", root)
    with pytest.raises(UsageError, match="has no captions of its own"):
        read("own", root)


def robots(dest: Path, count: int = 12, **options: object) -> PrepareResult:
    chosen = PrepareOptions(16, captions="own", workers=1, **options)  # type: ignore[arg-type]
    return prepare(f"builtin:robots:{count}", dest, chosen, QUIET, encoder=LetterEncoder())


def test_a_store_holds_each_caption_once(tmp_path: Path) -> None:
    result = robots(tmp_path / "s")
    store = Store.open(tmp_path / "s")
    captions, facts = store.captions, result.manifest.captions
    assert captions is not None
    assert facts is not None
    assert (facts.encoder, facts.texts, facts.width) == ("letters", len(captions.texts), 9)
    assert len(set(captions.texts)) == len(captions.texts)
    source = json.loads(open_source("builtin:robots:12").read_file("sentences.json"))
    assert [captions.of(image) for image in range(12)] == list(source.values())
    assert captions.vectors.dtype == np.float16
    np.testing.assert_allclose(captions.vectors.astype(np.float64).mean(axis=0), captions.centre, atol=1e-6)
    columns = captions.columns(np.arange(len(captions.texts)))
    np.testing.assert_allclose(np.linalg.norm(columns, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(columns[3:4], captions.columns(np.array([3])))  # no matter the company
    drawn = captions.drawn(np.array([2, 2, 5]), np.array([0.0, 0.999999, 0.5]))
    assert [captions.texts[place] for place in drawn[:2]] == [captions.of(2)[0], captions.of(2)[-1]]
    verify_store(tmp_path / "s", QUIET)


def test_the_same_captions_give_the_same_store_and_others_another_hash(tmp_path: Path) -> None:
    first, again = robots(tmp_path / "a"), robots(tmp_path / "b")
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    plain = prepare("builtin:robots:12", tmp_path / "c", PrepareOptions(16, workers=1), QUIET)
    assert first.manifest.content_hash == again.manifest.content_hash != plain.manifest.content_hash
    assert "captions" not in (tmp_path / "c/manifest.json").read_text()


def test_words_are_left_out_of_second_forms(tmp_path: Path) -> None:
    robots(tmp_path / "plain")
    robots(tmp_path / "s", word_dropout=0.3)
    plain, both = (Store.open(tmp_path / name).captions for name in ("plain", "s"))
    assert plain is not None
    assert both is not None
    shorter = []
    for image in range(12):
        first, all_of = plain.of(image), both.of(image)
        assert all_of[: len(first)] == first
        shorter += all_of[len(first) :]
        words = {word.strip(",") for word in " ".join(first).split()}
        assert all({word.strip(",") for word in text.split()} <= words for text in all_of)
    assert 12 < len(shorter) <= 36
    lengths = [sum(map(len, map(str.split, texts))) for texts in (plain.texts, shorter)]
    assert 0.5 < lengths[1] / len(shorter) / (lengths[0] / len(plain.texts)) < 0.9
    again = with_dropped_words({"000000.png": tuple(plain.of(0))}, 0.3)
    assert list(again["000000.png"]) == both.of(0)
    assert set(with_dropped_words({"a.png": ("hat", "a hat")}, 0.99)["a.png"]) <= {"hat", "a hat", "a"}
    assert with_dropped_words({"a.png": ("hat",)}, 0.0) == {"a.png": ("hat",)}


def test_a_damaged_file_is_found(tmp_path: Path) -> None:
    robots(tmp_path / "s")
    path = tmp_path / "s/captions.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"captions.safetensors"):
        verify_store(tmp_path / "s", QUIET)
    path.write_bytes(data[:-100])
    with pytest.raises(DataError, match=r"captions.safetensors is damaged"):
        Store.open(tmp_path / "s")
    path.unlink()
    with pytest.raises(DataError, match=r"captions.safetensors is missing"):
        Store.open(tmp_path / "s")


def test_combinations_are_held_out_and_their_words_are_not(tmp_path: Path) -> None:
    held_out = parse_held_out("white + Face 1, white + face 9")
    assert held_out.has("a white robot with body 9 and face 1")
    assert not held_out.has("a white robot with face 10")
    result = robots(tmp_path / "s", 60, hold_out="white + face 1, blue + mouth 3")
    parts = {part: Store.open(tmp_path / "s" / part) for part in ("train", "held-out")}
    assert sum(map(len, parts.values())) == 60 == result.images
    texts = {part: [" ".join(store.captions.of(place)) for place in range(len(store))] for part, store in parts.items()}  # type: ignore[union-attr]
    rule = parse_held_out("white + face 1, blue + mouth 3")
    assert texts["held-out"]
    assert all(any(map(rule.has, text.split("a ", 2)[1:2])) or rule.has(text) for text in texts["held-out"])
    assert not any(map(rule.has, texts["train"]))
    centres = [store.captions.centre for store in parts.values()]  # type: ignore[union-attr]
    np.testing.assert_array_equal(*centres)
    assert parts["train"].manifest.split == parts["held-out"].manifest.split


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hold_out": "red"}, "--hold-out: 'red' is not a combination"),
        ({"hold_out": "a + b", "split": "x:0.5,y:0.5"}, "cannot be combined with --split"),
        ({"hold_out": "a + b", "captions": None}, "held out by their captions"),
        ({"word_dropout": 0.1, "captions": None}, "left out of captions"),
        ({"word_dropout": 1.0}, "--word-dropout 1: must be from 0 to below 1"),
        ({"format": "folder"}, "a folder cannot hold captions"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        prepare("builtin:robots:3", tmp_path / "s", PrepareOptions(16, **{"captions": "own", **options}), QUIET)  # type: ignore[arg-type]


def test_a_thousand_words_are_cut_with_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [["000000.png", "long " * 1000], ["000001.png", "short"]]
    path = table(tmp_path, json.dumps({"labels": rows}), name="c.json")
    options = PrepareOptions(16, captions=str(path), workers=1)
    prepare("builtin:robots:2", tmp_path / "s", options, Console(), encoder=LetterEncoder())
    assert "only the beginning of 1 long text is used" in " ".join(capsys.readouterr().err.split())


def test_stats_count_captions(tmp_path: Path) -> None:
    robots(tmp_path / "s")
    for text in (str(tmp_path / "s"), "builtin:robots:12"):
        with open_dataset(text, 16) as source:
            stats = dataset_stats(source, PrepareOptions(16, captions="own", workers=1), QUIET)
        assert stats.captions is not None
        assert (stats.captions.all, stats.captions.fewest, stats.captions.most) == (36, 3, 3)
        assert stats.as_json()["captions"]["different"] == stats.captions.different


def test_emoji_have_names_in_words() -> None:
    source = open_source("builtin:emoji")
    assert source.caption_file is not None
    captions = json.loads(source.read_file(source.caption_file))
    assert list(captions) == [entry.name for entry in source]
    assert all(text.strip() for texts in captions.values() for text in texts)
    assert captions["1f600.png"][:1] == ["grinning face"]
    assert "waving hand, medium skin" in captions["1f44b-1f3fd.png"][0]


def test_what_sentences_name_is_heard() -> None:
    for kind in COMPOSITIONS.values():
        for index in range(60):
            chosen = kind.choose(index, 0)
            silent = {word for slot in kind.slots for word in slot.silent}
            labels = {slot: word for slot, word in kind.labels(chosen).items() if word not in silent}
            first, *others = map(kind.heard, kind.sentences(chosen))
            assert first == labels
            assert all(other.items() <= labels.items() for other in others)
        assert kind.heard("a photo of a dog") == {}


def test_sentences_name_what_is_there() -> None:
    source = open_source("builtin:cats:200", 16)
    sentences, captions = (json.loads(source.read_file(name)) for name in ("sentences.json", "captions.json"))
    for name, caption in captions["labels"]:
        whole, *partial = sentences[name]
        assert all(detail.split()[-1] in whole for detail in caption.split(", "))
        assert all(len(text) < len(whole) for text in partial)
    assert sentences["000000.png"][0] == "a cream cat with a monocle, a small mouth and a barrel collar"


def test_attributes_as_words() -> None:
    kinds = {
        "hair": "class",
        "glasses": "flag",
        "hat": "flag",
        "age": "number",
        "coat_dye": "class",
        "on": "several",
    }
    cells = ["red", "t", "-1", "-1", "dark_blue", "red_bow; scarf"]
    assert words_of_cells(kinds, dict(zip(kinds, cells, strict=True))) == (
        "red hair, glasses, age -1, dark blue coat dye, red bow and scarf on"
    )
    assert words_of_cells({"hat": "flag", "on": "several"}, {"hat": "off", "on": "none"}) == "none"
    assert words_of_cells({"hair": "class", "hat": "class"}, {"hair": "0", "hat": "No"}) == "hair 0"


def test_unknown_cells_and_left_out_columns_are_not_said(root: Path) -> None:
    rows = {"1.gif": ("nan", "img_00123", "NA", "?"), "2.gif": ("red", "img_00124", "30", "yes")}
    table = AttributeColumns("labels.csv", ["hair", "id", "age", "hat"], rows, {})
    labels = TypedColumns(table, {"hair": "class", "age": "number", "hat": "flag"})
    with open_source(str(root)) as source:
        found = wanted_captions("labels", source, labels, QUIET)
    assert found == {"1.gif": ("none",), "2.gif": ("red hair, age 30, hat",)}


def test_stores_and_stats_say_attributes_alike(tmp_path: Path) -> None:
    path = table(tmp_path, "path,hair,id\n000000.png,red,a\n000001.png,n/a,b\n000002.png,blue,c\n")
    options = PrepareOptions(16, workers=1, labels=str(path), captions="labels", label_kinds=["id=skip"])
    prepare("builtin:robots:3", tmp_path / "s", options, QUIET, encoder=LetterEncoder())
    captions = Store.open(tmp_path / "s").captions
    assert captions is not None
    assert [captions.of(place) for place in range(3)] == [["red hair"], ["none"], ["blue hair"]]
    with open_dataset("builtin:robots:3", 16) as source:
        counts = dataset_stats(source, options, QUIET).captions
    assert counts is not None
    assert counts.different == 3
