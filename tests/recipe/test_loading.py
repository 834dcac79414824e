"""Loading of recipes: extends, overrides, and the message of every kind of mistake."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swincli.errors import RecipeError, UsageError
from swincli.recipe import Recipe, dump_recipe, load_recipe
from swincli.recipe.loading import parse_override, parse_recipe
from swincli.recipe.schema import EmaSection, EvaluateSection, LossSection, ModelSection, RunSection, TrainSection

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a recipe file and return its path."""

    def write(text: str, name: str = "my.toml") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def problems(name: str, *overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load_recipe(name, overrides)
    assert caught.value.exit_code == 2
    return caught.value.problems


# Valid recipes


def test_an_empty_recipe_is_all_defaults(write: Write) -> None:
    assert load_recipe(write("")) == Recipe()


def test_every_way_of_writing_a_key_is_read(write: Write) -> None:
    text = 'model = {size = 64}\ntrain.total = "1.5M"\n["ema"]\n"half_life" = 5_000\n[run]\ngrid = [\n 2, # 3\n 4]\n'
    recipe = load_recipe(write(text))
    assert (recipe.model.size, recipe.train.total) == (64, 1_500_000)
    assert (recipe.ema.half_life, recipe.run.grid) == (5_000, (2, 4))


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "windows.toml"
    path.write_bytes(b"\xef\xbb\xbf[train]\r\nbatch = 8\r\n")
    assert load_recipe(str(path)).train.batch == 8


RECIPES = st.builds(
    Recipe,
    model=st.builds(
        ModelSection,
        size=st.sampled_from([16, 64, 1024]),
        adain_gamma=st.floats(-2, 2, allow_subnormal=False),
        wavelet=st.text(min_size=1, max_size=8),
        pixel_mean=st.tuples(*[st.floats(0, 1, allow_subnormal=False)] * 3),
    ),
    train=st.builds(
        TrainSection,
        total=st.integers(1, 10**12),
        decay_from=st.none() | st.just(0),
        seed=st.integers(0, 2**32 - 1),
    ),
    loss=st.builds(LossSection, r1_gamma=st.floats(0, 1e6, allow_subnormal=False)),
    ema=st.builds(EmaSection, ramp=st.none() | st.floats(1e-6, 1, allow_subnormal=False)),
    evaluate=st.builds(EvaluateSection, metrics=st.lists(st.text(max_size=8), max_size=3)),
    run=st.builds(RunSection, grid=st.tuples(st.integers(1, 99), st.integers(1, 99))),
)


@settings(deadline=None, max_examples=30)
@given(RECIPES)
def test_a_dumped_recipe_reads_back_the_same(recipe: Recipe) -> None:
    assert parse_recipe(dump_recipe(recipe), "model.safetensors") == recipe


def test_a_dumped_recipe_spells_every_key_that_is_set() -> None:
    text = dump_recipe(Recipe())
    assert "total = 25000000" in text
    assert "decay_from" not in text


# extends


def test_extends_goes_over_two_levels(write: Write) -> None:
    write("[model]\nsize = 32\n[train]\nbatch = 4\nseed = 1\n[loss]\nr1_gamma = 1.0\n", "far/base.toml")
    write('extends = "far/base.toml"\n[train]\nbatch = 8\ntotal = "2k"\n', "middle.toml")
    recipe = load_recipe(write('extends = "middle.toml"\n[train]\ntotal = "3k"\n'))
    train = recipe.train
    assert (recipe.model.size, recipe.loss.r1_gamma) == (32, 1.0)
    assert (train.batch, train.seed, train.total) == (8, 1, 3_000)


@pytest.mark.parametrize("base", ["ffhq256", "ffhq256.toml", "recipes/ffhq256.toml"])
def test_extends_takes_a_shipped_name(write: Write, base: str) -> None:
    recipe = load_recipe(write(f'extends = "{base}"\n[data]\npath = "mine"\n'))
    shipped = load_recipe("ffhq256")
    assert recipe.data.path == "mine"
    assert recipe.model_copy(update={"data": shipped.data}) == shipped


def test_a_file_beside_goes_before_a_shipped_name(write: Write) -> None:
    write("[train]\nbatch = 3\n", "ffhq256.toml")
    assert load_recipe(write('extends = "ffhq256.toml"\n')).train.batch == 3


def test_what_extends_means_does_not_hang_on_the_working_folder(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("[train]\nbatch = 3\n", "elsewhere/base.toml")
    path = write('extends = "base.toml"\n')
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert problems(path) == ['extends (my.toml:1): no such recipe "base.toml"']


def test_a_recipe_that_extends_itself(write: Write) -> None:
    assert problems(write('extends = "my.toml"\n')) == [
        "extends (my.toml:1): the recipe extends itself (my.toml -> my.toml)"
    ]


def test_recipes_that_extend_each_other(write: Write) -> None:
    write('\nextends = "my.toml"\n', "b.toml")
    assert problems(write('extends = "b.toml"\n')) == [
        "extends (b.toml:2): the recipe extends itself (my.toml -> b.toml -> my.toml)"
    ]


def test_a_chain_of_many_recipes_is_refused_before_python_is_out_of_stack(tmp_path: Path) -> None:
    for number in range(1200):
        (tmp_path / f"{number}.toml").write_text(f'extends = "{number + 1}.toml"\n')
    with pytest.raises(RecipeError, match="a chain of more than 100 recipes"):
        load_recipe(str(tmp_path / "0.toml"))


def test_extends_that_is_no_text(write: Write) -> None:
    assert problems(write("# none\nextends = 3\n")) == [
        "extends (my.toml:2): must be the path or name of a recipe, in quotes"
    ]


def test_extends_inside_a_section(write: Write) -> None:
    assert problems(write('[model]\nextends = "ffhq256"\n')) == [
        "model.extends (my.toml:2): must be at the top of the file, before the first section"
    ]


def test_a_mistake_in_the_base_names_the_base(write: Write) -> None:
    write("[train]\nbatch = 0\nbach = 1\n", "base.toml")
    assert problems(write('extends = "base.toml"\n[train]\nseed = -1\n')) == [
        "train.batch (base.toml:2): must be at least 1, not 0",
        "train.seed (my.toml:3): must be at least 0, not -1",
        'train.bach (base.toml:3): unknown key; did you mean "batch"?',
    ]


def test_a_base_that_is_no_toml_is_named(write: Write) -> None:
    write("[train\n", "base.toml")
    with pytest.raises(RecipeError, match=r"base\.toml: not valid TOML"):
        load_recipe(write('extends = "base.toml"\n'))


# Overrides


def test_overrides_come_last(write: Write) -> None:
    path = write('[train]\nbatch = 8\ntotal = "2k"\n')
    recipe = load_recipe(path, ["train.batch=16", "train.batch=32", "loss.r1_gamma=0.5", "run.name=my run"])
    assert (recipe.train.batch, recipe.train.total, recipe.loss.r1_gamma) == (32, 2_000, 0.5)
    assert recipe.run.name == "my run"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train.total=25M", ("train", "total", "25M")),
        (" train.batch = 8 ", ("train", "batch", 8)),
        ("model.g_channels=[1, 2]", ("model", "g_channels", [1, 2])),
        ("augment.flip=true", ("augment", "flip", True)),
        ('run.name="7"', ("run", "name", "7")),
        ("data.path=/a=b", ("data", "path", "/a=b")),
        ("data.path=2026-01-01", ("data", "path", "2026-01-01")),
        ("data.crop=none", ("data", "crop", "none")),
        ("train.decay_from=null", ("train", "decay_from", None)),
        ("run.name=", ("run", "name", "")),
        ("run.name=" + "[" * 5000, ("run", "name", "[" * 5000)),
    ],
)
def test_override_values(text: str, expected: tuple[str, str, object]) -> None:
    assert parse_override(text) == expected


@settings(deadline=None)
@given(st.text(max_size=20))
def test_any_override_value_is_read(value: str) -> None:
    section, key, _ = parse_override(f"run.name={value}")
    assert (section, key) == ("run", "name")


@pytest.mark.parametrize("text", ["", "train.batch", "batch=8", "train.=8", ".batch=8", "a.b.c=1", "=8", "a b.c=8"])
def test_an_override_of_another_form(text: str) -> None:
    with pytest.raises(UsageError, match=r"not of the form section\.key=value") as caught:
        load_recipe("ffhq256", [text])
    assert caught.value.exit_code == 2
    assert caught.value.hint


def test_mistakes_in_overrides_are_laid_at_them(write: Write) -> None:
    path = write("[train]\nbatch = 8\n")
    assert problems(path, "train.batch=x", "los.r1_gamma=1", "train.lr=1", "run.name=3", "train.total=null") == [
        "train.total (--set): must not be null",
        'train.batch (--set): must be a whole number, not "x"',
        'train.lr (--set): unknown key; did you mean "g_lr"?',
        "run.name (--set): must be text in quotes, not 3",
        'los (--set): unknown section; did you mean "loss"?',
    ]


def test_null_leaves_out_what_the_recipe_gives() -> None:
    assert load_recipe("ffhq256").train.decay_from is not None
    recipe = load_recipe("ffhq256", ["train.decay_from=null", "train.total=64"])
    assert (recipe.train.decay_from, recipe.train.total) == (None, 64)


def test_an_override_cannot_mend_a_section_that_is_none(write: Write) -> None:
    assert problems(write("train = 3\n"), "train.batch=8") == ["train (my.toml:1): must be a section, written [train]"]


# Wrong keys and values


def test_all_mistakes_are_told_at_once_with_key_and_line(write: Write) -> None:
    path = write(
        """\
[model]
sise = 32
size = 33

[train]
batch = "x"
total = "12q"
g_lr = "1"
[los]
a = 1
[loss]
d_lr = 1e-3
"""
    )
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert caught.value.problems == [
        "model.size (my.toml:3): 33 is not a power of two from 16 to 1024; 32 is close",
        'model.sise (my.toml:2): unknown key; did you mean "size"?',
        'train.total (my.toml:7): \'12q\' is not a number of images; write 25000, "25k" or "2.5M"',
        'train.batch (my.toml:6): must be a whole number, not "x"',
        'train.g_lr (my.toml:8): must be a number, not "1"',
        'loss.d_lr (my.toml:12): unknown key; did you mean "train.d_lr"?',
        'los (my.toml:9): unknown section; did you mean "loss"?',
    ]
    assert caught.value.message.startswith(f"{path} has 7 problems\n")
    assert "swincli recipe schema" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("size = 64", 'size (my.toml:1): is outside every section; did you mean "model.size"?'),
        ("zzz = 64", "zzz (my.toml:1): is outside every section"),
        ("[qqq]", "qqq (my.toml:1): unknown section"),
        ("[model]\nqqq = 1", "model.qqq (my.toml:2): unknown key"),
        ("[model.deep]\na = 1", "model.deep (my.toml:1): unknown key"),
        ("model = {sizes = 64}", 'model.sizes (my.toml:1): unknown key; did you mean "size"?'),
        ('[model]\n"a[b" = 1', "model.a[b (my.toml:2): unknown key"),
        ("model = 3", "model (my.toml:1): must be a section, written [model]"),
        ("\n[[model]]\nsize = 64", "model (my.toml:2): must be a section, written [model]"),
    ],
)
def test_keys_in_the_wrong_place(write: Write, text: str, problem: str) -> None:
    assert problems(write(text)) == [problem]


@pytest.mark.parametrize(
    ("section", "line", "problem"),
    [
        ("model", 'size = "64"', 'must be a whole number, not "64"'),
        ("model", "size = 64.0", "must be a whole number, not 64.0"),
        ("model", "size = true", "must be a whole number, not true"),
        ("model", "window = 5", "must be 4, 8 or 16, not 5"),
        ("model", "min_heads = 3", "must be a multiple of 2, not 3"),
        ("model", 'spectral_norm = "yes"', 'must be true or false, not "yes"'),
        ("model", "spectral_norm = 1", "must be true or false, not 1"),
        ("model", 'g_channels = [64, "a"]', 'entry 2 must be a whole number, not "a"'),
        ("model", "g_channels = 64", "must be a list in square brackets, not 64"),
        ("model", "pixel_mean = [0.5, 0.5]", "must be a list of 3 numbers"),
        ("model", 'pixel_mean = "0.5"', "must be a list of 3 numbers"),
        ("model", "pixel_mean = [0.5, true, 0.5]", "entry 2 must be a number, not true"),
        ("model", "pixel_std = [1, 0, 1]", "every standard deviation must be above 0"),
        ("data", "path = 3", "must be text in quotes, not 3"),
        ("data", 'path = ""', 'must not be empty, not ""'),
        ("data", "path = 2026-01-01", "must be text in quotes, not 2026-01-01"),
        ("data", 'crop = "middle"', 'must be "center" or "none", not "middle"'),
        ("train", "seed = 4294967296", "must be below 4294967296, not 4294967296"),
        ("train", "g_lr = 0", "must be above 0, not 0"),
        ("train", "g_lr = inf", "must be finite, not Infinity"),
        ("train", "g_lr = nan", "must be finite, not NaN"),
        ("train", "total = -5", "-5 is negative"),
        ("train", "total = 2.5e6", '2500000.0 is not a number of images; write 25000 or "25k"'),
        ("loss", "r1_gamma = -1", "must be at least 0, not -1"),
        ("ema", "half_life = 0", "must be at least 1, not 0"),
        ("evaluate", 'num = "1"', "must be at least 2, not 1"),
        ("evaluate", 'metrics = "fid"', 'must be a list in square brackets, not "fid"'),
        ("evaluate", "metrics = [1]", "entry 1 must be text in quotes, not 1"),
        ("run", "grid = [8]", "must be a list of 2 numbers"),
        ("run", "grid = [8, 0]", "entry 2 must be at least 1, not 0"),
        ("run", 'name = "../../x"', '"../../x" is not a folder name; use --out for a path'),
        ("run", 'name = ".."', '".." is not a folder name; use --out for a path'),
        ("run", "keep = {a = 1}", 'must be a whole number, not {"a": 1}'),
        ("run", f"keep = '{'x' * 99}'", f'must be a whole number, not "{"x" * 56}...'),
    ],
)
def test_wrong_values_are_told_in_plain_words(write: Write, section: str, line: str, problem: str) -> None:
    key = line.split()[0]
    assert problems(write(f"[{section}]\n{line}\n")) == [f"{section}.{key} (my.toml:2): {problem}"]


# Files that are not recipes


@pytest.mark.parametrize(
    "text", ["[train\n", "batch\n", "a = 1\na = 2\n", "a = \0\n", "a = " + "9" * 5000, "a = " + "[" * 5000]
)
def test_what_is_no_toml(write: Write, text: str) -> None:
    path = write(text)
    with pytest.raises(RecipeError, match="not valid TOML") as caught:
        load_recipe(path)
    assert caught.value.message.startswith(path)


def test_a_toml_mistake_is_told_with_its_line(write: Write) -> None:
    assert "line 2" in problems(write("[train]\nbatch =\n"))[0]


def test_a_binary_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(bytes(range(256)))
    assert problems(str(path)) == ["not a text file; a recipe is a TOML file"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("ffhq265", 'no such recipe; did you mean "ffhq256"?'),
        ("recipes/church265.toml", 'no such recipe; did you mean "church256"?'),
        ("qqqqqq.toml", "no such recipe"),
        ("", "no such recipe"),
    ],
)
def test_a_missing_recipe(name: str, problem: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(name)
    assert caught.value.problems == [problem]
    assert "swincli recipe list" in (caught.value.hint or "")


def test_a_folder_is_no_recipe(write: Write, tmp_path: Path) -> None:
    assert problems(str(tmp_path)) == ["this is a folder; a recipe is a TOML file"]
    inside = write("", "recipe.toml")
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(tmp_path))
    assert inside in (caught.value.hint or "")


def test_a_stored_recipe_names_where_it_was_stored() -> None:
    with pytest.raises(RecipeError, match=r"run\.safetensors: train\.batch: must be at least 1, not 0"):
        parse_recipe("[train]\nbatch = 0\n", "run.safetensors")
