"""Every setting, its default, its bounds and what it means. docs/reference.md is made from the descriptions."""

from __future__ import annotations

import socket
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from service.core.model import ClockName, LatePolicy
from service.wire.client import PROTECTED
from service.wire.names import NO_TOPICS, TOPIC_NAME, fault_of_host, fault_of_name, fault_of_text, first_bad_address


def _refusing(fault_of: Callable[[str], str | None]) -> AfterValidator:
    def check(name: str) -> str:
        if (fault := fault_of(name)) is not None:
            raise ValueError(fault)
        return name

    return AfterValidator(check)


Name = Annotated[str, _refusing(fault_of_name)]
Host = Annotated[str, _refusing(fault_of_host)]
Servers = Annotated[str, _refusing(fault_of_text)]
TopicName = Annotated[str, Field(pattern=f"^{TOPIC_NAME}$")]
Milliseconds = Annotated[int, Field(ge=0, le=10**15)]


class SettingsError(Exception):
    """The settings cannot be used; the text is one line and names the setting."""


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: object, info: ValidationInfo) -> object:
        # pydantic would read true as 1, and a window of 1 ms is not what the user meant.
        if isinstance(value, bool) and cls.model_fields[info.field_name or ""].annotation is int:
            raise ValueError("input should be a valid integer")
        return value


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


class KafkaSettings(_Group):
    """How to reach Kafka, and under which names."""

    bootstrap_servers: Servers = Field(
        "localhost:9092",
        description="the brokers, `host:port,host:port`. An IPv6 address stands in brackets: `[::1]:9092`",
    )
    group_id: Name = Field(
        "txwatch", description="the consumer group. Instances with the same group share the partitions"
    )
    instance_id: Name = Field(
        default_factory=socket.gethostname,
        description="names the instance and its transactional producer: its own for each instance, the same after a "
        "restart. Default: the host name",
    )
    properties: dict[str, str | bool | int | float] = Field(
        default_factory=dict,
        description="other librdkafka properties, a JSON object: `security.protocol`, `sasl.*`, `ssl.*`, "
        "`group.protocol`. [security.md](security.md) has examples",
    )

    @field_validator("bootstrap_servers")
    @classmethod
    def _hosts_and_ports(cls, servers: str) -> str:
        # With port 0 the client would try to connect for ever.
        if (broker := first_bad_address(servers)) is not None:
            raise ValueError(f"{broker!r} is not host:port")
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


class TopicsSettings(_Group):
    """The topics. An empty name for ``aggregates`` turns that topic off."""

    transactions: TopicName = Field("transactions", description="the input")
    alerts: TopicName = Field("alerts", description="where alerts are written")
    aggregates: Annotated[str, Field(pattern=f"^({TOPIC_NAME})?$")] = Field(
        "", description="where each closed window's sum is written, one record for each id. Empty: off"
    )
    late: TopicName = Field("transactions.late", description="where late records go under `LATE_POLICY=divert`")
    dead_letter: TopicName = Field(
        "transactions.dead-letter", description="where rejected records go, with the reason in a header"
    )
    state: TopicName = Field(
        "txwatch.state", description="reserved: nothing is read or written there yet. No other topic may have this name"
    )
    create: bool = Field(default=True, description="whether missing topics are created at the start")
    partitions: Annotated[int, Field(ge=1, le=10_000)] = Field(4, description="partitions of a topic that is created")
    replication: Annotated[int, Field(ge=-1, le=100)] = Field(
        -1, description="replicas of a topic that is created. -1: the broker's default"
    )

    @field_validator("transactions", "alerts", "aggregates", "late", "dead_letter", "state")
    @classmethod
    def _no_folder(cls, name: str) -> str:
        if name in NO_TOPICS:
            raise ValueError("Kafka has no topic of this name")
        return name

    @field_validator("replication")
    @classmethod
    def _not_zero(cls, value: int) -> int:
        if value == 0:
            raise ValueError("must be at least 1, or -1 for the broker's default")
        return value


class WatermarkSettings(_Group):
    """The watermark: allowed lateness, idleness, and how far ahead an event time may be."""

    lateness_ms: Milliseconds = Field(
        1_000,
        description="the watermark is the greatest event time seen minus this. A record below the watermark is late",
    )
    idle_after_ms: Milliseconds = Field(
        30_000,
        description="a partition that is read to its end and silent for so long no longer holds back the service's "
        "watermark",
    )
    max_future_ms: Milliseconds = Field(
        300_000, description="an event time further ahead of the wall clock is rejected (`timestamp_in_future`). 0: off"
    )


class WindowSettings(_Group):
    """The windows' size and clock."""

    size_ms: Annotated[int, Field(ge=1, le=10**12)] = Field(10_000, description="the length of a window")
    clock: ClockName = Field(
        ClockName.PROCESSING,
        description="whose time a window is: the service's wall clock (`processing`), the broker's append time "
        "(`ingestion`), or the record's own (`event`). [time.md](time.md) says which one when",
    )
    ingestion_margin_ms: Milliseconds = Field(
        1_000,
        description="`ingestion` only: the wall clock closes a window so long after its end. It must be more than the "
        "clocks of brokers and service differ",
    )
    event_flush_after_ms: Milliseconds = Field(
        0,
        description="`event` only: open windows are closed when their partition is read to its end and silent for so "
        "long. Records of these windows that come later are late. 0: off",
    )


class LateSettings(_Group):
    """What happens to late records."""

    policy: LatePolicy = Field(
        LatePolicy.INCLUDE,
        description="what becomes of a late record: it counts in the open window (`include`), goes to the late topic "
        "(`divert`), or is skipped (`drop`). Each case is counted. `event` needs one of the last two",
    )


class DetectSettings(_Group):
    """Detectors."""

    limit: Annotated[Decimal, Field(allow_inf_nan=False, max_digits=40, decimal_places=20)] = Field(
        Decimal(8000), description="a sum strictly greater than this is an anomaly"
    )


class HttpSettings(_Group):
    """The address of the HTTP server."""

    host: Host = Field(
        "0.0.0.0",  # noqa: S104 - a container must be reachable
        description="the address to listen at. `::` is IPv6 and IPv4; an IPv6 address is written without brackets",
    )
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        8000, description="the port. 0: a free one, which the log names"
    )


class LogSettings(_Group):
    """Logs, to standard error. The default format is console on a terminal and json elsewhere."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="the least level that is logged")
    format: Literal["json", "console"] | None = Field(
        None, description="how lines look. Without it: `console` on a terminal, `json` elsewhere"
    )

    @field_validator("level", mode="before")
    @classmethod
    def _in_any_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value


class Settings(BaseSettings):
    """Every setting. The environment variable of a field is ``GROUP_FIELD``."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_nested_delimiter="_", env_nested_max_split=1)

    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    topics: TopicsSettings = Field(default_factory=TopicsSettings)
    watermark: WatermarkSettings = Field(default_factory=WatermarkSettings)
    window: WindowSettings = Field(default_factory=WindowSettings)
    late: LateSettings = Field(default_factory=LateSettings)
    detect: DetectSettings = Field(default_factory=DetectSettings)
    http: HttpSettings = Field(default_factory=HttpSettings)
    log: LogSettings = Field(default_factory=LogSettings)

    @classmethod
    def settings_customise_sources(  # noqa: D102 - pydantic's
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # load() has merged all sources. pydantic would read the environment again, with foreign names like HTTP_PROXY.
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


def _names() -> dict[str, tuple[str, str]]:
    names = {}
    for group, info in Settings.model_fields.items():
        model = info.annotation
        assert isinstance(model, type), "every group is a model"  # noqa: S101
        assert issubclass(model, BaseModel), "every group is a model"  # noqa: S101
        for name in model.model_fields:
            names[f"{group}_{name}".upper()] = (group, name)
    return names


NAMES: Final = _names()
"""From the environment variable to the group and the field."""
