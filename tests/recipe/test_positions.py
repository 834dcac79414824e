"""Line numbers of keys in TOML texts."""

from __future__ import annotations

import tomllib
from typing import Any

import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from swincli.recipe.positions import key_lines

# TOML reads every line end in a multi-line string as "\n", so "\r" would not round-trip.
CHARACTERS = st.characters(exclude_characters="\r", exclude_categories=["Cs"])
TEXTS = st.text(CHARACTERS, max_size=12)
SCALARS = st.one_of(st.integers(-9, 9), st.booleans(), TEXTS, st.lists(TEXTS, max_size=3))
KEYS = st.text(alphabet='ab_-9 ."#=[', min_size=1, max_size=4)
TREES = st.dictionaries(KEYS, st.one_of(SCALARS, st.dictionaries(KEYS, SCALARS, max_size=4)), max_size=4)


@settings(deadline=None, max_examples=50)
@given(TREES)
def test_every_key_is_found_on_its_line(tree: dict[str, Any]) -> None:
    text = ""
    expected: dict[str, int] = {}
    for key, value in sorted(tree.items(), key=lambda item: isinstance(item[1], dict)):
        expected.setdefault(key, text.count("\n") + 1)
        if isinstance(value, dict):
            text += tomli_w.dumps({key: {}})
            for inner, scalar in value.items():
                expected.setdefault(f"{key}.{inner}", text.count("\n") + 1)
                text += tomli_w.dumps({inner: scalar}, multiline_strings=True)
        else:
            text += tomli_w.dumps({key: value}, multiline_strings=True)
    assert tomllib.loads(text) == tree
    assert key_lines(text) == expected


def test_what_looks_like_a_key_inside_a_value_is_none() -> None:
    text = '''\
# size = 1
note = """
[train]
batch = 2
"""  # [data]

[ model ]          # a comment = 3
  g_channels = [
    1,  # ] size = 4
    2,
  ]
  "size" = 5
raw = \'\'\'
x = 6\'\'\'
odd = "]\\" [ #"
model.deep = 7
[[list]]
a = { b = 8, "c" = "}" }
'''
    assert key_lines(text) == {
        "note": 2,
        "model": 7,
        "model.g_channels": 8,
        "model.size": 12,
        "model.raw": 13,
        "model.odd": 15,
        "model.model.deep": 16,
        "list": 17,
        "list.a": 18,
    }


def test_the_first_line_of_a_key_counts() -> None:
    assert key_lines("[[a]]\nb = 1\n[[a]]\nb = 2") == {"a": 1, "a.b": 2}


def test_an_empty_text_has_no_keys() -> None:
    assert key_lines("") == key_lines("\n# only = words\n") == {}
