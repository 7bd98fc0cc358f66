"""What happens to a file's last line that has no line end: another program may still be writing it.

The replay sends this line and reports it. If the file has grown since the pass began, the line is not sent, and the
next replay reads all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from producer.reading.csv_rows import CsvRows
from producer.replay import Batch, RowId


class LastLine:
    """Decides whether the row of an unfinished last line is sent."""

    def __init__(self, grown: Callable[[], bool]) -> None:
        """Take a function that returns whether the file has grown since the pass began."""
        self._grown = grown
        self._row: RowId | None = None
        self.number: int | None = None
        """The line's number, from 1; None where the last line has its end."""
        self.withheld: RowId | None = None
        """The row that is not sent. A later replay resumes there."""

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
        """Return the part of a batch before this row. Return the row in a batch of its own, or None if it is withheld.

        The file may have grown between reading the row and its time, so this checks again.
        """
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
        """Return one line of text about what happened to the last line; None where it has its end."""
        if self.number is None:
            return None
        if self.withheld is None:
            return f"line {self.number}, the last one, has no end: it was read as it is"
        return f"line {self.number} has no end, and the file has grown since: it was not sent"
