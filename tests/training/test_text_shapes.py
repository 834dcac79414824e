"""Training with texts learns what words look like; with shuffled captions it learns nothing."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from attribute_stores import FACTS

from swincli.console import Console
from swincli.data.store.captions import make_captions
from swincli.data.store.reader import Store
from swincli.data.store.store_writer import StoreWriter
from swincli.model.files.model_file import load_model
from swincli.recipe import Recipe
from swincli.synthesis.latents.texts import read_texts
from swincli.synthesis.sampling import generate
from swincli.training.loop import train
from swincli.training.run.folder import RunFolder

COLOURS = {
    "red": (220, 20, 20), "green": (20, 190, 20), "blue": (30, 30, 230), "yellow": (225, 215, 20),
    "black": (10, 10, 10), "pink": (225, 30, 220), "cyan": (20, 210, 220), "grey": (130, 130, 130),
}  # fmt: skip
MIDDLE = abs(np.arange(8) - 3.5) < 1.5
SHAPES = {
    "square": np.ones((8, 8), bool),
    "cross": np.add.outer(MIDDLE, MIDDLE),
    "ring": np.pad(np.zeros((4, 4), bool), 2, constant_values=True),
    "bar": np.tile(MIDDLE[:, None], 8),
    "triangle": np.tri(8, dtype=bool),
    "pillars": np.tile(~MIDDLE, (8, 1)),
}
PLACES = {"top left": (0, 0), "top right": (0, 8), "bottom left": (8, 0), "bottom right": (8, 8), "middle": (4, 4)}
WORDS = {word: number for number, word in enumerate((*COLOURS, *SHAPES, *PLACES))}
HELD_OUT = {("red", "cross"), ("blue", "square")}
ALL = list(product(COLOURS, SHAPES, PLACES))
SEEN = [each for each in ALL if each[:2] not in HELD_OUT]
UNSEEN = [each for each in ALL if each[:2] in HELD_OUT]
KEYS = (
    f"model.attributes={{caption = 'text:{len(WORDS)}'}}", "model.latent_dim=32", "model.mapping_layers=1",
    "model.g_width=48", "model.d_width=48", "model.g_multiplier=1", "model.d_multiplier=1", "model.adain_gamma=1",
    "model.spectral_norm=false", "loss.r1_gamma=0.5", "loss.r1_interval=16", "loss.matching=0.5", "train.batch=16",
    "train.g_lr=2e-3", "train.d_lr=2e-3", "train.clip=0", "ema.half_life=1k", "ema.ramp=0.1", "run.snapshot=4k",
    "run.samples=4k", "run.log=4k",
)  # fmt: skip


def draw(colour: str, shape: str, place: str) -> np.ndarray:
    pixels, (top, left) = np.full((16, 16, 3), 255, np.uint8), PLACES[place]
    pixels[top : top + 8, left : left + 8][SHAPES[shape]] = COLOURS[colour]
    return pixels


def vector(words: tuple[str, ...]) -> np.ndarray:
    found = np.zeros(len(WORDS), np.float32)
    found[[WORDS[word] for word in words]] = 3**-0.5
    return found


def read(pixels: np.ndarray) -> tuple[str, ...]:
    """The picture that is most alike, by its words."""
    return min(ALL, key=lambda each: float(np.square(draw(*each).astype(float) - pixels).mean()))


def shapes_store(path: Path, *, shuffled: bool) -> Store:
    random = np.random.default_rng(0)
    chosen = [SEEN[number] for number in random.integers(len(SEEN), size=4000)]
    said = [chosen[number] for number in random.permutation(len(chosen))] if shuffled else chosen
    path.mkdir()
    with StoreWriter(path, 16) as writer:
        for each in chosen:
            noisy = draw(*each).astype(int) + random.integers(-12, 13, (16, 16, 3))
            writer.add(noisy.clip(0, 255).astype(np.uint8))
        vectors = {" ".join(each): vector(each) for each in SEEN}
        captions = make_captions([(" ".join(each),) for each in said], vectors, "words", "0" * 64)
        writer.finish(None, FACTS, captions=captions)
    return Store.open(path)


def accuracy(model: Path, wanted: list[tuple[str, str, str]], seeds: int = 6) -> list[float]:
    """Share of images with the right colour, shape and place."""
    loaded = load_model(model, torch.device("cpu"))
    assert loaded.attributes is not None
    known = loaded.attributes.texts
    assert known is not None
    columns = torch.from_numpy(known.columns(np.stack([vector(each) for each in wanted])))
    labels = columns.repeat_interleave(seeds, dim=0)
    images = torch.cat(list(generate(loaded, list(range(len(labels))), labels=labels, batch=64))).numpy()
    found = [read(image.astype(float)) for image in images]
    right = [
        [one == other for one, other in zip(a, b, strict=True)]
        for a, b in zip(found, wanted_of(wanted, seeds), strict=True)
    ]
    return np.mean(right, axis=0).tolist()


def wanted_of(wanted: list[tuple[str, str, str]], seeds: int) -> list[tuple[str, str, str]]:
    return [each for each in wanted for _ in range(seeds)]


@pytest.mark.slow
def test_words_are_learnt(tiny_recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    """Of 240 descriptions, also of pairs of colour and shape that training lacks, most of each word is drawn."""
    store = shapes_store(tmp_path / "store", shuffled=False)
    recipe = tiny_recipe(*KEYS, "train.total=44k")
    train(recipe, store, tmp_path / "run", torch.device("cpu"), Console(quiet=True), resume=True)
    model = RunFolder(tmp_path / "run").model(44_000)
    assert min(accuracy(model, SEEN, 2)) > 0.9
    assert min(accuracy(model, UNSEEN, 12)) > 0.6
    caption = " ".join(SEEN[0])
    (text,) = read_texts(load_model(model, torch.device("cpu")), [caption])
    assert text.nearest[0] == (caption, pytest.approx(1, abs=1e-3))


@pytest.mark.slow
def test_shuffled_captions_say_nothing(tiny_recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    store = shapes_store(tmp_path / "store", shuffled=True)
    train(
        tiny_recipe(*KEYS, "train.total=8k"),
        store,
        tmp_path / "run",
        torch.device("cpu"),
        Console(quiet=True),
        resume=True,
    )
    right = accuracy(RunFolder(tmp_path / "run").model(8_000), SEEN, 2)
    chance = [1 / len(words) for words in (COLOURS, SHAPES, PLACES)]
    assert all(share < by_chance + 0.1 for share, by_chance in zip(right, chance, strict=True))
