"""A timestamp's text to epoch ms, as strptime and the zone's rules have it; what happens twice; what is no time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from producer.reading.errors import BadCellError, BadFormatError
from producer.reading.times import DEFAULT_FORMAT, TimestampParser

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
        return parser.after(text, None)
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
        ("epoch_ms", "1e99"),
        ("epoch_ms", "1e999"),
        ("epoch_ns", "1e"),
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
