"""A topic that is not txwatch's own: Debezium's envelopes with deletes and tombstones, on a real broker."""

# ruff: noqa: SIM300 - expected == actual

import json
from collections.abc import Callable
from decimal import Decimal

import pytest

from brokerkit.broker import Broker
from brokerkit.client import Rec, create_topics, produce, read_all
from brokerkit.service_process import Names, ServiceProcess, payloads, running, wait_until
from histories.oracle import headers_of
from tests.unit.test_input_page import recipes

START_MS = 1_715_392_800_000


def settings_of(heading: str) -> dict[str, str]:
    """The settings of a recipe of docs/input.md."""
    (found,) = (one.settings for one in recipes() if one.heading == heading)
    return found


def change(op: str, account: str, amount: str | None, at_ms: int, *, with_schema: bool) -> Rec:
    """A change of a row, as Debezium writes it."""
    after = None if op == "d" else {"account": account, "amount": amount, "booked_at": at_ms * 1_000 + 999}
    payload = {"before": None, "after": after, "source": {"table": "payments"}, "op": op, "ts_ms": at_ms}
    value = {"schema": {"type": "struct", "optional": False}, "payload": payload} if with_schema else payload
    return Rec(json.dumps({"account": account}), json.dumps(value))


@pytest.mark.parametrize("with_schema", [True, False], ids=["with the schema", "without the schema"])
def test_debeziums_changes_are_summed_and_its_deletes_only_move_the_watermark(
    broker: Broker, unique: Callable[[str], str], *, with_schema: bool
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=1)
    name = "with the schema in each record" if with_schema else "without the schema"
    mapping = settings_of(f"Debezium, {name}")
    if not with_schema:  # so that deletes have a time
        mapping |= {"INPUT_TIMESTAMP": "ts_ms", "INPUT_TIMESTAMP_FORMAT": "epoch_ms"}
    records = [
        change("r", "a1", "7999.99", START_MS, with_schema=with_schema),
        change("c", "a1", "0.0100000000000000001", START_MS + 1, with_schema=with_schema),
        change("u", "a1", "5000", START_MS + 2, with_schema=with_schema),
        change("d", "a1", None, START_MS + 60_000, with_schema=with_schema),
        Rec(json.dumps({"account": "a1"}), None),
        change("c", "a2", "12.50", START_MS + 3, with_schema=with_schema),
        change("c", "a3", "twelve", START_MS + 4, with_schema=with_schema),
        Rec("x", "rubbish"),
    ]
    clock = {"WINDOW_CLOCK": "event", "LATE_POLICY": "divert"}
    with running(broker, names, {**mapping, **clock}) as service:
        service.wait_ready(1)
        produce(broker, names.transactions, records)
        assert wait_until(lambda: payloads(broker, names.aggregates))
        assert wait_until(lambda: len(read_all(broker, names.dead_letter)) == 2)
        filtered = service.metric(f'txwatch_records_filtered_total{{partition="0",topic="{names.transactions}"}}')
        assert service.stop() == 0
    assert 3 == filtered
    (found,) = payloads(broker, names.aggregates)
    assert ("a1", Decimal("8000.0000000000000000001"), 2) == (found["transaction_id"], found["amount"], found["count"])
    # The delete moved the watermark, and closed the window.
    (alert,) = payloads(broker, names.alerts)
    assert ("a1", START_MS + 59_000) == (alert["transaction_id"], alert["watermark"])
    assert [records[5].value] == [(one.value() or b"").decode() for one in read_all(broker, names.late)]
    dead = [headers_of(one) for one in read_all(broker, names.dead_letter)]
    assert [b"schema", b"not_json"] == [one["txwatch.reason"] for one in dead]
    path = "payload.after.amount" if with_schema else "after.amount"
    assert f"{path}: a text that is no JSON number" == dead[0]["__connect.errors.exception.message"].decode()


def test_the_key_and_the_records_own_time_are_read_from_real_records(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=1)
    mapping = {"INPUT_TRANSACTION_ID": "@key+kind", "INPUT_TIMESTAMP": "@timestamp", "INPUT_AMOUNT": ""}
    records = [Rec("u1", '{"kind":"login"}', timestamp_ms=START_MS + n) for n in range(3)]
    records += [
        Rec(None, '{"kind":"login"}', timestamp_ms=START_MS),
        Rec("u2", '{"kind":7}', timestamp_ms=START_MS + 60_000),
    ]
    clock = {"WINDOW_CLOCK": "event", "LATE_POLICY": "divert", "DETECT_LIMIT": "2"}
    with running(broker, names, {**mapping, **clock}) as service:
        service.wait_ready(1)
        produce(broker, names.transactions, records)
        assert wait_until(lambda: payloads(broker, names.alerts))
        assert service.stop() == 0
    (alert,) = payloads(broker, names.alerts)
    assert ("u1|login", 3, START_MS) == (alert["transaction_id"], alert["amount"], alert["timestamp"])
    (dead,) = read_all(broker, names.dead_letter)
    assert b"@key: the record has no key" == headers_of(dead)["__connect.errors.exception.message"]


def test_a_wrong_mapping_stops_the_start_with_exit_2_and_one_line(broker: Broker, unique: Callable[[str], str]) -> None:
    service = ServiceProcess(broker, Names(unique), {"INPUT_TRANSACTION_ID": "a", "INPUT_AMOUNT": "a.b"})
    try:
        assert 2 == service.process.wait(30)
        assert [
            {"event": "raw", "line": "txwatch: INPUT_AMOUNT: 'a.b' takes a as a value and as an object or array"}
        ] == service.log
    finally:
        service.close_log()
