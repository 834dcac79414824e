"""Parsing and formatting of counts, durations, sizes, seed lists and grids."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swincli import units

COUNTS = st.integers(min_value=0, max_value=10**18)


@pytest.mark.parametrize(
    ("text", "number"),
    [("5", 5), ("+5", 5), ("-2.5", -2.5), (".5", 0.5), ("5.", 5), ("1e-3", 0.001), ("1E3", 1000), (" 7 ", 7)],
)
def test_cells_that_are_numbers(text: str, number: float) -> None:
    assert units.parse_number(text) == number


@pytest.mark.parametrize(
    "text", ["", "1_00", "1,5", "nan", "inf", "-Infinity", "1e999", "0x10", "1 0", "٣", "+-1", ".", "e5", "5-", "1e"]
)
def test_cells_that_are_no_numbers(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        units.parse_number(text)


@pytest.mark.parametrize(
    ("text", "pointed"),
    [("20,5", "20.5"), ("-0,5", "-0.5"), (",5", ".5"), ("1,5e3", "1.5e3"), ("1.234,5", "1.234,5"), ("a,5", "a,5")],
)
def test_decimal_commas(text: str, pointed: str) -> None:
    assert units.with_decimal_point(text) == pointed


def test_json_holds_no_nan_and_no_infinity() -> None:
    text = units.format_json({"a": [math.nan, (1.5, -math.inf)], "b": {"c": math.inf}, "d": None})
    assert text == '{"a": [null, [1.5, null]], "b": {"c": null}, "d": null}'
    assert math.isnan(units.number_from_json(None))
    assert units.number_from_json(2) == 2.0


@settings(deadline=None)
@given(COUNTS)
def test_a_written_count_reads_back(count: int) -> None:
    assert units.parse_count(units.format_count(count)) == count


@settings(deadline=None)
@given(COUNTS)
def test_a_count_reads_the_same_as_number_and_as_text(count: int) -> None:
    assert units.parse_count(count) == units.parse_count(str(count)) == units.parse_count(f"{count:_}") == count


@settings(deadline=None)
@given(st.text())
def test_any_text_is_a_count_or_a_value_error(text: str) -> None:
    try:
        count = units.parse_count(text)
    except ValueError:
        return
    assert count >= 0


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("25M", 25_000_000),
        ("25m", 25_000_000),
        ("200k", 200_000),
        ("1.5M", 1_500_000),
        ("0.001k", 1),
        ("2b", 2_000_000_000),
        (" 7 k ", 7_000),
        ("25_000_000", 25_000_000),
        (0, 0),
    ],
)
def test_counts(text: str | int, count: int) -> None:
    assert units.parse_count(text) == count


@pytest.mark.parametrize(
    "text", ["", "M", "12q", "-1", -1, "1.5", "1.0001k", ".5k", "1e6", "٣", "9" * 5000, True, 2.5, None, [1], "1 000"]
)
def test_what_is_no_count_says_so(text: object) -> None:
    with pytest.raises(ValueError, match=r"number of images|negative"):
        units.parse_count(text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1_000, "1k"),
        (1_500, "1.5k"),
        (1_234, "1234"),
        (25_000_000, "25M"),
        (24_800_000, "24.8M"),
        (2_560_000, "2560k"),
        (10**17 + 100_000, "100000000000.1M"),
    ],
)
def test_counts_are_written_short(count: int, text: str) -> None:
    assert units.format_count(count) == text


@settings(deadline=None)
@given(st.integers(min_value=1, max_value=400 * 86_400))
def test_a_written_duration_reads_back_to_its_second_unit(seconds: int) -> None:
    read = units.parse_duration(units.format_duration(seconds))
    precision = 3_600 if seconds >= 86_400 else 60 if seconds >= 3_600 else 1
    assert read <= seconds < read + precision


@settings(deadline=None)
@given(st.integers(0, 50), st.integers(0, 23), st.integers(0, 59), st.integers(1, 59))
def test_the_parts_of_a_duration_add_up(days: int, hours: int, minutes: int, seconds: int) -> None:
    text = f"{days}d {hours}h{minutes}m {seconds}s"
    assert units.parse_duration(text) == days * 86_400 + hours * 3_600 + minutes * 60 + seconds


@pytest.mark.parametrize(("text", "seconds"), [("3h50m", 13_800), ("90s", 90), ("2D", 172_800), ("1.5h", 5_400)])
def test_durations(text: str, seconds: float) -> None:
    assert units.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "h", "3x", "3h50", "-3h", "0s", "0h0m", "3h,5m", "9" * 400 + "h"])
def test_what_is_no_duration_says_so(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|zero|too long"):
        units.parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0s"), (0.4, "0s"), (14, "14s"), (59.6, "1m 00s"), (3_599.6, "1h 00m"), (3_725, "1h 02m"), (2e5, "2d 07h")],
)
def test_durations_are_written_in_two_units(seconds: float, text: str) -> None:
    assert units.format_duration(seconds) == text


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=2**50))
def test_byte_sizes_stay_below_the_next_unit(size: int) -> None:
    number, unit = units.format_bytes(size).split()
    assert float(number) < 1024 or unit == "TiB"
    exponent = ("B", "KiB", "MiB", "GiB", "TiB").index(unit)
    assert math.isclose(float(number) * 1024**exponent, size, abs_tol=0.06 * 1024**exponent)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**20 - 1, "1.0 MiB"), (2**50, "1024.0 TiB")]
)
def test_byte_sizes(size: int, text: str) -> None:
    assert units.format_bytes(size) == text


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, units.LARGEST_SEED - 50), st.integers(0, 50)), min_size=1, max_size=8))
def test_seed_lists_keep_order_and_repeats(ranges: list[tuple[int, int]]) -> None:
    text = ", ".join(f"{first}-{first + more}" if more else str(first) for first, more in ranges)
    assert units.parse_seeds(text) == [seed for first, more in ranges for seed in range(first, first + more + 1)]


@settings(deadline=None)
@given(st.text(alphabet="0123456789-, x", max_size=12))
def test_any_text_is_a_seed_list_or_a_value_error(text: str) -> None:
    try:
        seeds = units.parse_seeds(text)
    except ValueError:
        return
    assert seeds
    assert all(0 <= seed <= units.LARGEST_SEED for seed in seeds)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a seed"),
        ("1,,2", "not a seed"),
        ("a", "'a' is not a seed"),
        ("-5", "not a seed"),
        ("5-2", "runs backwards; write 2-5"),
        ("4294967296", "above the largest"),
        ("0-10000000", "ten million"),
    ],
)
def test_what_is_no_seed_list_says_why(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        units.parse_seeds(text)


def test_ranges_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "MOST_SEEDS", 10)
    assert len(units.parse_seeds("0-4,0-4")) == 10
    with pytest.raises(ValueError, match="ten million"):
        units.parse_seeds("0-5,0-5")


@settings(deadline=None)
@given(st.integers(1, 999), st.integers(1, 999))
def test_grids_read_back(columns: int, rows: int) -> None:
    assert units.parse_grid(f"{columns}x{rows}") == units.parse_grid(f" {columns} X {rows} ") == (columns, rows)


@pytest.mark.parametrize("text", ["", "8", "8x", "0x4", "8x0", "8*4", "-8x4", "8x4x2"])
def test_what_is_no_grid_says_so(text: str) -> None:
    with pytest.raises(ValueError, match="columns by rows"):
        units.parse_grid(text)


@pytest.mark.parametrize(("names", "written"), [("", ""), ("abc", "a, b, c"), ("abcd", "a, b, c, ...")])
def test_the_first_of_many_names_are_written(names: str, written: str) -> None:
    assert units.format_names(names) == written
    assert units.format_names(names, most=4).count(",") == max(0, len(names) - 1)


def test_numbers_of_reports() -> None:
    assert [units.format_items(number, "image") for number in (1, 1500)] == ["1 image", "1,500 images"]
    assert [units.format_metric(number) for number in (95_608_077_312, 17_000_000, 1234)] == [
        "95.6 G",
        "17.0 M",
        "1,234",
    ]
    assert [units.format_seconds(value) for value in (0.01234, 0.365, 1.0, 81.23, 1234.0)] == [
        "12.3 ms",
        "365 ms",
        "1.00 s",
        "81.2 s",
        "20m 34s",
    ]
    assert [units.format_percent(part, 100) for part in (0.0, 0.1, 33.3, 100)] == ["0%", "<1%", "33%", "100%"]
