"""`rekey` on a real broker: what is in the other topic, which topic it makes, and what it warns of."""

import json
import time
from collections import Counter
from collections.abc import Callable

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined]

from brokerkit.broker import Broker
from brokerkit.client import Rec, committed, create_topics, produce, read_all
from brokerkit.service_process import Names, ServiceProcess, payloads, running, transaction, wait_until
from histories.oracle import headers_of
from histories.rekey import audit_rekeyed

NOW_MS = 1_715_392_800_000
BY_EVENT_TIME = {
    "WINDOW_CLOCK": "event",
    "WINDOW_SIZE_MS": "10000",
    "WINDOW_EVENT_FLUSH_AFTER_MS": "1000",
    "LATE_POLICY": "divert",
}
"""So that no boundary of the wall clock divides a sum."""


@pytest.fixture
def names(unique: Callable[[str], str]) -> Names:
    """Topics and group."""
    return Names(unique)


def target(names: Names) -> str:
    """Where `rekey` writes."""
    return f"{names.transactions}.by-id"


def all_read(broker: Broker, names: Names, records: int) -> bool:
    """Whether so many records are committed."""
    found = committed(broker, f"{names.group}-rekey", names.transactions)
    return sum(max(0, one.offset) for one in found) == records


def test_an_id_in_three_partitions_comes_into_one_and_its_sum_is_whole(broker: Broker, names: Names) -> None:
    create_topics(broker, names.transactions, partitions=3)
    shops = [
        Rec(f"shop{n}", transaction(f"tx{n % 5}", NOW_MS + n, "1000.01")[1], [("n", b"%d" % n)], n % 3)
        for n in range(60)
    ]
    produce(broker, names.transactions, [*shops, Rec(None, b"rubbish", (), 2)])
    with running(broker, names, arguments=["rekey", "--to", target(names)]) as rekey:
        rekey.wait_ready(3)
        wait_until(lambda: all_read(broker, names, 61))
        series = f'{{partition="2",topic="{names.transactions}"}}'
        assert rekey.metric(f"txwatch_records_total{series}") == 21
        assert rekey.metric('txwatch_records_rejected_total{reason="not_json"}') == 1
        wait_until(lambda: [one["lag"] for one in rekey.status()["partitions"]] == [0, 0, 0])
        assert rekey.get("/healthz")[0] == 200
        assert rekey.stop() == 0
    account = audit_rekeyed(broker, names.transactions, target(names), names.dead_letter)
    assert (account.faults, account.records) == ([], 61)
    assert len(AdminClient({"bootstrap.servers": broker.bootstrap_servers}).list_topics(target(names)).topics) == 1
    with running(broker, names, {**BY_EVENT_TIME, "TOPICS_TRANSACTIONS": target(names)}) as service:
        service.wait_ready(3)
        wait_until(lambda: len(payloads(broker, names.alerts)) == 5)
        assert service.stop() == 0
    alerts = payloads(broker, names.alerts)
    assert {(one["transaction_id"], str(one["amount"]), one["count"]) for one in alerts} == {
        (f"tx{n}", "12000.12", 12) for n in range(5)
    }


def test_a_missing_target_gets_the_inputs_partitions_and_room_for_the_headers(broker: Broker, names: Names) -> None:
    create_topics(broker, names.transactions, partitions=7)
    with running(broker, names, {"TOPICS_PARTITIONS": "2"}, arguments=["rekey", "--to", target(names)]) as rekey:
        rekey.wait_ready(7)
        assert rekey.stop() == 0
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    assert len(admin.list_topics(target(names), timeout=10).topics[target(names)].partitions) == 7
    (described,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, target(names))]).values()
    assert described.result(10)["max.message.bytes"].value == "2097152"


def ended(rekey: ServiceProcess) -> tuple[int, str]:
    """Its exit code and its last words."""
    return rekey.process.wait(30), str(rekey.log[-1].get("line"))


def test_a_missing_target_that_may_not_be_created_is_exit_2(broker: Broker, names: Names) -> None:
    create_topics(broker, names.transactions, names.dead_letter)
    with running(broker, names, {"TOPICS_CREATE": "false"}, arguments=["rekey", "--to", target(names)]) as rekey:
        assert ended(rekey) == (2, f"txwatch: TOPICS_CREATE is off, and there is no topic {target(names)}")


def test_old_records_and_a_compacted_target_are_warned_of(broker: Broker, names: Names) -> None:
    create_topics(broker, names.transactions)
    create_topics(broker, target(names), config={"retention.ms": 60_000, "cleanup.policy": "compact,delete"})
    old = [Rec("shop", transaction("tx1", NOW_MS, "1")[1], (), -1, NOW_MS) for _ in range(3)]
    produce(broker, names.transactions, [*old, ("shop", transaction("tx1", NOW_MS, "2")[1])])
    with running(broker, names, arguments=["rekey", "--to", target(names)]) as rekey:
        warned = rekey.wait_for_event("older_than_retention")
        assert (warned["level"], warned["records"], warned["retention_ms"]) == ("warning", 3, 60_000)
        assert [entry["topic"] for entry in rekey.events("topic_compacted")] == [target(names)]
        rekey.wait_ready(1)
        wait_until(lambda: all_read(broker, names, 4))
        assert rekey.stop() == 0
    assert [message.timestamp()[1] for message in read_all(broker, target(names))][:3] == [NOW_MS] * 3


def test_in_a_target_with_append_times_nothing_is_old(broker: Broker, names: Names) -> None:
    create_topics(broker, names.transactions)
    create_topics(broker, target(names), config={"message.timestamp.type": "LogAppendTime", "retention.ms": 60_000})
    produce(broker, names.transactions, [Rec("shop", transaction("tx1", NOW_MS, "1")[1], (), -1, NOW_MS)])
    with running(broker, names, arguments=["rekey", "--to", target(names)]) as rekey:
        rekey.wait_ready(1)
        wait_until(lambda: all_read(broker, names, 1))
        assert rekey.events("older_than_retention") == []
        assert rekey.stop() == 0
    (message,) = read_all(broker, target(names))
    assert message.timestamp()[1] > NOW_MS + 60_000


MAPPED = {
    "INPUT_TRANSACTION_ID": "@key+currency",
    "INPUT_TIMESTAMP": "@timestamp",
    "INPUT_AMOUNT": "payment.amount",
    "INPUT_AMOUNT_FORMAT": "text",
    "INPUT_WHERE": "op=c,u",
    "INPUT_TOMBSTONES": "ignore",
}


def test_a_mapped_id_is_the_key_and_the_service_behind_takes_it_from_there(broker: Broker, names: Names) -> None:
    create_topics(broker, names.transactions, partitions=2)

    def payment(currency: str, amount: str, op: str = "c") -> bytes:
        return json.dumps({"op": op, "currency": currency, "payment": {"amount": amount}}).encode()

    now_ms = int(time.time()) // 10 * 10_000 - 1_000  # all in one window
    records = [
        Rec("card|1", payment("EUR", "4000.01"), (), 0, now_ms - 500),
        Rec("card|1", payment("EUR", "4000.00"), (), 1, now_ms - 400),
        Rec("card|1", payment("USD", "7999.99"), (), 0, now_ms - 300),
        Rec("card|1", payment("EUR", "9000.00", "d"), (), 0, now_ms - 200),
        Rec("card|1", None, (), 1, now_ms - 100),
        Rec(None, payment("EUR", "1"), (), 1, now_ms),
    ]
    produce(broker, names.transactions, records)
    with running(broker, names, MAPPED, arguments=["rekey", "--to", target(names)]) as rekey:
        rekey.wait_ready(2)
        wait_until(lambda: all_read(broker, names, 6))
        filtered = [
            rekey.metric(f'txwatch_records_filtered_total{{partition="{n}",topic="{names.transactions}"}}')
            for n in (0, 1)
        ]
        assert filtered == [1, 1]
        assert rekey.stop() == 0
    written = read_all(broker, target(names))
    assert Counter(message.key() for message in written) == {b"card\\|1|EUR": 2, b"card\\|1|USD": 1}
    (dead,) = read_all(broker, names.dead_letter)
    assert headers_of(dead)["txwatch.reason"] == b"schema"
    behind = {**MAPPED, **BY_EVENT_TIME, "INPUT_TRANSACTION_ID": "@key", "TOPICS_TRANSACTIONS": target(names)}
    with running(broker, names, behind) as service:
        (alert,) = wait_until(lambda: payloads(broker, names.alerts))
        assert (alert["transaction_id"], str(alert["amount"])) == ("card\\|1|EUR", "8000.01")
        assert service.stop() == 0
