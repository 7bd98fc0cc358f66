"""Layouts of files: lines above the header, a line sep=, no header, a value in two columns, very long lines."""

from __future__ import annotations

import tracemalloc
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.reading.amounts import Amounts, difference
from producer.reading.columns import Columns, check_numbers
from producer.reading.errors import BadCellError, BadFormatError, InputFileError
from producer.reading.lines import LINE_BYTES_MAX
from producer.reading.rows import Reject
from tests.unit.csv_reading import AT, HEADER, Found, blocks_of, read

SPLIT = Columns("id", "Date+Time", "Credit-Debit")


# ---- above the rows ----


def test_lines_above_the_header_are_skipped_whatever_they_hold_and_counted_as_lines() -> None:
    found = read(f'Bank "XY\n\n;;;\n{HEADER}a,{AT},1\nb,bad,1\n', skip_lines=3)
    assert (found.ids, found.lines, found.next_row) == (["a"], [6], 3)


def test_skipped_lines_without_a_file_below_them_are_named() -> None:
    with pytest.raises(InputFileError, match=r"rows\.csv is empty below the 5 lines skipped"):
        read(HEADER, skip_lines=5)


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=;", "sep=;\r", "\ufeffsep=;"])
def test_a_first_line_sep_says_what_is_between_cells(line: str) -> None:
    assert read(f"{line}\n{HEADER}a,{AT},1\n".replace(",", ";")).ids == ["a"]


@pytest.mark.parametrize("tab", ["\t", "\\t"])
def test_which_may_be_a_tab_in_either_spelling(tab: str) -> None:
    text = f"{HEADER}a,{AT},1\n".replace(",", "\t")
    assert read(f"sep={tab}\n{text}").ids == ["a"]


@pytest.mark.parametrize(("above", "skip"), [("sep=;\nBank\n", 2), ("Bank\nsep=;\n", 1), ("sep=;\n", 1)])
def test_a_line_sep_is_understood_above_and_below_skipped_lines(above: str, skip: int) -> None:
    text = f"{HEADER}a,{AT},1\n".replace(",", ";")
    assert read(above + text, skip_lines=skip).ids == ["a"]


def test_a_delimiter_that_was_asked_for_wins_over_a_line_sep() -> None:
    assert read(f"sep=;\n{HEADER}a,{AT},1\n", delimiter=",").ids == ["a"]


def test_a_line_sep_further_down_is_a_row() -> None:
    assert read(f"{HEADER}sep=;\na,{AT},1\n").reasons == ["1 columns where the header has 3"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (f"Bank\nAccount 12\n{HEADER}", "; --skip-lines 2 would find the columns"),
        (HEADER.replace(",", ";"), "; --delimiter ';' would find the columns"),
        (HEADER.replace(",", "\t"), "; --delimiter tab would find the columns"),
        (f"Bank\n{HEADER.replace(',', '|')}", "; --skip-lines 1 --delimiter '|' would find the columns"),
        ("a,b\n", "has no column 'transaction_id'; its header: 'a, b'"),
    ],
)
def test_a_header_without_the_columns_says_which_options_would_find_them(text: str, named: str) -> None:
    with pytest.raises(InputFileError) as caught:
        read(text)
    assert str(caught.value).endswith(named)


def test_the_options_that_it_names_do_find_them() -> None:
    text = f"Bank\n{HEADER}a,{AT},1\n".replace(",", "|")
    assert read(text, skip_lines=1, delimiter="|").ids == ["a"]


# ---- without a header ----


def test_without_a_header_the_first_row_is_data_and_columns_have_numbers() -> None:
    text = f"x,5,{AT},tx1\ny,6,{AT},tx2\nz,7,{AT}\n"
    found = read(text, header=False, columns=Columns("4", "3", "2"))
    assert [(row.number, row.transaction_id, row.amount) for row in found.rows] == [(1, "tx1", "5"), (2, "tx2", "6")]
    assert found.rejects == [Reject(3, 3, "3 columns where the first row has 4", f"z,7,{AT}")]


def test_two_numbered_columns_make_one_value() -> None:
    found = read("tx1,2024-05-11,10:00:00,9,2\n", header=False, columns=Columns("1", "2+3", "4-5"))
    assert [(row.timestamp_ms, row.amount) for row in found.rows] == [(1_715_421_600_000, "7")]


def test_a_first_row_of_too_few_cells_is_refused_and_a_broken_one_is_only_rejected() -> None:
    with pytest.raises(InputFileError, match=r"rows\.csv has no column 4: its first row has 3"):
        read(f"tx1,{AT},1\n", header=False, columns=Columns("1", "2", "4"))
    found = read(f'tx1,{AT},"1"x\ntx2,{AT},1\n', header=False, columns=Columns("1", "2", "3"))
    assert (found.ids, found.lines) == (["tx2"], [1])


@pytest.mark.parametrize(
    "columns", [Columns("x", "2", "3"), Columns("1", "2+", "3"), Columns("1", "2", "0"), Columns()]
)
def test_columns_of_a_file_without_a_header_are_numbers_from_1(columns: Columns) -> None:
    with pytest.raises(BadFormatError, match="is not a column's number from 1"):
        check_numbers(columns)


# ---- two columns, one value ----


def test_two_columns_make_one_time_and_a_credit_and_a_debit_one_amount() -> None:
    found = read(
        "id,Date,Time,Credit,Debit\n"
        "a,2024-05-11,10:00:00,5.00,\n"
        "b,2024-05-11, 10:00:01 ,,3.00\n"
        "c,2024-05-11,10:00:02,1,0.10\n"
        "d,2024-05-11,10:00:03,0.00,-2\n"
        "e,2024-05-11,10:00:04, ,0\n",
        columns=SPLIT,
    )
    assert [(row.transaction_id, row.timestamp_ms % 10_000, row.amount) for row in found.rows] == [
        ("a", 0, "5.00"),
        ("b", 1000, "-3.00"),
        ("c", 2000, "0.90"),
        ("d", 3000, "2"),
        ("e", 4000, "0"),
    ]


@pytest.mark.parametrize("cells", ["2024-05-11,10:00:00,,", "2024-05-11,10:00:00, ,", ",10:00:00,1,", "2024-05-11,,1,"])
def test_a_row_with_a_half_time_or_neither_amount_is_skipped(cells: str) -> None:
    text = f"id,Date,Time,Credit,Debit\na,2024-05-11,10:00:00,1,\nb,{cells}\n"
    assert (read(text, columns=SPLIT).skipped, read(text, columns=SPLIT).ids) == ([2], ["a"])


def test_a_side_that_is_no_amount_rejects_its_row() -> None:
    text = "id,Date,Time,Credit,Debit\na,2024-05-11,10:00:00,1,x\n"
    assert read(text, columns=SPLIT).reasons == ["amount 'x' is not a number"]


def test_an_exact_name_wins_over_two_columns() -> None:
    text = f"id,A+B,A,B,A-B\nx,{AT},bad,bad,5\n"
    assert read(text, columns=Columns("id", "A+B", "A-B")).amounts == ["5"]


def test_names_that_hold_the_joint_themselves_are_found() -> None:
    text = "id,T+1,UTC,Pre-tax,Tax\nx,2024-05-11,10:00:00,5,1\n"
    assert read(text, columns=Columns("id", "T+1+UTC", "Pre-tax-Tax")).amounts == ["4"]


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        (Columns("id", "Date+Tim", "Credit"), "no column 'Tim'"),
        (Columns("id", "Date+Time", "Credit-Debt"), "no column 'Debt'"),
        (Columns("id", "Date+Time", "x-y"), "no column 'x-y'"),
        (Columns("id+id", "Date+Time", "Credit"), r"no column 'id\+id'"),
        (Columns("id", "Date+Time", "Debit"), "more than one column 'Debit'"),
    ],
)
def test_a_part_that_is_missing_or_there_twice_is_named(columns: Columns, named: str) -> None:
    with pytest.raises(InputFileError, match=named):
        read("id,Date,Time,Credit,Debit,Debit\n", columns=columns)


numbers = st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**15), max_value=10**15).map(str)


@given(numbers, numbers)
def test_a_difference_is_exact(left: str, right: str) -> None:
    read_left, read_right = Amounts()[left], Amounts()[right]
    assert Decimal(difference(read_left, read_right)) == Decimal(left) - Decimal(right)


def test_a_difference_of_too_many_digits_is_no_amount() -> None:
    with pytest.raises(BadCellError, match="has more than 64 characters"):
        difference("1e300", "0.001")


@given(st.lists(st.tuples(st.sampled_from(["", "1.5", "x", "0"]), st.sampled_from(["", "2", "0"])), max_size=9))
def test_rows_are_judged_alike_one_by_one_and_all_at_once(sides: list[tuple[str, str]]) -> None:
    lines = [f"tx{at},2024-05-11,10:00:00,{left},{right}\n" for at, (left, right) in enumerate(sides)]
    head = "id,Date,Time,Credit,Debit\n"
    alone = [read(head + line, columns=SPLIT) for line in lines]
    whole = read(head + "".join(lines), columns=SPLIT)
    assert whole.amounts == [amount for found in alone for amount in found.amounts]
    assert whole.reasons == [reason for found in alone for reason in found.reasons]
    assert len(whole.skipped) == sum(len(found.skipped) for found in alone)


# ---- lines that are too long ----


@pytest.mark.parametrize("inside", ["9" * LINE_BYTES_MAX, '"' + "9" * LINE_BYTES_MAX, "é" * LINE_BYTES_MAX])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("size", [65_536, 10**9, LINE_BYTES_MAX + 1])
def test_a_line_of_more_than_a_mib_costs_its_row_and_no_other(inside: str, end: str, size: int) -> None:
    data = end.join([HEADER.strip(), f"a,{AT},1", f"b,{AT},{inside}", f"c,{AT},1", "d,bad,1", ""]).encode()
    found = Found([data[at : at + size] for at in range(0, len(data), size)])
    assert (found.ids, found.lines, found.next_row) == (["a", "c"], [3, 5], 5)
    assert found.reasons[0] == "line of more than 1 MiB"
    assert found.rejects[0].raw.startswith(f"b,{AT},{inside[: 900 // 2]}")
    assert len(found.rejects[0].raw) <= 1000


@pytest.mark.parametrize("length", [LINE_BYTES_MAX - 1, LINE_BYTES_MAX, LINE_BYTES_MAX + 1])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", ""])
def test_the_limit_is_a_mib_without_the_lines_end_wherever_blocks_are_cut(length: int, end: str) -> None:
    head = f"a,{AT},1,"
    line = (head + ",".join(["x" * 100_000] * 11))[:length].ljust(length, "y")
    data = ("transaction_id,timestamp,amount,note\n" + line + end).encode()
    width = line.count(",") + 1
    reason = "line of more than 1 MiB" if length > LINE_BYTES_MAX else f"{width} columns where the header has 4"
    for size in (65_536, 10**9):
        found = Found([data[at : at + size] for at in range(0, len(data), size)])
        assert found.reasons == [reason]


def test_a_quoted_cell_that_holds_such_a_line_costs_its_row_and_no_other() -> None:
    text = f'{HEADER}a,{AT},1\nb,{AT},"1\n{"9" * LINE_BYTES_MAX}9\n2"\nc,{AT},1\n'
    found = read(text)
    assert found.ids == ["a", "c"]
    assert "line of more than 1 MiB" in found.reasons


def test_a_line_without_an_end_takes_no_memory_for_its_length() -> None:
    def blocks() -> object:
        yield f"{HEADER}a,{AT},1\nb,".encode()
        for _ in range(1000):
            yield b"x" * 65_536
        yield f"\nc,{AT},1\n".encode()

    tracemalloc.start()
    try:
        found = Found(blocks())  # type: ignore[arg-type]
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert (found.ids, found.lines) == (["a", "c"], [3])


def test_one_where_the_header_should_be_is_refused_before_its_end() -> None:
    endless = (b"x" * 65_536 for _ in range(10**9))
    with pytest.raises(InputFileError, match="line of more than 1 MiB where the header should be"):
        Found(endless)


@given(
    body=st.lists(
        st.sampled_from([b"a,", AT.encode(), b",1", b"\n", b"\r\n", b'"', b"\xff", b"y" * 700_000, b"\r"]), max_size=12
    ).map(b"".join),
    sizes=st.lists(st.integers(1, 900_000), max_size=8),
)
def test_where_blocks_are_cut_makes_no_difference_to_long_lines(body: bytes, sizes: list[int]) -> None:
    data = HEADER.encode() + body
    whole, cut = Found([data]), Found(blocks_of(data, sizes))
    assert (whole.rows, whole.rejects, whole.skipped) == (cut.rows, cut.rejects, cut.skipped)
    assert len(whole.rows) + len(whole.rejects) + len(whole.skipped) == whole.next_row - 1
