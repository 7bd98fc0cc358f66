"""The settings of time, detectors, pages and logs."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, field_validator

from service.core.detectors import DAY_MS
from service.core.model import ClockName, LatePolicy
from service.settings.fields import Group, Host, Limit, Milliseconds, SomeMilliseconds


class WatermarkSettings(Group):
    """The watermark: allowed lateness, idleness, and how far ahead an event time may be."""

    lateness_ms: Milliseconds = Field(
        1_000,
        description="the watermark is the greatest event time seen minus this. A record below the watermark is late",
    )
    idle_after_ms: Milliseconds = Field(
        30_000,
        description="a partition that is read to its end and silent for this long no longer holds back the service's "
        "watermark",
    )
    max_future_ms: Milliseconds = Field(
        300_000, description="an event time further ahead of the wall clock is rejected (`timestamp_in_future`). 0: off"
    )


class WindowSettings(Group):
    """The windows' size and clock."""

    size_ms: Annotated[int, Field(ge=1, le=10**12)] = Field(10_000, description="the length of a window")
    clock: ClockName = Field(
        ClockName.PROCESSING,
        description="which clock a window follows: the service's wall clock (`processing`), the broker's append time "
        "(`ingestion`), or the record's own time (`event`). [time.md](time.md) says which one when",
    )
    ingestion_margin_ms: Milliseconds = Field(
        1_000,
        description="`ingestion` only: the wall clock closes a window this long after its end. It must exceed the "
        "difference between the clocks of brokers and service",
    )
    event_flush_after_ms: Milliseconds = Field(
        0,
        description="`event` only: closes the open windows of a partition that is read to its end and silent for this "
        "long. Later records of these windows are late. 0: off",
    )


class LateSettings(Group):
    """What happens to late records."""

    policy: LatePolicy = Field(
        LatePolicy.INCLUDE,
        description="what happens to a late record: it counts in the open window (`include`), goes to the late topic "
        "(`divert`), or is skipped (`drop`). Each case is counted. `WINDOW_CLOCK=event` needs `divert` or `drop`",
    )


class DetectSettings(Group):
    """Detectors."""

    limit: Limit = Field(
        Decimal(8000),
        description="a sum strictly greater than this is an anomaly, by the default detector. Refused with "
        "`[[detectors]]`",
    )
    forget_after_ms: SomeMilliseconds = Field(
        30 * DAY_MS,
        description="a detector forgets a key that was silent for this long, by event time; its open episode is "
        "resolved",
    )


class HttpSettings(Group):
    """The address of the HTTP server."""

    host: Host = Field(
        "0.0.0.0",  # noqa: S104 - a container must be reachable
        description="the address to listen on. `::` is IPv6 and IPv4; an IPv6 address is written without brackets",
    )
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        8000, description="the port. 0: a free one, which the log names"
    )
    page: bool = Field(
        default=False,
        description="the live page at `/`, and alerts as events at `/events`. They show ids and amounts to all who "
        "reach the port. Off: `/` is a plain list of the paths",
    )


class LogSettings(Group):
    """Logs, to standard error. The default format is console on a terminal and json elsewhere."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="the lowest level that is logged")
    format: Literal["json", "console"] | None = Field(
        None, description="the form of log lines. Default: `console` on a terminal, `json` elsewhere"
    )

    @field_validator("level", mode="before")
    @classmethod
    def _in_any_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value
