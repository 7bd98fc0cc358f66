"""What a task should have done, worked out again from the list of all records: slow, and with nothing kept.

Each answer is looked up in the whole history afresh, by the words of the documents; sums are of fractions.
Knows wall clocks that never go back.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from histories.decoder_oracle import exactly
from service.core.model import LatePolicy, Reason, Transaction
from tests.driver import T0, JudgedWindow
from tests.strategies import Batch, Story


@dataclass(frozen=True)
class Read:
    """One record, when it was read, and what became of it."""

    offset: int
    now_ms: int
    transaction: Transaction
    verdict: Reason | None
    late: bool


@dataclass(frozen=True)
class Sum:
    """What a window should hold of one key."""

    amount: Fraction
    count: int
    late_count: int
    timestamp: int
    max_timestamp: int
    first_offset: int
    last_offset: int


@dataclass(frozen=True)
class Closed:
    """A window that should have closed."""

    start_ms: int
    end_ms: int
    watermark_ms: int
    sums: dict[str, Sum]
    anomalies: list[tuple[str, Decimal]]


def watermark_after(story: Story, reads: list[Read]) -> int | None:
    """The greatest event time seen minus the lateness, or what was restored."""
    marks = [read.transaction.timestamp - story.lateness_ms for read in reads if read.verdict != "timestamp_in_future"]
    restored = [] if story.watermark is None else [T0 + story.watermark]
    return max(restored + marks, default=None)


def judge(story: Story, reads: list[Read], now_ms: int, transaction: Transaction) -> tuple[Reason | None, bool]:
    """Why a record is set aside, if it is, and whether it is late."""
    if story.max_future_ms > 0 and transaction.timestamp > now_ms + story.max_future_ms:
        return Reason.TIMESTAMP_IN_FUTURE, False
    watermark_ms = watermark_after(story, reads)
    late = watermark_ms is not None and transaction.timestamp < watermark_ms
    return (Reason.LATE if late and story.late_policy is not LatePolicy.INCLUDE else None), late


def read_all(story: Story) -> list[Read]:
    """Every record with its verdict, in the order of the partition."""
    reads: list[Read] = []
    now_ms = T0
    for step in story.steps:
        now_ms += step.after_ms
        for transaction in step.records if isinstance(step, Batch) else []:
            verdict, late = judge(story, reads, now_ms, transaction)
            reads.append(Read(story.next_offset + len(reads), now_ms, transaction, verdict, late))
    return reads


def closed_windows(story: Story, reads: list[Read], now_ms: int) -> list[Closed]:
    """Every window that is over at ``now_ms`` and holds something."""
    size_ms = story.window_size_ms
    kept = [read for read in reads if read.verdict is None]
    starts = sorted({read.now_ms // size_ms * size_ms for read in kept})
    return [_closed(story, reads, start_ms) for start_ms in starts if start_ms + size_ms <= now_ms]


def _closed(story: Story, reads: list[Read], start_ms: int) -> Closed:
    end_ms = start_ms + story.window_size_ms
    held = [read for read in reads if read.verdict is None and start_ms <= read.now_ms < end_ms]
    by_key = {
        key: [read for read in held if read.transaction.transaction_id == key]
        for key in dict.fromkeys(read.transaction.transaction_id for read in held)
    }
    sums = {key: _sum(records) for key, records in by_key.items()}
    watermark_ms = watermark_after(story, [read for read in reads if read.now_ms < end_ms])
    assert watermark_ms is not None
    anomalies = [(key, story.limit) for key, one in sums.items() if one.amount > Fraction(story.limit)]
    return Closed(start_ms, end_ms, watermark_ms, sums, anomalies)


def _sum(reads: list[Read]) -> Sum:
    return Sum(
        amount=sum((exactly(read.transaction.amount) for read in reads), Fraction(0)),
        count=len(reads),
        late_count=sum(read.late for read in reads),
        timestamp=reads[0].transaction.timestamp,
        max_timestamp=max(read.transaction.timestamp for read in reads),
        first_offset=min(read.offset for read in reads),
        last_offset=max(read.offset for read in reads),
    )


def as_closed(actual: JudgedWindow) -> Closed:
    """What the task says, in the oracle's words."""
    sums = {
        key: Sum(
            Fraction(one.value()),
            one.count,
            one.late_count,
            one.timestamp,
            one.max_timestamp,
            one.first_offset,
            one.last_offset,
        )
        for key, one in actual.aggregates.items()
    }
    anomalies = [(one.transaction_id, one.limit) for one in actual.anomalies]
    return Closed(actual.window.start_ms, actual.window.end_ms, actual.watermark_ms, sums, anomalies)
