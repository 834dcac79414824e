"""Signs of overfitting: one warning for each condition, at the right time, also after a resume."""

from __future__ import annotations

import pytest

from swincli.training.run.overfitting import OverfittingSigns

TOTAL = 10_000
MEMORISING = {
    "d/real_logit": 2.0,
    "d/fake_logit": -2.0,
    "d/real_sign": 0.5,
    "d/trained_logit": 2.5,
    "d/held_out_logit": -0.5,
}
HEALTHY = {**MEMORISING, "d/held_out_logit": 1.5}


def warnings(lines: list[dict[str, float]], signs: OverfittingSigns | None = None) -> list[str]:
    """Warnings after lines that are 100 images apart."""
    signs = signs or OverfittingSigns()
    return [text for number, line in enumerate(lines, 1) for text in signs.add(line, 100 * number, TOTAL)]


def test_logits_far_below_at_held_out_images_are_told_once() -> None:
    (told,) = warnings([MEMORISING] * 100)
    assert told.startswith("after 1,000 images: D has begun to memorise")
    assert "2.50 at them, -0.50 at held-out ones and -2.00 at generated ones" in told
    assert "augment" in told


@pytest.mark.parametrize("line", [HEALTHY, {**HEALTHY, "d/real_sign": 0.99}, {"d/real_sign": 0.6}, {}])
def test_a_healthy_run_is_not_warned(line: dict[str, float]) -> None:
    assert warnings([line] * 100) == []


def test_a_sign_must_last() -> None:
    assert warnings([HEALTHY] * 20 + [MEMORISING] * 7 + [HEALTHY] * 70) == []
    assert len(warnings([HEALTHY] * 20 + [MEMORISING] * 40)) == 1


def test_without_held_out_images_the_mean_sign_decides() -> None:
    (told,) = warnings([{"d/real_sign": 0.95}] * 100)
    assert "mean sign" in told


def test_a_grid_that_becomes_alike_is_told_once_and_the_beginning_does_not_count() -> None:
    grids = [{"samples/diversity": value} for value in (0.9, 0.1, 0.1, 0.1, 0.1, 0.2, 0.3, 0.25, 0.08, 0.02)]
    signs = OverfittingSigns()
    told = [text for number, line in enumerate(grids, 1) for text in signs.add(line, 100 * number, TOTAL)]
    assert told == [text for text in told if "0.080 and was 0.300" in text]
    assert len(told) == 1


def test_a_resumed_state_goes_on_and_tells_nothing_twice() -> None:
    signs = OverfittingSigns()
    assert len(warnings([MEMORISING] * 9, signs)) == 0
    resumed = OverfittingSigns(**signs.as_dict())
    assert len(resumed.add(MEMORISING, 1000, TOTAL)) == 1
    again = OverfittingSigns(**resumed.as_dict())
    assert again.add(MEMORISING, 1100, TOTAL) == []
