"""What can be wrong with a file, sorted by what it costs.

``BadCellError`` costs a row, which is rejected. ``InputFileError`` ends the reading. ``BadFormatError`` is a wrong
option.
"""

from __future__ import annotations

from typing import Final

SHOWN_CHARS: Final = 40


class BadCellError(ValueError):
    """The cell has no value of its kind; the message says why and shows the text."""


class InputFileError(Exception):
    """The input can't be read, or read on, as a CSV of transactions; the message names the file or the column."""


class BadFormatError(ValueError):
    """The option can't be used; the message says why."""


def shown(text: str, limit: int = SHOWN_CHARS) -> str:
    """Quote a cell's text for a message: one line, cut after ``limit`` characters."""
    return repr(text) if len(text) <= limit else f"{text[:limit]!r}..."
