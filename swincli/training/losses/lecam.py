"""LeCam regularisation (Tseng et al., CVPR 2021): logits stay near moving averages of the other side's logits."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from swincli.training.losses.memory import Remembered, Step, scalar
from swincli.training.losses.phases import DPhase

REAL, FAKE, STEPS = "lecam/real", "lecam/fake", "lecam/steps"


def lecam(phase: DPhase) -> Tensor:
    """`E relu(D(x) - a_F)² + E relu(a_R - D(G))²`; 0 in the first step, which has no averages.

    a_R and a_F are debiased moving averages of the mean logits of earlier steps, over all ranks.
    """
    memory, loss = phase.setting.memory, phase.setting.recipe.loss
    steps = memory.number(STEPS)
    if steps == 0:
        return phase.real.logits.new_zeros(())
    bias = 1 - loss.lecam_decay**steps
    real, fake = memory.number(REAL) / bias, memory.number(FAKE) / bias
    return F.relu(phase.real.logits - fake).square().mean() + F.relu(real - phase.fake.logits).square().mean()


def _update(values: Mapping[str, Tensor], step: Step) -> dict[str, Tensor]:
    decay = step.recipe.loss.lecam_decay
    return {
        REAL: values[REAL] * decay + step.means["d/real_logit"] * (1 - decay),
        FAKE: values[FAKE] * decay + step.means["d/fake_logit"] * (1 - decay),
        STEPS: values[STEPS] + 1,
    }


REMEMBERED = Remembered(
    wanted=lambda recipe: recipe.loss.lecam > 0,
    start=lambda _: {REAL: scalar(0.0), FAKE: scalar(0.0), STEPS: scalar(0.0)},
    update=_update,
    reads_last=lambda recipe, _, images_seen: images_seen >= recipe.loss.lecam_from,
)
