"""Every setting, its default and its bounds."""

from __future__ import annotations

import socket
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from service.core.model import ClockName, LatePolicy
from service.wire.names import fault_of_host, fault_of_name, fault_of_text, first_bad_address


def _refusing(fault_of: Callable[[str], str | None]) -> AfterValidator:
    def check(name: str) -> str:
        if (fault := fault_of(name)) is not None:
            raise ValueError(fault)
        return name

    return AfterValidator(check)


Name = Annotated[str, _refusing(fault_of_name)]
Host = Annotated[str, _refusing(fault_of_host)]
Servers = Annotated[str, _refusing(fault_of_text)]
TopicName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]
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


PROTECTED_PROPERTIES: Final = frozenset(
    {
        "acks",
        "auto.offset.reset",
        "bootstrap.servers",
        "delivery.timeout.ms",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.gapless.guarantee",
        "enable.idempotence",
        "enable.partition.eof",
        "error_cb",
        "group.id",
        "group.instance.id",
        "isolation.level",
        "logger",
        "message.timeout.ms",
        "metadata.broker.list",
        "partition.assignment.strategy",
        "partitioner",
        "request.required.acks",
        "transaction.timeout.ms",
        "transactional.id",
    }
)
"""librdkafka properties that the service's guarantees need, or that have a setting of their own."""


class KafkaSettings(_Group):
    """How to reach Kafka, and under which names."""

    bootstrap_servers: Servers = "localhost:9092"
    group_id: Name = "txwatch"
    instance_id: Name = Field(default_factory=socket.gethostname)
    properties: dict[str, str | bool | int | float] = Field(default_factory=dict)

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

    transactions: TopicName = "transactions"
    alerts: TopicName = "alerts"
    aggregates: Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{0,249}$")] = ""
    late: TopicName = "transactions.late"
    dead_letter: TopicName = "transactions.dead-letter"
    state: TopicName = "txwatch.state"
    create: bool = True
    partitions: Annotated[int, Field(ge=1, le=10_000)] = 4
    replication: Annotated[int, Field(ge=-1, le=100)] = -1

    @field_validator("transactions", "alerts", "aggregates", "late", "dead_letter", "state")
    @classmethod
    def _no_folder(cls, name: str) -> str:
        if name in {".", ".."}:
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

    lateness_ms: Milliseconds = 1_000
    idle_after_ms: Milliseconds = 30_000
    max_future_ms: Milliseconds = 300_000


class WindowSettings(_Group):
    """The windows' size and clock."""

    size_ms: Annotated[int, Field(ge=1, le=10**12)] = 10_000
    clock: ClockName = ClockName.PROCESSING
    ingestion_margin_ms: Milliseconds = 1_000
    event_flush_after_ms: Milliseconds = 0


class LateSettings(_Group):
    """What happens to late records."""

    policy: LatePolicy = LatePolicy.INCLUDE


class DetectSettings(_Group):
    """Detectors."""

    limit: Annotated[Decimal, Field(allow_inf_nan=False, max_digits=40, decimal_places=20)] = Decimal(8000)


class HttpSettings(_Group):
    """The address of the HTTP server."""

    host: Host = "0.0.0.0"  # noqa: S104 - CONTRACT: a container must be reachable
    port: Annotated[int, Field(ge=0, le=65535)] = 8000


class LogSettings(_Group):
    """Logs, to standard error. The default format is console on a terminal and json elsewhere."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] | None = None

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
