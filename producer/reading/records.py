"""Turns lines into CSV records with their line numbers. Pure.

If the quoting of a record is broken, only its first line is a fault, and reading continues at the next line. So a stray
quote costs one row, not the thousands of rows that a lenient reader would put into one field.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Final

CHUNK_LINES: Final = 512
"""Lines that are split at once: enough that C does most of the work, few enough that a paced replay is not late."""
RECORD_CHARS_MAX: Final = 1024 * 1024
"""A quoted field that is not closed within this much text counts as a stray quote."""
FIELD_CHARS_MAX: Final = csv.field_size_limit()


@dataclass(frozen=True, slots=True)
class Records:
    """Lines ``starts[0]`` to ``end`` (exclusive) as records. A blank line is a record without cells."""

    cells: list[list[str]]
    starts: Sequence[int]
    faults: dict[int, str]
    """Why the record of this index has no cells although its line is not blank."""
    end: int


def split_columns(chunk: list[str], delimiter: str, width: int) -> Sequence[Sequence[str]] | None:
    """Split lines into columns, if each line is one record of ``width`` cells; None if one may not be."""
    text = "".join(chunk)
    if '"' not in text and len(text) <= FIELD_CHARS_MAX:
        text = text.replace("\r\n", "\n")
        # Without quotes, each delimiter separates cells: counting and splitting takes a third of csv's time.
        if "\r" in text or set(map(str.count, chunk, repeat(delimiter))) != {width - 1}:
            return None
        cells = text.removesuffix("\n").replace("\n", delimiter).split(delimiter)
        return [cells[column::width] for column in range(width)]
    try:
        records = list(csv.reader(chunk, delimiter=delimiter, strict=True))
        columns = list(zip(*records, strict=True))
    except (csv.Error, ValueError):
        return None
    # A record has at least one line, so as many records as lines means one line for each.
    return columns if len(records) == len(chunk) and len(columns) == width else None


def split_records(lines: list[str], at: int, delimiter: str, *, final: bool) -> Records:
    """Split at least `CHUNK_LINES` lines from index ``at``, or all lines, one record after the other.

    If the last record is not finished and the lines are not final, it is left out, and ``end`` is its first line.
    """
    cells: list[list[str]] = []
    starts: list[int] = []
    faults: dict[int, str] = {}
    stop = min(at + CHUNK_LINES, len(lines))
    while at < stop:
        reader_start = at
        reader = csv.reader(map(lines.__getitem__, range(at, len(lines))), delimiter=delimiter, strict=True)
        try:
            for record in reader:
                cells.append(record)
                starts.append(at)
                at = reader_start + reader.line_num
                if at >= stop:
                    break
        except csv.Error as error:
            unfinished = str(error) == "unexpected end of data"
            if unfinished and not final and sum(map(len, lines[at:])) <= RECORD_CHARS_MAX:
                break
            faults[len(cells)] = "quoted field is never closed" if unfinished else _reason(str(error), lines[at])
            cells.append([])
            starts.append(at)
            at += 1
    return Records(cells, starts, faults, at)


def _reason(error: str, line: str) -> str:
    if not error.startswith("field larger"):
        return f"broken quoting: {error}"
    if len(line) > FIELD_CHARS_MAX:
        return f"field of more than {FIELD_CHARS_MAX} characters"
    return f"quoted field is not closed within {FIELD_CHARS_MAX} characters"
