"""Writes the figures of a run into docs/quality.md, each between its own two marks, and draws them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from bench.page import PICTURES, fill_marks
from bench.plots import Bars, draw_bars
from bench.report import Figure, Row
from brokerkit.service_process import ROOT

PAGE: Final = ROOT / "docs" / "quality.md"
NAMES: Final[Mapping[str, str]] = {
    "threshold-sum": "`threshold` on the sum",
    "threshold-max": "`threshold` on `max`",
    "deviation-max-default": "`deviation` of `max`, defaults",
    "deviation-max-clip": "`deviation` of `max`, clip",
    "deviation-max-fading": "`deviation` of `max`, clip, 10 windows, half-life 30",
    "deviation-sum": "`deviation` of the sum, clip, 10 windows",
    "deviation-count": "`deviation` of `count`, clip, 10 windows",
    "deviation-max": "`deviation` of `max`, clip, 10 windows",
    "episodes": "the same in episodes",
    "both": "`threshold` and `deviation` of `max`",
    **{f"clip-{clip}": f"`clip_sigmas = {clip}`, `min_windows = 10`" for clip in (0, 1, 2, 3, 4, 6)},
    **{f"windows-{least}": f"`clip_sigmas = 3`, `min_windows = {least}`" for least in (5, 20, 30)},
    **{
        f"half-life-{half_life}-{least}": f"`clip_sigmas = 3`, `min_windows = {least}`, `half_life = {half_life}`"
        for half_life, least in ((30, 10), (30, 30), (100, 10), (100, 100), (100, 200))
    },
    "isolation-forest": "isolation forest",
    "classifier": "classifier, trained with labels",
}
AVERAGES: Final = {0: ("all", "all"), 1: ("large", "1: large"), 2: ("terminal", "2: terminal"), 3: ("card", "3: card")}
"""By scenario: the column, and its heading."""
AVERAGE_COLUMNS: Final = [(column, heading, ".3f") for column, heading in AVERAGES.values()]
INCIDENTS: Final = {1: "large", 2: "terminals", 3: "cards"}
FOUND_COLUMNS: Final = [
    column
    for scenario, what in INCIDENTS.items()
    for column in ((f"found{scenario}", f"{what} found", ".0%"), (f"after{scenario}", "after, min", ",.1f"))
]
AT_BUDGET: Final = [("precision", "precision", ".3f"), *FOUND_COLUMNS]
AT_LIMIT: Final = [("alerts", "alerts a day", ".1f"), *AT_BUDGET]


def write_page(results: Mapping[str, Any]) -> None:
    """Fill the page with what there is."""
    text = PAGE.read_text(encoding="utf-8")
    for name, body in _bodies(results):
        text = fill_marks(text, f"quality {name}", body)
    PAGE.write_text(text, encoding="utf-8")


def _bodies(results: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for part, found in results.items():
        if isinstance(found, dict) and "figures" in found:
            averages = _averages(part, found["figures"])
            yield part, f"{_about(found)}\n\n{averages.markdown()}{_picture(part, averages)}"
            yield f"{part}, budget", _found(part, AT_BUDGET, found["figures"]).markdown()
            if found["limits"]:
                yield "episodes", _found(part, AT_LIMIT, found["limits"]).markdown()
    if (cases := results.get("synthetic")) is not None:
        yield "synthetic", _synthetic(cases)
    if (benchmark := results.get("nab")) is not None:
        yield "nab", _nab(benchmark).markdown()


def _about(about: Mapping[str, Any]) -> str:
    fraud = about["fraud"]
    total = sum(fraud.values())
    return (
        f"{about['payments']:,} payments of {about['customers']:,} cards in {about['days']} days, seed {about['seed']};"
        f" {total:,} are fraud ({total / about['payments']:.2%}): {fraud['1']:,} large, {fraud['2']:,} at terminals,"
        f" {fraud['3']:,} of cards."
    )


def _averages(part: str, figures: Mapping[str, Any]) -> Figure:
    figure = Figure(part, part, list(AVERAGE_COLUMNS))
    for name, one in figures.items():
        averages = {column: one["average"].get(str(scenario)) for scenario, (column, _) in AVERAGES.items()}
        figure.row(NAMES[name]).add(**{column: each for column, each in averages.items() if each is not None})
    return _without_empty_columns(figure)


def _found(part: str, columns: list[tuple[str, str, str]], figures: Mapping[str, Any]) -> Figure:
    """Alerts a day, their precision, and for each scenario which incidents are found, and how soon."""
    figure = Figure(part, part, list(columns))
    for name, one in figures.items():
        values = {"alerts": one["alerts_a_day"], "precision": one["precision"]}
        for scenario, found in one["by_scenario"].items():
            values[f"found{scenario}"] = found["found"] / found["incidents"] if found["incidents"] else None
            values[f"after{scenario}"] = None if found["hours"] is None else found["hours"] * 60
        figure.row(NAMES[name]).add(**{column: value for column, value in values.items() if value is not None})
    return _without_empty_columns(figure)


def _without_empty_columns(figure: Figure) -> Figure:
    figure.columns = [one for one in figure.columns if any(one[0] in row.samples for row in figure.rows)]
    return figure


def _picture(part: str, figure: Figure) -> str:
    """Draw the averages of payments by card."""
    if part not in {"card, minute", "models"}:
        return ""
    shown = tuple(column for column, _, _ in figure.columns)
    file = PICTURES / f"quality-{'detectors' if part == 'card, minute' else part}.svg"
    plain = Figure(
        part, part, figure.columns, rows=[Row(row.case.replace("`", ""), row.samples) for row in figure.rows]
    )
    draw_bars(plain, Bars(shown, "detector", "average precision, 1 is perfect"), file)
    return f"\n\n![Average precision by scenario](pictures/{file.name})"


def _synthetic(cases: Mapping[str, Any]) -> str:
    names = list(cases)
    detectors = list(cases[names[0]]["outcomes"])
    lines = [f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    lines.append("| wanted | " + " | ".join(case["wanted"] for case in cases.values()) + " |")
    for detector in detectors:
        cells = [_outcome(case["outcomes"][detector]) for case in cases.values()]
        lines.append(f"| {detector} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _outcome(one: Mapping[str, Any]) -> str:
    false = f"; {one['before']} before it" if one["before"] else ""
    if one["hours"] is None:
        return f"none{false}"
    after = "at once" if one["hours"] == 1 else f"after {one['hours']} h"
    return f"**{after}**, {one['about']} alert{'' if one['about'] == 1 else 's'}{false}"


def _nab(benchmark: Mapping[str, Mapping[str, float]]) -> Figure:
    profiles = list(next(iter(benchmark.values())))
    figure = Figure("nab", "nab", [(name, name, ".1f") for name in profiles])
    for name, points in benchmark.items():
        figure.row(name).add(**points)
    return figure
