"""What a reader should know before trusting a run: signs of overfitting, few images, gaps in the record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from swincli.publishing.run_facts import RunFacts, number
from swincli.training.run.overfitting import OverfittingSigns
from swincli.units import format_names

FEW_FAKES: Final = 10_000  # FID of fewer is strongly biased
FEW_IMAGES: Final = 1_000  # of a training set


def cautions_of(facts: RunFacts) -> list[str]:
    """Sentences, the gravest first; empty if there is nothing to say."""
    return [text for caution in CAUTIONS for text in caution(facts)]


def _state(facts: RunFacts) -> list[str]:
    words = {
        "killed": "The last session was killed; the run goes on from its newest state.",
        "silent": "The run has given no sign of life for a while.",
        "stopped": "The run was stopped before its end: all figures are those of a part of the training.",
        "running": "The run goes on: all figures are of the moment of this report.",
        "starting": "The run is starting: there is little to see yet.",
    }
    return [words[facts.observed.state]] if facts.observed.state in words else []


def _overfitting(facts: RunFacts) -> list[str]:
    """The warnings that training gave: they follow from the lines of stats.jsonl alone."""
    signs, told = OverfittingSigns(), []
    for record in facts.stats:
        seen = number(record, "images_seen")
        values = {name: value for name in record if (value := number(record, name)) is not None}
        if seen is not None:
            told += signs.add(values, int(seen), facts.recipe)
    return [text[:1].upper() + text[1:] for text in told]


def _metrics(facts: RunFacts) -> list[str]:
    if facts.metrics is None:
        return ["Nothing was measured: how good the images are is left to the eye."]
    found = []
    few = [number for record in facts.protocols if isinstance(number := record["protocol"]["fakes"].get("num"), int)]
    if few and few[-1] < FEW_FAKES:
        found.append(
            f"Measured with {few[-1]:,} generated images: FID is biased upwards with so few, and compares only with "
            "values of the same number."
        )
    if any(record["protocol"]["fakes"].get("judged_by") for record in facts.protocols):
        found.append(
            "The discriminator looked at features of a network that was trained on ImageNet, which flatters metrics of "
            "similar networks (Kynkäänniemi et al., 2023)."
        )
    for row in facts.rows:
        if row.best is not None and row.interval is not None:
            value, seen = row.best
            if not row.interval[0] <= value <= row.interval[1]:
                found.append(
                    f"The model after {seen:,} images has a better {row.name} ({value:.4g}) than the newest one "
                    f"({row.value:.4g})."
                )
    newest = max((entry.images_seen or 0 for entry in facts.metrics.measurements), default=0)
    if newest < facts.observed.images_seen:
        found.append(f"The newest measurement is of the model after {newest:,} images, and the run is further.")
    return found


def _data(facts: RunFacts) -> list[str]:
    if facts.manifest is None:
        return [f"The store of its images cannot be read ({facts.store_problem})."]
    found = []
    generated = facts.manifest.generated_images
    if generated:
        found.append(
            f"{generated:,} of its {facts.manifest.images:,} training images say that a trained algorithm made them."
        )
    if facts.manifest.images < FEW_IMAGES:
        found.append(f"There are {facts.manifest.images:,} training images: look for copies of them among the samples.")
    if facts.manifest.upscaled:
        found.append(f"{facts.manifest.upscaled:,} training images were smaller than the resolution and were enlarged.")
    return found


def _environment(facts: RunFacts) -> list[str]:
    if not facts.environment:
        return ["There is no environment.txt: the run was begun by an older version, or the file could not be written."]
    changed = sorted({name for session in facts.environment[1:] for name in session.values})
    if changed:
        return [f"Software or hardware changed between sessions: {format_names(changed)}."]
    return []


CAUTIONS: Final[tuple[Callable[[RunFacts], list[str]], ...]] = (_state, _overfitting, _metrics, _data, _environment)
"""A new caution is a row: a function from the facts to sentences."""
