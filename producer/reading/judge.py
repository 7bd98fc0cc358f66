"""Turns records into rows: each is good, skipped or rejected. A chunk of good records is judged at once. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from producer.reading.columns import Picker, are_empty, time_text
from producer.reading.encodings import UTF_8
from producer.reading.errors import BadCellError
from producer.reading.layout import Layout
from producer.reading.lines import OVERLONG, Overlong, damage
from producer.reading.records import split_columns
from producer.reading.rows import NOTHING, Chunk, Reject, Row, Rows


class Record(NamedTuple):
    """One record, not yet judged."""

    cells: Sequence[str]
    line: int
    """The number of its first line, from 1."""
    texts: Sequence[str]
    """Its lines."""
    fault: str | None


class Judge:
    """Judges one pass over a file, in the order of reading."""

    def __init__(self, layout: Layout, picker: Picker, width: int, delimiter: str, start_row: int) -> None:
        """Take the layout and the columns. Rows before ``start_row`` are neither returned nor counted."""
        self._timestamps = layout.timestamps
        self._encoding = "UTF-8" if layout.encoding == UTF_8 else layout.encoding
        self._picker = picker
        self._width = width
        self._compared = "the header" if layout.header else "the first row"
        self._delimiter = delimiter
        self._start_row = start_row
        self._above_ms: int | None = None
        """The event time of the row above, where that matters."""
        self.next_row = 1
        """The number of the row that is judged next."""

    def all_good(self, lines: list[str], *, damaged: bool) -> Chunk | None:
        """Read lines column by column, if each line is one good row; None if one may not be."""
        columns = split_columns(lines, self._delimiter, self._width)
        if columns is None:
            return None
        first, end = self.next_row, self.next_row + len(lines)
        order_matters = self._timestamps.order_matters
        if end <= self._start_row and not order_matters:
            self.next_row = end
            return NOTHING
        three = self._picker.columns(columns)
        if three is None or first < self._start_row < end:
            return None
        ids, texts, amounts = three
        extra = [columns[at] for at in self._picker.extra]
        if damaged and any(damage("".join(cells)) for cells in (ids, *extra)):
            return None
        try:
            stamps = list(map(self._timestamps.__getitem__, texts))
        except BadCellError:
            return None
        self.next_row = end
        if order_matters:
            self._above_ms = stamps[-1]
        return Chunk(Rows(range(first, end), ids, stamps, amounts, extra)) if first >= self._start_row else NOTHING

    def each(self, records: Iterable[Record], *, careful: bool) -> Chunk:
        """Judge records one by one. With ``careful``, look for damaged and overlong lines."""
        rows: list[Row] = []
        rejects: list[Reject] = []
        skipped: list[int] = []
        for cells, line, texts, fault in records:
            overlong = next((text for text in texts if isinstance(text, Overlong)), None) if careful else None
            if not cells and fault is None and overlong is None:
                continue  # a blank line
            number = self.next_row
            self.next_row += 1
            if number < self._start_row:
                self._note_time(cells)
                continue
            try:
                row = self._row(number, cells, OVERLONG if overlong is not None else fault, careful=careful)
            except BadCellError as error:
                raw = "".join(texts).removesuffix("\n").removesuffix("\r")
                rejects.append(Reject(number, line, str(error), raw if overlong is None else overlong.beginning))
                continue
            if row is None:
                skipped.append(number)
            else:
                rows.append(row)
        return Chunk(Rows.of(rows), rejects, skipped)

    def _row(self, number: int, cells: Sequence[str], fault: str | None, *, careful: bool) -> Row | None:
        """Read one row; None if a needed cell is empty, whatever the other cells hold."""
        if fault is not None:
            raise BadCellError(fault)
        if len(cells) != self._width:
            raise BadCellError(f"{len(cells)} columns where {self._compared} has {self._width}")
        needed = self._picker.cells(cells)
        transaction_id, times, amounts = needed
        extra = [cells[at] for at in self._picker.extra]
        if careful:
            self._check_damage([transaction_id, *times, *amounts, *extra])
        if are_empty(needed):
            self._note_time(cells)
            return None
        at_ms = self._timestamps.after(time_text(times), self._above_ms)
        self._above_ms = at_ms
        return Row(number, transaction_id, at_ms, self._picker.amount(amounts), extra)

    def _check_damage(self, needed: Sequence[str]) -> None:
        hurt = damage("".join(needed))
        if hurt is not None:
            raise BadCellError(hurt if hurt.startswith("NUL") else f"not {self._encoding}; --encoding names another")

    def _note_time(self, cells: Sequence[str]) -> None:
        """Keep the time of a row that is not sent, because the next row is compared with it."""
        if not self._timestamps.order_matters or len(cells) != self._width:
            return
        _, times, _ = self._picker.cells(cells)
        try:
            self._above_ms = self._timestamps.after(time_text(times), self._above_ms)
        except BadCellError:
            return
