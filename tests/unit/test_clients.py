"""What the clients are given besides settings."""

from collections import deque
from typing import cast

import pytest
from confluent_kafka import KafkaError, Message

from service.clients import with_reports


@pytest.mark.parametrize("purged", [KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT])
def test_a_cause_is_not_pushed_out_by_those_that_go_with_it(purged: int) -> None:
    undelivered: deque[KafkaError] = deque(maxlen=2)
    report = with_reports({"linger.ms": 5}, undelivered)["on_delivery"]
    cause = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    for error in (cause, *[KafkaError(purged)] * 2):
        report(error, cast("Message", None))
    assert [cause] == list(undelivered)
