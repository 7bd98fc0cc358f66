"""The report of a backtest in lines for people."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from service.core.detectors import ConfiguredDetector
from service.history.backtest.report import MOST_IDS, Report, fit_of
from service.history.backtest.side import Side

LEAST_WIDTH, MOST_WIDTH = 60, 120
MOST_LISTED: Final = 10
INDENT: Final = "  "
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
LONGEST_BAR: Final = 40
_BAR: Final = "━"


def lines(report: Report, width: int) -> Iterator[str]:
    """Yield the lines, at most ``width`` characters long where a name does not need more."""
    width = max(LEAST_WIDTH, min(width, MOST_WIDTH))
    side = report.side
    yield f"Backtest of {report.source}"
    if report.first_ms is None or report.last_ms is None:
        yield "No records."
    else:
        show = _minute if report.days >= 1 else _second
        yield f"{show(report.first_ms)} to {show(report.last_ms)} UTC, {_length(report.days)}"
    yield ""
    yield from _totals(report, width)
    yield ""
    yield from _by_detector(report, width)
    if top := side.top.top(MOST_IDS):
        yield ""
        yield f"Ids with most alerts{'' if len(top) == MOST_IDS else ' (all of them)'}"
        yield from _bars(top, width)
    if report.budget is not None:
        yield ""
        yield f"For at most {_number(report.budget)} a day"
        yield from _budget(report)
    if report.difference is not None and report.against is not None:
        yield ""
        yield from _against(report, report.against, width)
    if report.notes:
        yield ""
        for note in report.notes:
            yield from textwrap.wrap(note, width, initial_indent="* ", subsequent_indent=INDENT)


def _totals(report: Report, width: int) -> Iterator[str]:
    side = report.side
    others = {
        **report.unusable,
        **{f"rejected ({reason.value})": count for reason, count in sorted(side.rejected.items())},
        "late": side.late,
        "left out by INPUT_WHERE": side.filtered,
    }
    said = ", ".join(f"{count:,} {what}" for what, count in others.items() if count)
    about = "about " if side.keys.estimated else ""
    alerts = report.alerts()
    rows = [
        ("Records", f"{report.records:,}", said),
        ("Windows", f"{side.windows:,}", f"of {about}{side.keys.count:,} ids"),
        ("Alerts", f"{alerts:,}", f"{_rate(report.a_day(alerts))} a day"),
    ]
    numbers = max(len(number) for _, number, _ in rows)
    for name, number, more in rows:
        start = f"{name:<9}{number:>{numbers}}   "
        yield from textwrap.wrap(more, width, initial_indent=start, subsequent_indent=" " * len(start)) or [
            start.rstrip()
        ]


def _by_detector(report: Report, width: int) -> Iterator[str]:
    side = report.side
    labelled = side.quality.labelled
    heading = ["Detector", "alerts", "a day"]
    if labelled:
        heading += ["precision", "recall", "average", "detected", "after"]
    rows = [
        _cells(report, side, f"{one.name}{' (shadow)' if one.shadow else ''}", side.alerts[one.name], one)
        for one in side.detectors
    ]
    if labelled and len(side.detectors) > 1:
        rows.append(_cells(report, side, "all active", report.alerts(), None))
    yield from _table([heading, *rows], width)
    if labelled:
        quality = side.quality
        yield ""
        text = (
            f"{quality.bad_windows:,} windows of {quality.bad_ids:,} ids are bad. Average: the average precision, by"
            " the detector's score. Detected: ids with an alert about a bad window. After: the median time from an id's"
            " first bad record to the end of that window."
        )
        yield from textwrap.wrap(text, width)


def _cells(report: Report, side: Side, name: str, alerts: int, one: ConfiguredDetector | None) -> list[str]:
    cells = [name, f"{alerts:,}", _rate(report.a_day(alerts))]
    if side.quality.labelled:
        figures = side.quality.of_all() if one is None else side.quality.of(one.name)
        cells += [_share(figures[each]) for each in ("precision", "recall", "average_precision")]
        after = figures["seconds_to_detection"]
        cells += [f"{figures['ids_detected']:,}", "-" if after is None else _seconds(after)]
    return cells


def _table(rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    room = width - sum(widths[1:]) - 2 * (len(widths) - 1)
    widths[0] = max(8, min(widths[0], room))
    for cells in rows:
        others = "".join(f"  {cell:>{wide}}" for cell, wide in zip(cells[1:], widths[1:], strict=True))
        yield f"{_short(cells[0], widths[0]):<{widths[0]}}{others}"


def _bars(top: Sequence[tuple[str, int]], width: int) -> Iterator[str]:
    names = min(max(len(_printable(key)) for key, _ in top), width // 2)
    numbers = len(f"{top[0][1]:,}")
    room = min(LONGEST_BAR, width - len(INDENT) - names - numbers - 4)
    for key, count in top:
        bar = _BAR * max(1, round(room * count / top[0][1]))
        yield f"{INDENT}{_short(key, names):<{names}}  {count:>{numbers},}  {bar}"


def _budget(report: Report) -> Iterator[str]:
    for one in report.side.detectors:
        fit = fit_of(report, one)
        if fit is None:
            yield f"{INDENT}{one.name}: has no limit to choose"
        elif fit.value is None:
            yield f"{INDENT}{one.name}: any {fit.setting}, for it judges only {fit.anomalies:,} windows"
        else:
            rate = _rate(report.a_day(fit.anomalies))
            yield f"{INDENT}{one.name}: {fit.setting} = {fit.value!r} finds {fit.anomalies:,} windows, {rate} a day"


def _against(report: Report, against: Side, width: int) -> Iterator[str]:
    assert report.difference is not None  # noqa: S101 - the caller has looked
    before = report.alerts(against)
    gained, lost = report.difference.gained, report.difference.lost
    yield f"Against the other configuration: {len(gained):,} gained, {len(lost):,} lost"
    yield f"{INDENT}it has {before:,} alert{'' if before == 1 else 's'}, {_rate(report.a_day(before))} a day"
    if against.quality.labelled:
        figures = against.quality.of_all()
        said = [f"{name} {_share(figures[name])}" for name in ("precision", "recall")]
        yield f"{INDENT}{', '.join(said)}"
    for sign, found in (("+", gained), ("-", lost)):
        for one in found[:MOST_LISTED]:
            yield f"{INDENT}{sign} {_line(one, width - len(INDENT) - 2)}"
        if len(found) > MOST_LISTED:
            yield f"{INDENT}{sign} and {len(found) - MOST_LISTED:,} more"


def _line(one: dict[str, Any], width: int) -> str:
    window = one["window"]
    start = f"{_second(window['start'])}  {one['detector']}  "
    return start + _short(one["transaction_id"], max(8, width - len(start)))


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def _short(text: str, width: int) -> str:
    text = _printable(text)
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _moment(ms: int, form: str) -> str:
    try:
        return f"{_EPOCH + timedelta(milliseconds=ms):{form}}"
    except OverflowError:  # after the year 9999
        return f"{ms} ms"


def _minute(ms: int) -> str:
    return _moment(ms, "%Y-%m-%d %H:%M")


def _second(ms: int) -> str:
    return _moment(ms, "%Y-%m-%d %H:%M:%S")


def _length(days: float) -> str:
    return f"{days:,.1f} days" if days >= 1 else _seconds(days * 86_400)


def _seconds(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:,.1f} s"


def _rate(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.1f}" if number >= 1 or not number else f"{number:.2g}"  # noqa: PLR2004


def _number(number: float) -> str:
    return f"{number:,.0f}" if number == int(number) else f"{number:,}"


def _share(number: float | None) -> str:
    return "-" if number is None else f"{number:.3f}"
