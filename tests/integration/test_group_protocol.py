"""Brokers with and without the group protocol of KIP-848."""

from collections.abc import Callable
from struct import pack
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from brokerkit.broker import Broker
from brokerkit.files import free_ports
from brokerkit.proxy import Proxy
from brokerkit.service_process import Names, ServiceProcess, running
from service.kafka.guards.group_protocol import NEEDED, Lines, offered

OFFERED = pack(">hhh", 68, 0, 1)
"""In an answer to ApiVersions: ConsumerGroupHeartbeat from version 0 to 1."""
KAFKA_3_9 = pack(">hhh", 68, 0, 0)
UNKNOWN_CALL = pack(">hhh", 30_068, 0, 1)


def assert_refused(service: ServiceProcess) -> None:
    assert service.process.wait(30) == 2
    last = service.log[-1]
    assert last["event"] == "raw"
    assert last["line"].startswith("txwatch: KAFKA_PROPERTIES: ")
    assert '{"group.protocol":"classic"}' in last["line"]


def test_the_version_that_the_broker_offers_is_found(broker: Broker, unique: Callable[[str], str]) -> None:
    """If this fails with a new client, its log has changed: brokers before 4.0 are refused no longer."""

    def client(lines: Lines) -> AdminClient:
        config: dict[str, Any] = {"bootstrap.servers": broker.bootstrap_servers, "debug": "feature", "logger": lines}
        return AdminClient(config)

    found = offered(client, unique("missing"))
    assert found is not None
    assert found >= NEEDED


@pytest.mark.parametrize("changed", [KAFKA_3_9, UNKNOWN_CALL], ids=["version 0", "none"])
def test_a_broker_that_offers_too_old_a_heartbeat_or_none_is_one_line_and_exit_2(
    broker: Broker, unique: Callable[[str], str], changed: bytes
) -> None:
    """The client of such a broker reports no error and waits without an end."""
    with Proxy(free_ports(1)[0], broker.node.port) as proxy:
        proxy.changed[OFFERED] = changed
        with running(f"127.0.0.1:{proxy.port}", Names(unique)) as service:
            assert_refused(service)


def test_a_broker_that_refuses_the_protocol_is_one_line_and_exit_2_and_classic_works_there(
    unique: Callable[[str], str],
) -> None:
    names = Names(unique)
    with Broker(properties={"group.coordinator.rebalance.protocols": "classic"}) as broker:
        with running(broker, names) as service:
            assert_refused(service)
        with running(broker, names, {"KAFKA_PROPERTIES": '{"group.protocol":"classic"}'}) as service:
            service.wait_ready(4)
            assert service.stop() == 0
