"""After any history: does what was committed follow from the input, each record exactly once?

A linear scan of the topics with exact arithmetic, which shares no code with the service.
"""

import json
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

from confluent_kafka import Message, TopicPartition

from brokerkit.client import HasBootstrapServers, committed, read_all
from brokerkit.service_process import Names, payloads
from histories.clock_oracle import Rec, Rules, expect
from histories.detector_values import Closed, Seen

Place = tuple[int, int]
"""Partition and offset of an input record."""

Inputs = Mapping[Place, tuple[bytes | None, bytes | None]]
"""Key and value of every input record."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A good input record, and what event time made of it."""

    offset: int
    amount: Decimal
    timestamp: int
    late: bool


@dataclass
class Account:
    """What the audit found."""

    records: int = 0
    aggregates: list[dict[str, Any]] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    windows: dict[int, list[Closed]] = field(default_factory=dict)
    """By partition, what the detectors had to judge."""
    late: int = 0
    faults: list[str] = field(default_factory=list)


class Marks:
    """The watermark of each partition by offset, and so which records are late: no clock has a say in it."""

    def __init__(self, inputs: Inputs, rejected: set[Place], lateness_ms: int) -> None:
        """Work it out; `rejected` records are no part of it."""
        self.good: dict[tuple[int, str], list[Judged]] = defaultdict(list)
        """By partition and transaction id, in the order of offsets."""
        self._steps: dict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        decode = json.JSONDecoder(parse_float=Decimal).decode  # json.loads() makes one for each record
        for place in sorted(inputs.keys() - rejected):
            partition, offset = place
            value = decode((inputs[place][1] or b"").decode())
            offsets, marks = self._steps[partition]
            timestamp = value["timestamp"]
            late = bool(marks) and timestamp < marks[-1]
            judged = Judged(offset, Decimal(value["amount"]), timestamp, late)
            self.good[partition, value["transaction_id"]].append(judged)
            offsets.append(offset)
            marks.append(max(timestamp - lateness_ms, marks[-1] if marks else timestamp - lateness_ms))

    def before(self, partition: int, offset: int) -> int | None:
        """The watermark when everything below `offset` has been read."""
        offsets, marks = self._steps[partition]
        index = bisect_left(offsets, offset)
        return marks[index - 1] if index else None


def audit(
    broker: HasBootstrapServers,
    names: Names,
    limit: Decimal | None = Decimal(8000),
    *,
    inputs: Inputs | None = None,
    lateness_ms: int = 1_000,
    gone: AbstractSet[Place] = frozenset(),
) -> Account:
    """Check everything that must hold once all input has been read and committed.

    1. Every input record is counted in exactly one aggregate, or stands exactly once in the late or dead-letter topic.
       There its header has the input record's Kafka timestamp.
    2. An aggregate's sum, counts, times and offsets are those of the records of its key in its offset range.
    3. Alerts are exactly the aggregates above the limit, each the same in every field, none twice.
    4. Every watermark that was written is the one that its partition had at that offset, so none ever goes back.
    5. The committed offsets stand behind the last record, with that record's watermark.

    Args:
        broker: where the topics are.
        names: which they are.
        limit: the detector's; None where others are configured.
        inputs: what was written, where the topic does not tell any more; by default what it holds.
        lateness_ms: the service's.
        gone: records that expired before a service could read them.
    """
    there = read_all(broker, names.transactions)
    if inputs is None:
        inputs = {_place(m): (m.key(), m.value()) for m in there}
    stamps = {_place(m): m.timestamp()[1] for m in there if inputs.get(_place(m)) == (m.key(), m.value())}
    account = Account(records=len(inputs))
    inputs = {place: record for place, record in inputs.items() if place not in gone}
    owed = set(inputs)
    rejected: set[Place] = set()
    for topic in (names.dead_letter, names.late):
        for message in read_all(broker, topic):
            _check_set_aside(account, inputs, owed, rejected, message)
            _check_timestamp(account, stamps, message)
    account.late = account.reasons["late"]
    marks = Marks(inputs, rejected, lateness_ms)
    account.aggregates = payloads(broker, names.aggregates)
    _check_aggregates(account, marks, owed)
    if owed:
        account.faults.append(f"{len(owed)} records are not accounted for: {sorted(owed)[:10]}")
    account.alerts = payloads(broker, names.alerts)
    if limit is not None:
        _check_alerts(account, limit)
    _check_committed(account, inputs, marks, committed(broker, names.group, names.transactions))
    return account


def audit_clock(
    broker: HasBootstrapServers, names: Names, rules: Rules, limit: Decimal | None = Decimal(8000)
) -> Account:
    """The same for ``ingestion`` and ``event``, where the input alone says what every window holds, to the last bit.

    1. The aggregates are those of a scan of the input, and the late and dead-letter topics hold what it sets aside.
    2. Alerts are exactly the aggregates above the limit, none twice.
    3. All was read, and the committed offset is the first of an open window, or all that was read.
    """
    account = Account()
    inputs: dict[int, list[Rec]] = defaultdict(list)
    for message in read_all(broker, names.transactions):
        partition, offset = _place(message)
        inputs[partition].append(Rec(offset, message.value() or b"", message.timestamp()[1]))
    account.records = sum(map(len, inputs.values()))
    account.aggregates = payloads(broker, names.aggregates)
    account.alerts = payloads(broker, names.alerts)
    if limit is not None:
        _check_alerts(account, limit)
    stamps = {(partition, one.offset): one.appended_ms for partition, records in inputs.items() for one in records}
    due: list[dict[str, Any]] = []
    aside: dict[str, list[Place]] = {names.dead_letter: [], names.late: []}
    progress = dict(_progress(broker, names))
    for partition, records in sorted(inputs.items()):
        expected = expect(records, rules)
        due += expected.aggregates(rules, names.transactions, partition)
        account.windows[partition] = expected.closed(rules)
        aside[names.dead_letter] += [(partition, offset) for offset in sorted(expected.bad)]
        aside[names.late] += [(partition, offset) for offset in expected.late if rules.policy == "divert"]
        account.late += len(expected.late)
        still_open = [one["first"] for s, keys in expected.windows.items() if s not in expected.watermarks
                      for one in keys.values()]  # fmt: skip
        end = records[-1].offset + 1
        offset, read = progress.get(partition, (0, 0))
        # Markers of txns take up offsets, too. They come after the last record where no window is open.
        if read < end or offset != min(still_open, default=max(offset, end)):
            account.faults.append(f"partition {partition}: {offset} committed, {read} read, {still_open=}, {end=}")
    missing, surplus = Counter(map(_text, due)), Counter(map(_text, account.aggregates))
    account.faults += [f"missing: {one}" for one in missing - surplus][:5]
    account.faults += [f"not due: {one}" for one in surplus - missing][:5]
    for topic, places in aside.items():
        messages = read_all(broker, topic)
        for message in messages:
            _check_timestamp(account, stamps, message)
        found = [headers_of(message) for message in messages]
        there = [(int(h["__connect.errors.partition"]), int(h["__connect.errors.offset"])) for h in found]
        if sorted(there) != sorted(places):
            account.faults.append(f"{topic}: {Counter(there) - Counter(places)}, {Counter(places) - Counter(there)}")
    return account


def _text(payload: dict[str, Any]) -> str:
    return json.dumps({**payload, "amount": str(Fraction(payload["amount"]))}, sort_keys=True, default=str)


def _progress(broker: HasBootstrapServers, names: Names) -> Iterable[tuple[int, tuple[int, int]]]:
    """Each partition's committed offset, and how far was read."""
    for one in committed(broker, names.group, names.transactions):
        if one.offset >= 0:
            yield one.partition, (one.offset, json.loads(one.metadata or "{}").get("read", one.offset))


def read_so_far(broker: HasBootstrapServers, names: Names) -> dict[int, int]:
    """The first offset of each partition that no commit says was read."""
    return {partition: read for partition, (_, read) in _progress(broker, names)}


def _settle(account: Account, owed: set[Place], place: Place, what: str) -> None:
    if place in owed:
        owed.discard(place)
    else:
        account.faults.append(f"{what}: partition {place[0]} offset {place[1]} is accounted for twice, or no record")


def _check_set_aside(
    account: Account, inputs: Inputs, owed: set[Place], rejected: set[Place], message: Message
) -> None:
    headers = headers_of(message)
    place = _source_of(headers)
    reason = headers["txwatch.reason"].decode()
    _settle(account, owed, place, message.topic() or "")
    if inputs.get(place) != (message.key(), message.value()):
        account.faults.append(f"{message.topic()}: {place} differs from the input")
    if reason != "late":
        rejected.add(place)
    account.reasons[reason] += 1


def _source_of(headers: Mapping[str, bytes]) -> Place:
    return int(headers["__connect.errors.partition"]), int(headers["__connect.errors.offset"])


def _check_timestamp(account: Account, stamps: Mapping[Place, int], message: Message) -> None:
    headers = headers_of(message)
    place = _source_of(headers)
    if place in stamps and headers.get("txwatch.timestamp") != str(stamps[place]).encode():
        found = headers.get("txwatch.timestamp")
        account.faults.append(f"{message.topic()}: {place} has timestamp {found!r} where {stamps[place]} is due")


def _check_aggregates(account: Account, marks: Marks, owed: set[Place]) -> None:
    closed: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    windows: dict[tuple[int, int], Closed] = {}
    for aggregate in account.aggregates:
        source = aggregate["source"]
        first, last, partition = source["first_offset"], source["last_offset"], source["partition"]
        theirs = marks.good[partition, aggregate["transaction_id"]]
        low = bisect_left(theirs, first, key=lambda r: r.offset)
        # Late records that were diverted or dropped lie in the range, too, and are no part of the sum.
        mine = [
            r for r in theirs[low : bisect_right(theirs, last, key=lambda r: r.offset)]
            if not r.late or aggregate["late_count"]
        ]  # fmt: skip
        for record in mine:
            _settle(account, owed, (partition, record.offset), f"aggregate of {aggregate['transaction_id']}")
        expected = _summary(mine)
        found = tuple(aggregate[name] for name in ("count", "late_count", "timestamp", "max_timestamp"))
        if expected != (*found, Decimal(aggregate["amount"]), first, last):
            account.faults.append(f"aggregate where {expected} is due: {aggregate}")
        window = aggregate["window"]
        closed[partition, window["start"]].append((last, aggregate["watermark"]))
        if mine:
            one = Closed(window["start"], window["end"], window["clock"], aggregate["watermark"])
            windows.setdefault((partition, window["start"]), one).keys[aggregate["transaction_id"]] = _seen(mine)
    for (partition, _), one in windows.items():
        account.windows.setdefault(partition, []).append(one)
    for (partition, start), seen in closed.items():
        last = max(offset for offset, _ in seen)
        due = marks.before(partition, last + 1)
        wrong = {mark for _, mark in seen} - {due}
        if wrong:
            account.faults.append(f"partition {partition}, window {start}: watermark {wrong} where {due} is due")


def _summary(records: list[Judged]) -> tuple[Any, ...]:
    if not records:
        return ("nothing",)
    return (
        len(records),
        sum(r.late for r in records),
        records[0].timestamp,
        max(r.timestamp for r in records),
        _exact_sum(r.amount for r in records),
        records[0].offset,
        records[-1].offset,
    )


def _seen(records: list[Judged]) -> Seen:
    amounts = [Fraction(record.amount) for record in records]
    latest = max(records, key=lambda r: r.timestamp)  # the first of several
    return Seen(
        timestamp=records[0].timestamp,
        max_timestamp=latest.timestamp,
        count=len(records),
        late_count=sum(r.late for r in records),
        amount=sum(amounts, Fraction(0)),
        least=min(amounts),
        greatest=max(amounts),
        first=records[0].offset,
        last=records[-1].offset,
        latest=latest.offset,
    )


def _exact_sum(amounts: Iterable[Decimal]) -> Decimal:
    with localcontext(prec=2_000):
        return sum(amounts, Decimal(0))


def headers_of(message: Message) -> dict[str, bytes]:
    """A record's headers, the last of each name."""
    headers: Any = message.headers() or []
    return {name: value or b"" for name, value in headers}


def _check_alerts(account: Account, limit: Decimal) -> None:
    ids = Counter(alert["alert_id"] for alert in account.alerts)
    account.faults.extend(f"alert {alert_id} is there {n} times" for alert_id, n in ids.items() if n > 1)
    due = Counter(_about(a) for a in account.aggregates if Decimal(a["amount"]) > limit)
    found = Counter(_about(a) for a in account.alerts)
    if due != found:
        account.faults.append(f"alerts missing: {due - found}, not due: {found - due}")


def _about(payload: dict[str, Any]) -> str:
    """An aggregate, and the same of an alert."""
    own = ("alert_id", "detector", "limit", "detected_at")
    return json.dumps({k: v for k, v in payload.items() if k not in own}, sort_keys=True, default=str)


def _check_committed(account: Account, inputs: Inputs, marks: Marks, positions: list[TopicPartition]) -> None:
    ends: dict[int, int] = {}
    for partition, offset in inputs:
        ends[partition] = max(offset + 1, ends.get(partition, 0))
    for position in positions:
        partition, end = position.partition, ends.get(position.partition, 0)
        if max(position.offset, 0) < end:  # negative: none is committed
            account.faults.append(f"partition {partition}: committed {position.offset} of {end}")
        elif end:
            found = json.loads(position.metadata or "{}").get("watermark")
            due = marks.before(partition, end)
            if found != due:
                account.faults.append(f"partition {partition}: watermark {found} committed where {due} is due")


def _place(message: Message) -> Place:
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    return partition, offset
