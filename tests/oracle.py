"""After any history: does what was committed follow from the input, each record exactly once?

A linear scan of the topics with exact arithmetic, which shares no code with the service.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from typing import Any

from confluent_kafka import Message

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
