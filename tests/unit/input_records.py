"""Records for decoders, and what they become."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from service.core.model import Offset, Transaction
from service.wire.decoder import Decoder, Rejection
from service.wire.records import Headers


@dataclass(frozen=True, slots=True)
class In:
    """A record of the input."""

    held: bytes | None
    name: bytes | None = None
    created_ms: int = -1
    more: Headers | None = None

    def offset(self) -> Offset:
        return Offset(0)

    def key(self) -> bytes | None:
        return self.name

    def value(self) -> bytes | None:
        return self.held

    def headers(self) -> Headers | None:
        return self.more

    def timestamp(self) -> tuple[int, int]:
        return (0 if self.created_ms < 0 else 1), self.created_ms


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The record does not count; the event time, where it has one."""

    timestamp_ms: int | None


Outcome = Transaction | Rejection | LeftOut


def outcomes(decoder: Decoder, records: Sequence[In]) -> list[Outcome]:
    """What becomes of each record of a batch.

    Raises:
        AssertionError: a record is nothing or two things.
    """
    transactions, rejections, filtered = decoder.decode(records)
    assert list(rejections) == sorted(rejections)
    assert list(filtered) == sorted(filtered)
    assert not rejections.keys() & filtered.keys()
    good = iter(transactions)
    found: list[Outcome] = []
    for index in range(len(records)):
        if index in rejections:
            found.append(rejections[index])
        elif index in filtered:
            found.append(LeftOut(filtered[index]))
        else:
            found.append(next(good))
    assert list(good) == []
    return found


def shown(outcome: Outcome) -> str:
    """An outcome on one line."""
    match outcome:
        case Transaction():
            return f"{outcome.transaction_id} {outcome.timestamp} {outcome.amount}"
        case LeftOut():
            return "left out" + ("" if outcome.timestamp_ms is None else f" {outcome.timestamp_ms}")
        case Rejection():
            return str(outcome)
