"""The line about brokers that lack the group protocol of KIP-848. The lines are librdkafka 2.16's own."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from typing import Any, cast

import pytest
from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

from service.kafka.classify import classify
from service.kafka.guards.group_protocol import Lines, check_group_protocol, newest_heartbeat
from service.loop.errors import Fatal, Misconfigured

FROM = "APIVERSION [txwatch-one#producer-2] [thrd:127.0.0.1:20650/bootstrap]: 127.0.0.1:20650/bootstrap:"
CLASSIC = (f"{FROM}   ApiKey Heartbeat (12) Versions 0..4", f"{FROM}   ApiKey ShareGroupHeartbeat (76) Versions 1..1")
KAFKA_3_9 = (
    *CLASSIC,
    f"{FROM}   ApiKey ConsumerGroupHeartbeat (68) Versions 0..0",
    f"{FROM}  Feature BrokerBalancedConsumer: ConsumerGroupHeartbeat (0..32767) supported by broker",
)
KAFKA_4_2 = (
    *CLASSIC,
    f"{FROM}   ApiKey ConsumerGroupHeartbeat (68) Versions 0..1",
    f"{FROM}  Feature BrokerBalancedConsumer: ConsumerGroupHeartbeat (0..32767) supported by broker",
)
NONE_AT_ALL = (
    *CLASSIC,
    f"{FROM}  Feature BrokerBalancedConsumer: ConsumerGroupHeartbeat (0..32767) NOT supported by broker",
)


class Client:
    """An admin client that logs these lines when it is polled."""

    def __init__(self, logger: Lines, lines: tuple[str, ...]) -> None:
        self._logger = logger
        self._lines = lines

    def list_topics(self, topic: str, timeout: float) -> None:
        assert "transactions" == topic
        assert timeout > 0

    def poll(self, _timeout: float) -> None:
        for line in self._lines:
            self._logger.log(7, "%s", line)


def check(lines: tuple[str, ...]) -> None:
    check_group_protocol(lambda logger: cast("AdminClient", Client(logger, lines)), "transactions")


@pytest.mark.parametrize("lines", [KAFKA_3_9, NONE_AT_ALL, KAFKA_4_2 + KAFKA_3_9])
def test_a_broker_without_the_protocol_is_refused_in_one_line_that_names_the_setting(lines: tuple[str, ...]) -> None:
    with pytest.raises(Misconfigured, match=r'^KAFKA_PROPERTIES: .*\{"group\.protocol":"classic"\}\'$'):
        check(lines)


@pytest.mark.parametrize("lines", [KAFKA_4_2, CLASSIC, ()])
def test_a_broker_with_the_protocol_and_a_log_that_does_not_say_are_no_reason_to_stop(lines: tuple[str, ...]) -> None:
    check(lines)


def test_the_least_that_any_broker_offers_counts() -> None:
    assert [0, 1, -1, None] == [newest_heartbeat(x) for x in (KAFKA_4_2 + KAFKA_3_9, KAFKA_4_2, NONE_AT_ALL, CLASSIC)]


def test_a_broker_that_refuses_the_heartbeat_asks_for_the_same_setting() -> None:
    refusal: Any = KafkaError(
        KafkaError._FATAL,
        "Fatal error: Broker: API version not supported: ConsumerGroupHeartbeat fatal error: "
        "Broker: API version not supported",
    )
    problem = classify(refusal, "consume from transactions")
    assert isinstance(problem, Misconfigured)
    assert str(problem).startswith("KAFKA_PROPERTIES: ")


def test_another_call_that_a_broker_does_not_know_is_fatal_and_says_which() -> None:
    problem = classify(KafkaError(KafkaError.UNSUPPORTED_VERSION), "init_transactions")
    assert isinstance(problem, Fatal)
    assert not isinstance(problem, Misconfigured)
    assert str(problem).startswith("init_transactions: ")
