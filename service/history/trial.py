"""What a record of the input becomes, in lines for people."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from service.core.clocks.add_records import too_far_ahead
from service.core.model import Offset, Transaction, WallTimeMs
from service.core.money import number_text
from service.history.records import InputRecord, StoredRecord
from service.wire.decoder import Decoder, Rejection

WIDTH: Final = 80
HEADING: Final = "part      offset  event time                        amount  id"
INDENT: Final = 18
"""Where what follows the offset begins."""
LONGEST: Final = 7 * (WIDTH - INDENT)
"""Characters of an id or a reason that are shown; enough to recognise it."""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
TAKEN: Final = "taken"
REJECTED: Final = "rejected"
FILTERED: Final = "filtered"
IGNORED: Final = "ignored"
WHY: Final = {FILTERED: "it does not match INPUT_WHERE", IGNORED: "it has no value, by INPUT_TOMBSTONES"}


class Trial:
    """Decodes records as the service does, and counts what they become."""

    def __init__(self, decoder: Decoder, max_future_ms: int, *, by_append_time: bool = False) -> None:
        """``max_future_ms``: how far an event time may be ahead of the wall clock; 0: any.

        With ``by_append_time`` it is judged by the record's append time, as by ``WINDOW_CLOCK=ingestion``.
        """
        self._decoder = decoder
        self._by_append_time = by_append_time
        self._max_future_ms = max_future_ms
        self.counts: Counter[str] = Counter()
        """How many records became what, in the words of the last line."""

    def lines(self, record: StoredRecord, now_ms: WallTimeMs) -> Iterator[str]:
        """One line for a record, and more where the id or the reason is long; ``now_ms`` is the wall clock."""
        start = f"{record.partition:>4} {record.offset:>11}  "
        match self._judge(record, now_ms):
            case Transaction() as transaction:
                self.counts[TAKEN] += 1
                yield from _taken(start, transaction)
            case Rejection() as found:
                self.counts[REJECTED] += 1
                text = f"rejected ({found.reason.value}): {_shown(found.why)}"
                for number, line in enumerate(textwrap.wrap(text, WIDTH - INDENT)):
                    yield f"{start if number == 0 else ' ' * INDENT}{line}"
            case None:
                what = IGNORED if not record.value else FILTERED
                self.counts[what] += 1
                yield f"{start}{what}: {WHY[what]}"

    def _judge(self, record: StoredRecord, now_ms: WallTimeMs) -> Transaction | Rejection | None:
        """What becomes of it; None where the settings leave it out."""
        transactions, rejections, filtered = self._decoder.decode([InputRecord(record)])
        if filtered:
            return None
        if rejections:
            return rejections[0]
        transaction = transactions[0]
        judged_ms, clock = (record.timestamp_ms, "append time") if self._by_append_time else (now_ms, "wall clock")
        if self._max_future_ms and transaction.timestamp > judged_ms + self._max_future_ms:
            ahead = too_far_ahead(Offset(record.offset), transaction.timestamp, judged_ms, self._max_future_ms, clock)
            return Rejection(ahead.reason, ahead.why)
        return transaction

    def all_rejected(self) -> bool:
        """Whether no record is good for anything."""
        return self.counts.keys() == {REJECTED}

    def summary(self, topic: str) -> str:
        """The last line."""
        count = self.counts.total()
        parts = ", ".join(f"{number} {what}" for what, number in self.counts.items())
        return f"{count} record{'' if count == 1 else 's'} of {topic}: {parts}"


def _taken(start: str, transaction: Transaction) -> Iterator[str]:
    """The id comes last, for it may be of any length. Where it does not fit, it has lines of its own."""
    shown = _shown(transaction.transaction_id)
    line = f"{start}{_utc(transaction.timestamp):<24} {number_text(transaction.amount):>15}  "
    if len(line) + len(shown) <= WIDTH:
        yield line + shown
        return
    yield line.rstrip()
    room = WIDTH - INDENT
    for begin in range(0, len(shown), room):
        yield " " * INDENT + shown[begin : begin + room]


def _utc(ms: int) -> str:
    """ISO 8601; the number itself where no calendar has it."""
    try:
        moment = EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        return f"{ms} ms"
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


def _shown(text: str) -> str:
    """The text with control characters escaped, and not all of a very long one."""
    short = text if len(text) <= LONGEST else text[:LONGEST]
    escaped = "".join(one if one.isprintable() else repr(one)[1:-1] for one in short)
    return escaped if short is text else f"{escaped}… ({len(text):,} characters)"
