"""Manifold entropy estimation (MEE; Liu et al., AAAI 2023) for a discriminator with one logit.

The code of an image is D's hidden vector, scaled to length 1. 1 - cosine takes the place of the squared distance, as
the authors advise for large networks. Blends are convex.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from swincli.model.discriminators.epilogue import LAST_RESOLUTION
from swincli.recipe import Recipe
from swincli.training.losses.memory import Remembered, Step, scalar
from swincli.training.losses.phases import DPhase, GPhase, Setting
from swincli.training.losses.views import View, hidden_only

JITTER = 0.001  # of DLLE's images
TARGET_NOISE = 0.05  # of DIsoMap's targets, as a share of the root mean square of a code
SMALLEST = 1e-8  # of a distance, before its logarithm


def dlle(phase: DPhase) -> Tensor:
    """Local structure: the code of an image is that of the image flipped and with a little noise, for both sides.

    The whole batch is flipped along one random axis. The changed images' codes are constants.
    """
    axis = 2 if float(phase.batch.draws["mee/axis"][0]) < 0.5 else 3  # of the host's numbers: nothing waits
    total = phase.real.logits.new_zeros(())
    for seen, name in ((phase.real, "mee/real"), (phase.fake, "mee/fake")):
        with torch.no_grad():
            changed = seen.images.flip(axis) + JITTER * phase.batch.draw(name).to(seen.images)
            target = _codes_of(phase.setting, changed, seen)
        total = total + _distance(_code(seen), target).mean()
    return total


def disomap(phase: DPhase) -> Tensor:
    """Global structure: the code of a blend of a real and a fake is the blend of their codes."""
    weight = phase.batch.draw("mee/blend").to(phase.real.images)
    images = weight[:, None, None, None] * phase.real.images + (1 - weight)[:, None, None, None] * phase.fake.images
    target = weight[:, None] * _code(phase.real) + (1 - weight)[:, None] * _code(phase.fake)
    noise = TARGET_NOISE / math.sqrt(target.shape[1]) * phase.batch.draw("mee/target").to(target)
    return _distance(_codes_of(phase.setting, images, phase.real), (target + noise).detach()).mean()


def entropy_d(phase: DPhase) -> Tensor:
    """`-log E min_j (1 - cos(d(x), b_j))` over a ring of codes of earlier reals."""
    return _entropy(phase.setting, phase.real, "mee/d")


def entropy_g(phase: GPhase) -> Tensor:
    """The same for G's images, over a ring of codes of earlier fakes of G's phase."""
    return _entropy(phase.setting, phase.fake, "mee/g")


def nearest_entropy(codes: Tensor, earlier: Tensor) -> Tensor:
    """Minus the logarithm of the mean distance to the nearest earlier code; small if codes are spread.

    Args:
        codes: `[B, C]`, of length 1.
        earlier: `[M, C]`, of length 1.
    """
    nearest = (1 - codes @ earlier.T).amin(dim=1)
    return -nearest.mean().clamp(min=SMALLEST).log()


def _entropy(setting: Setting, seen: View, name: str) -> Tensor:
    codes, memory = _code(seen), setting.memory
    memory.note(name, codes)
    count = int(memory.number(f"{name}/count"))
    if count == 0:
        return codes.sum() * 0.0
    return nearest_entropy(codes, memory.values[name][:count].to(codes))


def _code(seen: View) -> Tensor:
    assert seen.hidden is not None
    return F.normalize(seen.hidden, dim=1)


def _codes_of(setting: Setting, images: Tensor, seen: View) -> Tensor:
    """Codes of images that a term makes; the forward leaves spectral norm's vectors alone."""
    with setting.networks.frozen_vectors():
        return F.normalize(setting.networks.look(hidden_only, images, seen.labels), dim=1)


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return 1 - F.cosine_similarity(a, b, dim=1)


def _start(recipe: Recipe) -> dict[str, Tensor]:
    width, size = recipe.model.channels("d")[LAST_RESOLUTION], recipe.loss.mee_buffer
    return {
        **{name: torch.zeros(size, width) for name in ("mee/d", "mee/g")},
        **{f"{name}/{part}": scalar(0.0) for name in ("mee/d", "mee/g") for part in ("count", "next")},
    }


def _update(values: Mapping[str, Tensor], step: Step) -> dict[str, Tensor]:
    """Write the step's codes into the rings, over the oldest ones; nothing waits for a device."""
    changed = {}
    for name, codes in step.features.items():
        ring, start = values[name].clone(), int(values[f"{name}/next"])
        size, codes = len(ring), codes[-len(ring) :].to(ring.device)
        before_end = min(len(codes), size - start)
        ring[start : start + before_end] = codes[:before_end]
        ring[: len(codes) - before_end] = codes[before_end:]
        changed[name] = ring
        changed[f"{name}/next"] = scalar((start + len(codes)) % size)
        changed[f"{name}/count"] = scalar(min(int(values[f"{name}/count"]) + len(codes), size))
    return changed


REMEMBERED = Remembered(
    wanted=lambda recipe: recipe.loss.mee_entropy > 0, start=_start, update=_update, features=("mee/d", "mee/g")
)
