"""Draws docs/pictures/terminal.svg: the demo's time line and `txwatch top`, by their own code, of example data."""

import io
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from service.observe.instances import Instance, Seen
from service.observe.top_view import view
from service.wire.alerts import AlertPayload
from tools.reference_samples import alert as first_alert
from tools.time_line import TimeLine

COLUMNS: Final = 94
NOW_MS: Final = 1_715_392_813_400
"""13.4 s after the example's first record, by the example's own time."""
_SHELL: Final = "bold green"
_SVG: Final = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<title>The demo's time line, and txwatch top, on a terminal</title>
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: {char_height}px; line-height: {line_height}px;
}}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
"""As rich's own, without its font from elsewhere."""


def svg() -> str:
    """The picture."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), color_system="truecolor", force_terminal=True)
    first = AlertPayload.from_json(first_alert().value or b"")
    second = first.model_copy(
        update={"timestamp": 1_715_392_810_000, "amount": Decimal("9000.0"), "watermark": 1_715_392_809_000}
    )
    console.print(Text("$ ./demo", _SHELL))
    for alert in (first, second):
        console.print(Text(alert.text(), "bold red"))
    console.print(_time_line().drawn(COLUMNS))
    console.print(Text("\n$ txwatch top", _SHELL))
    console.print(view([_instance([first, second])], lines=40))
    return console.export_svg(title="txwatch", code_format=_SVG, unique_id="terminal")


def _time_line() -> TimeLine:
    return TimeLine(
        watermark_ms=NOW_MS - 1_400,
        now_ms=NOW_MS,
        closes_ms=NOW_MS // 10_000 * 10_000 + 10_000,
        window_ms=10_000,
        lateness_ms=1_000,
        is_open=True,
        local_time=lambda ms: f"{datetime.fromtimestamp(ms / 1000, UTC):%H:%M:%S}",
    )


def _instance(alerts: list[AlertPayload]) -> Instance:
    """An instance that has answered twice."""
    partitions = [
        _partition(0, 1_400, open_keys=7),
        _partition(1, 1_450, open_keys=4),
        _partition(2, 2_100, open_keys=5, lag=312),
        _partition(3, 64_000, open_keys=0, idle=True),
    ]
    status = {"ready": True, "reason": None, "throttled": None, "watermark": NOW_MS - 2_100, "partitions": partitions}
    totals = {"txwatch_records_total": 128_400.0, "txwatch_records_late_total": 37.0, "txwatch_anomalies_total": 2.0}
    found = Instance("http://127.0.0.1:8000")
    found.before = Seen(0.0, NOW_MS - 1_000, status, totals | {"txwatch_records_total": 126_157.0})
    found.seen = Seen(1.0, NOW_MS, status, totals, {"threshold": 2.0})
    found.alerts.extend(alert.model_dump(exclude_none=True, exclude_defaults=True) for alert in alerts)
    return found


def _partition(number: int, behind_ms: int, *, open_keys: int, lag: int = 0, idle: bool = False) -> dict[str, Any]:
    watermark = NOW_MS - behind_ms
    return {
        "partition": number, "watermark": watermark, "lag": lag, "open_keys": open_keys, "idle": idle,
        "blocked_ms": None, "waits_for": None,
    }  # fmt: skip
