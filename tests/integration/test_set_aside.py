"""Records that are set aside, on brokers that keep records for a time and judge timestamps as production's do."""

import time
from collections.abc import Callable

from confluent_kafka import Message

from brokerkit.broker import Broker
from brokerkit.client import Rec, create_topics, produce, read_all
from brokerkit.service_process import Names, payloads, running, transaction, wait_until
from histories.oracle import headers_of

DAY_MS = 86_400_000
NOW_MS = 1_715_392_800_000
CREATE_TIME = 1
DIVERT = {"LATE_POLICY": "divert"}
LATE_BY_MS = 600_000


def now_ms() -> int:
    """The wall clock, which the broker shares."""
    return time.time_ns() // 1_000_000


def timestamp_header(message: Message) -> int:
    """The original timestamp of a record that was set aside."""
    return int(headers_of(message)["txwatch.timestamp"])


def test_what_is_set_aside_of_old_records_outlives_the_retention_of_their_own_age(unique: Callable[[str], str]) -> None:
    """Topics of the service's own making, on a broker that keeps records for a day and looks every half second."""
    names = Names(unique)
    created_ms = now_ms() - 30 * DAY_MS
    keeps_a_day: dict[str, str | int] = {
        "log.retention.ms": DAY_MS,
        "log.retention.check.interval.ms": 500,
        "log.initial.task.delay.ms": 500,
    }
    with Broker(properties=keeps_a_day) as strict:
        create_topics(strict, names.transactions, config={"retention.ms": -1})
        # What the broker does delete, as a sign that it has looked.
        create_topics(strict, unique("doomed"))
        bad = [Rec("bad", f"rubbish {n}", timestamp_ms=created_ms) for n in range(3)]
        on_time = Rec(*transaction("tx1", NOW_MS, 1), timestamp_ms=created_ms)
        late = [Rec(*transaction("tx1", NOW_MS - LATE_BY_MS, 1), timestamp_ms=created_ms) for _ in range(2)]
        with running(strict, names, DIVERT) as service:
            service.wait_ready(1)
            began_ms = now_ms()
            produce(strict, names.transactions, [*bad, on_time, *late])
            wait_until(lambda: payloads(strict, names.aggregates))
            produce(strict, unique("doomed"), [Rec("key", "value", timestamp_ms=created_ms)])
            wait_until(lambda: not read_all(strict, unique("doomed")))
            time.sleep(2)  # three more looks
            kept = [read_all(strict, topic) for topic in (names.dead_letter, names.late)]
            assert service.stop() == 0
    assert [len(messages) for messages in kept] == [3, 2]
    for message in [*kept[0], *kept[1]]:
        kind, written_ms = message.timestamp()
        assert kind == CREATE_TIME
        assert began_ms <= written_ms <= now_ms()
        assert timestamp_header(message) == created_ms


def test_a_record_from_two_hours_ahead_is_set_aside_in_topics_that_take_none_from_there(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    ahead_ms = now_ms() + 2 * 3_600_000
    create_topics(broker, names.transactions, config={"message.timestamp.after.max.ms": 10 * DAY_MS})
    create_topics(broker, names.dead_letter, config={"message.timestamp.after.max.ms": 3_600_000})
    create_topics(broker, names.late, config={"message.timestamp.type": "LogAppendTime"})
    records = [
        Rec("bad", "rubbish", timestamp_ms=ahead_ms),
        Rec(*transaction("tx1", NOW_MS, "9000"), timestamp_ms=ahead_ms),
        Rec(*transaction("tx1", NOW_MS - LATE_BY_MS, 1), timestamp_ms=ahead_ms),
    ]
    with running(broker, names, DIVERT) as service:
        service.wait_ready(1)
        produce(broker, names.transactions, records)
        assert wait_until(lambda: payloads(broker, names.alerts))
        assert service.stop() == 0
    for topic in (names.dead_letter, names.late):
        (message,) = read_all(broker, topic)
        assert timestamp_header(message) == ahead_ms
        assert message.timestamp()[1] <= now_ms()


def test_a_dead_letter_that_is_replayed_and_rejected_again_says_both_times_the_service_s_own_last(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions)
    with running(broker, names) as service:
        service.wait_ready(1)
        produce(broker, names.transactions, [Rec("bad", "rubbish", timestamp_ms=NOW_MS)])
        (first,) = wait_until(lambda: read_all(broker, names.dead_letter))
        headers = first.headers() or []
        again = Rec(first.key(), first.value(), headers, timestamp_ms=NOW_MS + 5)
        produce(broker, names.transactions, [again])
        _, second = wait_until(lambda: len(found := read_all(broker, names.dead_letter)) == 2 and found)
        assert service.stop() == 0
    assert timestamp_header(first) == NOW_MS
    assert (second.headers() or [])[: len(headers)] == headers
    assert (timestamp_header(second), headers_of(second)["__connect.errors.offset"]) == (NOW_MS + 5, b"1")


def test_a_dead_letter_of_a_record_without_a_timestamp_has_no_header_for_it(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions)
    with running(broker, names) as service:
        service.wait_ready(1)
        produce(broker, names.transactions, [Rec("bad", "rubbish", timestamp_ms=-1)])
        (letter,) = wait_until(lambda: read_all(broker, names.dead_letter))
        assert service.stop() == 0
    assert read_all(broker, names.transactions)[0].timestamp()[1] == -1
    assert "txwatch.timestamp" not in headers_of(letter)
    assert abs(letter.timestamp()[1] - now_ms()) < 60_000
