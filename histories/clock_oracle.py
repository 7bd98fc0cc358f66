"""What the windows of one partition hold by append time and by event time, worked out from its records alone.

One scan from the first record to the last, with fractions, no code of the service's, and nothing about crashes:
whatever happened to the service, this is what must have been committed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

from histories.detector_values import Closed, Seen

_NOT_WRITTEN: Final = {"first", "last", "least", "greatest", "latest"}
"""What an aggregate's payload does not have, or has elsewhere."""


@dataclass(frozen=True)
class Rec:
    """A record of the input."""

    offset: int
    value: bytes
    appended_ms: int


@dataclass(frozen=True)
class Rules:
    """What decides where a record goes. ``max_future_ms`` counts from the append time."""

    clock: str
    size_ms: int
    lateness_ms: int
    policy: str
    max_future_ms: int = 0

    @property
    def name(self) -> str:
        """For people, and for topics."""
        return f"{self.clock}-{self.policy}"

    def settings(self) -> dict[str, str]:
        """As environment variables of the service."""
        return {
            "WINDOW_CLOCK": self.clock,
            "WINDOW_SIZE_MS": str(self.size_ms),
            "WATERMARK_LATENESS_MS": str(self.lateness_ms),
            "LATE_POLICY": self.policy,
            "WATERMARK_MAX_FUTURE_MS": str(self.max_future_ms),
        }

    def topic_config(self) -> dict[str, str]:
        """What the input topic needs."""
        return {"message.timestamp.type": "LogAppendTime"} if self.clock == "ingestion" else {}


@dataclass
class Expected:
    """What should be committed of one partition. Windows are by start; a window that is not over has no watermark."""

    windows: dict[int, dict[str, dict[str, Any]]] = field(default_factory=dict)
    watermarks: dict[int, int] = field(default_factory=dict)
    bad: list[int] = field(default_factory=list)
    late: list[int] = field(default_factory=list)
    """Set aside as late, by whatever reason."""
    newest_ms: int | None = None

    def aggregates(self, rules: Rules, topic: str, partition: int) -> list[dict[str, Any]]:
        """The payloads of the windows that are over."""
        found = []
        for start_ms, keys in self.windows.items():
            if start_ms not in self.watermarks:
                continue
            window = {"start": start_ms, "end": start_ms + rules.size_ms, "clock": rules.clock}
            for key, one in keys.items():
                source = {
                    "topic": topic,
                    "partition": partition,
                    "first_offset": one["first"],
                    "last_offset": one["last"],
                }
                rest = {name: value for name, value in one.items() if name not in _NOT_WRITTEN}
                mark = self.watermarks[start_ms]
                found.append({"transaction_id": key, **rest, "watermark": mark, "window": window, "source": source})
        return found

    def closed(self, rules: Rules) -> list[Closed]:
        """The same windows for the detectors."""
        return [
            Closed(
                start_ms,
                start_ms + rules.size_ms,
                rules.clock,
                mark_ms,
                {key: Seen(**one) for key, one in self.windows[start_ms].items()},
            )
            for start_ms, mark_ms in self.watermarks.items()
        ]


def expect(records: Iterable[Rec], rules: Rules) -> Expected:
    """Scan a partition. By ``ingestion`` its last window is over, too."""
    found = Expected()
    scan = {"ingestion": _by_append_time, "event": _by_event_time}[rules.clock]
    scan(found, records, rules)
    return found


def _by_append_time(found: Expected, records: Iterable[Rec], rules: Rules) -> None:
    present: int | None = None
    for record, transaction in _good(found, records):
        event_ms = transaction["timestamp"]
        if rules.max_future_ms and event_ms > record.appended_ms + rules.max_future_ms:
            if not _is_left_out(transaction):
                found.bad.append(record.offset)
            continue
        start_ms = record.appended_ms // rules.size_ms * rules.size_ms
        below = present is not None and start_ms < present
        if present is not None and start_ms > present and present in found.windows:
            found.watermarks[present] = _watermark(found, rules)
        present = start_ms if present is None else max(present, start_ms)
        if _is_left_out(transaction):
            found.newest_ms = max(event_ms, found.newest_ms or event_ms)
            continue
        late = below or (found.newest_ms is not None and event_ms < found.newest_ms - rules.lateness_ms)
        found.newest_ms = event_ms if found.newest_ms is None else max(found.newest_ms, event_ms)
        if late and rules.policy != "include":
            found.late.append(record.offset)
        else:
            _add(found, present, record.offset, transaction, late=late)
    if present is not None and present in found.windows:
        found.watermarks[present] = _watermark(found, rules)


def _by_event_time(found: Expected, records: Iterable[Rec], rules: Rules) -> None:
    still_open = set[int]()
    for record, transaction in _good(found, records):
        event_ms = transaction["timestamp"]
        found.newest_ms = event_ms if found.newest_ms is None else max(found.newest_ms, event_ms)
        mark_ms = found.newest_ms - rules.lateness_ms
        over = [start_ms for start_ms in still_open if start_ms + rules.size_ms <= mark_ms]
        found.watermarks |= dict.fromkeys(over, mark_ms)
        still_open.difference_update(over)
        if _is_left_out(transaction):
            continue
        start_ms = event_ms // rules.size_ms * rules.size_ms
        if start_ms + rules.size_ms <= mark_ms:
            found.late.append(record.offset)
        else:
            _add(found, start_ms, record.offset, transaction, late=event_ms < mark_ms)
            still_open.add(start_ms)


def _good(found: Expected, records: Iterable[Rec]) -> Iterable[tuple[Rec, dict[str, Any]]]:
    for record in records:
        try:
            transaction = json.loads(record.value, parse_float=Fraction)
            plausible = transaction["timestamp"] >= 10**11 and "amount" in transaction
        except (ValueError, KeyError):
            plausible = False
        if plausible:
            yield record, transaction
        else:
            found.bad.append(record.offset)


def _is_left_out(transaction: dict[str, Any]) -> bool:
    """Whether the mapping ``INPUT_WHERE=op=c`` leaves it out. A record without ``op`` comes only without a mapping."""
    return transaction.get("op") == "d"


def _watermark(found: Expected, rules: Rules) -> int:
    assert found.newest_ms is not None
    return found.newest_ms - rules.lateness_ms


def _add(found: Expected, start_ms: int, offset: int, transaction: dict[str, Any], *, late: bool) -> None:
    event_ms = transaction["timestamp"]
    one = found.windows.setdefault(start_ms, {}).setdefault(
        transaction["transaction_id"],
        {
            "timestamp": event_ms,
            "amount": Fraction(0),
            "count": 0,
            "late_count": 0,
            "max_timestamp": event_ms,
            "first": offset,
            "last": offset,
            "least": Fraction(transaction["amount"]),
            "greatest": Fraction(transaction["amount"]),
            "latest": offset,
        },
    )
    amount = Fraction(transaction["amount"])
    one["amount"] += amount
    one["least"], one["greatest"] = min(one["least"], amount), max(one["greatest"], amount)
    if event_ms > one["max_timestamp"]:
        one["latest"] = offset
    one["count"] += 1
    one["late_count"] += late
    one["max_timestamp"] = max(one["max_timestamp"], event_ms)
    one["last"] = offset
