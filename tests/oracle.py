"""After any history: does what was committed follow from the input, each record exactly once?

A linear scan of the topics with exact arithmetic, which shares no code with the service.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

from confluent_kafka import Message

from tests.clock_oracle import Rec, Rules, expect
from tests.kafka_helpers import HasBootstrapServers, committed, read_all
from tests.service_process import Names

Place = tuple[int, int]
"""Partition and offset of an input record."""


@dataclass
class Account:
    """What was found, for a test to look into."""

    records: int = 0
    aggregates: list[dict[str, Any]] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    late: int = 0
    faults: list[str] = field(default_factory=list)


def audit(broker: HasBootstrapServers, names: Names, limit: Decimal = Decimal(8000)) -> Account:
    """Check everything that must hold once all input has been read and committed.

    1. Every input record is counted in exactly one aggregate, or stands exactly once in the late or dead-letter topic.
    2. An aggregate's sum, count and offsets are those of the records of its key in its offset range.
    3. Alerts are exactly the aggregates above the limit, none twice.
    4. A partition's watermarks never go back in the order of its aggregates' offsets.
    5. The committed offsets stand behind the last record.
    """
    account = Account()
    inputs: dict[Place, Message] = {_place(m): m for m in read_all(broker, names.transactions)}
    account.records = len(inputs)
    owed = set(inputs)
    for topic in (names.dead_letter, names.late):
        for message in read_all(broker, topic):
            _check_set_aside(account, inputs, owed, message)
    account.late = account.reasons["late"]
    account.aggregates = _payloads(broker, names.aggregates)
    _check_aggregates(account, inputs, owed)
    account.faults.extend(f"record {place} is not accounted for" for place in sorted(owed)[:10])
    account.alerts = _payloads(broker, names.alerts)
    _check_alerts(account, limit)
    last_offsets: dict[int, int] = {}
    for partition, offset in inputs:
        last_offsets[partition] = max(offset, last_offsets.get(partition, -1))
    for position in committed(broker, names.group, names.transactions):
        if position.partition in last_offsets and position.offset <= last_offsets[position.partition]:
            account.faults.append(f"partition {position.partition}: committed {position.offset}, not all was read")
    return account


def audit_clock(broker: HasBootstrapServers, names: Names, rules: Rules, limit: Decimal = Decimal(8000)) -> Account:
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
    account.aggregates = _payloads(broker, names.aggregates)
    account.alerts = _payloads(broker, names.alerts)
    _check_alerts(account, limit)
    due: list[dict[str, Any]] = []
    aside: dict[str, list[Place]] = {names.dead_letter: [], names.late: []}
    progress = dict(_progress(broker, names))
    for partition, records in sorted(inputs.items()):
        expected = expect(records, rules)
        due += expected.aggregates(rules, names.transactions, partition)
        aside[names.dead_letter] += [(partition, offset) for offset in sorted(expected.bad)]
        aside[names.late] += [(partition, offset) for offset in expected.late if rules.policy == "divert"]
        account.late += len(expected.late)
        still_open = [one["first"] for s, keys in expected.windows.items() if s not in expected.watermarks
                      for one in keys.values()]  # fmt: skip
        end = records[-1].offset + 1
        if progress.get(partition) != (min(still_open, default=end), end):
            account.faults.append(f"partition {partition}: {progress.get(partition)} committed, {still_open=}, {end=}")
    missing, surplus = Counter(map(_text, due)), Counter(map(_text, account.aggregates))
    account.faults += [f"missing: {one}" for one in missing - surplus][:5]
    account.faults += [f"not due: {one}" for one in surplus - missing][:5]
    for topic, places in aside.items():
        found = [headers_of(message) for message in read_all(broker, topic)]
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


def read_so_far(broker: HasBootstrapServers, names: Names) -> int:
    """How many offsets of all partitions have been read for good."""
    return sum(read for _, (_, read) in _progress(broker, names))


def _settle(account: Account, owed: set[Place], place: Place, what: str) -> None:
    if place in owed:
        owed.discard(place)
    else:
        account.faults.append(f"{what}: partition {place[0]} offset {place[1]} is accounted for twice, or no record")


def _check_set_aside(account: Account, inputs: dict[Place, Message], owed: set[Place], message: Message) -> None:
    headers = headers_of(message)
    place = (int(headers["__connect.errors.partition"]), int(headers["__connect.errors.offset"]))
    _settle(account, owed, place, message.topic() or "")
    if inputs[place].value() != message.value() or inputs[place].key() != message.key():
        account.faults.append(f"{message.topic()}: {place} differs from the input")
    account.reasons[headers["txwatch.reason"].decode()] += 1


def _check_aggregates(account: Account, inputs: dict[Place, Message], owed: set[Place]) -> None:
    by_key: dict[tuple[int, str], list[tuple[int, Decimal, int]]] = defaultdict(list)
    for place in sorted(owed):
        value = json.loads(inputs[place].value() or b"", parse_float=Decimal)
        by_key[place[0], value["transaction_id"]].append((place[1], Decimal(value["amount"]), value["timestamp"]))
    marks: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for aggregate in account.aggregates:
        source = aggregate["source"]
        first, last, partition = source["first_offset"], source["last_offset"], source["partition"]
        mine = [r for r in by_key[partition, aggregate["transaction_id"]] if first <= r[0] <= last]
        for offset, _, _ in mine:
            _settle(account, owed, (partition, offset), f"aggregate of {aggregate['transaction_id']}")
        expected = (len(mine), _exact_sum(r[1] for r in mine), mine[0][2] if mine else None)
        found = (aggregate["count"], Decimal(aggregate["amount"]), aggregate["timestamp"])
        if expected != found or not mine or (mine[0][0], mine[-1][0]) != (first, last):
            account.faults.append(f"aggregate {found} where {expected} is due: {aggregate}")
        marks[partition].append((aggregate["window"]["start"], first, aggregate["watermark"]))
    for partition, seen in marks.items():
        watermarks = [mark for _, _, mark in sorted(seen)]
        if watermarks != sorted(watermarks):
            account.faults.append(f"partition {partition}: the watermark goes back: {watermarks}")


def _exact_sum(amounts: Iterable[Decimal]) -> Decimal:
    with localcontext(prec=2_000):
        return sum(amounts, Decimal(0))


def headers_of(message: Message) -> dict[str, bytes]:
    """A record's headers, the last of each name."""
    headers: Any = message.headers() or []
    return {name: value or b"" for name, value in headers}


def _check_alerts(account: Account, limit: Decimal) -> None:
    def about(payload: dict[str, Any]) -> tuple[Any, ...]:
        source = payload["source"]
        return (source["partition"], source["first_offset"], source["last_offset"], payload["transaction_id"])

    ids = Counter(alert["alert_id"] for alert in account.alerts)
    account.faults.extend(f"alert {alert_id} is there {n} times" for alert_id, n in ids.items() if n > 1)
    due = {about(a): Decimal(a["amount"]) for a in account.aggregates if Decimal(a["amount"]) > limit}
    found = {about(a): Decimal(a["amount"]) for a in account.alerts}
    if due != found:
        account.faults.append(f"alerts missing: {due.keys() - found.keys()}, not due: {found.keys() - due.keys()}")


def _place(message: Message) -> Place:
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    return partition, offset


def _payloads(broker: HasBootstrapServers, topic: str) -> list[dict[str, Any]]:
    return [json.loads(m.value() or b"", parse_float=Decimal) for m in read_all(broker, topic)]
