"""The settings: TOML below the environment, unknown names refused, secrets masked.

They end at bootstrap: inner code gets plain values.
"""

from __future__ import annotations

import os
import re
import socket
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from service.core.model import ClockName, LatePolicy
from service.wire.names import no_broker_in

DEFAULT_FILE: Final = Path("config/service.toml")

TopicName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]
Milliseconds = Annotated[int, Field(ge=0, le=10**15)]


class SettingsError(Exception):
    """The settings cannot be used; the text is one line and names the setting."""


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: object, info: ValidationInfo) -> object:
        # pydantic takes it for 1, and a window of 1 ms is nothing that anybody meant.
        if isinstance(value, bool) and cls.model_fields[info.field_name or ""].annotation is int:
            raise ValueError("input should be a valid integer")
        return value


GUARANTEED: Final = frozenset(
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
"""librdkafka properties that the guarantees rest on, or that have a setting of their own."""


class KafkaSettings(_Group):
    """How to reach Kafka, and as whom."""

    bootstrap_servers: Annotated[str, Field(min_length=1)] = "localhost:9092"
    group_id: Annotated[str, Field(min_length=1)] = "txwatch"
    instance_id: Annotated[str, Field(min_length=1)] = Field(default_factory=socket.gethostname)
    properties: dict[str, str | bool | int | float] = Field(default_factory=dict)

    @field_validator("bootstrap_servers")
    @classmethod
    def _hosts_and_ports(cls, servers: str) -> str:
        # The client would look for a broker at port 0 for ever.
        if (broker := no_broker_in(servers)) is not None:
            raise ValueError(f"{broker!r} is not host:port")
        return servers

    @field_validator("properties")
    @classmethod
    def _not_the_guaranteed_ones(cls, properties: dict[str, Any]) -> dict[str, Any]:
        for name in properties:
            if name in GUARANTEED:
                raise ValueError(f"{name} may not be set here: the service's guarantees rest on it")
        return properties


class TopicsSettings(_Group):
    """Where things are read and written. An empty name of ``aggregates`` turns it off."""

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
    """Event time."""

    lateness_ms: Milliseconds = 1_000
    idle_after_ms: Milliseconds = 30_000
    max_future_ms: Milliseconds = 300_000


class WindowSettings(_Group):
    """Windows."""

    size_ms: Annotated[int, Field(ge=1, le=10**12)] = 10_000
    clock: ClockName = ClockName.PROCESSING
    ingestion_margin_ms: Milliseconds = 1_000
    event_flush_after_ms: Milliseconds = 0


class LateSettings(_Group):
    """Late records."""

    policy: LatePolicy = LatePolicy.INCLUDE


class DetectSettings(_Group):
    """Detectors."""

    limit: Annotated[Decimal, Field(allow_inf_nan=False, max_digits=40, decimal_places=20)] = Decimal(8000)


class HttpSettings(_Group):
    """Where /metrics and the rest are served."""

    host: Annotated[str, Field(min_length=1)] = "0.0.0.0"  # noqa: S104 - CONTRACT: a container must be reachable
    port: Annotated[int, Field(ge=0, le=65535)] = 8000


class LogSettings(_Group):
    """Logs, to standard error. Without a format it is console on a terminal and json elsewhere."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] | None = None

    @field_validator("level", mode="before")
    @classmethod
    def _in_any_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value


class Settings(BaseSettings):
    """Everything that can be set; group and field joined by ``_`` are the environment's name."""

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
        # load() has put everything together; pydantic would read the environment once more, HTTP_PROXY and all.
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


# Variables of other programs that share a prefix with ours: HTTP proxies, Kafka's own scripts, and the links that
# Kubernetes sets for a Service called kafka, http, log ...
_FOREIGN: Final = re.compile(
    r"HTTP_PROXY(_.*)?"
    r"|KAFKA_(HOME|OPTS|HEAP_OPTS|JMX_OPTS|LOG4J_OPTS|JVM_PERFORMANCE_OPTS|GC_LOG_OPTS|CLUSTERS_.*)"
    r"|[A-Z0-9_]+_SERVICE_(HOST|PORT(_.*)?)"
    r"|[A-Z0-9_]+_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?"
)
_LINK: Final = re.compile(r"(tcp|udp|sctp)://.*")
"""What such a link holds: KAFKA_PORT=tcp://10.0.0.1:9092, and HTTP_PORT for a Service called http."""


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
"""Environment variable → group and field."""


class Loaded:
    """Settings, and where each of them came from."""

    def __init__(self, settings: Settings, origins: Mapping[str, str]) -> None:
        """``origins`` by environment name; what is not in it is a default."""
        self.settings: Final = settings
        self._origins = origins

    def as_toml(self) -> str:
        """The effective settings as TOML, secrets masked, each with its origin behind it."""
        lines = []
        groups = self.settings.model_dump(mode="python")
        for group, values in groups.items():
            lines.append(f"[{group}]")
            for name, value in values.items():
                variable = f"{group}_{name}".upper()
                origin = self._origins.get(variable, "default")
                if value is None:
                    lines.append(f"# {name} is not set: console on a terminal, json elsewhere")
                else:
                    lines.append(f"{_toml(name, value)}  # {origin}")
            lines.append("")
        return "\n".join(lines)


_SECRET: Final = re.compile(
    r"password|secret|token|credential|private|\.key|\.pem$|oauthbearer\.(config|assertion)|jaas"
)
MASK: Final = "********"


def mask(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The same properties with every value hidden whose name speaks of a secret."""
    return {name: MASK if _SECRET.search(name.lower()) else value for name, value in properties.items()}


def _toml(name: str, value: Any) -> str:  # noqa: ANN401
    if isinstance(value, dict):
        inner = ", ".join(tomli_w.dumps({key: item}).strip() for key, item in mask(value).items())
        return f"{name} = {{{' ' + inner + ' ' if inner else ''}}}"
    if isinstance(value, Decimal):
        value = int(value) if value == value.to_integral_value() else value
    elif isinstance(value, StrEnum):
        value = value.value
    return tomli_w.dumps({name: value}).strip()


def load(file: Path | None, environment: Mapping[str, str] | None = None) -> Loaded:
    """Read the settings: environment over TOML over defaults.

    Args:
        file: the TOML file; None takes the default one where it exists.
        environment: os.environ unless a test says otherwise.

    Raises:
        SettingsError: something cannot be used.
    """
    environment = _without_foreign(os.environ if environment is None else environment)
    path = file or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)
    toml = {} if path is None else _read_toml(path)
    _refuse_unknown_variables(environment)
    env = _read_environment(environment)
    origins: dict[str, str] = {}
    merged: dict[str, dict[str, Any]] = {}
    for origin, source in ((f"{path}", toml), ("environment", env)):
        for group, values in source.items():
            for name, value in values.items():
                merged.setdefault(group, {})[name] = value
                variable = f"{group}_{name}".upper()
                origins[variable] = f"environment {variable}" if origin == "environment" else origin
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        raise SettingsError(_first(error, origins)) from None
    _refuse_shared_topics(settings.topics)
    if settings.window.clock is ClockName.EVENT and settings.late.policy is LatePolicy.INCLUDE:
        raise SettingsError(
            "LATE_POLICY: include is not possible with WINDOW_CLOCK=event, where the window of such a record has been"
            " emitted: use divert (to TOPICS_LATE) or drop, and a greater WATERMARK_LATENESS_MS to have fewer"
        )
    return Loaded(settings, origins)


def _refuse_shared_topics(topics: TopicsSettings) -> None:
    seen: dict[str, str] = {}
    for field in ("transactions", "alerts", "aggregates", "late", "dead_letter", "state"):
        name, variable = getattr(topics, field), f"TOPICS_{field}".upper()
        if name and name in seen:
            raise SettingsError(f"{seen[name]} and {variable} are both {name}: what is written would be read again")
        seen[name] = variable


def _read_toml(path: Path) -> dict[str, dict[str, Any]]:
    try:
        with path.open("rb") as file:
            content = tomllib.load(file, parse_float=Decimal)
    except OSError as error:
        raise SettingsError(f"--config {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from None
    for group, values in content.items():
        if group not in Settings.model_fields:
            raise SettingsError(f"{path}: there is no group [{group}]; there are {', '.join(Settings.model_fields)}")
        if not isinstance(values, dict):
            raise SettingsError(f"{path}: {group} is a group, to be written [{group}]")
        for name in values:
            if f"{group}_{name}".upper() not in NAMES or name != name.lower():
                raise SettingsError(
                    f"{path}: there is no setting {name} in [{group}]{_nearest(f'{group}_{name}'.upper())}"
                )
    properties = content.get("kafka", {}).get("properties")
    if isinstance(properties, dict):  # only amounts are exact decimals
        content["kafka"]["properties"] = {k: float(v) if isinstance(v, Decimal) else v for k, v in properties.items()}
    return content


def _without_foreign(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if not (_FOREIGN.fullmatch(name) or (name.endswith("_PORT") and _LINK.fullmatch(value)))
    }


def _refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    prefixes = tuple(f"{group.upper()}_" for group in Settings.model_fields)
    for variable in sorted(environment):
        if variable in NAMES:
            continue
        if variable.upper() in NAMES:
            raise SettingsError(f"{variable}: environment variables are in capitals, {variable.upper()}")
        if variable.startswith(prefixes):
            raise SettingsError(f"{variable}: there is no such setting{_nearest(variable)}")


def _nearest(variable: str) -> str:
    import difflib  # noqa: PLC0415 - only a mistake needs it

    near = difflib.get_close_matches(variable, NAMES, 1)
    return f"; did you mean {near[0]}?" if near else ""


class _Environment(EnvSettingsSource):
    """pydantic's reader of nested variables, with only ours to look at."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._ours = {name.lower(): value for name, value in environment.items() if name in NAMES}
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._ours


def _read_environment(environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    properties = environment.get("KAFKA_PROPERTIES")
    if properties is not None:
        _check_json_object("KAFKA_PROPERTIES", properties)
    return dict(_Environment(environment)())


def _check_json_object(variable: str, text: str) -> None:
    import json  # noqa: PLC0415

    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        # Not the text itself: it may hold a password.
        raise SettingsError(f"{variable}: not a JSON object: {error}") from None
    if not isinstance(value, dict):
        raise SettingsError(f"{variable}: not a JSON object but {type(value).__name__}")


def _first(error: ValidationError, origins: Mapping[str, str]) -> str:
    """The first complaint in one line that names the setting, without its value: that may be a secret."""
    complaint = error.errors(include_url=False, include_input=False, include_context=False)[0]
    group, name = (*map(str, complaint["loc"]), "")[:2]
    variable = f"{group}_{name}".upper().removesuffix("_") + ("" if name else "_*")
    origin = origins.get(variable, "")
    inner = ".".join(map(str, complaint["loc"][2:]))
    where = variable if origin.startswith("environment") or not origin else f"{variable} ({origin})"
    message = complaint["msg"].removeprefix("Value error, ")
    return f"{where}{': ' + inner if inner else ''}: {message[0].lower()}{message[1:]}"
