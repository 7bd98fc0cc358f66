"""The replay against a real broker: each row is delivered once, in order, to Java's partition, or is reported."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message, Producer

from brokerkit.broker import Broker
from brokerkit.client import create_topics, librdkafka, read_all
from producer.publisher import Publisher
from producer.reading.rows import Row, Rows
from producer.replay import Batch, RowId
from tests.replay_process import EXAMPLE, HEADER, Done, finish, run, start

AT = "2024-05-11 10:00:00"
PARTITIONS = 4

MURMUR2 = {
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}
"""Known hashes of the Java clients' partitioner."""

Unique = Callable[[str], str]


@pytest.fixture(scope="module")
def restarted() -> Iterator[Broker]:
    """A broker for the tests that kill it."""
    with Broker() as broker:
        yield broker


@pytest.fixture
def mortal(restarted: Broker) -> Broker:
    """It runs, whatever the test before did to it."""
    return restarted if restarted.alive() else restarted.start()


@pytest.fixture
def topic(broker: Broker, unique: Unique) -> str:
    name = unique("transactions")
    create_topics(broker, name, partitions=PARTITIONS)
    return name


def replay(broker: Broker, topic: str, *arguments: str | Path, text: str | bytes = "", **variables: str) -> Done:
    return run(*("replay", *arguments), text=text, **reach(broker, topic), **variables)


def begin(broker: Broker, topic: str, *arguments: str | Path, **variables: str) -> subprocess.Popen[bytes]:
    return start(*("replay", *arguments), **reach(broker, topic), **variables)


def reach(broker: Broker, topic: str) -> dict[str, str]:
    return {"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers, "TOPICS_TRANSACTIONS": topic}


def payload(message: Message) -> dict[str, Any]:
    value = message.value()
    assert value is not None
    found: dict[str, Any] = json.loads(value)
    return found


def amounts(broker: Broker, topic: str) -> list[int]:
    """All amounts in the topic, in no order. Tests use them as row numbers."""
    return [payload(message)["amount"] for message in read_all(broker, topic)]


def wait_for_records(broker: Broker, topic: str, count: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while len(read_all(broker, topic)) < count:
        assert process.poll() is None, "the replay ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.05)


def numbered(tmp_path: Path, count: int, keys: int = 50) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text(HEADER + "".join(f"tx{n % keys},{AT},{n}\n" for n in range(1, count + 1)))
    return path


@pytest.mark.alone
def test_the_example_arrives_at_its_own_pace_in_the_documented_form(broker: Broker, topic: str) -> None:
    done = replay(broker, topic, EXAMPLE, "--timezone", "Asia/Shanghai", "--speed", "5")
    messages = read_all(broker, topic)
    assert done.code == 0
    assert done.err == ""
    assert done.counts("read", "sent", "delivered", "failed", "next_row") == (4, 4, 4, 0, 5)
    assert [message.key() for message in messages] == [b"tx1"] * 4
    assert [message.value() for message in messages] == [
        b'{"transaction_id":"tx1","timestamp":1715392800000,"amount":3200}',
        b'{"transaction_id":"tx1","timestamp":1715392805000,"amount":6000}',
        b'{"transaction_id":"tx1","timestamp":1715392809000,"amount":2500}',
        b'{"transaction_id":"tx1","timestamp":1715392810000,"amount":9000}',
    ]
    arrived_ms = [message.timestamp()[1] for message in messages]
    offsets_ms = [at_ms - arrived_ms[0] for at_ms in arrived_ms]
    for at_ms, due_ms in zip(offsets_ms, [0, 1000, 1800, 2000], strict=True):
        assert abs(at_ms - due_ms) < 100


def test_a_key_goes_to_the_partition_where_java_would_put_it(broker: Broker, topic: str) -> None:
    done = replay(broker, topic, "-", "--pace", "max", text=HEADER + "".join(f"{key},{AT},1\n" for key in MURMUR2))
    assert done.code == 0
    found = {message.key(): message.partition() for message in read_all(broker, topic)}
    assert found == {key.encode(): (value & 0x7FFFFFFF) % PARTITIONS for key, value in MURMUR2.items()}


def test_ids_and_amounts_arrive_as_they_stand_in_the_file(broker: Broker, topic: str) -> None:
    ids = ["00123", "NA", "1e5", 'a"b\\c', "é\u2028", "x\ny", " "]
    cells = ['"{}"'.format(text.replace('"', '""')) for text in ids]
    text = HEADER + "".join(f"{cell},{AT},80000000000000000.10\n" for cell in cells)
    assert replay(broker, topic, "-", "--pace", "max", text=text).code == 0
    messages = read_all(broker, topic)
    assert sorted(payload(message)["transaction_id"] for message in messages) == sorted(ids)
    assert all(payload(m)["transaction_id"].encode() == m.key() for m in messages)
    assert all((m.value() or b"").endswith(b'"amount":80000000000000000.10}') for m in messages)


def test_a_full_queue_blocks_the_reader_and_loses_and_reorders_nothing(
    broker: Broker, topic: str, tmp_path: Path
) -> None:
    count, keys = 60_000, 50
    properties = json.dumps({"queue.buffering.max.messages": 100})
    done = replay(broker, topic, numbered(tmp_path, count, keys), "--pace", "max", KAFKA_PROPERTIES=properties)
    assert (done.code, *done.counts("sent", "delivered", "failed")) == (0, count, count, 0)
    by_key: dict[bytes | None, list[int]] = {}
    for message in read_all(broker, topic):
        by_key.setdefault(message.key(), []).append(payload(message)["amount"])
    assert by_key == {f"tx{key}".encode(): list(range(key or keys, count + 1, keys)) for key in range(keys)}


@pytest.mark.parametrize(
    ("number", "pace"),
    [(signal.SIGINT, ("--pace", "rate", "--rate", "2000")), (signal.SIGTERM, ("--pace", "max"))],
)
def test_a_stopped_replay_resumed_at_its_next_row_delivers_each_row_once(
    broker: Broker, topic: str, tmp_path: Path, number: int, pace: tuple[str, ...]
) -> None:
    count = 8000 if "rate" in pace else 400_000
    path = numbered(tmp_path, count)
    with begin(broker, topic, path, *pace) as process:
        wait_for_records(broker, topic, 1000, process)
        process.send_signal(number)
        began_s = time.monotonic()
        first = finish(process)
        assert time.monotonic() - began_s < 5
    assert first.code == 0
    assert first.counts("failed")[0] == 0
    sent, delivered, next_row = first.counts("sent", "delivered", "next_row")
    assert sent == delivered == next_row - 1 < count
    second = replay(broker, topic, path, "--pace", "max", "--start-row", str(next_row))
    assert (second.code, *second.counts("delivered", "next_row")) == (0, count - delivered, count + 1)
    assert Counter(amounts(broker, topic)) == Counter(range(1, count + 1))


def test_rows_of_a_pipe_go_as_they_come(broker: Broker, topic: str) -> None:
    with begin(broker, topic, "-") as process:
        assert process.stdin is not None
        for number in range(1, 4):
            process.stdin.write((HEADER * (number == 1) + f"tx1,{AT},{number}\n").encode())
            process.stdin.flush()
            wait_for_records(broker, topic, number, process)
        done = finish(process, f"tx1,{AT},4")
    assert (done.code, *done.counts("delivered", "next_row")) == (0, 4, 5)


def test_a_named_pipe_is_read_like_a_file(broker: Broker, topic: str, tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with begin(broker, topic, path, "--pace", "max") as process:
        path.write_text(f"{HEADER}tx1,{AT},1\n")
        done = finish(process)
    assert (done.code, *done.counts("delivered")) == (0, 1)


def test_a_topic_that_does_not_exist_is_named_in_one_line(broker: Broker, unique: Unique) -> None:
    done = replay(broker, unique("nowhere"), EXAMPLE)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert f"--topic {unique('nowhere')}: the brokers do not know this topic" in done.err


def test_a_topic_created_a_moment_later_is_waited_for(broker: Broker, unique: Unique) -> None:
    name = unique("later")
    with begin(broker, name, EXAMPLE, "--pace", "max") as process:
        time.sleep(1.5)
        create_topics(broker, name)
        done = finish(process)
    assert (done.code, *done.counts("delivered")) == (0, 4)


def test_one_row_that_the_broker_refuses_fails_alone_and_is_the_one_to_resume_from(
    broker: Broker, unique: Unique
) -> None:
    name = unique("small")
    create_topics(broker, name, config={"max.message.bytes": 2000})
    rows = [f"{'x' * 5000 if n == 3 else 'tx'},{AT},{n}\n" for n in range(1, 6)]
    properties = json.dumps({"compression.type": "none", "batch.num.messages": 1})
    done = replay(broker, name, "-", "--pace", "max", text=HEADER + "".join(rows), KAFKA_PROPERTIES=properties)
    assert (done.code, *done.counts("sent", "delivered", "failed", "next_row")) == (1, 5, 4, 1, 3)
    assert done.err == "txwatch-replay: 1 rows undelivered: Broker: Message size too large\n"
    assert sorted(amounts(broker, name)) == [1, 2, 4, 5]


def test_rows_outlive_a_broker_that_dies_and_comes_back(tmp_path: Path, mortal: Broker, unique: Unique) -> None:
    count = 20_000
    topic = unique("transactions")
    create_topics(mortal, topic, partitions=PARTITIONS)
    with begin(mortal, topic, numbered(tmp_path, count), "--pace", "rate", "--rate", "4000") as process:
        wait_for_records(mortal, topic, 2000, process)
        mortal.kill()
        time.sleep(1)
        mortal.restart()
        done = finish(process)
    assert (done.code, *done.counts("delivered", "failed")) == (0, count, 0)
    assert "no broker answers, still trying: " in done.err
    assert "rows are delivered again" in done.err
    assert Counter(amounts(mortal, topic)) == Counter(range(1, count + 1))


@pytest.mark.parametrize("how", ["poll", "flush", "give_up"])
def test_a_client_that_gives_up_says_why_and_each_row_is_accounted_for(topic: str, broker: Broker, how: str) -> None:
    rows = Rows.of([Row(n, "tx", 1_715_421_600_000, "1") for n in range(3)])
    publisher = Publisher(topic, broker.bootstrap_servers, {}, 60_000)
    assert publisher.send(Batch(rows, None, 0, 1), lambda: True) == 3
    fatal_error(publisher._producer)
    match how:
        case "poll":
            publisher.poll()
        case "flush":
            publisher.flush(1.0)
        case _:
            publisher.give_up()
    assert publisher.broken
    (said,) = publisher.take_notices()
    assert "the client gives up" in said
    assert "planned" in said
    while publisher.outstanding:
        publisher.flush(1.0)
    assert (publisher.sent, publisher.delivered, publisher.failed) == (3, 0, 3)
    assert publisher.first_failed() == RowId(1, 0)


def fatal_error(producer: Producer) -> None:
    """Raise the error that follows when a broker has lost records. librdkafka has a call for such tests."""
    client = ctypes.c_void_p.from_address(id(producer) + object.__basicsize__)
    out_of_order = 45
    assert librdkafka().rd_kafka_test_fatal_error(client, out_of_order, b"planned") == 0


@pytest.mark.parametrize("stopped", [False, True])
def test_a_broker_that_stays_away_leaves_a_summary_that_resumes_without_a_loss(
    tmp_path: Path, mortal: Broker, unique: Unique, *, stopped: bool
) -> None:
    count = 20_000
    topic = unique("transactions")
    create_topics(mortal, topic, partitions=PARTITIONS)
    path = numbered(tmp_path, count)
    properties = json.dumps({"message.timeout.ms": 300_000 if stopped else 2000})
    pace = ("--pace", "rate", "--rate", "4000")
    with begin(mortal, topic, path, *pace, KAFKA_PROPERTIES=properties) as process:
        # The client may not have the broker's answer for the last rows in the topic yet.
        wait_for_records(mortal, topic, 3000, process)
        mortal.kill()
        if stopped:
            time.sleep(1)
            process.send_signal(signal.SIGINT)
            began_s = time.monotonic()
        first = finish(process)
        assert not stopped or time.monotonic() - began_s < 10
    sent, delivered, failed, next_row = first.counts("sent", "delivered", "failed", "next_row")
    assert first.code == 1
    assert sent == delivered + failed < count
    assert failed > 0
    assert 2000 <= next_row <= delivered + 1
    mortal.restart()
    second = replay(mortal, topic, path, "--pace", "max", "--start-row", str(next_row))
    assert second.code == 0
    assert set(amounts(mortal, topic)) == set(range(1, count + 1))


def test_a_full_queue_without_a_broker_is_no_delivery(mortal: Broker, unique: Unique) -> None:
    def batch(first: int, end: int) -> Batch:
        return Batch(Rows.of([Row(n, "tx", 1_715_421_600_000, "1") for n in range(first, end)]), None, 0, 1)

    topic = unique("transactions")
    create_topics(mortal, topic, partitions=PARTITIONS)
    publisher = Publisher(topic, mortal.bootstrap_servers, {"queue.buffering.max.messages": 10}, 0)
    assert publisher.send(batch(0, 5), lambda: True) == 5
    publisher.flush(10)
    assert (publisher.delivered, publisher.take_notices()) == (5, [])
    mortal.kill()
    said: list[str] = []

    def look_on() -> bool:
        said.extend(publisher.take_notices())
        return not said

    assert publisher.send(batch(5, 8), look_on) == 3
    assert publisher.send(batch(8, 30), look_on) == 7
    said += publisher.take_notices()
    assert "no broker answers" in said[0]
    assert "rows are delivered again" not in said
    publisher.give_up()


def test_repeated_passes_go_on_in_event_time(broker: Broker, topic: str) -> None:
    done = replay(broker, topic, EXAMPLE, "--repeat", "2", "--speed", "20", "--timezone", "Asia/Shanghai")
    times = [payload(message)["timestamp"] - 1_715_392_800_000 for message in read_all(broker, topic)]
    assert (done.code, *done.counts("delivered", "next_row")) == (0, 8, 5)
    assert times == [0, 5000, 9000, 10_000, 13_333, 18_333, 22_333, 23_333]


@pytest.mark.alone
def test_align_and_rebase_start_on_the_wall_clocks_window(broker: Broker, topic: str) -> None:
    window_ms = 2000
    arguments = ("--align", "--rebase", "now", "--speed", "10")
    done = replay(broker, topic, EXAMPLE, *arguments, WINDOW_SIZE_MS=str(window_ms))
    first = read_all(broker, topic)[0]
    assert done.code == 0
    assert payload(first)["timestamp"] % window_ms == 10
    assert 0 <= first.timestamp()[1] - payload(first)["timestamp"] < 200
