"""Fakes and reals drawn from one set: no image is on both sides as long as the set has enough of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from picture_folders import PictureFolder

from swincli.console import Console
from swincli.metrics.evaluate import Evaluation, evaluate
from swincli.metrics.networks.detectors import Detector
from swincli.metrics.streams.images import ImageSet, draw_fakes, draw_reals, draw_subset, open_images, stream_subset

TOTAL = 40


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    ("fakes", "reals", "on_both"), [(10, 10, 0), (20, 20, 0), (30, 20, 10), (40, 7, 7), (7, 40, 7)]
)
def test_as_few_images_as_possible_are_on_both_sides(fakes: int, reals: int, on_both: int, seed: int) -> None:
    f, r = draw_fakes(TOTAL, fakes, seed), draw_reals(TOTAL, reals, seed)
    assert len(set(f)) == fakes
    assert len(set(r)) == reals
    assert len(set(f) & set(r)) == on_both


def test_a_longer_draw_holds_the_shorter_one_and_another_seed_gives_another() -> None:
    for draw in (draw_fakes, draw_reals):
        assert set(draw(TOTAL, 10, 3)) < set(draw(TOTAL, 20, 3))
        assert set(draw(TOTAL, 10, 3)) != set(draw(TOTAL, 10, 4))
        assert list(draw(TOTAL, 10, 3)) == sorted(draw(TOTAL, 10, 3))


def test_reals_of_a_large_set_are_those_of_earlier_versions() -> None:
    earlier = np.random.default_rng((5, 1)).choice(12_000, 9_000, replace=False)
    np.testing.assert_array_equal(draw_reals(12_000, 9_000, 5), np.sort(earlier))


def test_the_two_streams_share_no_picture(picture_folder: PictureFolder) -> None:
    with open_images(str(picture_folder("all", TOTAL))) as images:
        real = {load().tobytes() for load in draw_subset(images, 20, 3).read(np.arange(20))}
        fake = {load().tobytes() for load in stream_subset(images, 20, 3).images}
    assert len(real) == len(fake) == 20
    assert not real & fake


def judged(fakes: ImageSet, reals: ImageSet, num: int, detector: Detector, console: Console) -> Evaluation:
    return evaluate(stream_subset(fakes, num, 3), reals, ["fid"], detector, console=console)


def test_a_caution_says_how_many_images_are_on_both_sides(
    picture_folder: PictureFolder, tiny: Detector, quiet: Console, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    picture_folder("all", TOTAL)
    picture_folder("other", TOTAL, seed=1)
    monkeypatch.chdir(tmp_path)
    with open_images("all") as one, open_images(str(tmp_path / "all")) as same, open_images("other") as other:
        part = draw_subset(same, 20, 3)
        for reals, num, on_both in ((same, 15, 15), (part, 30, 10), (part, 20, 0), (other, 30, 0)):
            cautions = judged(one, reals, num, tiny, quiet).cautions
            wanted = [f"all: {on_both} of the {num} fakes are in the reference too, which is of the same set"]
            assert [caution for caution in cautions if "in the reference too" in caution] == (wanted if on_both else [])
        part_of_another_seed = draw_subset(same, 20, 4)
        common = set(draw_fakes(TOTAL, 20, 3)) & set(draw_reals(TOTAL, 20, 4))
        assert f"all: {len(common)} of the 20 fakes" in str(judged(one, part_of_another_seed, 20, tiny, quiet).cautions)


def test_the_protocol_says_how_fakes_were_drawn(picture_folder: PictureFolder, tiny: Detector, quiet: Console) -> None:
    with open_images(str(picture_folder("all", TOTAL))) as images:
        drawn, whole = (judged(images, images, num, tiny, quiet).protocol for num in (30, 50))
    assert (drawn.fakes.drawn_from, drawn.fakes.drawn_with) == (TOTAL, 3)
    assert "drawn from 40 with seed 3" in dict(drawn.rows())["fakes"]
    assert (whole.fakes.drawn_from, whole.fakes.drawn_with) == (None, None)
