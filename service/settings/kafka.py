"""How the service reaches Kafka, and its topics."""

from __future__ import annotations

import socket
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field, field_validator

from service.settings.fields import Group, Name, OptionalTopicName, RefusedError, Servers, TopicName
from service.wire.client import PROTECTED
from service.wire.names import first_bad_address

PROTECTED_PROPERTIES: Final = PROTECTED | {
    "auto.offset.reset",
    "delivery.timeout.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "error_cb",
    "group.id",
    "group.instance.id",
    "isolation.level",
    "logger",
    "message.timeout.ms",
    "partition.assignment.strategy",
    "transaction.timeout.ms",
}
"""librdkafka properties that the service's guarantees need, or that have a setting of their own."""


class KafkaSettings(Group):
    """How to reach Kafka, and under which names."""

    suffix: ClassVar[str] = ""
    """What group and transactional id end with; only a command that runs beside the service has one."""
    bootstrap_servers: Servers = Field(
        "localhost:9092",
        description="the brokers, `host:port,host:port`. An IPv6 address is in brackets: `[::1]:9092`",
    )
    group_id: Name = Field(
        "txwatch", description="the consumer group. Instances with the same group share the partitions"
    )
    instance_id: Name = Field(
        default_factory=socket.gethostname,
        description="names the instance and its transactional producer. Each instance needs its own, and the "
        "same one after a restart. Default: the host name",
    )
    properties: dict[str, str | bool | int | float] = Field(
        default_factory=dict,
        description="other librdkafka properties, a JSON object: `security.protocol`, `sasl.*`, `ssl.*`, "
        "`group.protocol`. [security.md](security.md) has examples",
    )

    @field_validator("bootstrap_servers")
    @classmethod
    def _hosts_and_ports(cls, servers: str) -> str:
        # With port 0 the client would try to connect without an end.
        if (broker := first_bad_address(servers)) is not None:
            raise RefusedError(broker, "is not host:port")
        return servers

    @field_validator("properties")
    @classmethod
    def _not_the_protected_ones(cls, properties: dict[str, Any]) -> dict[str, Any]:
        for name in properties:
            if name in PROTECTED_PROPERTIES:
                raise ValueError(f"{name} may not be set here: the service's guarantees rest on it")
        # The client reads a blank as classic, but then the assignment would fit neither protocol.
        if str(properties.get("group.protocol", "consumer")).lower() not in {"classic", "consumer"}:
            raise ValueError("group.protocol is classic or consumer")
        return properties


class TopicsSettings(Group):
    """The topics. An empty name for ``aggregates`` turns that topic off."""

    transactions: TopicName = Field("transactions", description="the input")
    alerts: TopicName = Field("alerts", description="where alerts are written")
    aggregates: OptionalTopicName = Field(
        "", description="where each closed window's sum is written, one record for each id. Empty: off"
    )
    late: TopicName = Field("transactions.late", description="where late records go under `LATE_POLICY=divert`")
    dead_letter: TopicName = Field(
        "transactions.dead-letter", description="where rejected records go, with the reason in a header"
    )
    state: TopicName = Field(
        "txwatch.state",
        description="where detectors keep their state, compacted. Used only where a detector keeps one",
    )
    shadow: TopicName = Field(
        "alerts.shadow", description="where the alerts of shadow detectors are written. Used only where there is one"
    )
    undelivered: TopicName = Field(
        "alerts.undelivered", description="where `forward` writes the alerts that its target did not take"
    )
    create: bool = Field(default=True, description="whether missing topics are created at the start")
    partitions: Annotated[int, Field(ge=1, le=10_000)] = Field(4, description="partitions of a topic that is created")
    replication: Annotated[int, Field(ge=-1, le=100)] = Field(
        -1, description="replicas of a topic that is created. -1: the broker's default"
    )

    @field_validator("replication")
    @classmethod
    def _not_zero(cls, value: int) -> int:
        if value == 0:
            raise ValueError("must be at least 1, or -1 for the broker's default")
        return value
