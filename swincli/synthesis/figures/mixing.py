"""Style mixing: images with some codes of one seed and the rest of another (Karras et al., 2019, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from swincli.errors import UsageError
from swincli.model.files.model_file import Model
from swincli.synthesis.figures.labelled_grid import GridLabels
from swincli.synthesis.latents.layer_ranges import format_code_layers
from swincli.synthesis.latents.truncation import Truncation
from swincli.synthesis.sample_set import SampleInfo, SampleSet, Wanted, codes_of_samples, describe_seeds
from swincli.units import parse_seeds

DEFAULT_LAYERS = "coarse"


@dataclass(frozen=True)
class Mix:
    """Row seeds, column seeds, and the codes taken from the columns, as text for `parse_code_layers`."""

    rows: list[int]
    columns: list[int]
    layers: str


@dataclass(frozen=True)
class MixGrid:
    """Layout of a mix: image indices row by row (None for an empty place), number of columns, and labels."""

    places: list[int | None]
    columns: int
    labels: GridLabels


def parse_mix(text: str) -> Mix:
    """Parse "1,5:9,12@middle": rows 1 and 5, columns 9 and 12. Without "@" the columns give the coarse codes.

    Raises:
        ValueError: the text cannot be parsed; the message is complete.
    """
    seeds, at, layers = text.partition("@")
    rows, colon, columns = seeds.partition(":")
    if not colon or ":" in columns:
        raise ValueError("row seeds and column seeds are needed, separated by one colon, such as 1,5:9,12@middle")
    if at and not layers.strip():
        raise ValueError("no layers after @; add coarse, middle, fine or numbers such as 0-3,7")
    return Mix(parse_seeds(rows), parse_seeds(columns), layers if at else DEFAULT_LAYERS)


def mix_codes(base: Tensor, other: Tensor, layers: Sequence[int]) -> Tensor:
    """Copy w+ `[N, L, latent_dim]` of `base`, with the codes of some layers taken from `other`."""
    mixed = base.clone()
    mixed[:, list(layers)] = other[:, list(layers)]
    return mixed


def mix_samples(
    model: Model, mix: Mix, layers: Sequence[int], wanted: Wanted, truncation: Truncation
) -> tuple[SampleSet, MixGrid]:
    """The images of a mix and their grid: first the image of each seed, then each row seed with each column's codes.

    Raises:
        UsageError: the model has no such class or is unconditional, or several classes are given.
    """
    sources = list(dict.fromkeys(mix.rows + mix.columns))
    named = describe_seeds(model, sources, wanted)
    if len(named) > len(sources):
        raise UsageError(f"--class, --label: {wanted}: --mix takes one class or value", "Give one, or none.")
    rows, columns = [[sources.index(seed) for seed in seeds] for seeds in (mix.rows, mix.columns)]
    pairs = [(index, index) for index in range(len(sources))] + [(row, column) for row in rows for column in columns]

    def codes(chosen: Sequence[int]) -> Tensor:
        base, other = (
            codes_of_samples(model, named, [pairs[index][side] for index in chosen], truncation) for side in (0, 1)
        )
        return mix_codes(base, other, layers)

    sharing = [pair[0 in layers] for pair in pairs]  # the seed of the first code
    samples = SampleSet(_describe_pairs(named, pairs, layers), codes, sharing)
    return samples, _grid(named, rows, columns, layers)


def _describe_pairs(named: SampleInfo, pairs: list[tuple[int, int]], layers: Sequence[int]) -> SampleInfo:
    """Names of the source images and then of the pairs; a pair has the class of its row."""
    mixed = pairs[len(named) :]
    seeds, at = named.seeds, format_code_layers(layers)
    origins = [f"mix={seeds[row]}:{seeds[column]}@{at}" for row, column in mixed]
    if named.labels is not None:
        what = "class" if named.label_texts is None else "labels"
        origins = [f"{text} column-{what}={named.label(pair[1])}" for text, pair in zip(origins, mixed, strict=True)]
    rows = [row for row, _ in pairs]
    return SampleInfo(
        stems=named.stems + [f"{named.stems[row]}-mix-{seeds[column]:06d}" for row, column in mixed],
        origins=named.origins + origins,
        captions=named.captions + [f"{seeds[row]} with {seeds[column]}" for row, column in mixed],
        seeds=[],
        labels=None if named.labels is None else named.labels[rows],
        class_names=None if named.class_names is None else [named.class_names[row] for row in rows],
        label_texts=None if named.label_texts is None else [named.label_texts[row] for row in rows],
    )


def _grid(named: SampleInfo, rows: list[int], columns: list[int], layers: Sequence[int]) -> MixGrid:
    places: list[int | None] = [None, *columns]
    for number, row in enumerate(rows):
        first = len(named) + number * len(columns)
        places += [row, *range(first, first + len(columns))]
    labels = GridLabels(
        title=f"Codes {format_code_layers(layers)} from the columns, the rest from the rows",
        rows=["", *(named.captions[row] for row in rows)],
        columns=["", *(named.captions[column] for column in columns)],
    )
    return MixGrid(places, len(columns) + 1, labels)
