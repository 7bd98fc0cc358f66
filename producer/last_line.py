"""A file's last line that has no end: its writer may be in the middle of it.

It is sent, and that is said. Where the file has grown since the pass began, it is not: the next replay has all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from producer.reading.csv_rows import CsvRows
from producer.replay import Batch, RowId


class LastLine:
    """What is known of it, and what became of its row."""

    def __init__(self, grown: Callable[[], bool]) -> None:
        """Take the question whether somebody has written to the file since the pass began."""
        self._grown = grown
        self._row: RowId | None = None
        self.number: int | None = None
        """The line, from 1; None where the file's last line has its end."""
        self.withheld: RowId | None = None
        """The row that is not sent; where to go on."""

    def note_row(self, number: int | None, pass_number: int) -> None:
        """Note the row that the line became."""
        if number is not None:
            self._row = RowId(pass_number, number)

    def note_end(self, rows: CsvRows, pass_number: int) -> None:
        """Note how a pass over the file ended."""
        self.number = rows.unfinished_line
        if rows.withheld:
            self.withheld = RowId(pass_number, rows.next_row)

    def up_to_it(self, batch: Batch) -> Batch | None:
        """Cut a batch before its row. That one goes alone; None where it must not go."""
        row = self._row
        if row is None or batch.pass_number != row.pass_number or row.number not in batch.rows.numbers:
            return batch
        at = batch.rows.numbers.index(row.number)
        if at == 0:
            self._row = None
            if self._grown():
                self.withheld = row
                return None
        return replace(batch, rows=batch.rows.part(0, at or 1))

    def said(self) -> str | None:
        """Say for people what became of it; None where there is nothing to say."""
        if self.number is None:
            return None
        if self.withheld is None:
            return f"line {self.number}, the last one, has no end: it is taken as it is"
        return f"line {self.number} has no end and the file has grown meanwhile: it is not sent"
