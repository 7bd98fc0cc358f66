"""A file's bytes to rows: every row is sent, skipped or rejected, for any content and any blocks."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.reading.columns import Columns
from producer.reading.errors import InputFileError
from producer.reading.records import CHUNK_LINES
from producer.reading.rows import Reject, Row
from tests.unit.csv_reading import AT, AT_MS, HEADER, Found, blocks_of, read


def test_a_row_is_its_number_its_id_its_time_in_ms_and_its_amount_as_written() -> None:
    assert read(f"{HEADER}tx1,{AT},3200.50\n").rows == [Row(1, "tx1", AT_MS, "3200.50")]


@pytest.mark.parametrize("text", ["00123", "NA", "1e5", "null", " ", "nan", "é", "a\tb", '{"x":1}', "-"])
def test_an_id_is_text_and_stays_what_it_is(text: str) -> None:
    quoted = text.replace('"', '""')
    assert read(f'{HEADER}"{quoted}",{AT},1\n').ids == [text]
    assert read(f"{HEADER}{text},{AT},1\n").ids == [text] if '"' not in text else True


@pytest.mark.parametrize("cells", [f",{AT},1", "tx1,,1", f"tx1,{AT},", ",,", f'"",{AT},1', "tx1,,abc", "tx1,nonsense,"])
def test_a_row_with_an_empty_needed_cell_is_skipped_whatever_else_it_holds(cells: str) -> None:
    found = read(f"{HEADER}{cells}\ntx2,{AT},1\n")
    assert (found.skipped, found.ids, found.rejects) == ([1], ["tx2"], [])


def test_an_empty_cell_of_another_column_means_nothing() -> None:
    assert read(f"transaction_id,note,timestamp,amount\ntx1,,{AT},1\n").ids == ["tx1"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f"tx1,{AT}", "2 columns where the header has 3"),
        (f"tx1,{AT},1,2", "4 columns where the header has 3"),
        ("tx1,11.5.2024,1", "timestamp '11.5.2024' does not match %Y-%m-%d %H:%M:%S"),
        ("tx1,2024-02-30 10:00:00,1", "timestamp '2024-02-30 10:00:00' does not match %Y-%m-%d %H:%M:%S"),
        (f"tx1,{AT},abc", "amount 'abc' is not a number"),
        (f"tx1,{AT},nan", "amount 'nan' is not finite"),
        (f'tx1,{AT},"1,000"', "amount '1,000' is not a number; --thousands , or --decimal , reads it"),
        (f'tx1,{AT},"1\n2"', "amount '1\\n2' is not a number"),
        (f'tx1,{AT},"1"x', "broken quoting: ',' expected after '\"'"),
        (f"tx\0,{AT},1", "NUL byte"),
    ],
)
def test_a_malformed_row_is_rejected_with_its_line_its_reason_and_its_text(line: str, reason: str) -> None:
    found = read(f"{HEADER}a,{AT},1\n{line}\nb,{AT},1\n")
    assert found.rejects == [Reject(2, 3, reason, line)]
    assert found.ids == ["a", "b"]


def test_two_amounts_in_one_quoted_cell_are_not_two_rows() -> None:
    assert read(f'{HEADER}a,{AT},"1\n2"\nb,{AT},3\n').ids == ["b"]


def test_bytes_that_are_not_utf8_reject_their_row_and_come_back_as_they_were() -> None:
    found = Found([HEADER.encode() + f"a,{AT},1\n".encode() + b"t\xe9,x,1\r\n" + f"b,{AT},1\n".encode()])
    assert found.ids == ["a", "b"]
    assert [(reject.line, reject.reason) for reject in found.rejects] == [(3, "not UTF-8; --encoding names another")]
    assert found.rejects[0].raw.encode(errors="surrogateescape") == b"t\xe9,x,1"


def test_one_stray_quote_costs_one_row_and_not_the_rest_of_the_file() -> None:
    good = "".join(f"tx{n},{AT},1\n" for n in range(20_000))
    found = read(f'{HEADER}a,{AT},1\nb,{AT},"1\n{good}')
    assert [(reject.number, reject.line) for reject in found.rejects] == [(2, 3)]
    assert found.ids == ["a", *(f"tx{n}" for n in range(20_000))]


def test_an_unterminated_quote_in_the_last_row_rejects_that_row() -> None:
    found = read(f'{HEADER}a,{AT},1\nb,{AT},"1')
    assert found.rejects == [Reject(2, 3, "quoted field is never closed", f'b,{AT},"1')]


def test_an_overlong_field_rejects_its_row_on_either_path() -> None:
    for quote in ("", '"'):
        long = f"{quote}{'x' * 140_000}{quote},{AT},1"
        found = read(f"{HEADER}a,{AT},1\n{long}\nb,{AT},1\n")
        assert found.ids == ["a", "b"]
        assert found.rejects == [Reject(2, 3, "field of more than 131072 characters", long)]


def test_quoted_cells_may_hold_delimiters_quotes_and_line_breaks() -> None:
    found = read(f'{HEADER}"a,""b""\r\nc",{AT},1\nd,bad,1\n')
    assert found.ids == ['a,"b"\r\nc']
    assert found.lines == [4]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends_a_bom_and_a_missing_last_line_end_make_no_difference(end: str, bom: str, *, last: bool) -> None:
    text = bom + end.join([HEADER.strip(), f"a,{AT},1", f"b,{AT},2"]) + (end if last else "")
    found = read(text)
    assert [(row.transaction_id, row.amount) for row in found.rows] == [("a", "1"), ("b", "2")]


def test_columns_may_stand_in_any_order_under_other_names_and_among_others() -> None:
    text = f"x; sum ;when;account\n1;5;{AT};tx1\n"
    found = read(text, columns=Columns("account", "when", "sum"), delimiter=";")
    assert found.rows == [Row(1, "tx1", AT_MS, "5")]


def test_blank_lines_are_no_rows() -> None:
    found = read(f"\n\n{HEADER}\na,{AT},1\n\r\n\nb,bad,1\n")
    assert [row.number for row in found.rows] == [1]
    assert [(reject.number, reject.line) for reject in found.rejects] == [(2, 8)]
    assert found.next_row == 3


def test_a_header_alone_is_a_file_without_rows() -> None:
    for text in (HEADER, HEADER.strip()):
        found = read(text)
        assert (found.rows, found.rejects, found.next_row) == ([], [], 1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "rows.csv is empty: a header with the columns' names should be there"),
        (b"\xef\xbb\xbf", "rows.csv is empty: a header with the columns' names should be there"),
        (b"\n\r\n", "rows.csv is empty: a header with the columns' names should be there"),
        (b"transaction_id,amount\n", "rows.csv has no column 'timestamp'; its header: 'transaction_id, amount'"),
        (
            b"transaction_id,timestamp,amount,amount\n",
            "rows.csv has more than one column 'amount'; its header: 'transaction_id, timestamp, amount, amount'",
        ),
        (HEADER.encode("utf-16"), "rows.csv is not UTF-8: it starts like UTF-16: --encoding utf-16"),
        (HEADER.encode("utf-16-le"), "rows.csv is not UTF-8 text; --encoding utf-16-le may read it"),
        (
            b"\x1f\x8b\x08\0\xff\xfe\xfd\n",
            "rows.csv is not UTF-8: it is gzip: name it .gz, or pipe it through gzip -dc",
        ),
        (b'"transaction_id,timestamp,amount\n', "rows.csv: quoted field is never closed in the header"),
    ],
)
def test_what_is_no_csv_of_transactions_is_refused_by_name(data: bytes, message: str) -> None:
    with pytest.raises(InputFileError) as caught:
        Found([data])
    assert str(caught.value) == message


@pytest.mark.parametrize("start", [1, 2, CHUNK_LINES, CHUNK_LINES + 1, 1200, 1201, 5000])
def test_reading_may_start_at_any_row_with_the_same_numbers(start: int) -> None:
    text = HEADER + "".join(f"tx{n},{AT if n % 7 else 'bad'},1\n{'' if n % 5 else chr(10)}" for n in range(1, 1201))
    every, some = read(text), read(text, start_row=start)
    assert some.rows == [row for row in every.rows if row.number >= start]
    assert some.rejects == [reject for reject in every.rejects if reject.number >= start]
    assert some.next_row == every.next_row == 1201


def test_one_bad_row_among_many_costs_its_neighbours_nothing() -> None:
    lines = [f"tx{n},{AT},{n}\n" for n in range(3000)]
    lines[1700] = f"tx1700,{AT},none\n"
    found = read(HEADER + "".join(lines))
    assert [row.number for row in found.rows] == [n + 1 for n in range(3000) if n != 1700]
    assert found.rejects == [Reject(1701, 1702, "amount 'none' is not a number", f"tx1700,{AT},none")]


cell_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)
good_row = st.tuples(cell_text, st.just(AT), st.from_regex(r"-?(0|[1-9][0-9]{0,5})(\.[0-9]{1,3})?", fullmatch=True))
skipped_row = st.sampled_from([("", AT, "1"), ("a", "", "1"), ("a", AT, "")])
bad_row = st.sampled_from([("a", AT, "x"), ("a", "x", "1"), ("a", AT), ("a", AT, "1", "2"), ("a", AT, "1\n2")])
some_rows = st.lists(st.one_of(good_row, good_row, skipped_row, bad_row), max_size=30)
cuts = st.lists(st.integers(1, 60), max_size=60)


@given(
    rows=some_rows,
    end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    delimiter=st.sampled_from([",", ";", "\t"]),
    sizes=cuts,
)
def test_what_a_csv_writer_wrote_is_sent_skipped_or_rejected_row_by_row(
    rows: list[tuple[str, ...]], end: str, quoting: int, delimiter: str, sizes: list[int]
) -> None:
    def written(row: tuple[str, ...]) -> str:
        file = io.StringIO()
        csv.writer(file, lineterminator="\r\n", quoting=quoting, delimiter=delimiter).writerow(row)  # type: ignore[arg-type]
        return file.getvalue().removesuffix("\r\n")

    texts = [written(row) for row in rows]
    data = end.join([written(("transaction_id", "timestamp", "amount")), *texts, ""]).encode()
    found = Found(blocks_of(data, sizes), delimiter=delimiter)
    kinds = ["skipped" if "" in row else "good" if good_shape(row) else "bad" for row in rows]
    assert [(row.number, row.transaction_id, row.amount) for row in found.rows] == [
        (number, row[0], row[2])
        for number, (row, kind) in enumerate(zip(rows, kinds, strict=True), 1)
        if kind == "good"
    ]
    assert [(reject.number, reject.raw) for reject in found.rejects] == [
        (number, text) for number, (text, kind) in enumerate(zip(texts, kinds, strict=True), 1) if kind == "bad"
    ]
    assert found.skipped == [number for number, kind in enumerate(kinds, 1) if kind == "skipped"]


def good_shape(row: tuple[str, ...]) -> bool:
    return len(row) == 3 and row[1] == AT and row[2] not in {"x", "1\n2"}


@given(
    body=st.lists(
        st.sampled_from([b"a,", AT.encode(), b",1", b"\n", b"\r\n", b'"', b'""', b"\xff", b"\0", "é".encode(), b"\r"]),
        max_size=60,
    ).map(b"".join),
    sizes=cuts,
)
def test_where_the_blocks_are_cut_makes_no_difference_to_any_bytes(body: bytes, sizes: list[int]) -> None:
    data = HEADER.encode() + body
    whole, cut = Found([data]), Found(blocks_of(data, sizes))
    assert (whole.rows, whole.rejects, whole.skipped) == (cut.rows, cut.rejects, cut.skipped)
    assert len(whole.rows) + len(whole.rejects) + len(whole.skipped) == whole.next_row - 1
