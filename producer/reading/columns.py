"""Finds the cells of a row's id, time and amount, by the header's names, or by number without a header. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from producer.reading.amounts import Amounts, are_plain, difference
from producer.reading.errors import BadCellError, BadFormatError, InputFileError

NeededCells = tuple[str, Sequence[str], Sequence[str]]
"""A row's id, and the one or two cells of its time and of its amount."""
ThreeColumns = tuple[Sequence[str], Sequence[str], Sequence[str]]
"""Ids, texts of times, amounts as JSON numbers."""

_SHOWN_NAMES: Final = 300


@dataclass(frozen=True, slots=True)
class Columns:
    """The wanted columns: names in the header, or numbers from 1. ``A+B`` is for a time, ``A-B`` for an amount."""

    transaction_id: str = "transaction_id"
    timestamp: str = "timestamp"
    amount: str = "amount"


BY_NUMBER: Final = Columns("1", "2", "3")
"""The default for a file without a header."""


def check_numbers(columns: Columns, extra: Sequence[str] = ()) -> None:
    """Raise BadFormatError if a column of a file without a header is not a number from 1."""
    times, amounts = columns.timestamp.split("+", 1), columns.amount.split("-", 1)
    for text in (columns.transaction_id, *times, *amounts, *extra):
        if not (text.strip().isascii() and text.strip().isdigit() and int(text) >= 1):
            raise BadFormatError(f"{text!r} is not a column's number from 1, as --no-header needs")


class Picker:
    """Takes the needed cells from rows, one by one or column by column."""

    def __init__(
        self, ids: int, times: Sequence[int], amounts: Sequence[int], numbers: Amounts, extra: Sequence[int] = ()
    ) -> None:
        """Take the indexes of the id, of one or two time cells, of one or two amount cells, and a reader of amounts.

        ``extra`` are the indexes of further cells, which may be empty.
        """
        self.needed = max(ids, *times, *amounts, *extra) + 1
        """The least number of cells that a row needs."""
        self.extra = extra
        self._ids = ids
        self._times = times
        self._amounts = amounts
        self._numbers = numbers

    def columns(self, columns: Sequence[Sequence[str]]) -> ThreeColumns | None:
        """Return ids, texts of times, and amounts as JSON numbers; None if a row must be read by itself."""
        ids, texts = columns[self._ids], columns[self._times[0]]
        if len(self._times) > 1:
            others = columns[self._times[1]]
            if "" in texts or "" in others:
                return None
            texts = [f"{first.strip()} {second.strip()}" for first, second in zip(texts, others, strict=True)]
        if "" in ids:
            return None
        amounts = columns[self._amounts[0]]
        if len(self._amounts) == 1 and self._numbers.plain:
            return (ids, texts, amounts) if are_plain(amounts) else None
        try:
            if len(self._amounts) == 1:
                return ids, texts, list(map(self._numbers.__getitem__, amounts))
            return ids, texts, list(map(self._difference, amounts, columns[self._amounts[1]]))
        except BadCellError:
            return None

    def cells(self, cells: Sequence[str]) -> NeededCells:
        """Return a row's needed cells; raises IndexError if it has too few."""
        return cells[self._ids], [cells[at] for at in self._times], [cells[at] for at in self._amounts]

    def amount(self, amounts: Sequence[str]) -> str:
        """Read the needed cells of an amount; raises BadCellError."""
        return self._numbers[amounts[0]] if len(amounts) == 1 else self._difference(*amounts)

    def _difference(self, left: str, right: str) -> str:
        left, right = left.strip(), right.strip()
        if not (left or right):
            raise BadCellError("both amounts are empty")
        return difference(self._numbers[left] if left else "0", self._numbers[right] if right else "0")


def are_empty(needed: NeededCells) -> bool:
    """Whether a needed cell is empty. For ``A-B``, both cells must be."""
    transaction_id, times, amounts = needed
    no_amount = not amounts[0] if len(amounts) == 1 else not any(map(str.strip, amounts))
    return not transaction_id or "" in times or no_amount


def time_text(times: Sequence[str]) -> str:
    """Join the needed cells of a time."""
    return times[0] if len(times) == 1 else " ".join(map(str.strip, times))


def pick_by_name(
    names: Sequence[str], columns: Columns, numbers: Amounts, name: str, extra: Sequence[str] = ()
) -> Picker:
    """Find the columns in a header. An exact name comes before ``A+B`` and ``A-B``.

    Raises:
        InputFileError: a column is missing, or the header has its name twice.
    """
    ids = _find(names, columns.transaction_id, "", name)
    times = _find(names, columns.timestamp, "+", name)
    amounts = _find(names, columns.amount, "-", name)
    return Picker(ids[0], times, amounts, numbers, [_find(names, one, "", name)[0] for one in extra])


def pick_by_number(width: int, columns: Columns, numbers: Amounts, name: str, extra: Sequence[str] = ()) -> Picker:
    """Take the columns by their numbers; raises InputFileError if the first row has fewer cells."""
    times = [int(text) - 1 for text in columns.timestamp.split("+", 1)]
    amounts = [int(text) - 1 for text in columns.amount.split("-", 1)]
    picker = Picker(int(columns.transaction_id) - 1, times, amounts, numbers, [int(text) - 1 for text in extra])
    if picker.needed > width:
        raise InputFileError(f"{name} has no column {picker.needed}: its first row has {width}")
    return picker


def _find(names: Sequence[str], wanted: str, joint: str, name: str) -> list[int]:
    parts = [wanted]
    if wanted not in names and joint:
        pairs = [[wanted[:at].strip(), wanted[at + 1 :].strip()] for at, char in enumerate(wanted) if char == joint]
        # The pair with the most known names, so that the message names the one that is missing.
        parts = max(pairs, key=lambda pair: sum(part in names for part in pair), default=parts)
        if not any(part in names for part in parts):
            parts = [wanted]
    for part in parts:
        if names.count(part) != 1:
            problem = "more than one column" if part in names else "no column"
            shown = ", ".join(names)[:_SHOWN_NAMES]
            raise InputFileError(f"{name} has {problem} {part!r}; its header: {shown!r}")
    return [names.index(part) for part in parts]
