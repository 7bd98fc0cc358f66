"""What was measured: samples by case and column, as JSON and as tables of medians with their spread."""

from __future__ import annotations

import json
import os
import platform
import statistics
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import confluent_kafka


@dataclass
class Row:
    """One case: for each column what each round measured; a column that does not concern it is missing."""

    case: str
    samples: dict[str, list[float]] = field(default_factory=dict)

    def add(self, **values: float) -> None:
        """Take one round's; columns are named with underscores for blanks."""
        for name, value in values.items():
            self.samples.setdefault(name, []).append(value)

    def median(self, column: str) -> float | None:
        """The middle one of a column's samples."""
        found = self.samples.get(column)
        return statistics.median(found) if found else None


@dataclass
class Figure:
    """A table. ``columns`` are name, heading and format; ``note`` says what the numbers mean."""

    name: str
    title: str
    columns: list[tuple[str, str, str]]
    note: str = ""
    rows: list[Row] = field(default_factory=list)

    def row(self, case: str) -> Row:
        """The row of a case, made where there is none."""
        for each in self.rows:
            if each.case == case:
                return each
        self.rows.append(Row(case))
        return self.rows[-1]

    def markdown(self) -> str:
        """The table: medians, and from least to greatest where there were several rounds."""
        lines = [
            f"| | {' | '.join(heading for _, heading, _ in self.columns)} |",
            "|---" * (len(self.columns) + 1) + "|",
        ]
        for row in self.rows:
            cells = [_cell(row.samples.get(column, []), form) for column, _, form in self.columns]
            lines.append(f"| {row.case} | {' | '.join(cells)} |")
        return "\n".join(lines)


def _cell(samples: list[float], form: str) -> str:
    if not samples:
        return ""
    middle = format(statistics.median(samples), form)
    if len(samples) == 1:
        return middle
    return f"{middle} ({format(min(samples), form)}–{format(max(samples), form)})"  # noqa: RUF001 - a range


@dataclass
class Results:
    """All figures of one machine; a run that measures some of them replaces those."""

    machine: dict[str, Any] = field(default_factory=dict)
    taken: dict[str, str] = field(default_factory=dict)
    """When each figure was taken, and whether quickly."""
    figures: dict[str, Figure] = field(default_factory=dict)

    def put(self, figure: Figure, how: str) -> None:
        """Replace a figure."""
        self.machine = machine()
        self.figures[figure.name] = figure
        self.taken[figure.name] = f"{datetime.now(UTC):%Y-%m-%d %H:%M}, {how}"

    def save(self, path: Path) -> None:
        """Write JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def load(path: Path) -> Results:
    """Read what was saved; empty results where there is nothing."""
    if not path.exists():
        return Results()
    found = json.loads(path.read_text(encoding="utf-8"))
    figures = {
        name: Figure(
            one["name"],
            one["title"],
            [(column, heading, form) for column, heading, form in one["columns"]],
            one["note"],
            [Row(**row) for row in one["rows"]],
        )
        for name, one in found["figures"].items()
    }
    return Results(found["machine"], found["taken"], figures)


def machine() -> dict[str, Any]:
    """What it was measured on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    return {
        "cores": os.cpu_count(),
        "processor": model,
        "python": platform.python_version(),
        "librdkafka": confluent_kafka.libversion()[0],
    }
