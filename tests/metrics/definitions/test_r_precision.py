"""R-precision: a matcher learns which text an image shows, and chance is one in a hundred."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from swincli.metrics.definitions.r_precision import TextMatch, own_text_first, train_matcher
from swincli.metrics.registry import METRICS
from swincli.metrics.streams.captioned import TextFit


@pytest.fixture(scope="module")
def pairs() -> tuple[np.ndarray, np.ndarray]:
    """400 features that tell 12 words apart, and texts of 4 of the words."""
    random = np.random.default_rng(0)
    texts = np.array([random.permutation(12) < 4 for _ in range(400)], np.float32) / 2
    features = texts @ random.normal(size=(12, 24)) + 0.05 * random.normal(size=(400, 24))
    return features.astype(np.float32), texts


def test_real_pairs_are_found_and_shuffled_ones_are_not(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    features, texts = pairs
    done: list[int] = []
    state = torch.random.get_rng_state()
    matcher = train_matcher(features[:300], lambda _: texts[:300], 0, done.append, steps=60)
    assert torch.equal(state, torch.random.get_rng_state())
    assert sum(done) == 60
    own = own_text_first(matcher, features[300:], texts[300:], texts, 0)
    other = own_text_first(matcher, features[300:], np.roll(texts[300:], 1, axis=0), texts, 0)
    assert own.mean() > 0.6
    assert other.mean() < 0.1
    short, again = (train_matcher(features[:300], lambda _: texts[:300], 0, steps=3) for _ in range(2))
    assert torch.equal(again.of_texts(torch.from_numpy(texts)), short.of_texts(torch.from_numpy(texts)))


def test_shares_have_names_and_intervals() -> None:
    hits = np.array([True, False, True, True])
    row = METRICS["text"]
    part = TextFit(TextMatch(hits, hits, ~hits))
    assert row.values(part) == {"r_precision": 0.75, "r_precision_real": 0.75, "r_precision_shuffled": 0.25}
    whole = TextFit(TextMatch(hits, hits, ~hits, hits, hits))
    assert set(row.values(whole)) == {row.headline, *row.others}
    assert row.interval is not None
    low, high = row.interval(whole, 0.0)["r_precision_held_out"]
    assert 0 < low < 0.75 < high < 1
