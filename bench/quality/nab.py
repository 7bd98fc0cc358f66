"""Reads a folder in the layout of the Numenta Anomaly Benchmark, and judges its series. The folder is the caller's.

The layout: data/GROUP/NAME.csv with the columns timestamp and value, and labels/combined_windows.json, which has for
each GROUP/NAME.csv its labelled windows as pairs of timestamps.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.quality.judging import Detectors, Ints, Judged, judge
from bench.quality.nab_scoring import PROFILES, Labelled, only_where, score


class LayoutError(Exception):
    """The folder is not in that layout. The text is one line that names the file."""


@dataclass(frozen=True)
class Series:
    """One file."""

    name: str
    times_ms: Ints
    values: Sequence[str]
    """Texts of JSON numbers."""
    windows: Sequence[tuple[int, int]]
    """The first and the last row of each labelled window."""


def read(folder: Path) -> list[Series]:
    """Read all files, by name.

    Raises:
        LayoutError: there is no file, or a file has no labels or a wrong row.
    """
    labels = folder / "labels" / "combined_windows.json"
    try:
        windows: dict[str, list[list[str]]] = json.loads(labels.read_text(encoding="utf-8"))
    except OSError as error:
        raise LayoutError(f"{labels}: {error.strerror}") from None
    except ValueError as error:
        raise LayoutError(f"{labels}: {error}") from None
    files = sorted((folder / "data").glob("*/*.csv"))
    if not files:
        raise LayoutError(f"{folder / 'data'}: there is no GROUP/NAME.csv")
    found = []
    for file in files:
        name = f"{file.parent.name}/{file.name}"
        if name not in windows:
            raise LayoutError(f"{labels}: there is no {name}")
        found.append(_series(name, file, windows[name]))
    return found


def _series(name: str, file: Path, windows: Sequence[Sequence[str]]) -> Series:
    times, values = [], []
    with file.open(newline="", encoding="utf-8") as opened:
        reader = csv.DictReader(opened)
        for row in reader:
            try:
                times.append(_ms(row["timestamp"]))
                values.append(repr(float(row["value"])))
            except (KeyError, TypeError, ValueError) as error:
                raise LayoutError(f"{file}: line {reader.line_num}: {error}") from None
    times_ms = np.array(times, dtype=np.int64)
    try:
        rows = [_rows_of(times_ms, _ms(begin), _ms(end)) for begin, end in windows]
    except ValueError as error:
        raise LayoutError(f"the labels of {name}: {error}") from None
    return Series(name, times_ms, values, sorted(rows))


def _ms(text: str) -> int:
    """The benchmark's times have no zone; any will do."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def _rows_of(times_ms: Ints, begin_ms: int, end_ms: int) -> tuple[int, int]:
    inside = np.flatnonzero((times_ms >= begin_ms) & (times_ms <= end_ms))
    if not len(inside):
        raise ValueError(f"a window from {begin_ms} to {end_ms} has no row")
    return int(inside[0]), int(inside[-1])


def _deviation(name: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - the table's values
    return {"name": name, "type": "deviation", "direction": "both", **fields}


DETECTORS: Final[Detectors] = (
    _deviation("deviation"),
    _deviation("clip", clip_sigmas=3),
    _deviation("fading", half_life=200),
    _deviation("fading-clip", half_life=200, clip_sigmas=3),
    _deviation("episodes", sigmas=5.0, half_life=200, clip_sigmas=3, resolve_after=30),
)


def judge_series(one: Series, detectors: Detectors) -> Judged:
    """Judge a series; a window is as long as the usual time between two rows, so that a row is a window."""
    step_ms = max(1, int(np.median(np.abs(np.diff(one.times_ms))))) if len(one.times_ms) > 1 else 1
    return judge(np.zeros(len(one.times_ms), dtype=np.int64), one.times_ms, one.values, detectors, step_ms)


def figures(
    series: Sequence[Series], say: Callable[[str], None], detectors: Detectors = DETECTORS
) -> Mapping[str, Mapping[str, float]]:
    """The score of each detector by each profile. With episodes, a row counts only if its window writes an alert."""
    labelled: dict[str, list[Labelled]] = {str(one["name"]): [] for one in detectors}
    for one in series:
        say(one.name)
        judged = judge_series(one, detectors)
        for table in detectors:
            name = str(table["name"])
            scores = judged.scores[name]
            if table.get("resolve_after"):
                scores = only_where(scores, judged.alerts[name])
            labelled[name].append(Labelled(scores, one.windows))
    return {
        name: {profile: score(found, weights).score for profile, weights in PROFILES.items()}
        for name, found in labelled.items()
    }
