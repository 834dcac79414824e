from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swincli.data.preparing.splits import parse_split


def digest(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def test_shares_are_met() -> None:
    split = parse_split("train:0.7, test:0.2 ,rest:0.1")
    assert split.shares == {"train": 0.7, "test": 0.2, "rest": 0.1}
    parts = [split.part_of(digest(number), ()) for number in range(5000)]
    for name, share in split.shares.items():
        assert parts.count(name) / 5000 == pytest.approx(share, abs=0.025)


@given(st.binary(min_size=32, max_size=32))
def test_every_picture_falls_somewhere(content: bytes) -> None:
    assert parse_split("a:0.3333333,b:0.3333333,c:0.3333334").part_of(content, ()) in ("a", "b", "c")
    assert parse_split("a:0.9999995,b:0.0000001").part_of(b"\xff" * 32, ()) == "b"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a valid name of a part"),
        ("train", "has no share"),
        ("train:0.9,test:much", "'test:much' has no share"),
        ("train:0.9,test:0.2", "add up to 1.1, not 1"),
        ("train:1", "the share of train is not between 0 and 1"),
        ("train:nan,test:0.5", "the share of train is not between 0 and 1"),
        ("a:0.5,A:0.5", "A is named twice"),
        ("../up:0.5,b:0.5", "'../up' is not a valid name"),
        (".hidden:0.5,b:0.5", "'.hidden' is not a valid name"),
        ("a/b:0.5,b:0.5", "'a/b' is not a valid name"),
    ],
)
def test_what_is_no_split(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_split(text)
