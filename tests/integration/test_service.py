"""The service against a real broker: what Kafka decides, seen from outside."""

import json
import os
import signal
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from brokerkit.broker import Broker
from brokerkit.client import committed, create_topics, produce, read_all
from brokerkit.service_process import WINDOW_MS, Names, ServiceProcess, payloads, running, transaction, wait_until
from histories.oracle import audit, headers_of

NOW_MS = 1_715_392_800_000


def checkpointed(service: ServiceProcess, records: int) -> None:
    """Wait until so many input records are committed."""

    def enough() -> bool:
        positions = committed(service_broker(service), service.names.group, service.names.transactions)
        return sum(max(0, p.offset) for p in positions) >= records

    wait_until(enough, 30, every_s=0.2, name=f"{records} records committed")


class _At:
    def __init__(self, servers: str) -> None:
        self.bootstrap_servers = servers


def service_broker(service: ServiceProcess) -> _At:
    return _At(service.environment["KAFKA_BOOTSTRAP_SERVERS"])


def into_one_window() -> None:
    """Sleep until a window has just begun, so that what is sent now is in one window."""
    time.sleep((WINDOW_MS - time.time() * 1000 % WINDOW_MS) / 1000 + 0.05)


def test_the_example_gives_its_two_alerts_to_the_digit(broker: Broker, unique: Callable[[str], str]) -> None:
    names = Names(unique)
    with running(broker, names) as service:
        service.wait_ready(4)
        into_one_window()
        first = [("10:00:00", 3200), ("10:00:05", 6000), ("10:00:09", 2500)]
        produce(broker, names.transactions, [transaction("tx1", NOW_MS + int(t[-2:]) * 1000, a) for t, a in first])
        wait_until(lambda: payloads(broker, names.alerts))
        produce(broker, names.transactions, [transaction("tx1", NOW_MS + 10_000, 9000)])
        alerts = wait_until(lambda: len(found := payloads(broker, names.alerts)) == 2 and found)
        shown = [(a["transaction_id"], a["timestamp"], a["amount"], a["watermark"]) for a in alerts]
        assert shown == [
            ("tx1", 1715392800000, Decimal("11700.0"), 1715392808000),
            ("tx1", 1715392810000, Decimal("9000.0"), 1715392809000),
        ]
        wait_until(lambda: service.metric('txwatch_anomalies_total{detector="threshold"}') == 2.0)
        partition = alerts[0]["source"]["partition"]
        series = f'txwatch_watermark_timestamp_seconds{{partition="{partition}",topic="{names.transactions}"}}'
        wait_until(lambda: service.metric(series) == 1715392809.0)


def test_a_window_closes_by_the_clock_when_nothing_more_comes(broker: Broker, unique: Callable[[str], str]) -> None:
    names = Names(unique)
    with running(broker, names) as service:
        service.wait_ready(4)
        produce(broker, names.transactions, [transaction("tx1", NOW_MS, 1)])
        aggregate = wait_until(lambda: payloads(broker, names.aggregates), 10)[0]
        assert aggregate["watermark"] == NOW_MS - 1000
        assert aggregate["window"]["end"] - aggregate["window"]["start"] == WINDOW_MS


def test_sums_are_exact_in_decimal(broker: Broker, unique: Callable[[str], str]) -> None:
    names = Names(unique)
    with running(broker, names, {"WINDOW_SIZE_MS": "10000"}) as service:
        service.wait_ready(4)
        time.sleep((10_000 - time.time() * 1000 % 10_000) / 1000 + 0.05)
        limit = [transaction("limit", NOW_MS, "0.80")] * 10_000  # as floats: 8000.000000001271
        more = [*[transaction("more", NOW_MS, "0.80")] * 10_001, transaction("long", NOW_MS, "8000.00000000000000001")]
        produce(broker, names.transactions, [*limit, *more])
        alerts = wait_until(lambda: len(found := payloads(broker, names.alerts)) == 2 and found)
        assert {a["transaction_id"]: str(a["amount"]) for a in alerts} == {
            "more": "8000.8",
            "long": "8000.00000000000000001",
        }
        amounts = {a["transaction_id"]: str(a["amount"]) for a in payloads(broker, names.aggregates)}
        assert amounts["limit"] == "8000.0"


BAD: list[tuple[str, bytes | None]] = [
    ("empty_value", None),
    ("empty_value", b""),
    ("not_json", b"nonsense"),
    ("not_json", b'{"transaction_id":"a","timestamp":1715392800000,"amount":1'),
    ("not_json", b'{"transaction_id":"a","timestamp":1715392800000,"amount":1} x'),
    ("not_utf8", b'{"transaction_id":"\xff","timestamp":1715392800000,"amount":1}'),
    ("schema", b"[]"),
    ("schema", b"42"),
    ("schema", b'{"timestamp":1715392800000,"amount":1}'),
    ("schema", b'{"transaction_id":"a","amount":1}'),
    ("schema", b'{"transaction_id":"a","timestamp":1715392800000}'),
    ("schema", b'{"transaction_id":1,"timestamp":1715392800000,"amount":1}'),
    ("schema", b'{"transaction_id":"","timestamp":1715392800000,"amount":1}'),
    ("schema", b'{"transaction_id":null,"timestamp":1715392800000,"amount":1}'),
    ("schema", b'{"transaction_id":"a","timestamp":"1715392800000","amount":1}'),
    ("schema", b'{"transaction_id":"a","timestamp":1715392800000,"amount":"1"}'),
    ("schema", b'{"transaction_id":"a","timestamp":1715392800000,"amount":true}'),
    ("schema", b'{"transaction_id":"a","timestamp":1715392800000,"amount":null}'),
    ("schema", b'{"x":' + b"[" * 50_000 + b"]" * 50_000 + b',"transaction_id":"a","timestamp":1,"amount":1}'),
    ("timestamp_too_small", b'{"transaction_id":"a","timestamp":1715392800,"amount":1}'),
    ("timestamp_in_future", b'{"transaction_id":"a","timestamp":99915392800000,"amount":1}'),
    ("amount_not_finite", b'{"transaction_id":"a","timestamp":1715392800000,"amount":1e400}'),
    ("amount_not_finite", b'{"transaction_id":"a","timestamp":1715392800000,"amount":NaN}'),
    ("amount_not_finite", b'{"transaction_id":"a","timestamp":1715392800000,"amount":1e999999999}'),
]


def test_each_bad_record_is_dead_lettered_with_its_reason_and_its_neighbours_count(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=1)
    with running(broker, names) as service:
        service.wait_ready(1)
        mixed: list[Any] = []
        for number, (_, value) in enumerate(BAD):
            mixed.append((f"bad{number}", value, [("origin", b"\x00\xff")], 0))
            mixed.append(transaction("good", NOW_MS, "1.5"))
        sent = produce(broker, names.transactions, mixed)
        letters = wait_until(lambda: len(found := read_all(broker, names.dead_letter)) >= len(BAD) and found)
        by_offset = {message.offset(): (message, record) for message, record in zip(sent, mixed, strict=True)}
        reasons = []
        for letter in sorted(letters, key=lambda m: int(headers_of(m)["__connect.errors.offset"])):
            headers = headers_of(letter)
            original, record = by_offset[int(headers["__connect.errors.offset"])]
            assert (letter.key(), letter.value()) == (record[0].encode(), record[1])
            assert (letter.headers() or [])[0] == ("origin", b"\x00\xff")
            assert headers["__connect.errors.topic"] == names.transactions.encode()
            assert headers["__connect.errors.partition"] == b"0"
            assert headers["__connect.errors.exception.message"]
            assert int(headers["txwatch.timestamp"]) == original.timestamp()[1]
            reasons.append(headers["txwatch.reason"].decode())
        assert reasons == [reason for reason, _ in BAD]
        account = audit(broker, names)
        assert account.faults == []
        assert sum(a["count"] for a in account.aggregates) == len(BAD)
        assert service.metric('txwatch_records_rejected_total{reason="schema"}') == float(reasons.count("schema"))


@pytest.mark.parametrize(("policy", "outcome"), [("include", (4, 1, 0)), ("divert", (3, 0, 1)), ("drop", (3, 0, 0))])
def test_a_record_at_the_watermark_is_on_time_and_one_below_goes_by_the_policy(
    broker: Broker, unique: Callable[[str], str], policy: str, outcome: tuple[int, int, int]
) -> None:
    names = Names(unique)
    counted, late_count, diverted = outcome
    with running(broker, names, {"LATE_POLICY": policy}) as service:
        service.wait_ready(4)
        times = [NOW_MS, NOW_MS + 5000, NOW_MS + 4000, NOW_MS + 3999]
        produce(broker, names.transactions, [transaction("tx1", t, 1) for t in times])
        checkpointed(service, len(times))
        aggregates = payloads(broker, names.aggregates)
        assert sum(a["count"] for a in aggregates) == counted
        assert sum(a["late_count"] for a in aggregates) == late_count
        late = read_all(broker, names.late)
        assert [headers_of(m)["txwatch.reason"] for m in late] == [b"late"] * diverted
        partition = aggregates[0]["source"]["partition"]
        series = f'txwatch_records_late_total{{partition="{partition}",topic="{names.transactions}"}}'
        assert service.metric(series) == 1.0


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_a_restart_goes_on_at_the_committed_offset_with_the_committed_watermark(
    broker: Broker, unique: Callable[[str], str], protocol: str
) -> None:
    names = Names(unique)
    settings = {"KAFKA_PROPERTIES": json.dumps({"group.protocol": protocol})}
    with running(broker, names, settings) as service:
        service.wait_ready(4)
        produce(broker, names.transactions, [transaction("tx1", NOW_MS + 60_000, 1)])
        checkpointed(service, 1)
        position = next(p for p in committed(broker, names.group, names.transactions) if p.offset == 1)
        assert json.loads(position.metadata or "")["watermark"] == NOW_MS + 59_000
        assert service.stop() == 0
    with running(broker, names, {**settings, "LATE_POLICY": "divert"}) as service:
        service.wait_ready(4)
        produce(broker, names.transactions, [transaction("tx1", NOW_MS, 1)])
        wait_until(lambda: len(read_all(broker, names.late)) == 1)
        assert service.stop() == 0
    assert audit(broker, names).faults == []


def test_partition_gauges_move_with_the_partition(broker: Broker, unique: Callable[[str], str]) -> None:
    names = Names(unique)
    with running(broker, names) as one:
        one.wait_ready(4)
        with running(broker, names, {"KAFKA_INSTANCE_ID": "two"}) as two:
            wait_until(lambda: [len(s.status()["partitions"]) for s in (one, two)] == [2, 2], 40)
            shown = [s.get("/metrics")[1].count("txwatch_partition_idle{") for s in (one, two)]
            assert shown == [2, 2]
            assert one.metric('txwatch_rebalances_total{kind="revoked"}') == 1.0
            assert two.stop() == 0
        one.wait_ready(4)


def test_an_instance_without_partitions_is_ready_and_shows_no_watermark(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=1)
    with running(broker, names) as one:
        one.wait_ready(1)
        with running(broker, names, {"KAFKA_INSTANCE_ID": "two"}) as two:
            two.wait_ready()
            wait_until(lambda: len(one.status()["partitions"]) + len(two.status()["partitions"]) == 1)
            produce(broker, names.transactions, [transaction("tx1", NOW_MS, 1)])
            wait_until(lambda: payloads(broker, names.aggregates))
            without = next(s for s in (one, two) if not s.status()["partitions"])
            assert "txwatch_watermark_timestamp_seconds{" not in without.get("/metrics")[1]
            assert without.metric("txwatch_watermark_min_timestamp_seconds") is None


def test_idle_is_caught_up_and_silent_and_releases_the_least_watermark(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=2)
    with running(broker, names, {"WATERMARK_IDLE_AFTER_MS": "3000"}) as service:
        service.wait_ready(2)
        for partition, time_ms in ((0, NOW_MS), (1, NOW_MS + 60_000)):
            produce(broker, names.transactions, [(*transaction("tx1", time_ms, 1), (), partition)])
        least = "txwatch_watermark_min_timestamp_seconds"
        wait_until(lambda: service.metric(least) == (NOW_MS - 1000) / 1000)

        def one_goes_on() -> bool:
            produce(broker, names.transactions, [(*transaction("tx1", NOW_MS + 60_000, 1), (), 1)])
            return service.metric(least) == (NOW_MS + 59_000) / 1000

        wait_until(one_goes_on, 15, every_s=0.5)
        idle = [
            service.metric(f'txwatch_partition_idle{{partition="{p}",topic="{names.transactions}"}}') for p in (0, 1)
        ]
        assert idle == [1.0, 0.0]


def test_transaction_markers_at_the_end_of_the_input_are_no_lag(broker: Broker, unique: Callable[[str], str]) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=1)
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "transactional.id": unique("input")})
    producer.init_transactions(20)
    with running(broker, names) as service:
        service.wait_ready(1)
        for outcome in (producer.commit_transaction, producer.abort_transaction):
            producer.begin_transaction()
            key, value = transaction("tx1", NOW_MS, 5)
            producer.produce(names.transactions, value, key)
            producer.flush(10)
            outcome(20)
        wait_until(lambda: payloads(broker, names.aggregates))
        wait_until(lambda: service.status()["partitions"][0]["lag"] == 0)
        wait_until(lambda: service.status()["partitions"][0]["position"] == 4)
        assert [a["count"] for a in payloads(broker, names.aggregates)] == [1]


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly_within_five_seconds(
    broker: Broker, unique: Callable[[str], str], signal_number: int
) -> None:
    with running(broker, Names(unique)) as service:
        service.wait_ready(4)
        began = time.monotonic()
        assert service.stop(signal_number) == 0
        assert time.monotonic() - began < 5
        assert service.log[-1]["event"] == "stopped"


def test_it_waits_for_a_broker_and_says_so_and_can_be_stopped(unique: Callable[[str], str]) -> None:
    with running("127.0.0.1:1", Names(unique)) as service:
        assert "127.0.0.1:1" in service.wait_for_event("waiting_for_broker")["bootstrap_servers"]
        status, reason = service.get("/readyz")
        assert (status, "waiting for broker" in reason) == (503, True)
        assert service.get("/healthz")[0] == 200
        assert service.stop() == 0


def test_a_broker_that_goes_away_makes_it_unready_and_back_it_makes_it_ready(unique: Callable[[str], str]) -> None:
    names = Names(unique)
    with Broker() as own, running(own, names) as service:
        service.wait_ready(4)
        own.kill()
        wait_until(lambda: service.get("/readyz")[0] == 503, 20)
        own.restart()
        service.wait_ready(4)
        produce(own, names.transactions, [transaction("tx1", NOW_MS, 9000)])
        wait_until(lambda: payloads(own, names.alerts))
        own.kill()
        began = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - began < 15


def test_it_stops_in_time_also_in_a_commit_that_cannot_be_done(unique: Callable[[str], str]) -> None:
    names = Names(unique)
    with Broker() as own, running(own, names, {"WINDOW_SIZE_MS": "3000"}) as service:
        service.wait_ready(4)
        wait_until(lambda: time.time() % 3 < 0.5)  # the window ends, and commits, when there is no broker any more
        produce(own, names.transactions, [transaction("tx1", NOW_MS, 9000)])
        wait_until(lambda: any(one["open_keys"] for one in service.status()["partitions"]))
        own.kill()
        service.wait_for_event("waiting_for_kafka")
        assert service.get("/readyz")[0] == 503
        began = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - began < 15


def test_missing_topics_are_not_created_where_the_settings_forbid_it(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    with running(broker, Names(unique), {"TOPICS_CREATE": "false"}) as service:
        assert service.process.wait(20) == 2
        assert "TOPICS_CREATE" in service.log[-1]["line"]


def test_an_alerts_topic_that_would_not_take_every_alert_stops_the_start(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    create_topics(broker, names.alerts, config={"max.message.bytes": 100_000})
    with running(broker, names) as service:
        assert service.process.wait(20) == 2
        assert f"topic {names.alerts}: max.message.bytes is 100000" in service.log[-1]["line"]


def test_an_unknown_kafka_property_ends_it_with_its_name(broker: Broker, unique: Callable[[str], str]) -> None:
    with running(broker, Names(unique), {"KAFKA_PROPERTIES": '{"no.such.thing":1}'}) as service:
        assert service.process.wait(20) == 2
        assert "no.such.thing" in service.log[-1]["line"]


@pytest.mark.alone
def test_alerts_are_readable_within_250_ms_of_the_windows_end(broker: Broker, unique: Callable[[str], str]) -> None:
    names = Names(unique)
    with running(broker, names) as service:
        service.wait_ready(4)
        for number in range(12):
            produce(broker, names.transactions, [transaction(f"tx{number}", NOW_MS, 9000)])
            time.sleep(0.45)
        wait_until(lambda: len(payloads(broker, names.alerts)) == 12)
        # The first txns warm up producer and broker.
        late = [
            (m.timestamp()[1] - json.loads(m.value() or b"")["window"]["end"])
            for m in read_all(broker, names.alerts)[2:]
        ]
        assert max(late) < 250
        count = service.metric("txwatch_alert_latency_seconds_count")
        quick = service.metric('txwatch_alert_latency_seconds_bucket{le="0.25"}')
        assert count == 12.0
        assert quick is not None
        assert quick >= 10


def test_it_sleeps_while_idle(broker: Broker, unique: Callable[[str], str]) -> None:
    with running(broker, Names(unique)) as service:
        service.wait_ready(4)
        time.sleep(1)
        before = _cpu_s(service.process.pid)
        time.sleep(6)
        assert (_cpu_s(service.process.pid) - before) / 6 < 0.03


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
