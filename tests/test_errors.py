"""Errors: exit codes, messages of recipes, conversion of operating system errors."""

from __future__ import annotations

import errno

import pytest

from swincli import errors


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.SwincliError, 1),
        (errors.DataError, 1),
        (errors.CheckpointError, 1),
        (errors.TrainingError, 1),
        (errors.ResourceError, 1),
        (errors.UsageError, 2),
    ],
)
def test_exit_codes(kind: type[errors.SwincliError], code: int) -> None:
    error = kind("a.png: damaged", "Leave it out.")
    assert isinstance(error, errors.SwincliError)
    assert error.exit_code == code
    assert (error.message, error.hint, str(error)) == ("a.png: damaged", "Leave it out.", "a.png: damaged")


def test_one_problem_of_a_recipe_is_one_line() -> None:
    error = errors.RecipeError("my.toml", ["train.batch: must be at least 1"])
    assert error.message == "my.toml: train.batch: must be at least 1"
    assert error.exit_code == 2
    assert isinstance(error, errors.UsageError)


def test_several_problems_of_a_recipe_are_listed() -> None:
    error = errors.RecipeError("my.toml", ["a: b", "c: d"], "Look.")
    assert error.message.splitlines() == ["my.toml has 2 problems", "  a: b", "  c: d"]
    assert (error.problems, error.hint) == (["a: b", "c: d"], "Look.")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no space left"),
        (errno.EDQUOT, "no space left"),
        (errno.EACCES, "permission denied"),
        (errno.EROFS, "permission denied"),
        (errno.EEXIST, "there is a file where a folder is needed"),
    ],
)
def test_refusals_of_the_system_get_words_and_a_hint(number: int, words: str) -> None:
    error = errors.from_os_error(OSError(number, "as the system says"), "writing runs/a")
    assert isinstance(error, errors.ResourceError)
    assert error.message.startswith("writing runs/a: ")
    assert words in error.message
    assert error.hint


@pytest.mark.parametrize("refusal", [OSError(errno.ENOTDIR, "Not a directory"), OSError("Not a directory")])
def test_other_refusals_keep_the_systems_words(refusal: OSError) -> None:
    assert errors.from_os_error(refusal, "reading a").message == "reading a: Not a directory"


def test_a_similar_name_is_suggested() -> None:
    assert errors.did_you_mean("fidd", ["kid", "fid"]) == '; did you mean "fid"?'
    assert errors.did_you_mean("spectrum", ["kid", "fid"]) == ""
