"""Errors of the client that both programs take for wrong settings, and those after which they try again."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from service.wire.client import settings_refused


@pytest.mark.parametrize(
    ("code", "text", "refused"),
    [
        (KafkaError._AUTHENTICATION, "SASL authentication error", True),
        (KafkaError.SASL_AUTHENTICATION_FAILED, "no such user", True),
        (KafkaError._AUTHENTICATION, 'Failed to acquire SASL OAUTHBEARER token: {"error":"invalid_client"}', True),
        (KafkaError._AUTHENTICATION, "Failed to acquire SASL OAUTHBEARER token: Failed to connect to idp", False),
        (KafkaError._SSL, "SSL handshake failed: certificate verify failed", True),
        (KafkaError._SSL, "SSL handshake failed: Disconnected: connecting to a plaintext broker?", False),
        (KafkaError._TRANSPORT, "Connect to ipv4#127.0.0.1:9 failed: Connection refused", False),
        (KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down", False),
    ],
)
def test_an_error_shows_wrong_settings_or_a_broker_that_may_come_back(code: int, text: str, *, refused: bool) -> None:
    error = KafkaError(code, text)
    assert refused is settings_refused(error.name(), error.str())
