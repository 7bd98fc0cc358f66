"""What the clients are given besides settings."""

from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, Message

from service.app.clients import construct, consumer_config
from service.kafka.guards.txn_failure import with_reports
from service.kafka.poll_size import FIRST_RECORDS, POLL_BYTES, PollSize
from service.settings import KafkaSettings, Settings


@pytest.mark.parametrize("more", [KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT, KafkaError._MSG_TIMED_OUT])
def test_the_first_record_that_fails_of_itself_says_why(more: int) -> None:
    undelivered: list[KafkaError] = []
    report = with_reports({"linger.ms": 5}, undelivered)["on_delivery"]
    cause = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    for error in (KafkaError(KafkaError._PURGE_QUEUE), cause, KafkaError(more)):
        report(error, cast("Message", None))
    assert [cause] == undelivered


def consumer_for(properties: dict[str, Any], brokers: int) -> dict[str, Any]:
    """The consumer's configuration, which the client itself has found to be right."""
    settings = Settings(kafka=KafkaSettings(properties=properties))
    config = consumer_config(settings, lambda _: None, brokers)
    construct(Consumer, config).close()
    return config


@pytest.mark.parametrize("brokers", [0, 1, 3, 50, 1_000])
def test_fetches_of_all_brokers_together_stay_within_one_bound(brokers: int) -> None:
    config = consumer_for({}, brokers)
    assert config["fetch.max.bytes"] * brokers <= max(131_072, 1_000 * brokers)
    assert config["fetch.max.bytes"] >= 1_000


@pytest.mark.parametrize("name", ["fetch.max.bytes", "fetch.message.max.bytes", "queued.max.messages.kbytes"])
def test_a_property_of_the_users_wins_over_our_fetch_sizes(name: str) -> None:
    assert consumer_for({name: 50_000}, 3)[name] == "50000"


def test_the_producers_largest_record_does_not_keep_the_consumer_from_starting() -> None:
    assert consumer_for({"message.max.bytes": 5_000_000}, 1)["fetch.max.bytes"] == 131_072


def test_a_poll_asks_for_fewer_records_when_they_are_large() -> None:
    size = PollSize()
    assert size.within(500) == FIRST_RECORDS
    for length, expected in ((1_000, 500), (POLL_BYTES // 10, 10), (2 * POLL_BYTES, 1), (0, 500)):
        size.note(cast("list[Message]", [b"x" * length] * 20))
        assert size.within(500) == expected
    size.note([])
    assert size.within(500) == 500
