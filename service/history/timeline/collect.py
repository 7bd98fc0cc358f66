"""Reads topics and collects what the timeline draws."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from service.core.watermark import BoundedOutOfOrderness
from service.history.records import InputRecord, StoredRecord
from service.history.timeline.model import Bar, Line, Picture, Point
from service.wire.alerts import AggregatePayload
from service.wire.decoder import Decoder

LATEST_MS: Final = 32_503_680_000_000
"""The year 3000. A later time is most likely in microseconds. Drawn, it would leave no room for the others."""

Read = Callable[[str, int], Iterable[StoredRecord]]
"""Reads a topic, from records of a Kafka timestamp in epoch milliseconds on."""


@dataclass(frozen=True, slots=True)
class Span:
    """Which records to show, by their Kafka timestamps, both inclusive."""

    from_ms: int
    to_ms: int
    most: int
    """The maximum number of records."""


def collect(
    read: Read, span: Span, decoder: Decoder, *, transactions: str, results: dict[str, bool], lateness_ms: int
) -> Picture:
    """Read the input, and every window that holds some of its records.

    Args:
        read: reads a topic.
        span: which records of the input.
        decoder: knows the input's format.
        transactions: the input topic.
        results: topics of aggregates (False) and alerts (True). The last topic that has a window decides.
        lateness_ms: the allowed lateness. Each partition's watermark starts empty at the first record of the span.
    """
    picture = Picture(transactions, lateness_ms)
    watermarks: dict[int, BoundedOutOfOrderness] = {}
    offsets: dict[int, tuple[int, int]] = {}
    inside = (one for one in read(transactions, span.from_ms) if one.timestamp_ms <= span.to_ms)
    for record in islice(inside, span.most):
        first, _ = offsets.get(record.partition, (record.offset, 0))
        offsets[record.partition] = (first, record.offset)
        watermark = watermarks.setdefault(record.partition, BoundedOutOfOrderness(lateness_ms))
        _add(picture, decoder, record, watermark)
    picture.truncated = len(picture.points) + picture.rejected + picture.filtered == span.most
    bars: dict[tuple[int, int, int], Bar] = {}
    for topic, anomalous in results.items():
        for found in read(topic, span.from_ms):
            for payload in _windows_of(found, transactions, offsets):
                window, source = payload.window, payload.source
                bars[source.partition, source.first_offset, window.start] = Bar(
                    window.start,
                    window.end,
                    window.clock,
                    payload.transaction_id,
                    payload.amount,
                    payload.count,
                    anomalous,
                )
    picture.bars = sorted(bars.values(), key=lambda bar: (bar.start_ms, bar.transaction_id))
    return picture


def _add(picture: Picture, decoder: Decoder, record: StoredRecord, watermark: BoundedOutOfOrderness) -> None:
    transactions, _, filtered = decoder.decode([InputRecord(record)])
    event_ms = transactions[0].timestamp if transactions else filtered.get(0)
    if filtered:
        picture.filtered += 1
    elif event_ms is None or event_ms >= LATEST_MS:
        picture.rejected += 1
    if event_ms is None or event_ms >= LATEST_MS:
        return
    before_ms = watermark.value_ms
    if not filtered:
        picture.points.append(Point(record.timestamp_ms, event_ms, before_ms is not None and event_ms < before_ms))
    watermark.newest_ms = max(watermark.newest_ms, event_ms)
    now_ms = watermark.value_ms
    if now_ms is not None and now_ms != before_ms:
        line = picture.lines.setdefault(record.partition, Line())
        line.stored_ms.append(record.timestamp_ms)
        line.watermark_ms.append(now_ms)


def _windows_of(
    record: StoredRecord, transactions: str, offsets: dict[int, tuple[int, int]]
) -> Iterator[AggregatePayload]:
    """Yield the record's payload if its window holds records of the span."""
    try:
        payload = AggregatePayload.from_json(record.value or b"")
    except ValueError:  # another program's record
        return
    source, span = payload.source, offsets.get(payload.source.partition)
    if span and source.topic == transactions and source.first_offset <= span[1] and source.last_offset >= span[0]:
        yield payload
