"""A timestamp's text to epoch ms, as strptime and the zone's rules have it; what happens twice; what is no time."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import product
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from producer.reading.errors import BadCellError, BadFormatError
from producer.reading.times import DEFAULT_FORMAT, TimestampParser
from tests.unit.csv_reading import HEADER, read

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
    """By another way: strptime, then the instant whose local time that is, the earlier of two; None for none."""
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


BERLIN = TimestampParser(DEFAULT_FORMAT, ZoneInfo("Europe/Berlin"))
FIRST_0230 = BERLIN["2024-10-27 01:30:00"] + 3_600_000
MINUTE_MS = 60_000


@pytest.mark.parametrize(
    ("above_ms", "second"),
    [
        (None, False),
        (FIRST_0230 - 3_600_000, False),
        (FIRST_0230 + 20 * MINUTE_MS, False),
        (FIRST_0230 + 30 * MINUTE_MS, False),
        (FIRST_0230 + 30 * MINUTE_MS + 1, True),
        (FIRST_0230 + 60 * MINUTE_MS, True),
        (FIRST_0230 + 10**9, True),
    ],
)
def test_a_time_that_happens_twice_is_the_second_once_the_first_is_over_30_minutes_before_the_row_above(
    above_ms: int | None, *, second: bool
) -> None:
    assert BERLIN.after("2024-10-27 02:30:00", above_ms) == FIRST_0230 + (3_600_000 if second else 0)


def test_only_a_zone_that_changes_its_clocks_needs_the_row_above() -> None:
    zones = {"UTC": False, "Etc/GMT+5": False, "Europe/Berlin": True}
    assert {name: TimestampParser(DEFAULT_FORMAT, ZoneInfo(name)).order_matters for name in zones} == zones
    assert not TimestampParser("epoch_s", ZoneInfo("Europe/Berlin")).order_matters


@pytest.mark.parametrize(
    ("minutes", "repeated", "start_row"),
    # 2561: the second 02:30, below five chunks of rows that are passed over.
    [*product([1, 7, 10, 29], [1, 40], [1, 2, 60, 150]), (10, 120, 2561)],
)
def test_a_sorted_file_over_the_hour_that_happens_twice_stays_sorted(
    minutes: int, start_row: int, repeated: int
) -> None:
    zone = ZoneInfo("Europe/Berlin")
    begin = datetime(2024, 10, 26, 22, tzinfo=UTC)
    whens = [begin + timedelta(minutes=minutes) * at for at in range(300 // minutes)]
    texts = [when.astimezone(zone).strftime(DEFAULT_FORMAT) for when in whens for _ in range(repeated)]
    found = read(HEADER + "".join(f"a,{text},1\n" for text in texts), timestamps=BERLIN, start_row=start_row)
    exact = [int(when.timestamp() * 1000) for when in whens for _ in range(repeated)]
    assert [row.timestamp_ms for row in found.rows] == exact[start_row - 1 :]


def test_a_row_that_is_skipped_or_rejected_for_its_amount_is_a_row_above_too() -> None:
    for amount in ("", "x"):
        text = f"{HEADER}a,2024-10-27 03:10:00,{amount}\nb,2024-10-27 02:55:00,1\n"
        assert read(text, timestamps=BERLIN).rows[0].timestamp_ms == FIRST_0230 + 85 * MINUTE_MS


def test_each_pass_begins_without_a_row_above() -> None:
    text = f"{HEADER}a,2024-10-27 02:30:00,1\nb,2024-10-27 04:00:00,1\n"
    assert [read(text, timestamps=BERLIN).rows[0].timestamp_ms for _ in range(2)] == [FIRST_0230] * 2


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("America/New_York", "9999-12-31 20:00:00"),
        ("America/New_York", "9999-12-31 19:00:00"),
        ("Asia/Shanghai", "0001-01-01 07:00:00"),
    ],
)
def test_a_local_time_that_is_outside_the_calendar_in_utc_is_refused(zone: str, text: str) -> None:
    for pattern in (DEFAULT_FORMAT, "iso8601", "%Y-%m-%d  %H:%M:%S"):
        with pytest.raises(BadCellError, match="out of range"):
            TimestampParser(pattern, ZoneInfo(zone))[text]
    assert TimestampParser(DEFAULT_FORMAT, ZoneInfo("America/New_York"))["9999-12-31 18:59:59"] == 253_402_300_799_000


@pytest.mark.parametrize("machine", ["Europe/Berlin", "America/New_York", "UTC"])
def test_the_machines_own_zone_changes_nothing(machine: str) -> None:
    code = (
        "from zoneinfo import ZoneInfo; from producer.reading.times import TimestampParser as P\n"
        "for zone in ('CEST', 'EDT', 'UTC'):\n"
        "    try: print(P('%Y-%m-%d %Z', ZoneInfo('UTC'))['2024-05-11 ' + zone])\n"
        "    except ValueError: print('reject')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "TZ": machine}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["reject", "reject", "1715385600000"]


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
        ("epoch_s", "1e+05", 100_000_000),
        ("epoch_s", "1.7153928e+09", 1_715_392_800_000),
        ("epoch_ms", "1.715392800123e12", 1_715_392_800_123),
        ("epoch_us", "1715392800123999", 1_715_392_800_123),
        ("epoch_us", "-1", -1),
        ("epoch_ns", "1715392800123999999", 1_715_392_800_123),
        ("epoch_ns", "1.715392800123999999E+18", 1_715_392_800_123),
        ("%Y-%m-%d %H:%M:%S %Z", "2024-05-11 02:00:00 UTC", 1_715_392_800_000),
        ("%Y-%m-%d %H:%M:%S %Z", "2024-05-11 02:00:00 gmt", 1_715_392_800_000),
        ("%Z%z %Y-%m-%d %H:%M:%S", "GMT+0800 2024-05-11 10:00:00", 1_715_392_800_000),
        ("%Y-%m-%d %H:%M:%S%%Z", "2024-05-11 10:00:00%Z", 1_715_392_800_000),
        (DEFAULT_FORMAT, " 2024-05-11 10:00:00 ", 1_715_392_800_000),
    ],
)
def test_other_formats_and_offsets_are_read_in_the_zone_given(pattern: str, text: str, ms: int) -> None:
    assert TimestampParser(pattern, ZoneInfo("Asia/Shanghai"))[text] == ms


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("iso8601", "11.05.2024"),
        ("iso8601", "20240511"),
        ("iso8601", "1715392800"),
        ("iso8601", "1711123112345"),
        ("iso8601", "20240511.5"),
        ("iso8601", "0001-01-01T00:00:00+08:00"),
        ("iso8601", "9999-12-31T23:59:59-05:00"),
        ("iso8601", "9999-12-31T23:59:59.999999-00:01"),
        ("%Y-%m-%dT%H:%M:%S%z", "9999-12-31T23:59:59-0500"),
        ("%Y-%m-%d %H:%M:%S %Z", "2024-05-11 10:00:00 CEST"),
        ("%Y-%m-%d %H:%M:%S %Z", "2024-05-11 10:00:00 CST"),
        ("%Y-%m-%d %H:%M:%S %Z", "2024-05-11 10:00:00 EST"),
        ("%Y-%m-%d %H:%M:%S %Z", "2024-05-11 10:00:00"),
        ("%G-W%V-%u", "9999-W53-7"),
        ("epoch_s", "253402300800"),
        ("epoch_ns", "1e30"),
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
