"""Judges rows by detectors: the core's own windows and memories, with the notes that `backtest` takes of them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.app.detectors import configured, detail_for, rules_hash
from service.app.from_settings import task_rules
from service.core.detectors import ConfiguredDetector, KeyWindow
from service.core.memory.alerts import Alert
from service.core.model import Partition, WallTimeMs
from service.history.backtest.scoring import noted
from service.history.backtest.side import Side
from service.history.csv_windows import CsvWindows
from service.settings import Settings, load

Detectors = Sequence[Mapping[str, Any]]
"""Tables of `[[detectors]]`."""
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
ONLY: Final = Partition(0)
CHUNK: Final = 10_000
"""So many rows at a time, as a reader of a CSV gives them."""


def settings_of(window_ms: int, detectors: Detectors = ()) -> Settings:
    """The settings of a service with these detectors, and windows of event time.

    Raises:
        SettingsError: a detector's table is wrong.
    """
    environment = {
        "WINDOW_CLOCK": "event",
        "WINDOW_SIZE_MS": str(window_ms),
        "LATE_POLICY": "divert",
        "WATERMARK_LATENESS_MS": "0",  # rows are in the order of their times
    }
    if detectors:
        environment["DETECTORS"] = json.dumps(list(detectors))
    return load(Path(os.devnull), environment).settings


@dataclass
class Judged:
    """What detectors make of rows. Arrays have an element for each row: that of the row's window."""

    window_ms: int
    first: Ints
    """The index of the first row in the same window of the same id."""
    end_ms: Ints
    """The window's end."""
    scores: dict[str, Floats] = field(default_factory=dict)
    """By detector; higher is worse. Minus infinity: the detector does not judge the window."""
    alerts: dict[str, Bools] = field(default_factory=dict)
    """By detector: whether the window wrote an alert. In an episode only the first one does."""
    ends: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """By detector, for each alert: the row that it names first, and the end of its window or silence."""

    @property
    def windows(self) -> Ints:
        """The index of each window's first row."""
        return np.unique(self.first)


def windows_of(ids: Ints, times_ms: Ints, window_ms: int) -> Judged:
    """The windows of rows: tumbling, aligned to the epoch."""
    number = times_ms // window_ms
    span = int(number.max() - number.min()) + 1
    _, index, inverse = np.unique(ids * span + (number - number.min()), return_index=True, return_inverse=True)
    return Judged(window_ms, index[inverse], (number + 1) * window_ms)


def judge(ids: Ints, times_ms: Ints, amounts: Sequence[str], detectors: Detectors, window_ms: int) -> Judged:
    """Judge rows as a backtest judges those of a CSV.

    Args:
        ids: numbers of ids, one for each row, as the following.
        times_ms: event times. A row whose window has closed is late; it scores as that window does.
        amounts: texts of JSON numbers.
        detectors: as in the settings.
        window_ms: the length of a window.

    Raises:
        SettingsError: a detector's table is wrong, or its model cannot be used.
        ValueError: the service would reject a row.
    """
    settings = settings_of(window_ms, detectors)
    judged = windows_of(ids, times_ms, window_ms)
    made = configured(settings)
    for one in made:
        judged.scores[one.name] = np.full(len(ids), -np.inf)
        judged.alerts[one.name] = np.zeros(len(ids), dtype=np.bool_)
        judged.ends[one.name] = []

    def note(one: ConfiguredDetector, window: KeyWindow, score: float | None, _anomalous: bool) -> None:  # noqa: FBT001 - backtest's Note
        if score is not None:
            judged.scores[one.name][int(window.aggregate.first_offset)] = score

    def on_alert(alert: Alert) -> None:
        at = int(alert.facts.first_offset or 0)
        judged.alerts[alert.detector][at] = True
        judged.ends[alert.detector].append((at, alert.facts.end_ms))

    side = Side(
        [noted(one, note) for one in made],
        settings.topics.transactions,
        rules=rules_hash(settings),
        forget_after_ms=settings.detect.forget_after_ms,
        on_alert=on_alert,
    )
    windows = CsvWindows(task_rules(settings, detail_for(made)), side.memory(ONLY))
    names, times = [str(number) for number in ids.tolist()], times_ms.tolist()
    for start in range(0, len(names), CHUNK):
        part = slice(start, start + CHUNK)
        closed = windows.read(names[part], times[part], amounts[part])
        side.judge(ONLY, windows.task, closed, WallTimeMs(times[part][-1]))
    side.judge(ONLY, windows.task, windows.end(), WallTimeMs(times[-1]))
    if windows.tally.rejected:
        raise ValueError(f"the service would reject rows: {dict(windows.tally.rejected)}")
    for one in made:
        judged.scores[one.name] = judged.scores[one.name][judged.first]
        judged.alerts[one.name] = judged.alerts[one.name][judged.first]
    return judged
