"""Explains an alert: reads the records of its window again, adds them up, and compares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from service.core.clocks.detail import add_detail
from service.core.detectors import Of
from service.core.detectors.looked_at import value_of
from service.core.model import Aggregate, AggregateDetail, LatePolicy, Offset, Transaction, WallTimeMs
from service.core.money import number_text
from service.core.watermark import BoundedOutOfOrderness
from service.wire.alerts import AlertPayload
from service.wire.decoder import Decoder
from service.wire.feeding import append_time
from service.wire.records import InRecord

EARLIER: Final = 100_000
"""From so many earlier records the watermark is rebuilt."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EXTREMES: Final = AggregateDetail(extremes=True)


@dataclass(frozen=True, slots=True)
class Counted:
    """A record of the alert's window."""

    offset: Offset
    transaction: Transaction
    late: bool | None
    """Whether it was late; None: the earlier records that say so have expired."""


@dataclass(slots=True)
class Explanation:
    """What the records of an alert's window say now. ``take`` gets the partition's records from ``begin`` on."""

    alert: AlertPayload
    decoder: Decoder
    lateness_ms: int
    max_future_ms: int
    policy: LatePolicy
    records: list[Counted] = field(default_factory=list)
    aggregate: Aggregate | None = None
    first_read: int | None = None
    """The first offset that could be read."""
    broken_by: Counted | None = None
    """Of a silence: a record that came within it."""
    judged_again: dict[str, Any] | None = None
    """The alert as the detector gives it again, from the partition's first record; None: it does not."""
    not_judged: str | None = None
    """Why it was not judged again."""
    _watermark: BoundedOutOfOrderness = field(init=False)

    def __post_init__(self) -> None:
        self._watermark = BoundedOutOfOrderness(self.lateness_ms)

    @property
    def silence(self) -> bool:
        """Whether the alert is about a silence."""
        return self.alert.count == 0

    @property
    def first(self) -> int:
        """The offset of the window's first record, or of the last one before the silence."""
        return self.alert.source.first_offset or 0

    @property
    def begin(self) -> Offset:
        """Where reading begins."""
        return Offset(max(0, self.first - EARLIER))

    def finished(self, offset: int) -> bool:
        """Whether nothing from this offset on matters."""
        last = self.alert.source.last_offset
        return not self.silence and last is not None and offset >= last

    def take(self, records: Sequence[InRecord], now_ms: WallTimeMs) -> None:
        """Take consecutive records of the partition; ``now_ms`` is the wall clock."""
        if self.first_read is None:
            self.first_read = records[0].offset()
        decoded = self.decoder.decode(records)
        good = iter(decoded.transactions)
        for index, record in enumerate(records):
            if index in decoded.rejections:
                continue
            time_ms = append_time(record, now_ms)
            transaction = None if index in decoded.filtered else next(good)
            event_ms = decoded.filtered.get(index) if transaction is None else transaction.timestamp
            if event_ms is None or (self.max_future_ms and event_ms > time_ms + self.max_future_ms):
                continue
            before_ms = self._watermark.value_ms
            self._watermark.newest_ms = max(self._watermark.newest_ms, event_ms)
            if transaction is not None:
                late = before_ms is not None and event_ms < before_ms
                known = late or self.first_read <= self.begin
                self._count(Counted(record.offset(), transaction, late if known else None), time_ms)

    def _count(self, one: Counted, time_ms: int) -> None:
        alert, transaction = self.alert, one.transaction
        if transaction.transaction_id != alert.transaction_id and (alert.transaction_id or not self.silence):
            return
        if self.silence:
            self._count_silence(one, time_ms)
            return
        last = alert.source.last_offset
        if not self.first <= one.offset <= (self.first if last is None else last):
            return
        start, end = alert.window.start, alert.window.end
        if alert.window.clock == "event":
            if not start <= transaction.timestamp < end:
                return
        elif self.policy is not LatePolicy.INCLUDE and (
            one.late or (alert.window.clock == "ingestion" and not start <= time_ms < end)
        ):
            return
        self.records.append(one)
        if self.aggregate is None:
            event_ms = transaction.timestamp
            self.aggregate = Aggregate(event_ms, one.offset, event_ms, one.offset)
        self.aggregate.add(transaction.amount)
        self.aggregate.count += 1
        add_detail(
            _EXTREMES,
            {transaction.transaction_id: self.aggregate},
            now_ms=WallTimeMs(0),
            offsets=[one.offset],
            transactions=[transaction],
        )

    def _count_silence(self, one: Counted, time_ms: int) -> None:
        if one.offset == self.alert.source.last_offset:
            self.records.append(one)
            return
        at_ms = one.transaction.timestamp if self.alert.window.clock == "event" else time_ms
        within = self.alert.window.start < at_ms < self.alert.window.end
        if one.offset > self.first and within and self.broken_by is None:
            self.broken_by = one

    # ---- what comes out -------------------------------------------------------------------------------------

    @property
    def expired(self) -> bool:
        """Whether the window's first record is not there any more."""
        return self.first_read is None or self.first_read > self.first

    @property
    def looked_at(self) -> Decimal | None:
        """What the detector looked at, by the records; None without records."""
        if self.aggregate is None:
            return None
        return Decimal(number_text(value_of(Of(self.alert.of), self.aggregate)))

    @property
    def sums_agree(self) -> bool:
        """Whether sum and count are the alert's."""
        found = self.aggregate
        return found is not None and found.value() == self.alert.amount and found.count == self.alert.count

    @property
    def verdict_agrees(self) -> bool:
        """Whether the verdict is the alert's: beyond the same limit, or given again by the detector with its state."""
        if self.silence:
            return bool(self.records) and self.broken_by is None
        if self.alert.status == "resolved":
            return self.sums_agree
        if self.judged_again is not None:
            return not self.differences
        if self.alert.features is not None or self.looked_at is None:
            return False
        shown = self.alert.amount if self.alert.value is None else self.alert.value
        above = shown > self.alert.limit
        return self.looked_at > self.alert.limit if above else self.looked_at < self.alert.limit

    @property
    def differences(self) -> list[str]:
        """In which fields the alert that the detector gives again differs."""
        if self.judged_again is None:
            return []
        again = AlertPayload.model_validate(self.judged_again)
        names = ("amount", "count", "limit", "value", "baseline", "score", "features")
        return [name for name in names if getattr(again, name) != getattr(self.alert, name)]

    @property
    def reproduced(self) -> bool:
        """Whether everything comes out the same."""
        return not self.expired and self.verdict_agrees and (self.silence or self.sums_agree)

    def as_json(self) -> dict[str, Any]:
        """The explanation as one object; times are epoch milliseconds."""
        return {
            "alert_id": self.alert.alert_id,
            "reproduced": self.reproduced,
            "records": [
                {
                    "offset": one.offset,
                    "timestamp": one.transaction.timestamp,
                    "amount": number_text(one.transaction.amount),
                    "late": one.late,
                }
                for one in self.records
            ],
            "sum": None if self.aggregate is None else number_text(self.aggregate.value()),
            "count": len(self.records),
            "verdict": self.verdict_agrees,
            "notes": list(self._notes()),
        }

    def lines(self) -> Iterator[str]:
        """The explanation for people: what an analyst pastes into a ticket."""
        alert, source = self.alert, self.alert.source
        yield f"Alert {alert.alert_id}, detector {alert.detector}" + (f", {alert.status}" if alert.status else "")
        yield f"  id      {alert.transaction_id!r}" if alert.transaction_id else "  id      none: the whole partition"
        yield f"  window  {_time(alert.window.start)} to {_time(alert.window.end)}, by {alert.window.clock} time"
        offsets = f"offsets {source.first_offset} to {source.last_offset}"
        yield f"  input   {source.topic}, partition {source.partition}, {offsets}"
        yield f"  found   {self._claim()}"
        yield ""
        if self.records:
            yield f"{'offset':>12}  {'event time':<24}  {'amount':>16}  late"
            for one in self.records:
                late = "?" if one.late is None else "yes" if one.late else "no"
                amount = number_text(one.transaction.amount)
                yield f"{one.offset:>12}  {_time(one.transaction.timestamp):<24}  {amount:>16}  {late}"
            yield ""
        yield from self._notes()
        yield "Reproduced: everything comes out the same." if self.reproduced else "Not reproduced."

    def _claim(self) -> str:
        alert = self.alert
        if self.silence:
            return f"nothing for {alert.limit} ms"
        shown = alert.amount if alert.value is None else alert.value
        side = "above" if shown > alert.limit else "below"
        if alert.score is not None and alert.baseline is None:
            return f"score {alert.score}, limit {number_text(alert.limit)}"
        baseline = alert.baseline
        usual = "" if baseline is None else f", usual {baseline.mean:.6g} ± {baseline.deviation:.6g}"
        return f"{alert.of} {number_text(shown)} is {side} {number_text(alert.limit)}{usual}"

    def _notes(self) -> Iterator[str]:
        alert = self.alert
        if self.expired:
            first = "none is left" if self.first_read is None else f"the first one left is {self.first_read}"
            yield f"Records from offset {self.first} on have expired: {first}."
        if self.silence:
            if self.broken_by is not None:
                yield f"A record came within the silence, at offset {self.broken_by.offset}."
            elif self.records:
                yield f"The last record is that of offset {self.first}; none followed within {alert.limit} ms."
            return
        if self.aggregate is not None:
            same = "the same" if self.sums_agree else f"the alert says {number_text(alert.amount)} and {alert.count}"
            yield f"Sum {number_text(self.aggregate.value())}, {self.aggregate.count} records: {same}."
        if alert.status == "resolved":
            yield "It ends an episode: there is no verdict to judge again."
        elif self.judged_again is not None:
            wrong = f", but for {', '.join(self.differences)}" if self.differences else ""
            yield f"The detector judges the same, from the partition's first record on{wrong}."
        elif self.looked_at is not None and alert.features is None:
            yield (
                f"{alert.of.capitalize()} {number_text(self.looked_at)} against the limit {number_text(alert.limit)}: "
                + ("the same verdict." if self.verdict_agrees else "another verdict.")
            )
        if self.not_judged is not None:
            yield self.not_judged


def _time(ms: int) -> str:
    try:
        return f"{_EPOCH + timedelta(milliseconds=ms):%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"
    except OverflowError:  # after the year 9999
        return f"{ms} ms"
