"""The result of reading a file: good rows by column, rejected rows with their line, and the numbers of skipped rows.

Row numbers count data rows from 1 in the order of reading, without the header and blank lines. Line numbers count the
file's lines from 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Final, NamedTuple


class Row(NamedTuple):
    """A good row."""

    number: int
    transaction_id: str
    timestamp_ms: int
    amount: str
    """The text of a JSON number."""
    extra: Sequence[str] = ()
    """The cells of `Layout.extra`."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Good rows by column. An object for each row would take a sixth of the time of a fast replay."""

    numbers: Sequence[int] = ()
    transaction_ids: Sequence[str] = ()
    timestamps_ms: Sequence[int] = ()
    amounts: Sequence[str] = ()
    extra: Sequence[Sequence[str]] = ()
    """The cells of `Layout.extra`, column by column."""

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Rows:
        """Build them from single rows."""
        if not rows:
            return cls()
        numbers, transaction_ids, timestamps_ms, amounts, extra = zip(*rows, strict=True)
        return cls(numbers, transaction_ids, timestamps_ms, amounts, tuple(zip(*extra, strict=True)))

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[Row]:
        extra = zip(*self.extra, strict=True) if self.extra else repeat(())
        return map(Row, self.numbers, self.transaction_ids, self.timestamps_ms, self.amounts, extra)

    def part(self, start: int, end: int) -> Rows:
        """Return the rows from index ``start`` to ``end`` (exclusive)."""
        if end - start == len(self.numbers):
            return self
        return Rows(
            self.numbers[start:end],
            self.transaction_ids[start:end],
            self.timestamps_ms[start:end],
            self.amounts[start:end],
            [cells[start:end] for cells in self.extra],
        )


@dataclass(frozen=True, slots=True)
class Reject:
    """A malformed row: its first line, what is wrong, and its text exactly as in the file, without the line's end."""

    number: int
    line: int
    reason: str
    raw: str
    """Bytes that are not of the encoding are lone surrogates (surrogateescape). For an overlong line: its beginning."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The rows of some lines of the file. Each row is good, rejected or skipped."""

    rows: Rows = Rows()
    rejects: Sequence[Reject] = ()
    skipped: Sequence[int] = ()
    """The numbers of the rows with an empty needed cell."""


NOTHING: Final = Chunk()
