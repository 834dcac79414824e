"""Sets of images to generate: file names, captions and notes of each image, and its codes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from swincli.data.sources.naming import printable
from swincli.errors import UsageError
from swincli.model.files.attributes import Attributes
from swincli.model.files.model_file import Model
from swincli.synthesis.latents.attributes import draw_attributes
from swincli.synthesis.latents.classes import class_caption, draw_labels
from swincli.synthesis.latents.codes import codes_of_latents, codes_of_seeds, z_from_seeds
from swincli.synthesis.latents.edits import Edits
from swincli.synthesis.latents.files import Latents, LatentSpace
from swincli.synthesis.latents.label_settings import label_caption, parse_labels, spell_labels
from swincli.synthesis.latents.texts import Text, require_texts, text_name
from swincli.synthesis.latents.truncation import Truncation
from swincli.synthesis.sampling import render_all, reuse_batch, sampling_batch


@dataclass(frozen=True)
class SampleInfo:
    """Names and labels of N images.

    Attributes:
        stems: File names without a suffix.
        origins: Source of each image, for the note in its file: "seed=12", "latents=codes.npz#3 code=6d2f0c1b9a3e".
        captions: The same for people, in ASCII: "seed 12".
        seeds: One per image; empty for codes of a file and for mixed codes.
        labels: int64 `[N]` or float32 `[N, columns]`; None for an unconditional model and for codes of a file.
        class_names: One per image; None if there are no classes.
        label_texts: What each image's attributes are, such as "age=30,hair=red"; None if there are none.
    """

    stems: list[str]
    origins: list[str]
    captions: list[str]
    seeds: list[int]
    labels: Tensor | None = None
    class_names: list[str] | None = None
    label_texts: list[str] | None = None

    def __len__(self) -> int:
        return len(self.stems)

    def label(self, index: int) -> int | str | None:
        """The class of one image, or its attributes in words; None if there are no labels."""
        if self.label_texts is not None:
            return self.label_texts[index]
        return None if self.labels is None else int(self.labels[index])

    def label_row(self, index: int) -> Tensor | None:
        """The labels of one image, `[1]` or `[1, columns]`; None if there are no labels."""
        return None if self.labels is None else self.labels[index : index + 1]


@dataclass(frozen=True)
class SampleSet:
    """N images to generate.

    Attributes:
        named: Their names and labels.
        codes: Maps B indices to the images' w+ `[B, L, latent_dim]` on the model's device.
        sharing: A number per image. Images of one number share their first codes; None if no images do.
    """

    named: SampleInfo
    codes: Callable[[Sequence[int]], Tensor]
    sharing: Sequence[int] | None = None

    def __len__(self) -> int:
        return len(self.named)

    def batch(self, model: Model) -> int:
        """Number of images per forward pass where the user gives none."""
        choose = sampling_batch if self.sharing is None else reuse_batch
        return choose(model.recipe.model, model.device)

    def in_order(self, chosen: Sequence[int]) -> Sequence[int]:
        """Some images by index, in the order in which to draw them: those that share codes one after another."""
        sharing = self.sharing
        return chosen if sharing is None else sorted(chosen, key=lambda index: sharing[index])


Wanted = str | Sequence[str] | None
"""Labels that a user wants: the text of --class, the texts of --label, or None for drawn ones."""


def describe_seeds(model: Model, seeds: list[int], wanted: Wanted) -> SampleInfo:
    """Names of the images of seeds: seed-000012. `wanted` names their labels; those that it leaves out are drawn.

    With several classes, each seed gives one image per class, class by class: seed-000012-class-003. The same for an
    attribute that takes several values in turn: seed-000012-hair-003.

    Raises:
        UsageError: the model has no such class, attribute or value, or is unconditional.
    """
    classes, text = model.classes, wanted if isinstance(wanted, str) else None
    if model.attributes is not None:
        if text is not None:
            raise UsageError(f"--class {text}: {model.path} has attributes, not classes", "Use --label NAME=VALUE.")
        return _describe_attributes(model.attributes, seeds, wanted or ())
    if wanted is not None and text is None:
        hint = "Leave --label out." if classes is None else "It has classes: use --class."
        raise UsageError(f"--label {','.join(wanted)}: {model.path} has no attributes", hint)
    if classes is None:
        if text is not None:
            raise UsageError(f"--class {text}: {model.path} is an unconditional model", "Leave --class out.")
        return _seed_info(seeds, [f"seed-{seed:06d}" for seed in seeds], [f"seed {seed}" for seed in seeds])
    chosen = classes.find(text) if text is not None else []
    labels = torch.tensor(chosen).repeat_interleave(len(seeds)) if chosen else draw_labels(seeds, classes.even)
    repeated, numbers = seeds * max(1, len(chosen)), labels.tolist()
    names = [classes.names[label] for label in numbers]
    stems = [f"seed-{seed:06d}" for seed in repeated]
    if len(chosen) > 1:
        stems = [f"{stem}-class-{label:03d}" for stem, label in zip(stems, numbers, strict=True)]
    captions = [f"seed {seed}, {class_caption(model, label)}" for seed, label in zip(repeated, numbers, strict=True)]
    return replace(_seed_info(repeated, stems, captions), labels=labels, class_names=names)


def _describe_attributes(attributes: Attributes, seeds: list[int], texts: Sequence[str]) -> SampleInfo:
    settings = parse_labels(attributes, texts)
    rows, stems = draw_attributes(attributes, seeds, settings.values), [f"seed-{seed:06d}" for seed in seeds]
    named = list(settings.values)
    one = next((each for each in attributes.each if each.name == settings.turn), None)
    if one is not None:
        stems = [f"{stem}-{one.name}-{number:03d}" for number in range(len(settings.turns)) for stem in stems]
        rows = rows.repeat(len(settings.turns), 1)
        rows[:, attributes.places[one.name]] = torch.stack(list(settings.turns)).repeat_interleave(len(seeds), dim=0)
        seeds, named = seeds * len(settings.turns), [*named, one.name]
    shown = [each for each in attributes.each if each.name in named]
    captions = [f"seed {seed}{label_caption(attributes, shown, row)}" for seed, row in zip(seeds, rows, strict=True)]
    if one is not None:  # what differs from row to row comes first: long captions are cut at their end
        short = [label_caption(attributes, [one], row).removeprefix(", ") for row in rows]
        if one.kind.name == "class":
            short = [text.removeprefix(f"{one.name} ") for text in short]
        captions = [f"{text}, seed {seed}" for text, seed in zip(short, seeds, strict=True)]
    texts_of_rows = [spell_labels(attributes, row) for row in rows]
    return replace(_seed_info(seeds, stems, captions), labels=rows, label_texts=texts_of_rows)


def _seed_info(seeds: list[int], stems: list[str], captions: list[str]) -> SampleInfo:
    return SampleInfo(stems, [f"seed={seed}" for seed in seeds], captions, seeds)


def describe_texts(model: Model, seeds: list[int], texts: Sequence[Text], wanted: Wanted = None) -> SampleInfo:
    """Names and labels of the images of seeds with texts: each seed gives one image per text, text by text.

    With several texts they are called seed-000012-text-003. Other attributes are those of `wanted`, or drawn for each
    seed, as they occur in training with such a text.

    Raises:
        UsageError: the model has no texts, no such attribute or value, or `wanted` names classes or values in turn.
    """
    attributes, _ = require_texts(model, "--text")
    settings = parse_labels(attributes, () if wanted is None or isinstance(wanted, str) else wanted)
    if isinstance(wanted, str) or settings.turn is not None:
        raise UsageError("--text: cannot be combined with --class, or several values of a label", "Name one value.")
    name, pairs = text_name(attributes), [(number, seed) for number in range(len(texts)) for seed in seeds]
    words = [text.text if text.text.isascii() else f"text {number}" for number, text in enumerate(texts)]
    ends = [f"-text-{number:03d}" if len(texts) > 1 else "" for number in range(len(texts))]
    rows = [draw_attributes(attributes, seeds, {**settings.values, name: text.columns}) for text in texts]
    return SampleInfo(
        stems=[f"seed-{seed:06d}{ends[number]}" for number, seed in pairs],
        origins=[f"seed={seed} text={json.dumps(texts[number].text)}" for number, seed in pairs],
        captions=[f"seed {seed}, {words[number]}" for number, seed in pairs],
        seeds=[seed for _, seed in pairs],
        labels=torch.cat(rows),
        label_texts=[spell_labels(attributes, row) for row in torch.cat(rows)],
    )


def seed_samples(
    model: Model, seeds: list[int], wanted: Wanted, truncation: Truncation, texts: Sequence[Text] | None = None
) -> SampleSet:
    """Images of seeds, with the labels that are wanted, or with texts; see `describe_seeds` and `describe_texts`.

    Raises:
        UsageError: the model has no such class, is unconditional, or has no texts.
    """
    named = describe_seeds(model, seeds, wanted) if texts is None else describe_texts(model, seeds, texts, wanted)
    return SampleSet(named, lambda chosen: codes_of_samples(model, named, chosen, truncation))


def codes_of_samples(model: Model, named: SampleInfo, chosen: Sequence[int], truncation: Truncation) -> Tensor:
    """The w+ of some images of seeds, by index, `[B, L, latent_dim]`."""
    labels = None if named.labels is None else named.labels[list(chosen)]
    return codes_of_seeds(model, [named.seeds[index] for index in chosen], truncation, labels)


def latent_samples(model: Model, latents: Latents, path: Path, truncation: Truncation) -> SampleSet:
    """Images of the codes of a file: latent-0000, latent-0001, ...

    Raises:
        UsageError: z for a conditional model, whose w also depends on the class.
    """

    def codes(chosen: Sequence[int]) -> Tensor:
        return codes_of_latents(model, Latents(latents.space, latents.values[list(chosen)]), truncation)

    codes([0])  # raises the UsageError before anything is written
    numbers = range(len(latents))
    named = SampleInfo(
        stems=[f"latent-{number:04d}" for number in numbers],
        origins=[f"latents={printable(path.name)}#{number} code={_hash(latents.values[number])}" for number in numbers],
        captions=[f"code {number}" for number in numbers],
        seeds=[],
    )
    return SampleSet(named, codes)


def edited_samples(samples: SampleSet, edits: Edits) -> SampleSet:
    """The images moved by the first list of edits."""
    steps = edits.steps[0]
    return replace(samples, codes=lambda chosen: edits.editor.move(samples.codes(chosen), steps))


def _hash(code: Tensor) -> str:
    """A short hash of a code: files with the same name may hold different codes."""
    return hashlib.sha256(code.numpy().tobytes()).hexdigest()[:12]


def render_samples(
    model: Model, samples: SampleSet, chosen: Sequence[int], batch: int | None, preview: int | None = None
) -> Iterator[Tensor]:
    """Generate some images by index, in the given order: batches uint8 `[B, H, W, 3]` on the CPU.

    An image does not depend on the other images of its batch beyond rounding: no channel differs by more than one level
    of 255. `preview` as in `render_all`.
    """
    codes = map(samples.codes, _batches(chosen, batch or samples.batch(model)))
    yield from render_all(model, codes, late=None if samples.sharing is None else False, preview=preview)


def collect_latents(model: Model, samples: SampleSet, space: LatentSpace) -> Latents:
    """The codes of all images, on the CPU: w+ and w after truncation and mixing, or the z of their seeds.

    Raises:
        UsageError: codes of this kind do not define the images: z for codes of a file, mixed codes or a conditional
            model; w if the codes of an image differ from layer to layer.
    """
    seeds = samples.named.seeds
    if space == "z":
        if not seeds or samples.named.labels is not None:
            raise UsageError("--save-space z: z defines only the images of seeds of an unconditional model")
        return Latents("z", z_from_seeds(seeds, model.recipe.model.latent_dim))
    parts = [samples.codes(part).cpu() for part in _batches(range(len(samples)), 256)]
    w_plus = torch.cat(parts)
    if space == "w_plus":
        return Latents("w_plus", w_plus)
    if not torch.equal(w_plus, w_plus[:, :1].expand_as(w_plus)):
        raise UsageError("--save-space w: the codes of an image differ from layer to layer", "Save w_plus.")
    return Latents("w", w_plus[:, 0])


def _batches(indices: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (indices[start : start + size] for start in range(0, len(indices), size))
