"""What a reader of a report is told to know."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from swincli.publishing.cautions import cautions_of
from swincli.publishing.run_facts import RunFacts, read_facts
from swincli.training.run.environment import Session as EnvironmentSession
from swincli.training.run.session import Session


@pytest.fixture(scope="module")
def facts(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFacts:
    """A finished run without metrics."""
    return read_facts(Path(shutil.copytree(trained_run, tmp_path_factory.mktemp("run") / "a")))


def test_a_finished_run(facts: RunFacts) -> None:
    told = cautions_of(facts)
    assert told[0] == "Nothing was measured: how good the images are is left to the eye."
    assert any(text.startswith("There are 10 training images") for text in told)
    assert len(told) == 2


@pytest.mark.parametrize(
    ("alive", "saved", "words"),
    [
        (True, 4, "The run goes on"),
        (False, 4, "The last session was killed"),
        (None, 4, "The run was stopped before its end"),
        (True, None, "The run is starting"),
    ],
)
def test_a_run_before_its_end(facts: RunFacts, alive: bool | None, saved: int | None, words: str) -> None:
    session = None if alive is None else Session("host", 1, "2026-11-28T22:00:00+00:00", 0.0, alive, 0.0)
    told = cautions_of(replace(facts, observed=replace(facts.observed, session=session, saved=saved, quiet=0.0)))
    assert told[0].startswith(words)


def test_what_training_warned_of_is_found_again_in_its_statistics(facts: RunFacts) -> None:
    lines = [
        {"images_seen": seen, "samples/diversity": 0.2 if seen < 6 else 0.01, "d/real_sign": 0.99} for seen in range(9)
    ]
    told = cautions_of(replace(facts, stats=lines))
    assert sum(text.startswith("After ") for text in told) == 2


def test_generated_training_images_and_other_machines(facts: RunFacts) -> None:
    assert facts.manifest is not None
    manifest = facts.manifest.model_copy(update={"generated": {"trainedAlgorithmicMedia": 3}, "upscaled": 2})
    environment = [*facts.environment, EnvironmentSession("2026-11-29", {"torch": "3", "cpu": "other"})]
    told = " ".join(cautions_of(replace(facts, manifest=manifest, environment=environment)))
    assert "3 of its 10 training images say that a trained algorithm made them" in told
    assert "2 training images were smaller" in told
    assert "changed between sessions: cpu, torch" in told
    assert "There is no environment.txt" in " ".join(cautions_of(replace(facts, environment=[])))
