"""Plain values made from the settings, for rooms that do not know settings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import service
from service.core.detectors import ConfiguredDetector
from service.core.model import AggregateDetail
from service.core.rules import TaskRules
from service.settings import Settings


def task_rules(settings: Settings, detail: AggregateDetail) -> TaskRules:
    """The rules by which tasks judge records: window, watermark, lateness, what an aggregate carries."""
    return TaskRules(
        clock=settings.window.clock,
        window_size_ms=settings.window.size_ms,
        lateness_ms=settings.watermark.lateness_ms,
        idle_after_ms=settings.watermark.idle_after_ms,
        max_future_ms=settings.watermark.max_future_ms,
        late_policy=settings.late.policy,
        margin_ms=settings.window.ingestion_margin_ms,
        flush_after_ms=settings.window.event_flush_after_ms,
        detail=detail,
    )


def description(settings: Settings) -> dict[str, Any]:
    """The settings that the line ``started`` shows."""
    return {
        "version": service.__version__,
        "bootstrap_servers": settings.kafka.bootstrap_servers,
        "group": settings.kafka.group_id,
        "instance": settings.kafka.instance_id,
        "topic": settings.topics.transactions,
        "window_ms": settings.window.size_ms,
        "window_clock": settings.window.clock.value,
        "lateness_ms": settings.watermark.lateness_ms,
    }


def about(settings: Settings, detectors: Iterable[ConfiguredDetector], target: str) -> dict[str, Any]:
    """What the page says of the instance and its rules; ``target`` as in judging()."""
    types = {one.name: one.type for one in settings.detectors}
    return {
        "version": service.__version__,
        "instance": settings.kafka.instance_id,
        "group": settings.kafka.group_id,
        "topic": settings.topics.transactions,
        "clock": settings.window.clock.value,
        "window_ms": settings.window.size_ms,
        "lateness_ms": settings.watermark.lateness_ms,
        "late_policy": settings.late.policy.value,
        "detectors": []
        if target
        else [
            {
                "name": one.name,
                "type": types.get(one.name, "threshold"),
                "of": one.of.value,
                "shadow": one.shadow,
                "episodes": one.resolve_after > 0,
                "limit": None if settings.detectors else str(settings.detect.limit),
            }
            for one in detectors
        ],
    }


def judging(settings: Settings, target: str) -> dict[str, Any]:
    """What the line ``started`` shows of the detectors: their names, or the default detector's limit.

    With a ``target`` nothing is judged: `rekey` writes the records there.
    """
    if target:
        return {"target": target}
    if settings.detectors:
        return {"detectors": [one.name for one in settings.detectors]}
    return {"limit": str(settings.detect.limit)}
