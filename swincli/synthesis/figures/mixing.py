"""Style mixing: images that have some codes of one seed, and the rest of another (Karras et al., 2019, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from swincli.errors import UsageError
from swincli.model.files.model_file import Model
from swincli.synthesis.figures.labelled_grid import Words
from swincli.synthesis.latents.classes import name_images
from swincli.synthesis.latents.codes import codes_of_seeds
from swincli.synthesis.latents.layer_ranges import format_code_layers
from swincli.synthesis.latents.named_images import Drawing, NamedImages
from swincli.synthesis.latents.truncation import Truncation
from swincli.units import parse_seeds

USUAL_LAYERS = "coarse"


@dataclass(frozen=True)
class Mix:
    """Seeds of the rows, seeds of the columns, and which codes the columns give, as `parse_code_layers` reads it."""

    rows: list[int]
    columns: list[int]
    layers: str


@dataclass(frozen=True)
class MixPage:
    """Where the images of a mix lie on its page: indices row by row, None for an empty place."""

    places: list[int | None]
    columns: int
    words: Words


def parse_mix(text: str) -> Mix:
    """Read "1,5:9,12@middle": rows 1 and 5, columns 9 and 12; without @ the columns give the coarse codes.

    Raises:
        ValueError: it says something else; the message stands alone.
    """
    seeds, at, layers = text.partition("@")
    rows, colon, columns = seeds.partition(":")
    if not colon or ":" in columns:
        raise ValueError("seeds of rows and of columns are wanted, with one colon between; write 1,5:9,12@middle")
    if at and not layers.strip():
        raise ValueError("after @ there are no layers; write coarse, middle, fine or 0-3,7")
    return Mix(parse_seeds(rows), parse_seeds(columns), layers if at else USUAL_LAYERS)


def mix_codes(base: Tensor, other: Tensor, layers: Sequence[int]) -> Tensor:
    """w+ `[N, L, latent_dim]` of `base`, but for the codes of some layers, which are those of `other`."""
    mixed = base.clone()
    mixed[:, list(layers)] = other[:, list(layers)]
    return mixed


def draw_mix(
    model: Model, mix: Mix, layers: Sequence[int], of_class: str | None, truncation: Truncation
) -> tuple[Drawing, MixPage]:
    """The images of all seeds, then every row's seed with some codes of every column's, and the page of all of them.

    Raises:
        UsageError: the model has no such class, none at all, or several are asked for.
    """
    sources = list(dict.fromkeys(mix.rows + mix.columns))
    named = name_images(model, sources, of_class)
    if len(named) > len(sources):
        raise UsageError(f"--class {of_class}: a mix is of one class", "Name one, or none.")
    rows, columns = [[sources.index(seed) for seed in seeds] for seeds in (mix.rows, mix.columns)]
    pairs = [(index, index) for index in range(len(sources))] + [(row, column) for row in rows for column in columns]

    def codes(chosen: Sequence[int]) -> Tensor:
        base, other = ([pairs[index][side] for index in chosen] for side in (0, 1))
        return mix_codes(_codes(model, named, base, truncation), _codes(model, named, other, truncation), layers)

    return Drawing(_name(named, pairs, layers), codes), _page(named, rows, columns, layers)


def _codes(model: Model, named: NamedImages, chosen: Sequence[int], truncation: Truncation) -> Tensor:
    labels = None if named.labels is None else named.labels[list(chosen)]
    return codes_of_seeds(model, [named.seeds[index] for index in chosen], truncation, labels)


def _name(named: NamedImages, pairs: list[tuple[int, int]], layers: Sequence[int]) -> NamedImages:
    """Names of the sources and, after them, of the pairs; a pair is of its row's class."""
    mixed = pairs[len(named) :]
    seeds, at = named.seeds, format_code_layers(layers)
    origins = [f"mix={seeds[row]}:{seeds[column]}@{at}" for row, column in mixed]
    if named.labels is not None:
        origins = [f"{text} column-class={named.label(pair[1])}" for text, pair in zip(origins, mixed, strict=True)]
    rows = [row for row, _ in pairs]
    return NamedImages(
        stems=named.stems + [f"{named.stems[row]}-mix-{seeds[column]:06d}" for row, column in mixed],
        origins=named.origins + origins,
        captions=named.captions + [f"{seeds[row]} with {seeds[column]}" for row, column in mixed],
        seeds=[],
        labels=None if named.labels is None else named.labels[rows],
        class_names=None if named.class_names is None else [named.class_names[row] for row in rows],
    )


def _page(named: NamedImages, rows: list[int], columns: list[int], layers: Sequence[int]) -> MixPage:
    places: list[int | None] = [None, *columns]
    for number, row in enumerate(rows):
        first = len(named) + number * len(columns)
        places += [row, *range(first, first + len(columns))]
    words = Words(
        title=f"Codes {format_code_layers(layers)} from the columns, the rest from the rows",
        rows=["", *(named.captions[row] for row in rows)],
        columns=["", *(named.captions[column] for column in columns)],
    )
    return MixPage(places, len(columns) + 1, words)
