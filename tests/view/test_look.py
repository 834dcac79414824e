"""The text of a look: what a permalink holds."""

from __future__ import annotations

import pytest

from swincli.errors import UsageError
from swincli.view.look import Edit, Look, parse_look


def test_a_permalink_is_read() -> None:
    text = "seed=12&class=red&truncation=0.7&mix=5@0:1,2:0.25&edit=pca:0@coarse=-1.5&edit=sefa:3%400-3=2"
    assert parse_look(text) == Look(
        seed=12,
        of_class="red",
        truncation=0.7,
        mix_seed=5,
        shares=((0, 1.0), (2, 0.25)),
        edits=(Edit("pca:0", "coarse", -1.5), Edit("sefa:3", "0-3", 2.0)),
    )
    assert parse_look("label=hair%3Dred&label=age%3D30").labels == ("hair=red", "age=30")
    assert parse_look("") == Look()
    assert parse_look("code=0123456789ab&mix=3@1:0") == Look(code="0123456789ab", mix_seed=3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed=-1", "seed=-1"),
        ("seed=4294967296", "from 0 to 4294967295"),
        ("seed=1e3", "seed=1e3"),
        ("truncation=nan", "truncation=nan"),
        ("truncation=1000", "truncation=1000"),
        ("code=../../etc", "code=../../etc"),
        ("mix=5@0:2", "mix=5@0:2"),
        ("mix=a@0:1", "mix=a"),
        ("edit=pca:0", "edit=pca:0"),
        ("edit=pca:0@all=inf", "edit=pca:0@all=inf"),
        ("path=/etc/passwd", "unknown setting 'path'"),
        ("seed=" + "1" * 9000, "longer than 8,192"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=r"^picture: ") as caught:
        parse_look(text)
    assert said in caught.value.message
    assert caught.value.hint
