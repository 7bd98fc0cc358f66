"""`forward` on a real broker and against a real HTTP server that misbehaves: nothing is lost, in order."""

import json
import time
from collections.abc import Callable

import pytest
from confluent_kafka import Producer

from brokerkit.broker import Broker
from brokerkit.client import create_topics, read_all
from brokerkit.service_process import Names, running, wait_until
from tests.bad_target import a_byte_a_while, a_gigabyte, bad_target, closes_mid_answer, silence, status
from tests.forwarding import Write, alert_writer, done, forwarding, ids_of, in_turn


@pytest.fixture
def names(broker: Broker, unique: Callable[[str], str]) -> Names:
    """Topics that exist; the alerts have two partitions."""
    found = Names(unique)
    create_topics(broker, found.alerts, partitions=2)
    return found


@pytest.fixture
def write(broker: Broker, names: Names) -> Write:
    """Writes alerts of an id, into the partition of its number."""
    return alert_writer(broker, names)


def test_whatever_the_target_does_each_alert_arrives_in_order(broker: Broker, names: Names, write: Write) -> None:
    ids = write("tx1", 12)
    with bad_target() as target:
        good = status(200)
        target.behave = in_turn(
            silence, status(500), good, status(429, "Retry-After: 1"), closes_mid_answer, good, status(408),
            a_byte_a_while, good, status(302, "Location: http://127.0.0.1:1/"), good, a_gigabyte, status(503),
        )  # fmt: skip
        with forwarding(broker, names, target) as process:
            wait_until(lambda: done(broker, names) == 12, 90)
            assert process.metric('txwatch_forward_alerts_total{outcome="delivered"}') == 12
            assert (process.metric("txwatch_forward_breaker_open"), process.get("/readyz")[0]) == (0, 200)
            assert process.stop() == 0
        assert list(dict.fromkeys(ids_of(target.requests))) == ids
        assert len(target.requests) == 12 + 8
    assert read_all(broker, names.undelivered) == []


def test_what_is_refused_too_old_or_no_alert_is_written_to_its_topic_and_holds_up_nothing(
    broker: Broker, names: Names, write: Write
) -> None:
    create_topics(broker, names.undelivered, partitions=1)
    (old,), (bad,) = write("tx1", detected_at=1), write("tx1")
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    producer.produce(names.alerts, b"rubbish", b"k", 1)
    producer.produce(names.alerts, None, b"k", 1)
    producer.flush(10)
    (good,) = write("tx1")
    with bad_target() as target:
        target.behave = lambda request: status(400 if request.headers["idempotency-key"] == bad else 204, body=b"")
        with forwarding(broker, names, target) as process:
            wait_until(lambda: done(broker, names) == 5)
            assert process.stop() == 0
        assert ids_of(target.requests) == [bad, good]
    found = read_all(broker, names.undelivered)
    headers = [dict(message.headers() or []) for message in found]
    assert [each["txwatch.reason"] for each in headers] == [b"too_old", b"refused", b"refused"]
    assert [each["__connect.errors.exception.message"] for each in headers] == [
        b"",
        b"400 Any",
        b"the record is no alert",
    ]
    assert headers[0]["ce_id"] == old.encode()
    assert json.loads(found[0].value() or b"")["alert_id"] == old
    assert found[2].value() == b"rubbish"


def test_a_wrong_address_opens_the_breaker_and_no_alert_is_lost(broker: Broker, names: Names, write: Write) -> None:
    ids = [*write("tx1", 3), *write("tx2", 3)]
    with bad_target() as target:
        target.behave = lambda _: status(404)
        with forwarding(broker, names, target) as process:
            wait_until(lambda: process.get("/readyz")[0] == 503 and "404 Any" in process.get("/readyz")[1])
            time.sleep(2)
            few = len(target.requests)
            assert few <= 6
            assert process.metric("txwatch_forward_breaker_open") == 1
            assert process.get("/healthz")[0] == 200
            target.behave = lambda _: status(200)
            wait_until(lambda: done(broker, names) == 6, 60)
            assert process.get("/readyz")[0] == 200
            process.wait_for_event("forward_target_works_again")
            assert process.stop() == 0
    assert set(ids) == set(ids_of(target.requests))
    assert read_all(broker, names.undelivered) == []


def test_one_alert_that_is_never_taken_is_given_up_and_the_other_partition_does_not_wait(
    broker: Broker, names: Names, write: Write
) -> None:
    (bad,), (behind,), others = write("tx1"), write("tx1"), write("tx2", 5)
    with bad_target() as target:
        target.behave = lambda request: status(500 if request.headers["idempotency-key"] == bad else 200)
        with forwarding(broker, names, target, give_up_after_ms=3_000) as process:
            wait_until(lambda: done(broker, names) == 7)
            assert process.events("alert_undelivered")[0]["reason"] == "gave_up"
            assert process.stop() == 0
        sent = ids_of(target.requests)
        assert sent.index(behind) > len(sent) - 1 - sent[::-1].index(bad) > sent.index(others[-1])
    (found,) = read_all(broker, names.undelivered)
    assert dict(found.headers() or [])["__connect.errors.exception.message"] == b"500 Any"


def test_a_stop_while_a_request_hangs_ends_in_time_and_the_alert_is_sent_again(
    broker: Broker, names: Names, write: Write
) -> None:
    ids = write("tx1", 2)
    with bad_target() as target:
        target.behave = lambda _: silence
        with forwarding(broker, names, target, timeout_ms=60_000) as process:
            wait_until(lambda: target.requests)
            began_s = time.monotonic()
            assert process.stop() == 0
            assert time.monotonic() - began_s < 9
        target.behave = lambda _: status(200)
        with forwarding(broker, names, target) as process:
            wait_until(lambda: done(broker, names) == 2)
            assert process.stop() == 0
        assert ids_of(target.requests) == [ids[0], *ids]


def test_without_a_port_it_takes_a_free_one_and_an_unknown_target_is_one_line(broker: Broker, names: Names) -> None:
    table = json.dumps([{"name": "here", "url": "http://127.0.0.1:9"}])
    with running(broker, names, {"FORWARD": table}, arguments=["forward", "--to", "there"]) as process:
        assert process.process.wait(30) == 2
        assert process.log[-1]["line"] == "txwatch: --to: there is no [[forward]] named 'there'; there are: here"
