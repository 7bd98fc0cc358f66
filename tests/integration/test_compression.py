"""How the output of both programs is compressed, read from the broker's disk."""

import json
import time
from collections.abc import Callable
from functools import partial

import pytest

from brokerkit.broker import Broker
from brokerkit.client import create_topics, produce, read_all
from brokerkit.service_process import Names, payloads, running, transaction, wait_until
from tests.replay_process import HEADER, run
from tests.segments import batches

NOW_MS = 1_715_392_800_000
LEAST_TOPIC_BYTES = 300_000
"""The service refuses an alerts or aggregates topic that takes less."""


def write_all_kinds(broker: Broker, names: Names, settings: dict[str, str]) -> None:
    """Have the service write alerts, aggregates, late records and dead letters; they would compress well."""
    records = [transaction(f"tx{number}", NOW_MS + 60_000, "9000") for number in range(200)]
    records += [transaction(f"tx{number}", NOW_MS, "1") for number in range(200)]
    records += [("bad", "no JSON " * 20)] * 200
    with running(broker, names, {"LATE_POLICY": "divert", **settings}) as service:
        service.wait_ready(1)
        produce(broker, names.transactions, records)
        for topic in (names.aggregates, names.late, names.dead_letter):
            wait_until(partial(has_records, broker, topic, 200), name=topic)


def has_records(broker: Broker, topic: str, count: int) -> bool:
    """Whether a topic has at least so many."""
    return len(read_all(broker, topic)) >= count


def codecs(broker: Broker, topic: str) -> set[str]:
    """Of a topic's batches; the markers of txns are the broker's own."""
    found = [batch for batch in batches(broker, topic) if not batch.control]
    assert max(batch.records for batch in found) > 1, "a batch of one record says little"
    return {batch.codec for batch in found}


@pytest.mark.parametrize(
    ("properties", "codec"),
    [({}, "none"), ({"compression.type": "gzip"}, "gzip"), ({"compression.codec": "zstd"}, "zstd")],
)
def test_outputs_are_uncompressed_unless_the_properties_say_otherwise(
    broker: Broker, unique: Callable[[str], str], properties: dict[str, str], codec: str
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions)  # one partition: who is late is decided by the order written
    write_all_kinds(broker, names, {"KAFKA_PROPERTIES": json.dumps(properties)})
    for topic in (names.alerts, names.aggregates, names.late, names.dead_letter):
        assert codecs(broker, topic) == {codec}, topic


def test_uncompressed_batches_fit_into_topics_that_take_the_least(broker: Broker, unique: Callable[[str], str]) -> None:
    names = Names(unique)
    create_topics(
        broker,
        names.alerts,
        names.aggregates,
        names.late,
        names.dead_letter,
        config={"max.message.bytes": LEAST_TOPIC_BYTES},
    )
    keys = 4_000
    full = '{"linger.ms": 200}'  # a busy machine, too, fills a batch in this time
    with running(broker, names, {"DETECT_LIMIT": "0", "WINDOW_SIZE_MS": "3000", "KAFKA_PROPERTIES": full}) as service:
        service.wait_ready(4)
        time.sleep(3 - time.time() % 3)
        produce(broker, names.transactions, [transaction(f"tx{number}", NOW_MS, "9") for number in range(keys)])
        produce(broker, names.transactions, [(f"bad{number}", "x" * 1_000) for number in range(1_000)])
        wait_until(lambda: len(payloads(broker, names.alerts)) == keys)
        assert service.events("rewind") == []
    assert len(read_all(broker, names.dead_letter)) == 1_000
    for topic in (names.alerts, names.aggregates, names.dead_letter):
        sizes = [batch.size for batch in batches(broker, topic)]
        assert LEAST_TOPIC_BYTES / 2 < max(sizes) <= LEAST_TOPIC_BYTES, topic


@pytest.mark.parametrize(("properties", "codec"), [("{}", "none"), ('{"compression.type":"gzip"}', "gzip")])
def test_the_replay_writes_uncompressed_unless_the_properties_say_otherwise(
    broker: Broker, unique: Callable[[str], str], properties: str, codec: str
) -> None:
    topic = unique("transactions")
    create_topics(broker, topic)
    rows = HEADER + "".join(f"tx{number},2024-05-11 10:00:00,{number}\n" for number in range(1_000))
    variables = {"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers, "TOPICS_TRANSACTIONS": topic}
    done = run("replay", "-", "--pace", "max", text=rows, KAFKA_PROPERTIES=properties, **variables)
    assert done.code == 0
    assert codecs(broker, topic) == {codec}
