"""The layout of a file, from the options and from its first lines. Pure."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from producer.reading.amounts import Amounts
from producer.reading.columns import Columns, Picker, pick_by_name, pick_by_number
from producer.reading.encodings import UTF_8, not_text
from producer.reading.errors import InputFileError
from producer.reading.lines import OVERLONG, Overlong, damage
from producer.reading.records import split_records
from producer.reading.times import TimestampParser

DEFAULT_DELIMITER: Final = ","
LIKELY_DELIMITERS: Final = (",", ";", "\t", "|")

_SEP_LINE: Final = re.compile(r'"?sep=(\\t|[^"\r\n])"?', re.IGNORECASE)
_SEARCHED_LINES: Final = 100


@dataclass(frozen=True, slots=True)
class Layout:
    """What the options say about a file."""

    timestamps: TimestampParser
    columns: Columns = field(default_factory=Columns)
    amounts: Amounts = field(default_factory=Amounts)
    delimiter: str | None = None
    """None: take it from a ``sep=`` line, or else a comma."""
    encoding: str = UTF_8
    skip_lines: int = 0
    """Lines above the header."""
    header: bool = True
    """Whether the first row has the columns' names. If not, columns are chosen by number."""
    reverse: bool = False
    """Whether to read from the file's end."""
    extra: tuple[str, ...] = ()
    """Further columns, by name or by number: their cells come with the rows as they are, and may be empty."""


class Header:
    """Reads the lines above the rows: lines to skip, a ``sep=`` line, blank lines, and the columns' names."""

    def __init__(self, layout: Layout, name: str) -> None:
        """Take what the options say, and the file's name for messages."""
        self._layout = layout
        self._name = name
        self._line = 0
        self.delimiter = layout.delimiter or DEFAULT_DELIMITER
        self.width = 0
        """The number of cells in a row; 0 until it is known."""
        self.picker: Picker | None = None

    def read(self, lines: list[str], *, final: bool) -> int:
        """Read the next lines; returns how many are finished. While `picker` is None, it needs more lines.

        Raises:
            InputFileError: there is no header, or a needed column is missing or exists twice.
        """
        at = 0
        while at < len(lines) and self.picker is None:
            if self._line in (0, self._layout.skip_lines) and self._is_sep(lines[at]):
                pass
            elif self._line >= self._layout.skip_lines and isinstance(lines[at], Overlong):
                raise InputFileError(f"{self._name}: {OVERLONG} where the header should be: this is no CSV")
            elif self._line >= self._layout.skip_lines and lines[at].strip("\r\n"):
                end = self._read_names(lines, at, final=final)
                if end == at and self.picker is None:
                    return at
                self._line += end - at
                at = end
                continue
            at += 1
            self._line += 1
        if final and self.picker is None:
            wanted = "a header with the columns' names" if self._layout.header else "rows"
            where = f" below the {self._layout.skip_lines} lines skipped" if self._layout.skip_lines else ""
            raise InputFileError(f"{self._name} is empty{where}: {wanted} should be there")
        return at

    def _is_sep(self, line: str) -> bool:
        found = _SEP_LINE.fullmatch(line.rstrip("\r\n"))
        if found is None:
            return False
        if self._layout.delimiter is None:
            self.delimiter = "\t" if found[1] == "\\t" else found[1]
        return True

    def _read_names(self, lines: list[str], at: int, *, final: bool) -> int:
        """Read the header, or the first row if there is none; returns the index of the first row's line."""
        records = split_records(lines, at, self.delimiter, final=final)
        if records.end == at:
            return at
        layout = self._layout
        if not layout.header:
            first = next((cells for cells in records.cells if cells), None)
            if first is None:
                raise InputFileError(f"{self._name}: {next(iter(records.faults.values()))} in its first row")
            self.picker = pick_by_number(len(first), layout.columns, layout.amounts, self._name, layout.extra)
            self.width = len(first)
            return at
        end = records.starts[1] if len(records.cells) > 1 else records.end
        damaged = damage("".join(lines[at:end])) is not None
        if records.faults.get(0):
            raise InputFileError(f"{self._name}: {records.faults[0]} in the header")
        names = [name.strip() for name in records.cells[0]]
        try:
            self.picker = pick_by_name(names, layout.columns, layout.amounts, self._name, layout.extra)
        except InputFileError as error:
            if damaged:
                data = "".join(lines[at:end]).encode(errors="surrogateescape")
                raise InputFileError(not_text(data, self._name, layout.encoding)) from error
            raise InputFileError(f"{error}{self._advice(lines[at:])}") from None
        self.width = len(names)
        return end

    def _advice(self, lines: Sequence[str]) -> str:
        """Look for another line, or another delimiter, that gives a header; returns the options for it, or nothing."""
        for below, line in enumerate(lines[:_SEARCHED_LINES]):
            for delimiter in dict.fromkeys((self.delimiter, *LIKELY_DELIMITERS)):
                try:
                    names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter, strict=True), [])]
                    pick_by_name(names, self._layout.columns, self._layout.amounts, "", self._layout.extra)
                except (csv.Error, InputFileError):
                    continue
                options = [f"--skip-lines {self._line + below}"] if below else []
                if delimiter != self.delimiter:
                    options.append(f"--delimiter {'tab' if delimiter == chr(9) else repr(delimiter)}")
                return f"; {' '.join(options)} would find the columns"
        return ""
