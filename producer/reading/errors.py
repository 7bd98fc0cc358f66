"""The errors of reading a file, sorted by what the caller must do.

`BadCellError`: reject the row. `InputFileError`: end the reading. `BadFormatError`: refuse the option.
"""

from __future__ import annotations

from typing import Final

SHOWN_CHARS: Final = 40


class BadCellError(ValueError):
    """The cell does not hold what its column needs; the message says why and shows the text."""


class InputFileError(Exception):
    """The input cannot be read as a CSV of transactions; the message names the file or the column."""


class BadFormatError(ValueError):
    """The option cannot be used; the message says why."""


def shown(text: str, limit: int = SHOWN_CHARS) -> str:
    """Quote a cell's text for a message: one line, at most ``limit`` characters."""
    return repr(text) if len(text) <= limit else f"{text[:limit]!r}..."
