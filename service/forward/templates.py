"""The bodies of requests: an alert as CloudEvents, Slack, PagerDuty and Alertmanager take it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from service.core.money import number_text
from service.wire.alerts import AlertPayload

ROUTING_KEY: Final = "X-Routing-Key"
"""The header whose value PagerDuty takes in the body."""
_ENDS_AFTER_MS: Final = 300_000
"""An alert that is no part of an episode ends in Alertmanager after this time."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_SUMMARY: Final = 1_024
"""PagerDuty refuses a longer one."""
_LONGEST_LINE: Final = 3_000
"""An id may be long, and Slack would cut off or refuse what nobody reads."""


@dataclass(frozen=True, slots=True)
class Forwarded:
    """An alert as the topic has it."""

    alert: AlertPayload
    value: bytes
    """Its JSON, in which amounts are exact."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a template needs beside the alert; ``headers`` are those of the target."""

    now_ms: int
    forget_after_ms: int
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a request."""

    content_type: str
    data: bytes


def _cloudevents(one: Forwarded, context: Context) -> Body:
    del context
    alert = one.alert
    event = {
        "specversion": "1.0",
        "id": alert.alert_id,
        "type": "txwatch.alert.v1",
        "source": f"/{alert.source.topic}/{alert.source.partition}",
        "time": _time(alert.detected_at),
        "datacontenttype": "application/json",
    }
    # The value goes in as it is: reading and writing it again could change an amount.
    return Body("application/cloudevents+json", json.dumps(event).encode()[:-1] + b', "data": ' + one.value + b"}")


def _slack(one: Forwarded, context: Context) -> Body:
    del context
    text = one.alert.text()[:_LONGEST_LINE].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _json({"text": text})


def _pagerduty(one: Forwarded, context: Context) -> Body:
    alert = one.alert
    key = next((value for name, value in context.headers.items() if name.lower() == ROUTING_KEY.lower()), "")
    return _json(
        {
            "routing_key": key,
            "event_action": "resolve" if alert.status == "resolved" else "trigger",
            "dedup_key": alert.episode_id or alert.alert_id,
            "payload": {
                "summary": alert.text()[:_LONGEST_SUMMARY],
                "source": f"{alert.source.topic}/{alert.source.partition}",
                "severity": "error",
                "timestamp": _time(alert.detected_at),
                "component": alert.detector,
                "custom_details": _details(alert),
            },
        }
    )


def _alertmanager(one: Forwarded, context: Context) -> Body:
    alert = one.alert
    # An episode's two alerts must have the same labels, or the second one would resolve nothing.
    labels = {
        "alertname": "TxwatchAnomaly",
        "detector": alert.detector,
        "transaction_id": alert.transaction_id,
        "topic": alert.source.topic,
        "partition": str(alert.source.partition),
        **({"episode_id": alert.episode_id} if alert.episode_id else {"alert_id": alert.alert_id}),
    }
    lasts_ms = {"open": context.forget_after_ms, "resolved": 0}.get(alert.status or "", _ENDS_AFTER_MS)
    sent = {"labels": labels, "annotations": {"summary": alert.text(), **_details(alert)}}
    starts_ms = min(alert.detected_at, context.now_ms)
    return _json([{**sent, "startsAt": _time(starts_ms), "endsAt": _time(context.now_ms + lasts_ms)}])


TEMPLATES: Final[Mapping[str, Callable[[Forwarded, Context], Body]]] = {
    "cloudevents": _cloudevents,
    "slack": _slack,
    "pagerduty": _pagerduty,
    "alertmanager": _alertmanager,
}


def _details(alert: AlertPayload) -> dict[str, str]:
    """The fields that people ask for, as text: amounts stay exact."""
    window = alert.window
    found = {
        "alert_id": alert.alert_id,
        "amount": number_text(alert.amount),
        "limit": number_text(alert.limit),
        "count": str(alert.count),
        "watermark": "" if alert.watermark is None else _time(alert.watermark),
        "window": f"{_time(window.start)} to {_time(window.end)} ({window.clock})",
    }
    if alert.value is not None:
        found |= {"of": alert.of, "value": number_text(alert.value)}
    return found


def _json(value: Any) -> Body:  # noqa: ANN401
    return Body("application/json", json.dumps(value).encode())


def _time(ms: int) -> str:
    """ISO 8601, UTC; a time that no calendar has as its last one."""
    try:
        moment = _EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        moment = datetime.max.replace(tzinfo=UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
