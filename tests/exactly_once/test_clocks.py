"""Windows by append time and by event time on a real broker: whatever happens, the same to the last bit."""

import time
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Producer

from brokerkit.broker import Broker
from brokerkit.client import create_topics, produce
from brokerkit.service_process import Names, payloads, running, transaction, wait_until
from histories.run import CLOCKS, Stage, play
from histories.world import QUICK
from tests.exactly_once.conftest import QUICK_RATE, Faults

SEED = 20_261_127  # kills at the three steps of a commit that test_histories.py leaves out


@pytest.fixture(scope="module")
def one() -> Iterator[Stage]:
    """A broker with short sessions; histories kill it."""
    with Broker(properties=QUICK) as broker:
        yield Stage(broker)


@pytest.mark.parametrize(
    ("kind", "clock", "cycles"),
    [
        ("broker_kill", "ingestion-include", (1, 2)),
        ("sigkill", "ingestion-include", (1, 2)),
        ("sigkill", "event-divert", (1, 2)),
        ("takeover", "ingestion-divert", (1, 2)),
        ("takeover", "event-divert", (1, 2)),
        ("killed_in_commit", "ingestion-divert", (3, 4)),
        ("killed_in_commit", "event-divert", (3, 4)),
        ("zombie", "event-divert", (1, 2)),
    ],
)
@pytest.mark.timeout(300)
def test_the_windows_are_those_of_an_undisturbed_run_in_spite_of_faults(
    one: Stage, faults: Faults, *, kind: str, clock: str, cycles: tuple[int, int]
) -> None:
    play(one, kind, SEED, faults(cycles), CLOCKS[clock], rate=QUICK_RATE)


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
