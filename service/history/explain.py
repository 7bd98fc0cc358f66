"""Explains an alert: reads the records of its window again, adds them up, and compares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from service.core.clocks.detail import add_detail
from service.core.detectors import Finding, Of
from service.core.detectors.features import FEATURES, Features, need_baseline
from service.core.detectors.looked_at import value_of
from service.core.model import Aggregate, AggregateDetail, LatePolicy, Offset, Transaction, TumblingWindow, WallTimeMs
from service.core.money import number_text
from service.core.watermark import BoundedOutOfOrderness
from service.history.today import Today, limit_of
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
    today: Today = field(default_factory=Today)
    records: list[Counted] = field(default_factory=list)
    aggregate: Aggregate | None = None
    first_read: int | None = None
    """The first offset that could be read."""
    broken_by: Counted | None = None
    """Of a silence: a record that came within it."""
    broken_elsewhere: tuple[int, Offset] | None = None
    """The same in another partition, where the whole topic was silent."""
    judged_again: dict[str, Any] | None = None
    """The alert as the detector gives it again, from the partition's first record; None: it does not."""
    not_judged: str | None = None
    """Why it was not judged again."""
    refuted: bool = False
    """Whether the detector was given everything, and did not find it again."""
    finding: Finding | None = None
    """What the detector of the settings finds in the window's records, where it needs no more."""
    _watermark: BoundedOutOfOrderness = field(init=False)

    def __post_init__(self) -> None:
        self._watermark = BoundedOutOfOrderness(self.lateness_ms)

    @property
    def silence(self) -> bool:
        """Whether the alert is about a silence."""
        return self.alert.count == 0

    @property
    def whole_topic(self) -> bool:
        """Whether the silence is that of the topic, by the settings' detector."""
        return self.silence and self.today.silence is not None and self.today.silence.scope == "topic"

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
                one = Counted(record.offset(), transaction, late if known else None)
                self._count(one, time_ms, judged=before_ms is not None and before_ms >= (self.alert.watermark or 0))

    def _count(self, one: Counted, time_ms: int, *, judged: bool) -> None:
        """Count a record that matters; ``judged``: it may have come after the verdict, by the watermark."""
        alert, transaction = self.alert, one.transaction
        if transaction.transaction_id != alert.transaction_id and (alert.transaction_id or not self.silence):
            return
        if self.silence:
            self._count_silence(one, time_ms, judged=judged)
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
        self.aggregate.late_count += one.late is True
        add_detail(
            _EXTREMES,
            {transaction.transaction_id: self.aggregate},
            now_ms=WallTimeMs(0),
            offsets=[one.offset],
            transactions=[transaction],
        )

    def _count_silence(self, one: Counted, time_ms: int, *, judged: bool) -> None:
        alert = self.alert
        if one.offset == alert.source.last_offset:
            self.records.append(one)
            return
        by_event = alert.window.clock == "event"
        if by_event and one.late and (judged or self.policy is not LatePolicy.INCLUDE):
            return  # it came after the verdict, or was set aside
        at_ms = one.transaction.timestamp if by_event else time_ms
        if one.offset > self.first and self._within(at_ms) and self.broken_by is None:
            self.broken_by = one

    def take_of_others(self, partition: int, records: Sequence[InRecord], now_ms: WallTimeMs) -> None:
        """Take records of another partition: a silence of the whole topic ends with any of them."""
        for record in records:
            if self.broken_elsewhere is None and self._within(append_time(record, now_ms)):
                self.broken_elsewhere = partition, record.offset()

    def _within(self, at_ms: int) -> bool:
        """Whether a time is within the silence, which is as long as the settings say today."""
        start = self.alert.window.start
        today = self.today.silence
        return start < at_ms < (self.alert.window.end if today is None else start + today.after_ms)

    def judge_alone(self) -> None:
        """Let the detector of the settings judge the window, where its records are all that it needs.

        Raises:
            DetectorError: the detector raised an exception.
        """
        if self.aggregate is None or self.expired:
            return
        if any(one.late is None for one in self.records):
            self.aggregate.late_count = self.alert.late_count  # nothing else says it
        if not self._judged_alone:
            return
        self.finding = self.today.finding(self.alert, self.aggregate)

    @property
    def _judged_alone(self) -> bool:
        return not self.silence and self.alert.status != "resolved" and self.today.judges_alone(self.alert)

    # ---- what comes out -------------------------------------------------------------------------------------

    @property
    def expired(self) -> bool:
        """Whether the window's first record is not there any more. The topic may be silent without any record here."""
        if self.silence and self.alert.source.last_offset is None:
            return False
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
            there = bool(self.records) or self.alert.source.last_offset is None
            return there and self.broken_by is None and self.broken_elsewhere is None
        if self.refuted or self.judged_again is not None:
            return not self.refuted and not self.differences
        if self.alert.status == "resolved":
            return self.sums_agree
        if self._judged_alone:
            return self.finding is not None and not self.other_features
        return self._beyond_its_own_limit

    @property
    def _beyond_its_own_limit(self) -> bool:
        if self.looked_at is None or self.other_features:
            return False
        if self.alert.score is not None and self.alert.features is not None:
            return self.alert.score > self.alert.limit  # its baseline cannot be seen in this window
        shown = self.alert.amount if self.alert.value is None else self.alert.value
        above = shown > self.alert.limit
        return self.looked_at > self.alert.limit if above else self.looked_at < self.alert.limit

    @property
    def differences(self) -> list[str]:
        """In which fields the alert that the detector gives again differs."""
        if self.judged_again is None:
            return []
        again = AlertPayload.model_validate(self.judged_again)
        names = ("amount", "count", "limit", "value", "baseline", "score", "features", "status", "windows", "peak")
        return [name for name in names if getattr(again, name) != getattr(self.alert, name)]

    @property
    def other_features(self) -> list[str]:
        """Which features differ from those that the alert's model was given, but for the baseline's."""
        given, found = self.alert.features or {}, self.aggregate
        names = [name for name in given if name in FEATURES and not need_baseline((name,))]
        if found is None or not names:
            return []
        span = TumblingWindow(self.alert.window.start, self.alert.window.end)
        values = zip(names, Features(names).of(found, span, None), strict=True)
        return [name for name, value in values if value != given[name]]

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
        whole = "none: the whole topic" if self.whole_topic else "none: the whole partition"
        yield f"  id      {alert.transaction_id!r}" if alert.transaction_id else f"  id      {whole}"
        yield f"  window  {_time(alert.window.start)} to {_time(alert.window.end)}, by {alert.window.clock} time"
        offsets = "no record"
        if source.first_offset is not None:
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
        alert, default = self.alert, "those of DETECT_LIMIT"
        if alert.rules != self.today.rules:
            before, now = alert.rules or default, self.today.rules or default
            yield f"The settings have other detectors now ({now}) than those that judged ({before})."
        if self.expired:
            first = "none is left" if self.first_read is None else f"the first one left is {self.first_read}"
            yield f"Records from offset {self.first} on have expired: {first}."
        if self.silence:
            yield from self._notes_of_silence()
            return
        if self.aggregate is not None:
            same = "the same" if self.sums_agree else f"the alert says {number_text(alert.amount)} and {alert.count}"
            yield f"Sum {number_text(self.aggregate.value())}, {self.aggregate.count} records: {same}."
        if self.judged_again is not None:
            wrong = f", but for {', '.join(self.differences)}" if self.differences else ""
            yield f"The detector judges the same, from the partition's first record on{wrong}."
        elif alert.status == "resolved":
            yield "It ends an episode: whether it did cannot be seen in this window alone."
        elif self._judged_alone:
            yield from self._notes_of_today()
        elif self.looked_at is not None and not self.refuted:
            yield from self._notes_of_its_own_limit(self.looked_at)
        if self.not_judged is not None:
            yield self.not_judged

    def _notes_of_its_own_limit(self, value: Decimal) -> Iterator[str]:
        alert, one = self.alert, self.today.configured
        if one is None:
            yield f"The settings have no detector {alert.detector}: judged by the alert's own limit."
        elif one.of.value != alert.of:
            yield f"The detector looks at another value now ({one.of.value}): judged by the alert's own limit."
        if alert.features is not None:
            wrong = f", but for {', '.join(self.other_features)}" if self.other_features else ""
            yield f"The features that the window's records give are those of the alert{wrong}."
            return
        same = "the same verdict" if self.verdict_agrees else "another verdict"
        yield f"{alert.of.capitalize()} {number_text(value)} against the limit {number_text(alert.limit)}: {same}."

    def _notes_of_today(self) -> Iterator[str]:
        """The verdict of the detector of the settings."""
        alert, finding = self.alert, self.finding
        if self.expired or self.looked_at is None:
            return
        if finding is None:
            limit = number_text(alert.limit)
            yield f"The detector of the settings finds no anomaly in it. The limit of the alert was {limit}."
            return
        if self.other_features:
            yield f"The model was given other features: {', '.join(self.other_features)}."
        now, before, score = number_text(limit_of(finding)), number_text(alert.limit), finding.fields.get("score")
        if now != before:
            yield f"The limit in the settings is {now} today. The limit of the alert was {before}."
        if score != alert.score:
            yield f"The model's output is {score} today. That of the alert was {alert.score}."
        looked_at = f"{alert.of.capitalize()} {number_text(self.looked_at)}" if score is None else f"Output {score}"
        yield f"{looked_at} against the limit {now}: the same verdict."

    def _notes_of_silence(self) -> Iterator[str]:
        alert, today = self.alert, self.today.silence
        if today is None:
            yield f"The settings have no detector {alert.detector} of silences: judged by the alert's own span."
            if not alert.transaction_id:
                yield "Only this partition was read."
        elif today.after_ms != alert.limit:
            yield f"after_ms in the settings is {today.after_ms} today; the alert's was {alert.limit}."
        after_ms = alert.limit if today is None else today.after_ms
        if self.broken_by is not None:
            yield f"A record came within the silence, at offset {self.broken_by.offset}."
        elif self.broken_elsewhere is not None:
            partition, offset = self.broken_elsewhere
            yield f"A record came within the silence, in partition {partition} at offset {offset}."
        elif self.records:
            yield f"The last record is that of offset {self.first}; none followed within {after_ms} ms."
        elif alert.source.last_offset is None:
            yield f"The partition had no record; none came in the topic within {after_ms} ms."


def _time(ms: int) -> str:
    try:
        return f"{_EPOCH + timedelta(milliseconds=ms):%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"
    except OverflowError:  # after the year 9999
        return f"{ms} ms"
