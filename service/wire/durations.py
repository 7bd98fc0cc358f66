"""Reads durations as people write them: `10s`, `1m30s`, `500 ms`, `PT10S`."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

_PART: Final = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)\s*([a-z]+)\s*")
_GROUPED: Final = re.compile(r"\d{1,3}(?:[,' ]\d{3}){1,4}")
_MS: Final = {
    unit: Decimal(milliseconds)
    for units, milliseconds in (
        ("ms msec msecs millis millisecond milliseconds", 1),
        ("s sec secs second seconds", 1_000),
        ("m min mins minute minutes", 60_000),
        ("h hr hrs hour hours", 3_600_000),
        ("d day days", 86_400_000),
    )
    for unit in units.split()
}


def as_milliseconds(text: str) -> int | None:
    """How many milliseconds a text like ``10s`` means; None where that is not clear."""
    text = text.strip().lower()
    if _GROUPED.fullmatch(text):
        return int(re.sub(r"\D", "", text))
    text = text.removeprefix("pt")  # ISO 8601: PT1M30S
    total, end = Decimal(0), 0
    for part in _PART.finditer(text):
        if part.start() != end or part[2] not in _MS:
            return None
        total += Decimal(part[1]) * _MS[part[2]]
        end = part.end()
    whole = int(total)
    return whole if text and end == len(text) and whole == total else None


def fault_of_milliseconds(text: str) -> str:
    """Why a text is refused as a number of milliseconds, with the number that is meant where that is clear."""
    meant = as_milliseconds(text)
    if meant is None:
        return "must be a whole number of milliseconds"
    return f"must be a whole number of milliseconds: write {meant} instead of {text.strip()}"
