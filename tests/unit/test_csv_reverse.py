"""Reading a file from its end, and last lines without a line end."""

from __future__ import annotations

import tempfile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.reading.errors import InputFileError
from producer.reading.lines import LINE_BYTES_MAX
from producer.reading.times import DEFAULT_FORMAT, TimestampParser
from tests.unit.csv_reading import AT, HEADER, Found, blocks_of, read

pieces = st.sampled_from(
    [
        f"a,{AT},1\n",
        f"b,{AT},2\r\n",
        "\n",
        "bad\n",
        ",,\n",
        f'"c\nd",{AT},3\n',
        f'e,{AT},"4\n',
        f'f,{AT},"5"x\n',
        "\xe9",
    ]
)


@given(st.lists(pieces, max_size=30), st.lists(st.integers(1, 90), max_size=20))
def test_from_its_end_a_file_gives_the_same_rows_in_the_other_order(body: list[str], sizes: list[int]) -> None:
    data = (HEADER + "".join(body)).encode("cp1252")
    forward, backward = Found([data]), Found(blocks_of(data, sizes), reverse=True)
    last = forward.next_row
    assert backward.next_row == last
    assert [(last - row.number, *row[1:]) for row in backward.rows] == [tuple(row) for row in forward.rows[::-1]]
    assert backward.skipped == [last - number for number in forward.skipped[::-1]]
    assert [(last - r.number, r.line, r.reason, r.raw) for r in backward.rejects] == [
        (r.number, r.line, r.reason, r.raw) for r in forward.rejects[::-1]
    ]


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_long_file_is_read_from_its_end_in_parts(quote: str) -> None:
    lines = [f"{quote}tx{number}{quote},{AT},{number}\n" for number in range(1, 5001)]
    lines[2500] = "bad\n"
    found = read(HEADER + "".join(lines), reverse=True)
    assert found.amounts == [str(number) for number in range(5000, 0, -1) if number != 2501]
    assert [row.number for row in found.rows] == [number for number in range(1, 5001) if number != 2500]
    assert found.lines == [2502]


@pytest.mark.parametrize("start_row", [1, 2, 600, 1199, 1200, 9999])
def test_a_row_to_start_from_is_counted_from_the_end(start_row: int) -> None:
    text = HEADER + "".join(f"tx{n},{AT if n % 7 else 'bad'},{n}\n" for n in range(1, 1201))
    every, some = read(text, reverse=True), read(text, reverse=True, start_row=start_row)
    assert some.rows == [row for row in every.rows if row.number >= start_row]
    assert some.rejects == [reject for reject in every.rejects if reject.number >= start_row]


def test_an_overlong_line_costs_its_row_from_there_too() -> None:
    text = f"{HEADER}a,{AT},1\nb,{AT},{'9' * LINE_BYTES_MAX}\nc,{AT},1\n"
    found = Found(blocks_of(text.encode(), [65_536] * 16), reverse=True)
    assert (found.ids, found.lines, found.reasons) == (["c", "a"], [3], ["line of more than 1 MiB"])
    assert found.rejects[0].raw.startswith(f"b,{AT},999")


def test_in_the_hour_that_happens_twice_the_row_above_is_the_one_read_before() -> None:
    berlin = TimestampParser(DEFAULT_FORMAT, ZoneInfo("Europe/Berlin"))
    texts = ["01:50", "02:10", "02:50", "02:10", "02:35", "02:50", "03:10"]
    lines = [f"a,2024-10-27 {text}:00,1\n" for text in texts]
    first_ms = berlin["2024-10-27 01:50:00"]
    found = read(HEADER + "".join(reversed(lines)), timestamps=berlin, reverse=True)
    assert [(row.timestamp_ms - first_ms) // 60_000 for row in found.rows] == [0, 20, 60, 80, 105, 120, 140]


def test_no_room_for_the_temporary_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with pytest.raises(InputFileError, match="temporary file in /nowhere: No such file or directory"):
        read(f"{HEADER}a,{AT},1\n", reverse=True)


# ---- a last line that has no end ----


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\r"])
@pytest.mark.parametrize("size", [7, 10**6])
def test_a_last_line_without_its_end_is_known(end: str, size: int) -> None:
    data = f"{HEADER}a,{AT},1\n\nb,{AT},2{end}".encode()
    found = Found([data[at : at + size] for at in range(0, len(data), size)])
    assert found.ids == ["a", "b"]
    assert found.unfinished == ((None, None, False) if end else (4, 2, False))


def test_it_is_not_read_where_the_file_has_grown_meanwhile() -> None:
    for reverse in (False, True):
        found = Found([f"{HEADER}a,{AT},1\nb,{AT},2".encode()], grown=lambda: True, reverse=reverse)
        assert (found.ids, found.next_row, found.unfinished) == (["a"], 2, (3, None, True))


def test_nor_are_the_lines_of_a_quoted_cell_that_it_leaves_open() -> None:
    data = f'{HEADER}a,{AT},1\n"b\nc,{AT},2'.encode()
    found = Found([data], grown=lambda: True)
    assert (found.ids, found.rejects, found.next_row) == (["a"], [], 2)


def test_a_file_that_has_grown_but_ended_with_a_line_is_read_as_it_was() -> None:
    found = Found([f"{HEADER}a,{AT},1\n".encode()], grown=lambda: True)
    assert (found.ids, found.unfinished) == (["a"], (None, None, False))


def test_from_the_end_the_row_of_such_a_line_is_the_first() -> None:
    assert Found([f"{HEADER}a,{AT},1\nb,{AT},2".encode()], reverse=True).unfinished == (3, 1, False)
