"""Signs of overfitting: D memorises the training images, or G collapses. One warning each, in the training state.

With held-out images, D memorises if its logits at them lie below those at training images by more than half of what
those at generated images do. This is ADA's r_v above 0.5 (Karras et al., 2020, eq. 1). Without them, ADA's r_t decides,
the mean sign of D's logits at training images: it stays above 0.9. With paired logits that is the mean sign of
differences. It is near 1 for any D that tells reals from fakes, so there is no warning then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from swincli.recipe import Recipe
from swincli.training.augment.probability import AUGMENT_P
from swincli.training.losses.adversarial import ADVERSARIAL
from swincli.training.run.overfitting_advice import when_d_memorises, when_g_collapses

REAL, FAKE, SIGN = "d/real_logit", "d/fake_logit", "d/real_sign"
TRAINED, HELD_OUT = "d/trained_logit", "d/held_out_logit"  # of one moment; the others are means over steps
DIVERSITY = "samples/diversity"
LARGEST_RV, LARGEST_RT = 0.5, 0.9
LEAST_DIVERSITY = 0.3  # share of the largest one
LASTING = 0.05  # share of the run: as long, a sign of D must last; as long from the start, none counts
_WEIGHT = 0.1  # of a new line in the mean logits


@dataclass
class OverfittingSigns:
    """What the warnings are decided by; part of the training state.

    Attributes:
        means: Moving means over the lines of stats.jsonl, by name of the scalar.
        since: Images seen when D's sign began; None if there is none.
        most_diverse: Largest diversity of a sample grid.
        told: Warnings that have been given.
    """

    means: dict[str, float] = field(default_factory=dict)
    since: int | None = None
    most_diverse: float = 0.0
    told: list[str] = field(default_factory=list)

    def add(self, line: Mapping[str, float], images_seen: int, recipe: Recipe) -> list[str]:
        """Add a line of stats.jsonl.

        Args:
            line: Means of the scalars since the last line.
            images_seen: Images shown so far.
            recipe: Gives the length of the whole run, and what there is to change.

        Returns:
            New warnings.
        """
        total = recipe.train.total
        for name in (REAL, FAKE, SIGN, TRAINED, HELD_OUT):
            if name in line:
                mean = self.means.get(name, line[name])
                self.means[name] = mean + _WEIGHT * (line[name] - mean)
        begun = images_seen >= LASTING * total
        if not begun or not self._d_memorises(recipe):
            self.since = None
        elif self.since is None:
            self.since = images_seen
        lasts = self.since is not None and images_seen - self.since >= LASTING * total
        signs: dict[str, tuple[bool, Callable[[], str]]] = {
            "memorises": (lasts, lambda: self._about_d(when_d_memorises(recipe, line.get(AUGMENT_P)))),
            "collapses": (begun and self._g_collapses(line), lambda: self._about_g(line, recipe)),
        }
        new = [name for name, (is_there, _) in signs.items() if is_there and name not in self.told]
        self.told += new
        return [f"after {images_seen:,} images: {signs[name][1]()}" for name in new]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a state file."""
        return asdict(self)

    def _d_memorises(self, recipe: Recipe) -> bool:
        means = self.means
        if {TRAINED, HELD_OUT, FAKE} <= means.keys():
            return self._overfitting_share() > LARGEST_RV
        return not ADVERSARIAL[recipe.loss.adversarial].paired and means.get(SIGN, 0.0) > LARGEST_RT

    def _overfitting_share(self) -> float:
        """ADA's r_v: 0 if D's logits at held-out images are those at training images, 1 if those at fakes."""
        means = self.means
        apart = means[TRAINED] - means[FAKE]
        return (means[TRAINED] - means[HELD_OUT]) / apart if apart > 0 else 0.0

    def _g_collapses(self, line: Mapping[str, float]) -> bool:
        if DIVERSITY not in line:
            return False
        self.most_diverse = max(self.most_diverse, line[DIVERSITY])
        return line[DIVERSITY] < LEAST_DIVERSITY * self.most_diverse

    def _about_d(self, change: str) -> str:
        if HELD_OUT not in self.means:
            return f"D has begun to memorise: the mean sign of its logits at training images stays above 0.9. {change}"
        real, held_out, fake = (f"{self.means[name]:.2f}" for name in (TRAINED, HELD_OUT, FAKE))
        return (
            f"D has begun to memorise the training images: its mean logit is {real} at them, {held_out} at held-out "
            f"ones and {fake} at generated ones. {change}"
        )

    def _about_g(self, line: Mapping[str, float], recipe: Recipe) -> str:
        return (
            f"G's images have become alike: the diversity of the sample grid is {line[DIVERSITY]:.3f} and was "
            f"{self.most_diverse:.3f}. Look at samples/. {when_g_collapses(recipe)}"
        )
