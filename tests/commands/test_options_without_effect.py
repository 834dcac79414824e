"""Options that would have no effect are refused, not ignored."""

from __future__ import annotations

import numpy as np
import pytest

import swincli
from swincli.commands.app import run

FOUND = ["directions", "find", "smile"]
SEED = ["sample", "--seeds", "0"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sample", "--latents", "c.npz", "--guidance", "3"], "--guidance: no effect on codes of --latents"),
        (["interpolate", "--latents", "c.npz", "--guidance", "3"], "--guidance: no effect on codes of --latents"),
        ([*SEED, "--edit", "smile=1", "--sweep", "label:hair"], "--edit: cannot be combined with --sweep label:hair"),
        ([*SEED, "--sweep-steps", "5"], "--sweep-steps: no effect without --sweep or --palette"),
        ([*SEED, "--sweep-steps", "7", "--sweep-range", "2"], "--sweep-steps, --sweep-range: no effect without"),
        ([*SEED, "--sweep", "label:age", "--sweep-range", "2"], "--sweep-range: no effect with --sweep label:age"),
        ([*FOUND, "--scores", "f.csv", "--num", "500"], "--num: no effect with --scores"),
        ([*FOUND, "--component", "pca:0", "--num", "500"], "--num: no effect with --component"),
        ([*FOUND, "--component", "pca:0", "--share", "0.2"], "--share: no effect with --component"),
        ([*FOUND, "--text", "a smile", "--share", "0.2"], "--share: no effect with --text"),
        ([*FOUND, "--label", "smile", "--share", "0.2"], "--share: no effect with --label of the model itself"),
        (["project", "me.jpg", "--tune-steps", "5"], "--tune-steps: no effect without --tune"),
        (["report", "runs/a", "--markdown", "--samples", "64"], "--samples: no effect with --markdown"),
        (
            ["evaluate", "--data", "d", "--save-reference", "r.npz", "--plots", "p", "--num", "9"],
            "--num, --plots: no effect where --save-reference does all",
        ),
        (
            ["evaluate", "--data", "d", "--save-reference", "r.npz", "--truncation", "0.7"],
            "--truncation: no effect where --save-reference does all",
        ),
    ],
)
def test_they_are_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    printed = capsys.readouterr()
    assert message in " ".join(printed.err.split())
    assert "hint:" in printed.err
    assert printed.out == ""


def test_an_array_is_not_truncated() -> None:
    images = np.zeros((4, 8, 8, 3), np.uint8)
    with pytest.raises(swincli.SwincliError, match=r"truncation 0\.7: cannot be combined with images in memory"):
        swincli.evaluate(images, "datasets/none", truncation=0.7)
