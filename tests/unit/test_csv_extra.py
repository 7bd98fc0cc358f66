"""Further columns of a file: their cells come beside the rows."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from producer.disorder import Shuffled
from producer.reading.columns import Columns, check_numbers
from producer.reading.csv_rows import CsvRows
from producer.reading.errors import BadFormatError, InputFileError
from producer.reading.layout import Layout
from producer.reading.rows import Row, Rows
from producer.reading.times import DEFAULT_FORMAT, TimestampParser
from tests.unit.csv_reading import AT, HEADER


def further(text: str, *names: str, **options: object) -> list[list[str]]:
    """The cells of these columns, one list for each column."""
    layout = Layout(TimestampParser(DEFAULT_FORMAT, ZoneInfo("UTC")), extra=names, **options)  # type: ignore[arg-type]
    found: list[list[str]] = [[] for _ in names]
    for chunk in CsvRows([text.encode()], "rows.csv", layout):
        if chunk.rows:
            assert {len(chunk.rows)} == {len(cells) for cells in chunk.rows.extra}
            for column, cells in zip(found, chunk.rows.extra, strict=True):
                column.extend(cells)
    return found


@pytest.mark.parametrize("quote", ["", '"'])
def test_further_columns_come_with_the_rows_empty_or_not(quote: str) -> None:
    rows = "".join(f"{quote}t{n}{quote},{AT},{n},{n % 3 or ''},x\n" for n in range(1, 1200))
    expected = [str(n % 3 or "") for n in range(1, 1200)]
    assert further(f"transaction_id,timestamp,amount,fraud,who\n{rows}", "fraud", "who") == [expected, ["x"] * 1199]


def test_further_columns_leave_out_rows_that_are_rejected_or_skipped() -> None:
    text = f"fraud,{HEADER}1,a,{AT},1\n2,b,bad,1\n3,,{AT},1\n4,c,{AT}\n5,d,{AT},1\n"
    assert further(text, "fraud") == [["1", "5"]]
    assert further(text, "fraud", reverse=True) == [["5", "1"]]


def test_a_further_column_may_be_one_that_is_needed() -> None:
    assert further(f"{HEADER}a,{AT},1\n", "transaction_id") == [["a"]]


def test_further_columns_by_number() -> None:
    options = {"header": False, "columns": Columns("1", "2", "3")}
    assert further(f"a,{AT},1,yes\n", "4", **options) == [["yes"]]
    with pytest.raises(InputFileError, match=r"rows\.csv has no column 5: its first row has 4"):
        further(f"a,{AT},1,yes\n", "5", **options)
    with pytest.raises(BadFormatError, match="'fraud' is not a column's number"):
        check_numbers(Columns("1", "2", "3"), ["fraud"])


@pytest.mark.parametrize("names", ["", "fraud,fraud,"])
def test_a_further_column_that_is_missing_or_twice_there_is_named(names: str) -> None:
    problem = "more than one column" if names else "no column"
    with pytest.raises(InputFileError, match=rf"rows\.csv has {problem} 'fraud';"):
        further(f"{names}{HEADER}", "fraud")


def test_a_part_of_the_rows_has_its_part_of_the_further_columns() -> None:
    rows = Rows(range(1, 5), "abcd", [0] * 4, ["1"] * 4, [list("wxyz")])
    assert rows.part(1, 3).extra == [["x", "y"]]


@pytest.mark.parametrize("row_by_row", [False, True])
def test_a_damaged_cell_of_a_further_column_costs_its_row(row_by_row: bool) -> None:  # noqa: FBT001
    rows = [f"a,{AT},1,Caf\u00e9".encode("latin-1"), f"b,{AT},1,".encode() + ("," if row_by_row else "").encode()]
    rows += [f"c,{AT},1,caf\u00e9".encode()]
    layout = Layout(TimestampParser(DEFAULT_FORMAT, ZoneInfo("UTC")), extra=("who",))
    chunks = list(CsvRows([b"transaction_id,timestamp,amount,who\n" + b"\n".join(rows) + b"\n"], "rows.csv", layout))
    good = [(row.transaction_id, *row.extra) for chunk in chunks for row in chunk.rows]
    assert [("b", ""), ("c", "caf\u00e9")][row_by_row:] == good
    assert [1, 2][: 1 + row_by_row] == [reject.number for chunk in chunks for reject in chunk.rejects]


def test_rows_keep_their_further_cells_in_another_order() -> None:
    order = Shuffled(1_000, 7)
    numbers = range(1, 101)
    given = Rows.of([Row(n, f"t{n}", 10 * n, "1", [f"m{n}"]) for n in numbers])
    both = [order.add(given)[0], order.end()[0]]
    found = [(row.number, *row.extra) for rows in both for row in rows]
    assert sorted(found) == [(n, f"m{n}") for n in numbers] != found
    assert [cell for rows in both for cell in rows.extra[0]] == [cell for _, cell in found]
