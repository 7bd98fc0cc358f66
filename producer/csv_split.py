"""Blocks of bytes to lines, and lines to CSV records that know where they start. Pure.

A record whose quoting is broken becomes a fault of its first line alone, and reading goes on at the next line:
one stray quote costs one row, not the thousands that a lenient reader would swallow as one field.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Final

CHUNK_LINES: Final = 512
"""Lines split at once: enough for C to do the work, little enough that a paced replay isn't held up."""
RECORD_CHARS_MAX: Final = 1024 * 1024
"""No longer record fits into a Kafka message of the default size."""
FIELD_CHARS_MAX: Final = csv.field_size_limit()

_BOM: Final = b"\xef\xbb\xbf"
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
_SURROGATE: Final = re.compile("[\udc80-\udcff]")


class InputFileError(Exception):
    """The input can't be read as a CSV of transactions at all; the message names the file or the column."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Complete lines with their ends (LF, CRLF or CR). Bytes that aren't UTF-8 stand as lone surrogates."""

    texts: list[str]
    final: bool
    """Nothing comes after these."""
    damaged: bool
    """Some hold bytes that aren't UTF-8, or NUL."""


@dataclass(frozen=True, slots=True)
class Records:
    """Lines ``starts[0]`` to ``end`` (exclusive) as records; a blank line is one without cells."""

    cells: list[list[str]]
    starts: Sequence[int]
    faults: dict[int, str]
    """Why the record of that index has no cells though its line is not blank."""
    end: int


def split_lines(blocks: Iterable[bytes], name: str) -> Iterator[Lines]:
    """Cut a file's blocks into lines; one item for each block, and a final one for what is left.

    Raises:
        InputFileError: UTF-16, or a line without an end.
    """
    rest = b""
    at_start = True
    for block in blocks:
        data = rest + block
        # A CR at the very end may be half of a CRLF.
        end = max(data.rfind(b"\n"), data.rfind(b"\r", 0, -1)) + 1
        if len(data) - end > RECORD_CHARS_MAX:
            raise InputFileError(f"{name}: a line is longer than {RECORD_CHARS_MAX} bytes: this is no CSV of rows")
        yield _decoded(data[:end], name, at_start=at_start, final=False)
        at_start = at_start and not end
        rest = data[end:]
    yield _decoded(rest, name, at_start=at_start, final=True)


def _decoded(data: bytes, name: str, *, at_start: bool, final: bool) -> Lines:
    if at_start:
        if data.startswith(_UTF_16):
            raise InputFileError(f"{name} is not UTF-8: it starts like UTF-16")
        data = data.removeprefix(_BOM)
    damaged = b"\0" in data
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode(errors="surrogateescape")
        damaged = True
    return Lines(io.StringIO(text, newline="").readlines(), final, damaged)


def damage(text: str) -> str | None:
    """Say what keeps a text from being one, or None."""
    if "\0" in text:
        return "NUL byte"
    return "not UTF-8" if _SURROGATE.search(text) else None


def split_columns(chunk: list[str], delimiter: str, width: int) -> Sequence[Sequence[str]] | None:
    """Split lines that are one record of ``width`` cells each, into columns; None where they are not, or may not be."""
    text = "".join(chunk)
    if '"' not in text and len(text) <= FIELD_CHARS_MAX:
        text = text.replace("\r\n", "\n")
        # Without quotes a delimiter is a delimiter: counting and splitting takes a third of csv's time.
        if "\r" in text or set(map(str.count, chunk, repeat(delimiter))) != {width - 1}:
            return None
        cells = text.removesuffix("\n").replace("\n", delimiter).split(delimiter)
        return [cells[column::width] for column in range(width)]
    try:
        records = list(csv.reader(chunk, delimiter=delimiter, strict=True))
        columns = list(zip(*records, strict=True))
    except (csv.Error, ValueError):
        return None
    # Each record takes at least one line: as many records as lines means one line each.
    return columns if len(records) == len(chunk) and len(columns) == width else None


def split_records(lines: list[str], at: int, delimiter: str, *, final: bool) -> Records:
    """Split at least `CHUNK_LINES` lines from index ``at``, or all there are, one record after the other.

    A record that isn't finished within the lines is left out (``end`` is its first line) unless they are final.
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
