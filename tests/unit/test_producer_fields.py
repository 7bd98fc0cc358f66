"""A cell's text to its value: amounts digit for digit, timestamps as strptime and the zone's rules have them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from producer.csv_rows import Rows
from producer.encode import encode_rows
from producer.fields import (
    DEFAULT_FORMAT,
    BadCellError,
    BadFormatError,
    TimestampParser,
    are_plain,
    json_number,
)
from service.wire.transactions import decode, encode_transaction

ZONES = [
    "UTC",
    "Asia/Shanghai",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "America/St_Johns",
]

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  of local times


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3200", "3200"),
        ("3200.50", "3200.50"),
        ("-5", "-5"),
        ("+5", "5"),
        (".5", "0.5"),
        ("-.5", "-0.5"),
        ("5.", "5"),
        ("007", "7"),
        ("000", "0"),
        (" 12 ", "12"),
        ("1e3", "1e3"),
        ("1E+3", "1e+3"),
        ("+.5e-3", "0.5e-3"),
        ("0.1234567890123456789012345", "0.1234567890123456789012345"),
        ("1e308", "1e308"),
    ],
)
def test_an_amount_becomes_a_json_number_with_the_same_digits(text: str, number: str) -> None:
    assert json_number(text) == number


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nan", "amount 'nan' is not finite"),
        ("-Infinity", "amount '-Infinity' is not finite"),
        ("inf", "amount 'inf' is not finite"),
        ("1,000", "amount '1,000' is not a number"),
        ("abc", "amount 'abc' is not a number"),
        (".", "amount '.' is not a number"),
        ("-", "amount '-' is not a number"),
        ("e5", "amount 'e5' is not a number"),
        ("1e", "amount '1e' is not a number"),
        ("0x10", "amount '0x10' is not a number"),
        ("1_000", "amount '1_000' is not a number"),
        ("٣", "amount '٣' is not a number"),
        ("1 2", "amount '1 2' is not a number"),
        ("1\n", "amount '1\\n' is not a number"),
        ("$5", "amount '$5' is not a number"),
        ("1e309", "amount '1e309' is out of range"),
        ("1e-400", "amount '1e-400' is out of range"),
        ("1e999999999999", "amount '1e999999999999' is out of range"),
        ("9" * 65, f"amount '{'9' * 40}'... has more than 64 characters"),
    ],
)
def test_what_is_no_amount_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(BadCellError) as caught:
        json_number(text)
    assert str(caught.value) == reason


amounts = st.from_regex(r"[+-]?[0-9]{0,6}(\.[0-9]{0,6})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)


@given(amounts)
def test_a_json_number_is_the_same_decimal_and_valid_json_and_the_service_takes_it(text: str) -> None:
    try:
        number = json_number(text)
    except BadCellError:
        return
    assert Decimal(number) == Decimal(text)
    json.loads(number)
    assert decode(encode_transaction("tx1", 1_715_392_800_000, number)) is not None


@given(st.lists(st.one_of(amounts, st.text("0123456789.-+\n", max_size=8)), min_size=1, max_size=6))
@example(["1\n2"])
def test_plain_amounts_are_exactly_texts_that_would_stay_as_they_are(texts: list[str]) -> None:
    if are_plain(texts):
        assert [json_number(text) for text in texts] == texts


def exact_ms(text: str, zone: ZoneInfo) -> int | None:
    """Work it out anew: strptime, then the instant whose local time that is, the earlier of two; None for none."""
    try:
        local = datetime.strptime(text, DEFAULT_FORMAT)  # noqa: DTZ007  a local time
    except ValueError:
        return None
    aware = local.replace(tzinfo=zone)
    instant = aware.astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) != local:
        return None
    return (instant.replace(tzinfo=None) - EPOCH) // timedelta(milliseconds=1)


def parsed_ms(parser: TimestampParser, text: str) -> int | None:
    try:
        return parser[text]
    except BadCellError:
        return None


PARSERS = {name: TimestampParser(DEFAULT_FORMAT, ZoneInfo(name)) for name in ZONES}
ordinary = st.datetimes(EPOCH - timedelta(days=30_000), EPOCH + timedelta(days=40_000)).map(
    lambda when: when.strftime(DEFAULT_FORMAT)
)
around_changes = st.builds(
    lambda day, seconds: (datetime.fromisoformat(day) + timedelta(seconds=seconds)).strftime(DEFAULT_FORMAT),
    st.sampled_from(["2024-03-31", "2024-10-27", "2024-03-10", "2024-11-03", "2024-04-07", "2024-10-06", "2011-12-30"]),
    st.integers(-3600, 2 * 86_400),
)
odd = st.text("0123456789-: ", min_size=14, max_size=20)


@given(st.sampled_from(ZONES), st.one_of(ordinary, around_changes, odd))
@example("Europe/Berlin", "2024-03-31 02:30:00")
@example("Europe/Berlin", "2024-10-27 02:30:00")
@example("Pacific/Apia", "2011-12-30 12:00:00")
@example("UTC", "2024-5-1 1:2:3")
@example("UTC", "2024-05-11 10:00:60")
@example("UTC", "2024-05-11  1:00:00")
def test_the_fast_path_agrees_with_strptime_and_the_zone_on_every_text(zone: str, text: str) -> None:
    assert parsed_ms(PARSERS[zone], text) == exact_ms(text.strip(), ZoneInfo(zone))


def test_a_time_that_is_there_twice_is_the_first_of_the_two() -> None:
    parser = TimestampParser(DEFAULT_FORMAT, ZoneInfo("Europe/Berlin"))
    assert parser["2024-10-27 02:30:00"] == parser["2024-10-27 01:30:00"] + 3_600_000
    assert parser["2024-10-27 03:30:00"] == parser["2024-10-27 02:30:00"] + 7_200_000


def test_a_time_that_the_clocks_skip_is_refused() -> None:
    with pytest.raises(BadCellError, match=r"2024-03-31 02:30:00 does not exist in Europe/Berlin"):
        TimestampParser(DEFAULT_FORMAT, ZoneInfo("Europe/Berlin"))["2024-03-31 02:30:00"]


@pytest.mark.parametrize(
    ("pattern", "text", "ms"),
    [
        ("iso8601", "2024-05-11T10:00:00+08:00", 1_715_392_800_000),
        ("iso8601", "2024-05-11T02:00:00Z", 1_715_392_800_000),
        ("iso8601", "2024-05-11T10:00:00.123456", 1_715_392_800_123),
        ("iso8601", "2024-05-11", 1_715_356_800_000),
        ("%d.%m.%Y %H:%M", "11.05.2024 10:00", 1_715_392_800_000),
        ("%Y-%m-%d %H:%M:%S%z", "2024-05-11 02:00:00+0000", 1_715_392_800_000),
        ("epoch_ms", "1715392800000", 1_715_392_800_000),
        ("epoch_s", "1715392800", 1_715_392_800_000),
        ("epoch_s", "1715392800.1239", 1_715_392_800_123),
        ("epoch_s", "-0.0005", -1),
        (DEFAULT_FORMAT, " 2024-05-11 10:00:00 ", 1_715_392_800_000),
    ],
)
def test_other_formats_and_offsets_are_read_in_the_zone_given(pattern: str, text: str, ms: int) -> None:
    assert TimestampParser(pattern, ZoneInfo("Asia/Shanghai"))[text] == ms


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("iso8601", "11.05.2024"),
        ("epoch_ms", "1e12"),
        ("epoch_ms", "1715392800000000000"),
        ("epoch_ms", ""),
        ("epoch_s", "nan"),
        (DEFAULT_FORMAT, "1715392800"),
    ],
)
def test_what_is_no_timestamp_of_its_format_is_refused(pattern: str, text: str) -> None:
    with pytest.raises(BadCellError, match="timestamp"):
        TimestampParser(pattern, ZoneInfo("UTC"))[text]


@pytest.mark.parametrize("pattern", ["%Q", "%Y-%m-%d %", "%Y %Y", "%H:%M:%S", "%m-%d", "nonsense", ""])
def test_a_pattern_that_can_give_no_full_date_is_refused_at_the_start(pattern: str) -> None:
    with pytest.raises(BadFormatError):
        TimestampParser(pattern, ZoneInfo("UTC"))


ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10)


@given(
    st.lists(st.tuples(st.just(1), ids, st.integers(-(10**12), 10**13), amounts.filter(bool)), max_size=5),
    st.integers(0, 99),
)
def test_many_records_are_written_as_one_is(rows: list[tuple[int, str, int, str]], shift_ms: int) -> None:
    written = [one if isinstance(one, bytes) else one.encode() for one in encode_rows(Rows.of(rows), shift_ms)]
    assert written == [encode_transaction(key, event_ms + shift_ms, amount) for _, key, event_ms, amount in rows]
