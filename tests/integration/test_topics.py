"""Topics, and records in them, that are deleted under a running service."""

import ctypes
import random
import signal
import time
from collections.abc import Callable

import pytest
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from brokerkit.broker import Broker
from brokerkit.client import Rec, create_topics, librdkafka, produce, read_all
from brokerkit.service_process import Names, payloads, running, transaction, wait_until
from histories.oracle import audit, headers_of

NOW_MS = 1_715_392_800_000


def delete(broker: Broker, topic: str) -> None:
    """Delete it, and wait until it is gone."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    admin.delete_topics([topic])[topic].result(30)
    wait_until(lambda: topic not in admin.list_topics(timeout=10).topics)


def counted(broker: Broker, names: Names, prefix: str) -> int:
    """How many records of such transaction_ids the aggregates hold."""
    found = payloads(broker, names.aggregates)
    return sum(one["count"] for one in found if one["transaction_id"].startswith(prefix))


@pytest.mark.parametrize(("which", "used"), [("alerts", False), ("dead_letter", True)])
def test_an_output_topic_that_is_deleted_ends_the_service_and_the_next_start_creates_it(
    broker: Broker, unique: Callable[[str], str], which: str, *, used: bool
) -> None:
    ends_and_starts_again(broker, Names(unique), which, used=used)


def test_so_it_does_where_the_broker_would_create_topics_that_are_asked_for(unique: Callable[[str], str]) -> None:
    with Broker(properties={"auto.create.topics.enable": "true"}) as obliging:  # as Kafka comes
        ends_and_starts_again(obliging, Names(unique), "dead_letter", used=False)


def ends_and_starts_again(broker: Broker, names: Names, which: str, *, used: bool) -> None:
    """Delete a topic under a running service, which has written to it or not."""
    records = [transaction("tx1", NOW_MS, "9000"), ("tx1", "rubbish")]
    with running(broker, names) as service:
        service.wait_ready(4)
        if used:
            produce(broker, names.transactions, records)
            wait_until(lambda: read_all(broker, names.dead_letter) and payloads(broker, names.alerts))
        delete(broker, getattr(names, which))
        produce(broker, names.transactions, records)
        assert service.process.wait(25) == 1
        (fatal,) = service.events("fatal")
        # One that it has not used the client takes for new, and says nothing for half a minute.
        assert ("Unknown topic" if used else f"look for topic {getattr(names, which)}: Unknown topic") in fatal["error"]
        assert "a topic is missing" in fatal["error"]
    with running(broker, names) as service:
        wait_until(lambda: service.events("checkpoint"), 60)
        assert service.stop() == 0
    for topic in (names.alerts, names.dead_letter):
        assert len(read_all(broker, topic)) == (2 if used and topic != getattr(names, which) else 1)
    if not used:  # what was in the topic is gone with it
        assert audit(broker, names).faults == []


def set_config(broker: Broker, topic: str, name: str, value: str) -> None:
    """Change a setting of a topic."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    for future in admin.incremental_alter_configs(
        [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])]
    ).values():
        future.result(30)


@pytest.mark.parametrize(
    ("setting", "value", "refusal"),
    [("max.message.bytes", "1000", "MSG_SIZE_TOO_LARGE"), ("cleanup.policy", "compact", "INVALID_RECORD")],
)
def test_a_dead_letter_topic_that_does_not_take_a_record_stops_the_service_and_the_record_is_not_lost(
    broker: Broker, unique: Callable[[str], str], setting: str, value: str, refusal: str
) -> None:
    names = Names(unique)
    create_topics(broker, names.dead_letter)
    large = bytes(range(128, 256)) + random.Random(1).randbytes(7_000)  # noqa: S311 - no compression helps
    headers: list[tuple[str, bytes | None]] = [("trace", b"x" * 3_000), ("other", b"")]
    with running(broker, names) as service:
        service.wait_ready(4)
        set_config(broker, names.dead_letter, setting, value)
        produce(broker, names.transactions, [Rec(None, large), transaction("tx1", NOW_MS, "9000")])
        assert service.process.wait(60) == 1
        (fatal,) = service.events("fatal")
        assert refusal in fatal["error"]
        assert "a topic never accepts these records" in fatal["error"]
    assert [read_all(broker, topic) for topic in (names.dead_letter, names.alerts)] == [[], []]
    if setting == "cleanup.policy":
        set_config(broker, names.dead_letter, setting, "delete")
    with running(broker, names) as service:
        produce(broker, names.transactions, [Rec(None, b"rubbish", headers)])
        wait_until(lambda: len(read_all(broker, names.dead_letter)) == 2, 60)
        assert service.stop() == 0
    long, headed = sorted(read_all(broker, names.dead_letter), key=lambda one: -len(one.value() or b""))
    assert len(payloads(broker, names.alerts)) == 1
    if setting == "max.message.bytes":
        assert headers_of(long)["txwatch.truncated_from"] == b"7128"
        assert headers_of(headed)["txwatch.headers_dropped"] == b"2"
    else:
        assert (len(long.value() or b""), headers_of(headed)["trace"]) == (7_128, b"x" * 3_000)


def produce_with_header(broker: Broker, topic: str, value: bytes, name: bytes) -> None:
    """By librdkafka itself, for Python's client takes no name that is not UTF-8; other languages' clients do."""
    kafka = librdkafka()
    kafka.rd_kafka_conf_new.restype = kafka.rd_kafka_new.restype = ctypes.c_void_p
    error = ctypes.create_string_buffer(512)
    config = ctypes.c_void_p(kafka.rd_kafka_conf_new())
    kafka.rd_kafka_conf_set(config, b"bootstrap.servers", broker.bootstrap_servers.encode(), error, 512)
    producer = ctypes.c_void_p(kafka.rd_kafka_new(0, config, error, 512))
    text, size, end = ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int(0)
    to_topic, with_value, copied, with_header = (ctypes.c_int(kind) for kind in (1, 4, 7, 9))
    assert not kafka.rd_kafka_producev(
        producer, to_topic, text(topic.encode()), with_value, text(value), size(len(value)), copied, ctypes.c_int(2),
        with_header, text(name), text(b"x"), size(1), end,
    )  # fmt: skip
    assert not kafka.rd_kafka_flush(producer, 10_000)
    kafka.rd_kafka_destroy(producer)


def test_a_header_whose_name_is_not_utf8_does_not_stop_the_stream(broker: Broker, unique: Callable[[str], str]) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions)
    with running(broker, names) as service:
        service.wait_ready(1)
        produce_with_header(broker, names.transactions, b"rubbish", b"\xff\xfe")
        produce(broker, names.transactions, [transaction("tx1", NOW_MS, "9000")])
        (record,) = wait_until(lambda: read_all(broker, names.dead_letter))
        assert wait_until(lambda: payloads(broker, names.alerts))
        assert service.stop() == 0
    headers = headers_of(record)
    assert (record.value(), headers["txwatch.headers_dropped"]) == (b"rubbish", b"not_utf8")
    assert headers["txwatch.reason"] == b"not_json"


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_an_input_topic_that_is_made_again_is_read_from_its_start(
    broker: Broker, unique: Callable[[str], str], protocol: str
) -> None:
    names = Names(unique)
    settings = {"KAFKA_PROPERTIES": f'{{"group.protocol": "{protocol}", "topic.metadata.refresh.interval.ms": 1000}}'}
    with running(broker, names, settings) as service:
        service.wait_ready(4)
        produce(broker, names.transactions, [transaction("old", NOW_MS, 1) for _ in range(5)])
        wait_until(lambda: sum(one["count"] for one in payloads(broker, names.aggregates)) == 5, 30)
        delete(broker, names.transactions)
        create_topics(broker, names.transactions, partitions=4)
        produce(broker, names.transactions, [transaction("new", NOW_MS, 1) for _ in range(3)])

        wait_until(lambda: counted(broker, names, "new") >= 3, 90)
        assert service.stop() == 0
    assert counted(broker, names, "new") == 3


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_an_input_topic_that_is_made_again_unnoticed_with_more_records_is_read_from_its_start(
    broker: Broker, unique: Callable[[str], str], protocol: str
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=4)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})

    with running(broker, names, {"KAFKA_PROPERTIES": f'{{"group.protocol": "{protocol}"}}'}) as service:
        service.wait_ready(4)
        produce(broker, names.transactions, [transaction(f"old{n}", NOW_MS, 1) for n in range(100)])
        wait_until(lambda: counted(broker, names, "old") == 100)
        # While it does not look, the client finds what it expects: more records behind those that it has read.
        service.process.send_signal(signal.SIGSTOP)
        try:
            delete(broker, names.transactions)
            new_topic = NewTopic(names.transactions, num_partitions=4, replication_factor=1)
            wait_until(lambda: made(admin, new_topic))
            produce(broker, names.transactions, [transaction(f"new{n}", NOW_MS, 1) for n in range(800)])
        finally:
            service.process.send_signal(signal.SIGCONT)
        wait_until(lambda: counted(broker, names, "new") >= 800, 60)
        assert service.stop() == 0
    assert (counted(broker, names, "old"), counted(broker, names, "new")) == (100, 800)


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_records_that_expire_where_the_service_reads_are_counted_as_lost_and_it_goes_on_behind_them(
    broker: Broker, unique: Callable[[str], str], protocol: str
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=4)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    counts = {"old": 100, "gone": 200, "new": 400}

    def write(prefix: str) -> dict[int, int]:
        produce(broker, names.transactions, [transaction(f"{prefix}{n}", NOW_MS, 1) for n in range(counts[prefix])])
        asked = {TopicPartition(names.transactions, partition): OffsetSpec.latest() for partition in range(4)}  # type: ignore[no-untyped-call]
        return {one.partition: future.result(30).offset for one, future in admin.list_offsets(asked).items()}

    with running(broker, names, {"KAFKA_PROPERTIES": f'{{"group.protocol": "{protocol}"}}'}) as service:
        service.wait_ready(4)
        before = write("old")
        wait_until(lambda: counted(broker, names, "old") == counts["old"])
        service.process.send_signal(signal.SIGSTOP)
        try:
            time.sleep(0.5)  # until the fetch that waits at the broker has come back empty
            after = write("gone")
            # All of two partitions, half of the third.
            lows = {0: after[0], 1: after[1], 2: (before[2] + after[2]) // 2}
            wanted = [TopicPartition(names.transactions, partition, low) for partition, low in lows.items()]
            for future in admin.delete_records(wanted).values():
                future.result(30)
            write("new")
        finally:
            service.process.send_signal(signal.SIGCONT)
        wait_until(lambda: counted(broker, names, "new") == counts["new"], 60)
        lost = sum(low - before[partition] for partition, low in lows.items())
        skipped = [
            service.metric(f'txwatch_records_skipped_total{{partition="{partition}",topic="{names.transactions}"}}')
            for partition in lows
        ]
        assert service.stop() == 0
    assert [low - before[partition] for partition, low in lows.items()] == skipped
    assert (counted(broker, names, "old"), counted(broker, names, "gone"), counted(broker, names, "new")) == (
        100,
        200 - lost,
        400,
    )


def made(admin: AdminClient, topic: NewTopic) -> bool:
    """Make it, or tell that the brokers still remember another of its name."""
    try:
        admin.create_topics([topic])[topic.topic].result(30)
    except KafkaException:
        return False
    return True
