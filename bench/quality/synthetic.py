"""Synthetic cases, one id each: a change of level, a slow drift, poisoning, a season, a silence.

A second id sends a record an hour, so that time goes on where the first one is silent.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.quality.judging import Detectors, Floats, Ints, judge, settings_of
from bench.quality.payments import FIRST_MS
from producer.reading.layout import Layout
from producer.reading.times import TimestampParser
from service.app.csv_file import CsvFile
from service.app.training import read_examples, train, write
from service.process.stop import Stop

HOUR_MS: Final = 3_600_000
HOURS: Final = 1_008
"""Six weeks."""
CHANGE: Final = 672
"""The hour of the change: after four weeks."""
LEARNED: Final = 336
"""Models learn the first two weeks, and alerts count from then on."""
LEVEL, NOISE = 100.0, 10.0
WATCHED, OTHER = 0, 1
LIMIT: Final = 170.0
SILENT_HOURS: Final = 24


@dataclass(frozen=True)
class Case:
    """A series, an amount an hour."""

    name: str
    wanted: str
    """What a good detector does."""
    amounts: Floats
    """Of each hour; not a number: there is no record."""
    until: int
    """Alerts from CHANGE until this hour are about the change."""


def cases(seed: int = 0) -> Iterator[Case]:
    """Make the series."""
    chance = np.random.default_rng(seed)

    def usual() -> Floats:
        return chance.normal(LEVEL, NOISE, HOURS)

    hours = np.arange(HOURS)
    after = hours >= CHANGE
    yield Case("level shift", "one alert, then the new level is usual", usual() + 80 * after, HOURS)
    drift = 80 * np.clip((hours - CHANGE) / (HOURS - CHANGE), 0, 1)
    yield Case("slow drift", "an alert at some time", usual() + drift, HOURS)
    poisoned = usual()
    poisoned[LEARNED + 24 : CHANGE - 24 : 12] *= 10  # twice a day ten times as much, to widen the baseline
    poisoned[CHANGE] = 3 * LEVEL
    yield Case(
        "poisoning", "an alert about three times the usual amount, after ten times the usual", poisoned, CHANGE + 1
    )
    season = chance.normal(LEVEL + 60 * np.sin((hours - 6) / 24 * 2 * np.pi), NOISE / 2)
    season[CHANGE] = LEVEL + 50  # CHANGE is a midnight, when 40 is usual
    yield Case("season", "an alert about an amount of noon at midnight", season, CHANGE + 1)
    silent = usual()
    silent[CHANGE : CHANGE + SILENT_HOURS] = np.nan
    yield Case("silence", "an alert about a day without a record", silent, CHANGE + SILENT_HOURS)


DETECTORS: Final[Detectors] = (
    {"name": "threshold", "type": "threshold", "limit": LIMIT},
    {"name": "deviation", "type": "deviation", "sigmas": 4.0},
    {"name": "deviation, clip", "type": "deviation", "sigmas": 4.0, "clip_sigmas": 3},
    {"name": "deviation, fading", "type": "deviation", "sigmas": 4.0, "half_life": 72},
    {"name": "deviation, fading, clip", "type": "deviation", "sigmas": 4.0, "half_life": 72, "clip_sigmas": 3},
    {"name": "the same in episodes", "type": "deviation", "sigmas": 4.0, "half_life": 72, "clip_sigmas": 3}
    | {"resolve_after": 6},
    {"name": "inactivity", "type": "inactivity", "after_ms": 12 * HOUR_MS},
)
"""Their names are for people."""
FOREST: Final = "forest"
FEATURES: Final = ("sum", "hour")


@dataclass(frozen=True)
class Outcome:
    """What a detector does in a case."""

    before: int
    """Alerts after the learning and before the change."""
    hours: int | None
    """From the change to the end of the first window with an alert about it; None: there is none."""
    about: int
    """Alerts about the change."""


def outcomes(case: Case, *, forest: bool = True) -> Mapping[str, Outcome]:
    """Judge a case; ``forest``: with a model, too."""
    hours = np.arange(HOURS)
    there = ~np.isnan(case.amounts)
    ids = np.concatenate([np.full(there.sum(), WATCHED), np.full(HOURS, OTHER)])
    of_hour = np.concatenate([hours[there], hours])
    amounts = np.concatenate([case.amounts[there], np.full(HOURS, 1.0)])
    order = np.argsort(of_hour, kind="stable")
    ids, times_ms = ids[order], FIRST_MS + of_hour[order] * HOUR_MS
    texts = [f"{amount:.2f}" for amount in amounts[order].tolist()]
    tables = [{**one, "name": f"detector-{number}"} for number, one in enumerate(DETECTORS)]
    names = {str(table["name"]): str(one["name"]) for table, one in zip(tables, DETECTORS, strict=True)}
    with tempfile.TemporaryDirectory() as folder:
        if forest:
            tables.append(_forest(Path(folder), ids, times_ms, texts))
            names[FOREST] = "isolation forest of sum and hour"
        judged = judge(ids, times_ms, texts, tables, HOUR_MS)
    ends = {
        name: [(end_ms - FIRST_MS) // HOUR_MS for row, end_ms in judged.ends[name] if ids[row] == WATCHED]
        for name in names
    }
    return {shown: _outcome(case, ends[name]) for name, shown in names.items()}


def _outcome(case: Case, ends: Sequence[int]) -> Outcome:
    """``ends``: the hours at which the windows or silences of the alerts end."""
    about = [end for end in ends if CHANGE < end <= case.until]
    before = sum(LEARNED < end <= CHANGE for end in ends)
    return Outcome(before, about[0] - CHANGE if about else None, len(about))


def everything(seed: int) -> dict[str, dict[str, Any]]:
    """All cases, as JSON has them."""
    return {
        case.name: {"wanted": case.wanted, "outcomes": {name: asdict(one) for name, one in outcomes(case).items()}}
        for case in cases(seed)
    }


def _forest(folder: Path, ids: Ints, times_ms: Ints, texts: list[str]) -> dict[str, Any]:
    """Train on the first two weeks."""
    file, model = folder / "series.csv", folder / "model.onnx"
    its = (ids == WATCHED) & (times_ms < FIRST_MS + LEARNED * HOUR_MS)
    rows = [f"x,{times_ms[row]},{texts[row]}" for row in np.flatnonzero(its).tolist()]
    file.write_text("\n".join(["transaction_id,timestamp,amount", *rows, ""]), encoding="utf-8")
    csv = CsvFile(str(file), Layout(TimestampParser("epoch_ms", UTC)), Stop())
    trained = train(read_examples(csv, settings_of(HOUR_MS), FEATURES, labelled=False), seed=0, limit=None, share=0.005)
    write(trained.fitted.onnx, model)
    return {"name": FOREST, "type": "model", "file": str(model), "features": list(FEATURES), "limit": trained.limit}
