"""Blocks of a CSV file to rows, with every row accounted for: a transaction, skipped, or rejected with its line. Pure.

Row numbers count data rows from 1: the header and blank lines are no rows. Line numbers count the file's lines from 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final, NamedTuple

from producer.csv_split import CHUNK_LINES, InputFileError, Records, damage, split_columns, split_lines, split_records
from producer.fields import BadCellError, TimestampParser, are_plain, json_number


class Row(NamedTuple):
    """A good row."""

    number: int
    transaction_id: str
    timestamp_ms: int
    amount: str
    """The text of a JSON number."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Good rows, column by column: an object for each row would take a sixth of the time of a fast replay."""

    numbers: Sequence[int] = ()
    transaction_ids: Sequence[str] = ()
    timestamps_ms: Sequence[int] = ()
    amounts: Sequence[str] = ()

    @classmethod
    def of(cls, rows: Sequence[tuple[int, str, int, str]]) -> Rows:
        """Make them of single ones."""
        numbers, transaction_ids, timestamps_ms, amounts = zip(*rows, strict=True) if rows else ((), (), (), ())
        return cls(numbers, transaction_ids, timestamps_ms, amounts)

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[Row]:
        return map(Row, self.numbers, self.transaction_ids, self.timestamps_ms, self.amounts)

    def part(self, start: int, end: int) -> Rows:
        """Return those from index ``start`` to before ``end``."""
        if end - start == len(self.numbers):
            return self
        return Rows(
            self.numbers[start:end],
            self.transaction_ids[start:end],
            self.timestamps_ms[start:end],
            self.amounts[start:end],
        )


@dataclass(frozen=True, slots=True)
class Reject:
    """A malformed row: where it starts, what is wrong, and its text exactly as in the file, without the line's end."""

    number: int
    line: int
    reason: str
    raw: str
    """Bytes that are not UTF-8 stand as lone surrogates (surrogateescape)."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """What some lines of the file held, sorted into three; every row is in one of them."""

    rows: Rows = Rows()
    rejects: Sequence[Reject] = ()
    skipped: Sequence[int] = ()
    """Numbers of the rows with an empty needed cell."""


NOTHING: Final = Chunk()


@dataclass(frozen=True, slots=True)
class Columns:
    """The header's names of the three needed columns."""

    transaction_id: str = "transaction_id"
    timestamp: str = "timestamp"
    amount: str = "amount"


class CsvRows:
    """Reads one pass over a file: takes blocks of bytes, yields chunks of rows.

    An empty block means that nothing is there yet (a pipe) and comes out as an empty chunk.
    """

    def __init__(
        self,
        blocks: Iterable[bytes],
        name: str,
        timestamps: TimestampParser,
        *,
        columns: Columns,
        delimiter: str = ",",
        start_row: int = 1,
    ) -> None:
        """Take the file called ``name`` in messages; rows before ``start_row`` are passed over and not counted."""
        self._blocks = blocks
        self._name = name
        self._timestamps = timestamps
        self._columns = columns
        self._delimiter = delimiter
        self._start_row = start_row
        self._width = 0
        self._pick = itemgetter(0, 1, 2)
        self.next_row = 1
        """The number of the row that is read next."""

    def __iter__(self) -> Iterator[Chunk]:
        """Yield the rows in file order.

        Raises:
            InputFileError: empty, not UTF-8 text, a needed column missing or there twice, or an endless line.
        """
        lines: list[str] = []
        lines_before = 0
        damaged = False
        for fresh in split_lines(self._blocks, self._name):
            damaged = fresh.damaged or (damaged and bool(lines))
            lines += fresh.texts
            judged = False
            at = 0 if self._width else self._read_header(lines, final=fresh.final)
            while at < len(lines) and self._width:
                chunk = None if damaged else self._all_good(lines[at : at + CHUNK_LINES])
                end = min(at + CHUNK_LINES, len(lines))
                if chunk is None:
                    records = split_records(lines, at, self._delimiter, final=fresh.final)
                    end = records.end
                    if end == at:
                        break  # the record goes on in the next block
                    chunk = self._judge_each(records, lines, lines_before, damaged=damaged)
                yield chunk
                judged = True
                at = end
            if not judged:
                yield NOTHING
            del lines[:at]
            lines_before += at

    def _read_header(self, lines: list[str], *, final: bool) -> int:
        """Find the needed columns in the first line that isn't blank; returns how many lines are done with."""
        blank = next((index for index, line in enumerate(lines) if line.strip("\r\n")), len(lines))
        if blank == len(lines):
            if final:
                raise InputFileError(f"{self._name} is empty: a header with the columns' names is due")
            return blank
        records = split_records(lines, blank, self._delimiter, final=final)
        if records.end == blank:
            return blank
        end = records.starts[1] if len(records.cells) > 1 else records.end
        if damage("".join(lines[blank:end])):
            raise InputFileError(f"{self._name} is not UTF-8 text")
        if records.faults.get(0):
            raise InputFileError(f"{self._name}: {records.faults[0]} in the header")
        names = [name.strip() for name in records.cells[0]]
        needed = (self._columns.transaction_id, self._columns.timestamp, self._columns.amount)
        for name in needed:
            if names.count(name) != 1:
                problem = "more than one column" if name in names else "no column"
                raise InputFileError(f"{self._name} has {problem} {name!r}; its header: {', '.join(names)[:300]!r}")
        self._width = len(names)
        self._pick = itemgetter(*map(names.index, needed))
        return end

    def _all_good(self, lines: list[str]) -> Chunk | None:
        """Take lines that are a good row each, column by column; None where one of them may not be."""
        columns = split_columns(lines, self._delimiter, self._width)
        if columns is None:
            return None
        first, end = self.next_row, self.next_row + len(lines)
        if end <= self._start_row:
            self.next_row = end
            return NOTHING
        ids, texts, amounts = self._pick(columns)
        if first < self._start_row or "" in ids or not are_plain(amounts):
            return None
        try:
            stamps = list(map(self._timestamps.__getitem__, texts))
        except BadCellError:
            return None
        self.next_row = end
        return Chunk(Rows(range(first, end), ids, stamps, amounts))

    def _judge_each(self, records: Records, lines: list[str], lines_before: int, *, damaged: bool) -> Chunk:
        rows: list[Row] = []
        rejects: list[Reject] = []
        skipped: list[int] = []
        ends = [*records.starts[1:], records.end]
        for index, (cells, start, end) in enumerate(zip(records.cells, records.starts, ends, strict=True)):
            fault = records.faults.get(index)
            if not cells and fault is None:
                continue  # a blank line
            number = self.next_row
            self.next_row += 1
            if number < self._start_row:
                continue
            raw = "".join(lines[start:end])
            try:
                row = self._row(number, cells, damage(raw) or fault if damaged else fault)
            except BadCellError as error:
                raw = raw.removesuffix("\n").removesuffix("\r")
                rejects.append(Reject(number, lines_before + start + 1, str(error), raw))
                continue
            if row is None:
                skipped.append(number)
            else:
                rows.append(row)
        return Chunk(Rows.of(rows), rejects, skipped)

    def _row(self, number: int, cells: list[str], fault: str | None) -> Row | None:
        """Read one row; None where a needed cell is empty, which is looked at before what the others hold."""
        if fault is not None:
            raise BadCellError(fault)
        if len(cells) != self._width:
            raise BadCellError(f"{len(cells)} columns where the header has {self._width}")
        transaction_id, text, amount = self._pick(cells)
        if not (transaction_id and text and amount):
            return None
        return Row(number, transaction_id, self._timestamps[text], json_number(amount))
