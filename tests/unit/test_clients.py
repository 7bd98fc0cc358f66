"""What the clients are given besides settings."""

from typing import cast

import pytest
from confluent_kafka import KafkaError, Message

from service.clients import with_reports


@pytest.mark.parametrize("more", [KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT, KafkaError._MSG_TIMED_OUT])
def test_the_first_record_that_fails_of_itself_says_why(more: int) -> None:
    undelivered: list[KafkaError] = []
    report = with_reports({"linger.ms": 5}, undelivered)["on_delivery"]
    cause = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    for error in (KafkaError(KafkaError._PURGE_QUEUE), cause, KafkaError(more)):
        report(error, cast("Message", None))
    assert [cause] == undelivered
