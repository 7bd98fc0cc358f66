"""How `txwatch top` looks: pure, from what instances said to what a terminal shows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from service.observe.instances import Instance, Seen

ALERTS: Final = 8
"""How many alerts are shown."""
OTHER_LINES: Final = 8
"""Lines of an instance beside its partitions."""
LEAST_ROWS: Final = 3
LONG: Final = 1 << 20
"""As many lines as anything needs, where there is no terminal."""
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS


def view(instances: Sequence[Instance], lines: int) -> RenderableType:
    """Everything, for a terminal of so many lines."""
    rows = max(LEAST_ROWS, (lines - ALERTS - 4) // len(instances) - OTHER_LINES)
    parts: list[RenderableType] = [_instance(one, rows) for one in instances]
    parts.append(_alerts(instances))
    return Group(*parts)


def duration(ms: float) -> str:
    """A time span in its largest units."""
    ms = abs(ms)
    if ms < MINUTE_MS:
        return f"{ms / 1000:.1f} s"
    if ms < HOUR_MS:
        return f"{ms / MINUTE_MS:.0f} min"
    return f"{ms / HOUR_MS:.0f} h" if ms < 2 * DAY_MS else f"{ms / DAY_MS:,.0f} d"


def moment(ms: int | None) -> str:
    """An event time, UTC; a dash where there is none."""
    if ms is None:
        return "-"
    at = datetime.fromtimestamp(ms / 1000, UTC)
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 100_000}"


def printable(text: str) -> str:
    """The text with control characters, and those that turn writing round, as their codes."""
    return "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in text)


def _instance(instance: Instance, rows: int) -> RenderableType:
    seen = instance.seen
    if seen is None:
        return Panel(Text("asking …", "dim"), title=Text(instance.url), title_align="left", border_style="dim")
    if seen.fault is not None:
        fault = Text(f"no answer: {printable(seen.fault)}", "red")
        return Panel(fault, title=Text(instance.url), title_align="left", border_style="red")
    status = seen.status
    ready = bool(status.get("ready"))
    title = Text(f" {instance.url} ").append("● ready " if ready else "● not ready ", "green" if ready else "yellow")
    parts: list[RenderableType] = [_figures(instance, seen)]
    if not ready:
        parts.append(Text(printable(str(status.get("reason"))), "yellow"))
    if status.get("throttled"):
        parts.append(Text(printable(str(status["throttled"])), "yellow"))
    parts.append(_partitions(seen, rows))
    return Panel(Group(*parts), title=title, title_align="left", border_style="green" if ready else "yellow")


def _figures(instance: Instance, seen: Seen) -> Text:
    rate, totals = instance.rate("txwatch_records_total"), seen.totals
    watermark = seen.status.get("watermark")
    lags = [one["lag"] for one in seen.status["partitions"] if one["lag"] is not None]
    text = Text()
    for name, value, style in (
        ("records/s", "-" if rate is None else f"{rate:,.0f}", "bold"),
        ("watermark behind", "-" if watermark is None else duration(seen.now_ms - watermark), "bold magenta"),
        ("lag", f"{sum(lags):,}", "bold"),
        ("late", f"{totals.get('txwatch_records_late_total', 0):,.0f}", "yellow"),
        ("rejected", f"{totals.get('txwatch_records_rejected_total', 0):,.0f}", "yellow"),
        ("anomalies", _found(seen), "bold red"),
    ):
        text.append(f"{name} ", "dim").append(f"{value}   ", style)
    return text


def _found(seen: Seen) -> str:
    total = seen.totals.get("txwatch_anomalies_total", 0)
    if len(seen.by_detector) < 2:  # noqa: PLR2004 - one detector needs no name
        return f"{total:,.0f}"
    return f"{total:,.0f} ({', '.join(f'{name} {count:,.0f}' for name, count in sorted(seen.by_detector.items()))})"


def _partitions(seen: Seen, rows: int) -> RenderableType:
    """A table of partitions; where there are more than ``rows``, those that need a look come first."""
    partitions: list[dict[str, Any]] = seen.status["partitions"]
    if not partitions:
        return Text("no partition", "dim")
    shown = partitions
    if len(partitions) > rows:
        shown = sorted(partitions, key=lambda one: (one["blocked_ms"] is None, -(one["lag"] or 0)))[:rows]
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 3, 0, 0))
    table.add_column("partition", justify="right")
    table.add_column("watermark", style="magenta")
    for name in ("behind", "lag", "open keys"):
        table.add_column(name, justify="right")
    table.add_column("state")
    for one in shown:
        watermark, lag = one["watermark"], one["lag"]
        table.add_row(
            str(one["partition"]),
            moment(watermark),
            "-" if watermark is None else duration(seen.now_ms - watermark),
            Text("?" if lag is None else f"{lag:,}", "yellow" if lag else ""),
            f"{one['open_keys']:,}",
            _state(one),
        )
    if len(shown) == len(partitions):
        return table
    return Group(table, Text(f"and {len(partitions) - len(shown):,} more", "dim"))


def _state(partition: dict[str, Any]) -> Text:
    if partition["blocked_ms"] is not None:
        return Text(f"blocked for {duration(partition['blocked_ms'])}: {partition['waits_for']}", "red")
    if partition["idle"]:
        return Text("idle", "dim")
    return Text("catching up", "yellow") if partition["lag"] else Text("up to date", "green")


def _alerts(instances: Sequence[Instance]) -> RenderableType:
    found = [alert for one in instances for alert in tuple(one.alerts)]
    newest = sorted(found, key=lambda one: int(one.get("detected_at") or 0), reverse=True)[:ALERTS]
    if not newest:
        has_any = any(one.has_alerts for one in instances)
        return Text("no alert yet" if has_any else "alerts show here where HTTP_PAGE is true", "dim")
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 3, 0, 0))
    table.add_column("alert", style="bold red", no_wrap=True, max_width=40)
    table.add_column("sum", justify="right", style="bold")
    table.add_column("limit", justify="right")
    table.add_column("watermark", style="magenta")
    table.add_column("detector")
    for one in newest:
        status = f" ({one['status']})" if one.get("status") else ""
        table.add_row(
            Text(printable(str(one.get("transaction_id"))), overflow="ellipsis"),
            str(one.get("value", one.get("amount"))),
            str(one.get("limit")),
            moment(one.get("watermark")),
            f"{one.get('detector')}{status}",
        )
    return table
