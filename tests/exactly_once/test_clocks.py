"""Windows by append time and by event time on a real broker: killed, moved and stopped, and the same to the last bit."""

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import Producer

from tests.broker import Broker
from tests.clock_oracle import Rules
from tests.exactly_once.test_faults import Load
from tests.kafka_helpers import committed, create_topics, produce
from tests.oracle import audit_clock, read_so_far
from tests.service_process import Names, ServiceProcess, payloads, running, transaction, wait_until

SIZE_MS = 1_000
SEED = int(os.environ.get("TXWATCH_SEED", "1"))
CLOCKS = pytest.mark.parametrize("rules", [Rules("ingestion", SIZE_MS, 1_000, "include"),
                                           Rules("ingestion", SIZE_MS, 1_000, "divert"),
                                           Rules("event", SIZE_MS, 1_000, "divert")],
                                 ids=["ingestion-include", "ingestion-divert", "event-divert"])  # fmt: skip


def settings(rules: Rules) -> dict[str, str]:
    """As environment variables."""
    return {
        "WINDOW_CLOCK": rules.clock,
        "WINDOW_SIZE_MS": str(rules.size_ms),
        "WATERMARK_LATENESS_MS": str(rules.lateness_ms),
        "LATE_POLICY": rules.policy,
        "WATERMARK_MAX_FUTURE_MS": "0",
    }


def make_input(broker: Broker, names: Names, rules: Rules) -> None:
    """The input topic as the clock needs it."""
    by_append_time = {"message.timestamp.type": "LogAppendTime"} if rules.clock == "ingestion" else {}
    create_topics(broker, names.transactions, partitions=3, config=by_append_time)


@contextmanager
def one_of(broker: Broker, names: Names, rules: Rules, instance: str = "one") -> Iterator[ServiceProcess]:
    """A service by these rules."""
    with running(broker, names, {**settings(rules), "KAFKA_INSTANCE_ID": instance}) as service:
        yield service


def settle(broker: Broker, names: Names, rules: Rules, sent: int) -> None:
    """Let a last owner read and close everything; then hold the oracle and an undisturbed service against it."""
    calm = Names(lambda name: f"{names.group}.calm.{name}")
    calm.transactions = names.transactions
    for each in (names, calm):
        with one_of(broker, each, rules, "last"):
            wait_until(lambda each=each: read_so_far(broker, each) == sent, 60, 0.2, "all read")  # type: ignore[misc]
            if rules.clock == "ingestion":  # the wall clock closes the last windows, too
                wait_until(lambda each=each: offsets(broker, each) == sent, 30, 0.2, "all closed")  # type: ignore[misc]
        account = audit_clock(broker, each, rules)
        assert account.faults == []
        assert account.records == sent
        assert account.aggregates
        assert account.alerts
    for topic in ("aggregates", "alerts"):
        disturbed, undisturbed = (lasting(broker, getattr(each, topic)) for each in (names, calm))
        assert disturbed == undisturbed


def offsets(broker: Broker, names: Names) -> int:
    """The sum of the committed offsets."""
    return sum(max(0, one.offset) for one in committed(broker, names.group, names.transactions))


def lasting(broker: Broker, topic: str) -> list[dict[str, Any]]:
    """What a topic holds, in an order of its own, without the one field that may differ."""
    found = [{k: v for k, v in one.items() if k != "detected_at"} for one in payloads(broker, topic)]
    return sorted(
        found, key=lambda one: (one["source"]["partition"], one["source"]["first_offset"], one["window"]["start"])
    )


@CLOCKS
def test_sigkill_at_random_moments_changes_nothing(broker: Broker, unique: Callable[[str], str], rules: Rules) -> None:
    names = Names(unique)
    make_input(broker, names, rules)
    dice = random.Random(f"{SEED} {rules}")  # noqa: S311
    with Load(broker, names.transactions, seed=SEED).running() as load:
        for _ in range(3):
            with one_of(broker, names, rules) as service:
                service.wait_for_event("checkpoint", timeout_s=60)
                time.sleep(dice.random() * 2)
                service.kill()
    settle(broker, names, rules, load.sent)


@CLOCKS
def test_takeovers_and_a_clean_stop_change_nothing(broker: Broker, unique: Callable[[str], str], rules: Rules) -> None:
    names = Names(unique)
    make_input(broker, names, rules)
    with one_of(broker, names, rules) as one, Load(broker, names.transactions, seed=SEED + 1).running() as load:
        one.wait_for_event("checkpoint")
        with one_of(broker, names, rules, "two") as two, one_of(broker, names, rules, "three") as three:
            wait_until(lambda: sorted(len(s.status()["partitions"]) for s in (one, two, three)) == [1, 1, 1], 60)
            time.sleep(1)
            assert two.stop() == 0
            three.kill()
            one.wait_ready(3, timeout_s=60)
            assert one.stop() == 0
    settle(broker, names, rules, load.sent)


def test_the_input_topic_is_created_with_append_times(broker: Broker, unique: Callable[[str], str]) -> None:
    names = Names(unique)
    with running(broker, names, {"WINDOW_CLOCK": "ingestion"}) as service:
        service.wait_ready(4)
        (message, *_) = produce(broker, names.transactions, [transaction("tx1", 1_715_392_800_000, 9_000)])
        before_ms = time.time_ns() // 1_000_000
        (alert,) = wait_until(lambda: payloads(broker, names.alerts))
    start_ms = alert["window"]["start"]
    assert (alert["window"]["clock"], start_ms) == ("ingestion", message.timestamp()[1] // 1_000 * 1_000)
    assert before_ms - 2_000 < start_ms <= before_ms


def test_a_topic_without_append_times_stops_the_start_with_the_command_that_changes_it(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions)
    with running(broker, names, {"WINDOW_CLOCK": "ingestion"}) as service:
        assert service.process.wait(40) == 2
        (line,) = [entry["line"] for entry in service.events("raw")]
    assert line == (
        f"txwatch: WINDOW_CLOCK is ingestion, but topic {names.transactions} has message.timestamp.type=CreateTime;"
        f" change it with: kafka-configs.sh --bootstrap-server {broker.bootstrap_servers} --alter --entity-type topics"
        f" --entity-name {names.transactions} --add-config message.timestamp.type=LogAppendTime"
    )


def test_records_of_an_open_txn_hold_their_window_open(broker: Broker, unique: Callable[[str], str]) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, config={"message.timestamp.type": "LogAppendTime"})
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "transactional.id": unique("producer")})
    producer.init_transactions(20)
    with running(broker, names, {"WINDOW_CLOCK": "ingestion"}) as service:
        service.wait_ready(1)
        time.sleep(1 - time.time() % 1 + 0.05)
        produce(broker, names.transactions, [transaction("tx1", 1_715_392_800_000, 5_000)])
        producer.begin_transaction()
        key, value = transaction("tx1", 1_715_392_800_000, 4_000)
        producer.produce(names.transactions, value, key)
        producer.flush(10)
        time.sleep(4)
        assert payloads(broker, names.aggregates) == []
        producer.commit_transaction(10)
        (alert,) = wait_until(lambda: payloads(broker, names.alerts))
        assert (alert["amount"], alert["count"], alert["late_count"]) == (9_000, 2, 0)


def test_a_backlog_is_one_window_by_processing_time_and_the_windows_as_they_were_by_append_time(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    names, other = Names(unique), Names(lambda name: unique(f"processing-{name}"))
    other.transactions = names.transactions
    create_topics(broker, names.transactions, config={"message.timestamp.type": "LogAppendTime"})
    sent = 6
    time.sleep(1 - time.time() % 1 + 0.1)
    for number in range(sent):
        produce(broker, names.transactions, [transaction("tx1", 1_715_392_800_000 + number * 1_000, 3_000)])
        time.sleep(1 - time.time() % 1 + 0.1)
    with running(broker, names, {"WINDOW_CLOCK": "ingestion"}), running(broker, other, {"WINDOW_SIZE_MS": "1000"}):
        wait_until(lambda: sum(one["count"] for one in payloads(broker, names.aggregates)) == sent)
        wait_until(lambda: sum(one["count"] for one in payloads(broker, other.aggregates)) == sent)
    assert [one["amount"] for one in payloads(broker, names.aggregates)] == [3_000] * sent
    assert payloads(broker, names.alerts) == []
    assert [one["amount"] for one in payloads(broker, other.alerts)] == [18_000]
