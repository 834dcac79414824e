"""Models whose D looked through a pretrained network: their values by that network, or by one like it, mean less.

A D on ImageNet features lowers FID by Inception without making pictures better for people (Kynkäänniemi et al., ICLR
2023).
"""

from __future__ import annotations

from collections.abc import Sequence

from swincli.errors import UsageError
from swincli.metrics.networks.detectors import Detector
from swincli.metrics.networks.weight_files import INCEPTION_LEARNED_FROM, KNOWN_NAMES
from swincli.metrics.protocol import FakesRecord, NetworkRecord
from swincli.model.discriminators.frozen_features import BACKBONES
from swincli.model.files.ancestry import Ancestor
from swincli.model.files.judged import judge_behind
from swincli.model.pretrained import efficientnet
from swincli.recipe import Recipe


def judge_of(recipe: Recipe, ancestors: Sequence[Ancestor]) -> NetworkRecord | None:
    """The pretrained network that the D of a model, or of the latest of its ancestors that had one, looked through."""
    found = judge_behind(recipe, ancestors)
    return None if found is None else NetworkRecord(*found)


def check_judge(fakes: FakesRecord, detector: Detector) -> None:
    """Refuse to measure a model by the network that its D looked through.

    Raises:
        UsageError: it is that network.
    """
    if _is_judge(fakes, detector):
        raise UsageError(
            f"--detector: the model was trained against features of {detector.name}, so a distance in them is void",
            "Use --detector inception, or --force to measure it all the same.",
        )


def judge_cautions(fakes: FakesRecord, detector: Detector) -> list[str]:
    """What to know about values of a model whose D looked through a pretrained network."""
    if fakes.judged_by is None:
        return []
    judge = fakes.judged_by.name
    if _is_judge(fakes, detector):
        return [f"the model was trained against features of {judge}: these values say nothing about its pictures"]
    pictures = _learned_from(fakes.judged_by.sha256, judge)
    if pictures is None or pictures != _learned_from(detector.sha256, detector.name):
        return []
    learned = f"the model was trained against {judge}, which learned from {pictures} as {detector.name} did"
    return [
        f"{learned}: see KID and pr too, and a detector that did not learn from it; FID is better than the pictures"
    ]


def probe_cautions(fakes: FakesRecord, metrics: Sequence[str]) -> list[str]:
    """What to know about the values of metrics whose classifiers see features of the network that D looked through.

    They are not refused: a classifier is fitted on real images and asked which label it sees, so they are no distance
    in these features.
    """
    judge = fakes.judged_by
    if not metrics or judge is None or judge.sha256 != efficientnet.WEIGHTS.sha256:
        return []
    classifiers = f"the classifiers of {' and '.join(metrics)} see features of {judge.name}"
    return [f"{classifiers}, which the model was trained against too: the accuracy may flatter it"]


def _learned_from(sha256: str, name: str) -> str | None:
    """The pictures that a network learned from; None if they are not known. Of other weights, the name counts."""
    if sha256 in KNOWN_NAMES:
        return INCEPTION_LEARNED_FROM
    backbones = BACKBONES.values()
    found = (each.learned_from for each in backbones if sha256 == each.weights.sha256 or name == each.weights.network)
    return next(found, None)


def _is_judge(fakes: FakesRecord, detector: Detector) -> bool:
    return fakes.judged_by is not None and fakes.judged_by.sha256 == detector.sha256
